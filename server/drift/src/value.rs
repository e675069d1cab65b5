//! The arguments of a call as a flat list of values with their paths.

use serde_json::{Map, Value};

/// A scalar somewhere in the arguments.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaf {
    /// Name of the top-level argument that it belongs to.
    pub argument: String,
    /// For example `arguments.items[2].id`.
    pub path: String,
    /// The value as text; numbers without a trailing `.0`.
    pub text: String,
    /// Whether the value was a JSON number.
    pub number: Option<f64>,
}

/// All scalars in order of their names, so that the order in which a caller wrote them never matters. Null, booleans
/// and empty strings say nothing about where a value came from and are left out. At most `limit` leaves; the second
/// part of the answer is the number of leaves that were left out beyond it.
pub fn leaves(arguments: &Map<String, Value>, limit: usize) -> (Vec<Leaf>, usize) {
    let mut found = Vec::new();
    let mut left_out = 0;
    for (name, value) in sorted(arguments) {
        let mut visit = |path: &str, value: &Value| {
            let Some((text, number)) = scalar(value) else { return };
            if found.len() < limit {
                found.push(Leaf { argument: name.clone(), path: path.to_owned(), text, number });
            } else {
                left_out += 1;
            }
        };
        walk(&format!("arguments.{name}"), value, &mut visit);
    }
    (found, left_out)
}

/// The entries of an object by name.
pub fn sorted(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by(|a, b| a.0.cmp(b.0));
    entries
}

/// A scalar as text; `None` for containers and for values without content.
fn scalar(value: &Value) -> Option<(String, Option<f64>)> {
    match value {
        Value::String(s) if !s.trim().is_empty() => Some((s.clone(), None)),
        Value::Number(n) => Some((number_text(n), n.as_f64())),
        _ => None,
    }
}

/// A number as a person would write it: `98.7`, `100`, not `100.0`.
pub fn number_text(number: &serde_json::Number) -> String {
    match number.as_f64() {
        Some(f) if !number.is_i64() && !number.is_u64() && f.fract() == 0.0 && f.abs() < 9.0e15 => {
            format!("{f:.0}")
        }
        _ => number.to_string(),
    }
}

/// The whole of a value as text, nested values joined by commas; for rendering.
pub fn flat_text(value: &Value, out: &mut String, budget: usize) {
    if out.len() >= budget {
        return;
    }
    match value {
        Value::Null => out.push_str("none"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => out.push_str(&number_text(n)),
        Value::String(s) => out.push_str(s),
        Value::Array(items) => join(items.iter().map(|v| (None, v)), out, budget),
        Value::Object(map) => join(sorted(map).into_iter().map(|(k, v)| (Some(k.as_str()), v)), out, budget),
    }
}

fn join<'a>(items: impl Iterator<Item = (Option<&'a str>, &'a Value)>, out: &mut String, budget: usize) {
    for (i, (key, value)) in items.enumerate() {
        if out.len() >= budget {
            return;
        }
        if i > 0 {
            out.push_str(", ");
        }
        if let Some(key) = key {
            crate::render::words(key, out);
            out.push(' ');
        }
        flat_text(value, out, budget);
    }
}

/// Calls `visit` for every scalar below `value`. Depth is bounded by the check of the action.
fn walk(path: &str, value: &Value, visit: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                walk(&format!("{path}[{i}]"), item, visit);
            }
        }
        Value::Object(map) => {
            for (name, item) in sorted(map) {
                walk(&format!("{path}.{name}"), item, visit);
            }
        }
        scalar => visit(path, scalar),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn leaves_carry_their_path_and_skip_what_has_no_content() {
        let arguments = json!({"b": [{"id": 7.0}, null, "x"], "a": true, "c": ""});
        let (found, left_out) = leaves(arguments.as_object().unwrap(), 10);
        let seen: Vec<_> = found.iter().map(|l| (l.path.as_str(), l.text.as_str())).collect();
        assert_eq!(seen, [("arguments.b[0].id", "7"), ("arguments.b[2]", "x")]);
        assert_eq!(left_out, 0);
    }

    #[test]
    fn what_is_beyond_the_limit_is_counted() {
        let arguments = json!({"a": [1, 2, 3, 4]});
        let (found, left_out) = leaves(arguments.as_object().unwrap(), 3);
        assert_eq!((found.len(), left_out), (3, 1));
    }

    #[test]
    fn integers_beyond_53_bits_keep_their_digits() {
        let n: Value = serde_json::from_str("12345678901234567890").unwrap();
        assert_eq!(scalar(&n).unwrap().0, "12345678901234567890");
    }
}
