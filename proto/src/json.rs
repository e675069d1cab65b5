//! JSON text to messages, strictly.
//!
//! A reader that is more lenient than the tool behind it can be shown another action than the one that runs. So
//! duplicate keys, unknown fields and wrong types are errors, and every error names its place.

use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Why a text is not the wanted message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, or a duplicate key.
    #[error("not valid JSON: {0}")]
    Syntax(String),
    /// JSON, but not of this shape.
    #[error("{field}: {problem}")]
    Shape {
        /// The field, for example `action.arguments`; the message itself is `request`.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// Reads one message.
///
/// # Errors
/// Names the field, or line and column where the text is no JSON.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, JsonError> {
    from_value(parse_value(text)?)
}

/// Reads any JSON, refusing duplicate keys.
///
/// Integers beyond 2^53 become strings of their digits: a message holds numbers as doubles, and an account number that
/// loses its last digits is another account.
///
/// # Errors
/// With line and column.
pub fn parse_value(text: &str) -> Result<Value, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let syntax = |e: serde_json::Error| JsonError::Syntax(e.to_string());
    let value = Strict.deserialize(&mut deserializer).map_err(syntax)?;
    deserializer.end().map_err(syntax)?;
    Ok(value)
}

/// Reads one message from JSON that was parsed already.
///
/// # Errors
/// Names the field.
pub fn from_value<T: DeserializeOwned>(mut value: Value) -> Result<T, JsonError> {
    drop_nulls(&mut value);
    serde_path_to_error::deserialize(value).map_err(|e| {
        let path = e.path().to_string();
        let field = if path == "." { "request".to_owned() } else { path };
        JsonError::Shape { field, problem: e.into_inner().to_string() }
    })
}

/// Fields that hold any JSON: there a null is a value.
const FREE_FIELDS: [&str; 3] = ["arguments", "inputSchema", "input_schema"];

/// In the JSON of a message a null means that the field is absent.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.iter_mut()
                .filter(|(k, _)| !FREE_FIELDS.contains(&k.as_str()))
                .for_each(|(_, v)| drop_nulls(v));
        }
        _ => {}
    }
}

/// The largest integer that a double holds with all its neighbours.
const SAFE_INTEGER: u64 = 1 << 53;

struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, b: bool) -> Result<Value, E> {
        Ok(Value::Bool(b))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Value, E> {
        Ok(if n > SAFE_INTEGER { Value::String(n.to_string()) } else { Value::from(n) })
    }

    fn visit_i64<E>(self, n: i64) -> Result<Value, E> {
        Ok(if n.unsigned_abs() > SAFE_INTEGER { Value::String(n.to_string()) } else { Value::from(n) })
    }

    fn visit_f64<E>(self, n: f64) -> Result<Value, E> {
        Ok(Value::from(n))
    }

    fn visit_str<E>(self, s: &str) -> Result<Value, E> {
        Ok(Value::String(s.to_owned()))
    }

    fn visit_string<E>(self, s: String) -> Result<Value, E> {
        Ok(Value::String(s))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Strict)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("duplicate key `{key}`")));
            }
            let value = entries.next_value_seed(Strict)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{Effect, ScoreRequest, ScoreResponse, Status, Verdict};

    fn error(text: &str) -> String {
        parse::<ScoreRequest>(text).unwrap_err().to_string()
    }

    #[test]
    fn both_spellings_of_a_field_are_read() {
        for key in ["toolDescription", "tool_description"] {
            let text = format!(r#"{{"action":{{"tool":"t","{key}":"d","effect":"WRITE"}}}}"#);
            let action = parse::<ScoreRequest>(&text).unwrap().action.unwrap();
            assert_eq!((action.tool_description.as_str(), action.effect()), ("d", Effect::Write));
        }
    }

    #[test]
    fn errors_name_the_field() {
        assert!(error(r#"{"action":{"tool":7}}"#).starts_with("action.tool: "));
        assert!(error(r#"{"action":{"argumets":{}}}"#).contains("argumets"));
        assert!(error(r#"{"action":{"arguments":[1]}}"#).starts_with("action.arguments: "));
        assert!(error(r#"{"action":{"effect":"MAYBE"}}"#).starts_with("action.effect: "));
        assert!(error(r#"[]"#).starts_with("request: "));
    }

    #[test]
    fn duplicate_keys_and_broken_text_are_refused() {
        assert!(error(r#"{"action":{"arguments":{"to":"a","to":"b"}}}"#).contains("duplicate key `to`"));
        for text in ["", "{", "{}x", r#"{"a":NaN}"#, r#"{"action":{"arguments":{"n":1e999}}}"#] {
            assert!(error(text).starts_with("not valid JSON"), "{text}: {}", error(text));
        }
        let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        assert!(error(&deep).contains("recursion limit"));
    }

    #[test]
    fn long_integers_keep_their_digits() {
        let text = r#"{"action":{"arguments":{"account":12345678901234567890,"n":7}}}"#;
        let value = parse_value(text).unwrap();
        assert_eq!(value["action"]["arguments"]["account"], "12345678901234567890");
        assert_eq!(value["action"]["arguments"]["n"], 7);
    }

    #[test]
    fn a_drift_of_zero_is_written_and_no_drift_is_not() {
        let mut response = ScoreResponse {
            drift: Some(0.0),
            verdict: Verdict::Allow.into(),
            status: Status::Scored.into(),
            ..Default::default()
        };
        let text = serde_json::to_string(&response).unwrap();
        assert!(text.contains(r#""drift":0"#) && text.contains(r#""verdict":"ALLOW""#), "{text}");
        response.drift = None;
        assert!(!serde_json::to_string(&response).unwrap().contains("drift"));
    }
}
