//! Fields of JSON whose shape another project decides: what is not known is skipped, what is known has its type.

use rhumb_proto::json;
use serde_json::{Map, Value};

use super::body;
use super::error::HttpError;

/// Bytes of a name or id that go on into requests and records.
const NAME_BYTES: usize = 256;

/// An object and where it stands.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    map: &'a Map<String, Value>,
    path: String,
}

/// Reads a body that must be an object; duplicate keys are errors.
///
/// # Errors
/// 400.
pub fn parse(bytes: &[u8]) -> Result<Map<String, Value>, HttpError> {
    match json::parse_value(body::text(bytes)?)? {
        Value::Object(map) => Ok(map),
        _ => Err(HttpError::bad("request", "is not an object")),
    }
}

impl<'a> Fields<'a> {
    /// The outermost object.
    pub fn of(map: &'a Map<String, Value>) -> Self {
        Self { map, path: String::new() }
    }

    fn place(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn wrong(&self, key: &str, wanted: &str) -> HttpError {
        HttpError::bad(self.place(key), format!("is not {wanted}"))
    }

    /// A field; null is absent.
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// A text; empty where it is absent.
    ///
    /// # Errors
    /// 400 where it is none.
    pub fn text(&self, key: &str) -> Result<&'a str, HttpError> {
        match self.get(key) {
            None => Ok(""),
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(self.wrong(key, "a text")),
        }
    }

    /// A text that must be there.
    ///
    /// # Errors
    /// 400 where it is not, or empty.
    pub fn needed(&self, key: &str) -> Result<&'a str, HttpError> {
        match self.text(key)? {
            "" => Err(HttpError::bad(self.place(key), "is missing")),
            text => Ok(text),
        }
    }

    /// A list; `None` where it is absent.
    ///
    /// # Errors
    /// 400 where it is none.
    pub fn list(&self, key: &str) -> Result<Option<&'a [Value]>, HttpError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(_) => Err(self.wrong(key, "a list")),
        }
    }

    /// An object; `None` where it is absent.
    ///
    /// # Errors
    /// 400 where it is none.
    pub fn object(&self, key: &str) -> Result<Option<Fields<'a>>, HttpError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Fields { map, path: self.place(key) })),
            Some(_) => Err(self.wrong(key, "an object")),
        }
    }

    /// All entries.
    pub fn entries(&self) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.map.iter()
    }
}

/// The text under a key of anything; empty where there is none.
pub fn text_of<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A name that fits into a request: one that is too long is known by its digest, so that two of them stay two.
pub fn name(text: &str) -> String {
    match text.len() <= NAME_BYTES && !text.chars().any(char::is_control) {
        true => text.to_owned(),
        false => rhumb_ledger::intent::canon::digest(text),
    }
}

/// Arguments as a request takes them: text that holds an object. `null` and an empty text are no arguments.
pub fn arguments(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_wrong_type_is_named_by_its_place() {
        let Value::Object(map) = json!({"a": {"b": 7}, "n": null}) else { unreachable!() };
        let fields = Fields::of(&map);
        let inner = fields.object("a").unwrap().unwrap();
        assert_eq!(inner.text("b").unwrap_err().field, "a.b");
        assert_eq!(fields.text("n").unwrap(), "");
        assert_eq!(fields.needed("x").unwrap_err().field, "x");
    }

    #[test]
    fn long_names_stay_apart() {
        let (a, b) = (name(&format!("{}a", "x".repeat(300))), name(&format!("{}b", "x".repeat(300))));
        assert!(a != b && a.len() < 100);
        assert_eq!(name("toolu_1"), "toolu_1");
    }

    #[test]
    fn arguments_are_the_text_of_an_object() {
        assert_eq!(arguments(Some(&json!("{\"a\":1}"))), "{\"a\":1}");
        assert_eq!(arguments(Some(&json!({"a": 1}))), "{\"a\":1}");
        assert_eq!(arguments(Some(&json!([1]))), "[1]");
        assert_eq!((arguments(None), arguments(Some(&json!("")))), (String::new(), String::new()));
    }
}
