//! The strict reader.

use super::super::json::{Document, Root, document};
use super::*;

fn value(text: &str) -> Option<Value> {
    document(text.as_bytes()).ok().filter(|d| d.twice.is_none()).map(|d| d.root.into_value())
}

fn twice(text: &str) -> Option<String> {
    document(text.as_bytes()).unwrap().twice
}

fn is_cut(text: &str) -> bool {
    document(text.as_bytes()).unwrap_err().at_end
}

#[test]
fn values_are_read() {
    let text = r#" {"a":[1,-2.5,true,false,null,"\u00e9\ud83d\ude00\n\/"],"b":{}} "#;
    assert_eq!(value(text), Some(json!({"a": [1, -2.5, true, false, null, "é😀\n/"], "b": {}})));
}

#[test]
fn integers_keep_their_digits_at_any_length() {
    let text = r#"[9007199254740992,9007199254740993,-9007199254740993,1000000000000000000000000]"#;
    let strings = ["9007199254740993", "-9007199254740993", "1000000000000000000000000"];
    assert_eq!(value(text), Some(json!([9_007_199_254_740_992_u64, strings[0], strings[1], strings[2]])));
}

#[test]
fn a_key_that_stands_twice_is_found_at_any_depth_and_in_any_spelling() {
    assert_eq!(twice(r#"{"a":1,"a":1}"#).as_deref(), Some("a"));
    assert_eq!(twice(r#"[{"x":[{"to":1,"\u0074o":2}]}]"#).as_deref(), Some("to"));
    assert_eq!(twice(r#"{"a":{"b":1},"b":{"a":1}}"#), None);
}

#[test]
fn a_text_that_ends_too_early_is_cut_and_a_wrong_one_is_not() {
    for text in ["", " ", "{", "[1,", r#"{"a"#, r#"{"a":"#, "tru", "-", "1.", "1e", r#""\u12"#, r#""\ud83d\"#]
    {
        assert!(is_cut(text), "{text}");
    }
    let wrong =
        ["{}x", "[1 2]", "{a:1}", "[01]", "NaN", "[1,]", "{\"a\":1,}", "'a'", "[+1]", "[.5]", "\u{feff}{}"];
    for text in wrong.iter().chain(&[
        r#"["\ud83d"]"#,
        r#"["\ude00"]"#,
        r#"["\x"]"#,
        "[\"\u{1}\"]",
        "[1e999]",
        "//\n1",
    ]) {
        assert!(!is_cut(text), "{text}");
    }
    assert!(document(b"\"\xc3").unwrap_err().at_end && !document(b"\"\xff\"").unwrap_err().at_end);
}

#[test]
fn sixty_four_levels_are_the_most() {
    let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    assert!(value(&deep(64)).is_some() && value(&deep(65)).is_none());
    // The levels are those of one way down, not of all.
    assert!(value(&format!("[{}]", vec!["[[]]"; 100].join(","))).is_some());
}

#[test]
fn the_id_is_kept_as_it_was_written() {
    let id = |text: &str| match document(text.as_bytes()).unwrap() {
        Document { root: Root::One(entry), .. } => entry.id,
        Document { root: Root::Many(mut entries), .. } => entries.remove(0).id,
    };
    for written in ["1", "1.0", "-0", "1e2", "123456789012345678901234567890", r#""a\u0062""#, "null"] {
        let text = format!(r#"{{"id": {written} ,"params":{{"id":5}}}}"#);
        assert_eq!(id(&text).as_deref(), Some(written));
        assert_eq!(id(&format!("[{text}]")).as_deref(), Some(written));
    }
    assert_eq!(id(r#"{"params":{"id":5}}"#), None);
}
