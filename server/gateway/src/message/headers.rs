//! Header lines.

/// Header lines of a request: names in lower case, repeats in the order of the wire.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers(Vec<(String, String)>);

impl<N: AsRef<str>, V: Into<String>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(lines: I) -> Self {
        let line = |(name, value): (N, V)| (name.as_ref().to_ascii_lowercase(), value.into());
        Self(lines.into_iter().map(line).collect())
    }
}

impl Headers {
    /// All lines of a name, in order. `name` is in lower case.
    pub fn get_all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The first line of a name, without spaces at its ends; `None` where there is none. Where a second one could tell
    /// another story: [`Self::is_repeated`].
    pub fn one(&self, name: &str) -> Option<&str> {
        self.get_all(name).next().map(str::trim)
    }

    /// Whether there is a line of this name.
    pub fn has(&self, name: &str) -> bool {
        self.get_all(name).next().is_some()
    }

    /// Whether there is more than one line of this name.
    pub fn is_repeated(&self, name: &str) -> bool {
        self.get_all(name).nth(1).is_some()
    }

    /// All lines.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether one of the comma-separated words of a header is this one, in any case.
    pub(super) fn lists(&self, name: &str, word: &str) -> bool {
        let words = self.get_all(name).flat_map(|value| value.split(','));
        words.map(|own| own.split(';').next().unwrap_or(own)).any(|own| own.trim().eq_ignore_ascii_case(word))
    }
}
