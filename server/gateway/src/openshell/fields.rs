//! Fields of a message in JSON form. Only those asked for are read: the rest may hold secrets of a sandbox's environment,
//! and is neither kept nor logged.

use pbjson_types::value::Kind;
use pbjson_types::{Struct, Value};

/// What is at a path.
pub(super) fn at<'a>(root: Option<&'a Struct>, path: &[&str]) -> Option<&'a Value> {
    let (last, way) = path.split_last()?;
    let inner = way.iter().try_fold(root?, |at, name| object(at.fields.get(*name)?));
    inner?.fields.get(*last)
}

/// The text at a path; empty where there is none.
pub(super) fn text<'a>(root: Option<&'a Struct>, path: &[&str]) -> &'a str {
    match at(root, path).and_then(|value| value.kind.as_ref()) {
        Some(Kind::StringValue(text)) => text,
        _ => "",
    }
}

/// The list at a path; empty where there is none.
pub(super) fn list<'a>(root: Option<&'a Struct>, path: &[&str]) -> &'a [Value] {
    match at(root, path).and_then(|value| value.kind.as_ref()) {
        Some(Kind::ListValue(list)) => &list.values,
        _ => &[],
    }
}

/// A value that is an object.
pub(super) fn object(value: &Value) -> Option<&Struct> {
    match &value.kind {
        Some(Kind::StructValue(object)) => Some(object),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_through_objects_to_what_is_asked_for() {
        let fields = |pairs: Vec<(&str, Value)>| Struct {
            fields: pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        };
        let inner = fields(vec![("id", "s1".into()), ("all", vec![Value::from("a")].into())]);
        let value = Value { kind: Some(Kind::StructValue(inner)) };
        let root = fields(vec![("sandbox", value)]);
        assert_eq!(text(Some(&root), &["sandbox", "id"]), "s1");
        assert_eq!(list(Some(&root), &["sandbox", "all"]).len(), 1);
        for path in [&["sandbox"][..], &["id"], &["sandbox", "id", "more"], &[]] {
            assert_eq!(text(Some(&root), path), "", "{path:?}");
        }
        assert_eq!(text(None, &["sandbox"]), "");
    }
}
