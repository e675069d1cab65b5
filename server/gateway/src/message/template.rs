//! Templates of paths: `/v1/accounts/{account}/payments`.

use serde_json::{Map, Value};

/// A template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    pub text: String,
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal {
        exact: String,
        lower: String,
    },
    /// `{name}`, maybe with something around it: `{name}.json`.
    Place {
        before: String,
        name: String,
        after: String,
    },
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        let Some(path) = text.strip_prefix('/') else { return Err("does not begin with `/`".to_owned()) };
        if path.contains(['?', '#', '%']) {
            return Err("is a path alone, decoded".to_owned());
        }
        let segments: Vec<_> = path.split('/').map(Segment::new).collect::<Result<_, _>>()?;
        let template = Self { text: text.to_owned(), segments };
        let names: std::collections::BTreeSet<_> = template.names().collect();
        if names.len() < template.names().count() {
            return Err("has a name twice".to_owned());
        }
        Ok(template)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Place { name, .. } => Some(name.as_str()),
            Segment::Literal { .. } => None,
        })
    }

    /// How much of it is fixed: of two templates that match, the one with more is meant.
    pub fn literals(&self) -> usize {
        self.segments.len() - self.names().count()
    }

    /// What stands in its places, if the segments match.
    pub fn values(&self, segments: &[String]) -> Option<Map<String, Value>> {
        if segments.len() != self.segments.len() {
            return None;
        }
        let mut values = Map::new();
        for (own, segment) in self.segments.iter().zip(segments) {
            match own {
                Segment::Literal { exact, .. } if exact == segment => {}
                Segment::Literal { .. } => return None,
                Segment::Place { before, name, after } => {
                    let value = segment.strip_prefix(before.as_str())?.strip_suffix(after.as_str())?;
                    if value.is_empty() {
                        return None;
                    }
                    values.insert(name.clone(), Value::String(value.to_owned()));
                }
            }
        }
        Some(values)
    }

    /// Whether a lenient server could match these segments, which are in lower case.
    pub fn is_like(&self, segments: &[String]) -> bool {
        let own = self.segments.iter().filter(|own| !own.is_end());
        let is_like = |(own, segment): (&Segment, &String)| match own {
            Segment::Literal { lower, .. } => lower == segment,
            Segment::Place { .. } => true,
        };
        own.clone().count() == segments.len() && own.zip(segments).all(is_like)
    }
}

impl Segment {
    fn new(text: &str) -> Result<Self, String> {
        let Some((before, rest)) = text.split_once('{') else {
            if text.contains('}') {
                return Err(format!("`{text}` has a brace alone"));
            }
            return Ok(Self::Literal { exact: text.to_owned(), lower: text.to_lowercase() });
        };
        let Some((name, after)) = rest.rsplit_once('}') else {
            return Err(format!("`{text}` has a brace alone"));
        };
        if name.is_empty() || before.contains('}') || after.contains('{') {
            return Err(format!("`{text}` has a place without a name, or a brace alone"));
        }
        // Two places in one segment are one: `{from}..{to}` is called `from..to`.
        let name = name.replace(['{', '}'], "");
        Ok(Self::Place { before: before.to_owned(), name, after: after.to_owned() })
    }

    /// What a slash at the end leaves.
    fn is_end(&self) -> bool {
        matches!(self, Self::Literal { exact, .. } if exact.is_empty())
    }
}
