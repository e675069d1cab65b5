//! The arguments of a call as a flat list of values with their paths.

use serde_json::{Map, Value};

/// A scalar somewhere in the arguments.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaf {
    /// Name of the top-level argument that it belongs to.
    pub argument: String,
    /// For example `arguments.items[2].id`.
    pub path: String,
    /// The same without places in lists: all items of a list are one field.
    pub field: String,
    /// The value as text; numbers without a trailing `.0`.
    pub text: String,
}

/// All scalars in order of their names, so that the order in which a caller wrote them never matters. Null, booleans
/// and empty strings say nothing about where a value came from and are left out; a nested name that looks like a value
/// (an address, a number) counts as one. At most `limit` leaves; the second part of the answer is the number of leaves
/// that were left out beyond it.
pub fn leaves(arguments: &Map<String, Value>, limit: usize) -> (Vec<Leaf>, usize) {
    let mut walk = Walk {
        found: Vec::new(),
        left_out: 0,
        limit,
        argument: String::new(),
        path: String::new(),
        field: String::new(),
    };
    for (name, value) in sorted(arguments) {
        walk.argument.clone_from(name);
        walk.path = format!("arguments.{}", cut(name));
        walk.field.clone_from(&walk.path);
        walk.value(value);
    }
    (walk.found, walk.left_out)
}

/// Bytes of a name in a path.
const NAME_BYTES: usize = 120;

fn cut(name: &str) -> &str {
    name.get(..crate::render::floor_boundary(name, NAME_BYTES)).unwrap_or_default()
}

struct Walk {
    found: Vec<Leaf>,
    left_out: usize,
    limit: usize,
    argument: String,
    path: String,
    field: String,
}

impl Walk {
    /// Depth is bounded by the check of the action.
    fn value(&mut self, value: &Value) {
        match value {
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(i, v)| self.below(&format!("[{i}]"), "", v))
            }
            Value::Object(map) => {
                for (name, value) in sorted(map) {
                    if name.chars().any(|c| matches!(c, '@' | '/' | '.' | ':') || c.is_ascii_digit()) {
                        self.leaf(name.clone());
                    }
                    let step = format!(".{}", cut(name));
                    self.below(&step, &step, value);
                }
            }
            scalar => {
                if let Some(text) = self::scalar(scalar) {
                    self.leaf(text);
                }
            }
        }
    }

    fn below(&mut self, step: &str, field_step: &str, value: &Value) {
        let (path_end, field_end) = (self.path.len(), self.field.len());
        self.path.push_str(step);
        self.field.push_str(field_step);
        self.value(value);
        self.path.truncate(path_end);
        self.field.truncate(field_end);
    }

    fn leaf(&mut self, text: String) {
        if self.found.len() < self.limit {
            let (argument, path, field) = (self.argument.clone(), self.path.clone(), self.field.clone());
            self.found.push(Leaf { argument, path, field, text });
        } else {
            self.left_out += 1;
        }
    }
}

/// The entries of an object by name.
pub fn sorted(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by(|a, b| a.0.cmp(b.0));
    entries
}

/// A scalar as text; `None` for containers and for values without content.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(s) if !s.trim().is_empty() => Some(s.clone()),
        Value::Number(n) => Some(number_text(n)),
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
    for (i, (key, value)) in items.filter(|(_, v)| !v.is_null()).enumerate() {
        if out.len() >= budget {
            // One byte beyond the budget tells the caller that something was left out.
            return out.push(' ');
        }
        if i > 0 {
            out.push_str(", ");
        }
        if let Some(key) = key.filter(|k| crate::quote::is_name(k)) {
            crate::render::words(key, out);
            out.push(' ');
        }
        flat_text(value, out, budget);
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
        let fields: Vec<_> = found.iter().map(|l| l.field.as_str()).collect();
        assert_eq!((left_out, fields), (0, vec!["arguments.b.id", "arguments.b"]));
    }

    #[test]
    fn a_name_that_looks_like_a_value_is_one() {
        let arguments = json!({"to": {"eve@evil.com": true, "plain": "x"}});
        let (found, _) = leaves(arguments.as_object().unwrap(), 10);
        assert_eq!(found.iter().map(|l| l.text.as_str()).collect::<Vec<_>>(), ["eve@evil.com", "x"]);
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
        assert_eq!(scalar(&n).unwrap(), "12345678901234567890");
    }
}
