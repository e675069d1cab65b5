//! What holds for every request.

use super::super::json::document;
use super::super::query::decode;
use super::*;
use proptest::prelude::*;

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f64>().prop_filter_map("finite", |n| serde_json::Number::from_f64(n).map(Value::Number)),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c]{1,2}", inner, 0..4).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// Text that is JSON often enough, and nearly JSON otherwise.
fn nearly_json() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"a\"",
            "\"b\"",
            "\"\\u0061\"",
            "1",
            "-0",
            "1.0",
            "1e2",
            "null",
            "true",
            " ",
            "\"\\ud800\"",
            "\"\\ud83d\\ude00\"",
            "0",
            "-",
            "e",
            ".",
            "\"",
            "9007199254740993",
        ])
        .prop_map(str::to_owned),
        any_json().prop_map(|value| value.to_string()),
    ];
    prop::collection::vec(token, 0..8).prop_map(|tokens| tokens.concat())
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![Kind::Auto, Kind::Mcp, Kind::A2a, Kind::Http])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in kinds(), path in ".{0,30}") {
        let reading = Request { path, ..Request::post(bytes) }.read(kind);
        prop_assert!(reading.kind != Kind::Auto && !reading.items.is_empty());
    }

    #[test]
    fn the_strict_reader_takes_what_that_of_messages_takes(text in nearly_json()) {
        // Beyond 64 bits the other reader has doubles, this one digits.
        let longest = text.split(|c: char| !c.is_ascii_digit()).map(str::len).max();
        prop_assume!(longest < Some(19));
        let ours = document(text.as_bytes()).ok().filter(|d| d.twice.is_none()).map(|d| d.root.into_value());
        prop_assert_eq!(ours, rhumb_proto::json::parse_value(&text).ok());
    }

    #[test]
    fn what_is_written_is_read(value in any_json()) {
        let read = document(value.to_string().as_bytes()).unwrap().root.into_value();
        prop_assert_eq!(read, value);
    }

    #[test]
    fn a_cut_call_is_never_an_action(value in any_json(), cut in 0.0..1.0f64, kind in kinds()) {
        let whole = call("tools/call", json!({"name": "pay", "arguments": {"a": value}}));
        let kept = (whole.body.len() as f64 * cut) as usize;
        let body = whole.body[..kept].to_vec();
        let request = Request { body, ..whole }.without_length();
        prop_assert_eq!(request.status(kind), Status::Truncated);
    }

    #[test]
    fn a_call_with_a_key_twice_is_never_an_action(value in any_json(), kind in kinds()) {
        let text = call("tools/call", json!({"name": "pay", "arguments": {"first": 1, "a": value}})).body;
        let text = String::from_utf8(text).unwrap().replacen("\"first\":1", "\"a\":1,\"a\":1", 1);
        prop_assert_eq!(Request::post(text).status(kind), Status::Unparsable);
    }

    #[test]
    fn every_id_comes_back(id in prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        "[1-9][0-9]{0,40}(\\.[0-9]{1,20})?",
        ".{0,20}".prop_map(|s| Value::from(s).to_string()),
    ]) {
        let request = Request::post(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#));
        let item = request.item(Kind::Mcp);
        prop_assert_eq!(item.id.to_json(), id.as_str());
    }

    #[test]
    fn escaping_and_decoding_are_inverse(text in ".{0,30}") {
        let escaped: String = text.bytes().map(|b| format!("%{b:02X}")).collect();
        prop_assert_eq!(decode(&escaped, true), text);
    }

    #[test]
    fn a_request_is_read_the_same_way_twice(text in nearly_json(), kind in kinds()) {
        let request = Request::post(text);
        prop_assert_eq!(request.read(kind), request.read(kind));
    }
}
