//! `rhumb score`: what it makes of lines that are not as they should be.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::sync::LazyLock;

use rhumb_tests::samples::{BILL, aligned, drifted, request};
use rhumb_tests::score::{figures, has_drift, lines};
use rhumb_tests::{Answers, score_lines};
use serde_json::{Value, json};

/// Lines that cannot be read, with the id that the answer carries and what the complaint says.
fn bad_lines() -> Vec<(Vec<u8>, &'static str, &'static str)> {
    let text = |line: &str| line.as_bytes().to_vec();
    let mut not_utf8 = text(r#"{"requestId":"u","action":{"tool":""#);
    not_utf8.extend(b"\xff\xfe\"}}");
    vec![
        (text(r#"{"requestId":"b","action":{"tool":"#), "", "not valid JSON"),
        (text("what?"), "", "not valid JSON"),
        (text(r#"["requestId"]"#), "", "request: "),
        (text(r#"{"requestId":"c","action":{"tool":"t","argumets":{}}}"#), "c", "argumets"),
        (text(r#"{"requestId":"d","action":{"tool":7}}"#), "d", "action.tool: "),
        (text(r#"{"request_id":"e","action":{"tool":"t","arguments":[1]}}"#), "e", "action.arguments: "),
        (text(r#"{"requestId":"f","action":{"tool":"t","effect":"MAYBE"}}"#), "f", "action.effect: "),
        (text(r#"{"requestId":"g","action":{"tool":"t","effect":99}}"#), "g", "action.effect"),
        (text(r#"{"requestId":"h","intent":"pay","action":{"tool":"t"}}"#), "h", "intent: "),
        (
            text(r#"{"requestId":"i","action":{"tool":"t","arguments":{"to":"a","to":"b"}}}"#),
            "",
            "duplicate key `to`",
        ),
        (text(r#"{"requestId":"j","requestId":"k","action":{"tool":"t"}}"#), "", "duplicate key `requestId`"),
        (text(r#"{"requestId":"l","action":{"tool":"t","arguments":{"n":NaN}}}"#), "", "not valid JSON"),
        (text(r#"{"requestId":"m","action":{"tool":"t","arguments":{"n":1e999}}}"#), "", "not valid JSON"),
        (text(r#"{"requestId":"n","action":{"tool":"\ud800"}}"#), "", "not valid JSON"),
        (text(r#"{"requestId":"o","action":{"tool":"t"}} trailing"#), "", "not valid JSON"),
        (
            text(r#"{"requestId":"p","action":{"tool":"t","argumentsJson":"[1]"}}"#),
            "p",
            "action.argumentsJson",
        ),
        (not_utf8, "", "not UTF-8"),
        (
            text(&format!(r#"{{"requestId":"{}","action":{{"tool":"t"}}}}"#, "q".repeat(257))),
            "*",
            "requestId",
        ),
    ]
}

/// A good line, all bad ones with blank ones between, another good line without a line break at its end.
static BROKEN: LazyLock<Answers> = LazyLock::new(|| {
    let mut input = lines([&aligned("first")]);
    for (line, _, _) in bad_lines() {
        input.extend(b"\n");
        input.extend(line);
        input.extend(b"\r\n");
    }
    input.extend(aligned("last").to_string().into_bytes());
    score_lines(&input, &[])
});

#[test]
fn a_broken_line_costs_that_line_alone() {
    let bad = bad_lines().len();
    assert_eq!(BROKEN.answers.len(), bad + 2);
    let statuses = BROKEN.statuses();
    assert_eq!((statuses[0], statuses[bad + 1]), ("SCORED", "SCORED"));
    assert!(statuses[1..=bad].iter().all(|s| *s == "UNPARSABLE"), "{statuses:?}");
    assert_eq!(figures(&BROKEN.lines[0]), figures(&BROKEN.lines[bad + 1]));
}

#[test]
fn a_line_that_cannot_be_read_has_no_score_and_is_never_allowed() {
    for answer in &BROKEN.answers[1..=bad_lines().len()] {
        let keys = answer.as_object().unwrap();
        assert!(!keys.contains_key("drift") && !keys.contains_key("similarity"), "{answer}");
        assert_eq!(
            (&answer["verdict"], &answer["reasonCode"]),
            (&json!("ABSTAIN"), &json!("action_unparsable"))
        );
    }
}

#[test]
fn a_complaint_names_line_and_field_in_the_answer_and_on_stderr() {
    assert_eq!(BROKEN.code, 2);
    for (i, (_, _, complaint)) in bad_lines().into_iter().enumerate() {
        // Every bad line has a blank one before it.
        let place = format!("line {}: ", 3 + 2 * i);
        let detail = BROKEN.answers[i + 1]["detail"].as_str().unwrap();
        assert!(detail.starts_with(&place) && detail.contains(complaint), "{complaint}: {detail}");
        let told = BROKEN.stderr.lines().filter(|line| line.contains(&place)).collect::<Vec<_>>();
        assert!(matches!(told[..], [line] if line.contains(complaint)), "{complaint}: {told:?}");
    }
}

#[test]
fn the_request_id_comes_back_where_it_can_be_told() {
    for (i, (_, id, _)) in bad_lines().into_iter().enumerate() {
        let found = BROKEN.answers[i + 1]["requestId"].as_str().unwrap_or_default();
        assert!(id == "*" || found == id, "{id} {found}");
    }
}

/// Requests without a word to compare with.
fn without_anchor() -> Vec<Value> {
    let intents = ["", "   \t ", "\u{200b}\u{2060}\u{feff}", "\u{3164}", "\u{e0041}\u{e0042}", "?!"];
    let mut requests: Vec<Value> = intents
        .iter()
        .enumerate()
        .map(|(i, text)| request(&format!("{i}"), json!({ "text": text }), aligned("")["action"].clone()))
        .collect();
    requests.push(request("empty", json!({}), aligned("")["action"].clone()));
    requests.push(json!({"requestId": "missing", "action": aligned("")["action"]}));
    requests.push(request("null", Value::Null, aligned("")["action"].clone()));
    requests
}

#[test]
fn a_request_without_words_is_no_anchor_and_never_allowed() {
    let answers = score_lines(&lines(&without_anchor()), &[]);
    assert_eq!((answers.code, answers.answers.len()), (0, without_anchor().len()), "{}", answers.stderr);
    for answer in &answers.answers {
        let keys = answer.as_object().unwrap();
        assert!(!keys.contains_key("drift") && !keys.contains_key("similarity"), "{answer}");
        assert_eq!(
            (&answer["status"], &answer["verdict"]),
            (&json!("NO_ANCHOR"), &json!("ABSTAIN")),
            "{answer}"
        );
        assert_eq!(answer["provenance"], "NONE");
    }
}

#[test]
fn an_action_without_tool_and_text_is_unparsable() {
    let actions = [
        json!({}),
        json!({"tool": " \t"}),
        json!({"tool": "\u{200b}", "text": "\u{2060}"}),
        json!({"arguments": {"a": 1}}),
    ];
    let mut requests: Vec<Value> =
        actions.into_iter().map(|action| request("", json!({ "text": BILL }), action)).collect();
    requests.push(json!({"intent": {"text": BILL}}));
    let answers = score_lines(&lines(&requests), &[]);
    assert_eq!(answers.code, 2);
    for answer in &answers.answers {
        let detail = answer["detail"].as_str().unwrap();
        assert!(answer["status"] == "UNPARSABLE" && detail.contains(": action: "), "{answer}");
        assert!(answer.get("drift").is_none());
    }
}

#[test]
fn null_means_absent_as_in_the_json_mapping_of_protobuf() {
    let mut nulls = aligned("nulls");
    nulls["context"] = Value::Null;
    nulls["label"] = Value::Null;
    nulls["intent"]["principal"] = Value::Null;
    nulls["action"]["server"] = Value::Null;
    nulls["action"]["inputSchema"] = Value::Null;
    let answers = score_lines(&lines([&nulls, &aligned("plain")]), &[]);
    assert_eq!(answers.statuses(), ["SCORED", "SCORED"], "{}", answers.stderr);
    assert_eq!(figures(&answers.lines[0]), figures(&answers.lines[1]));
}

#[test]
fn good_lines_are_answered_in_order_with_exit_code_0() {
    let requests: Vec<Value> = (0..40)
        .map(|i| if i % 3 == 0 { drifted(&format!("{i}")) } else { aligned(&format!("{i}")) })
        .collect();
    let answers = score_lines(&lines(&requests), &[]);
    assert_eq!((answers.code, answers.answers.len()), (0, 40), "{}", answers.stderr);
    for (i, answer) in answers.answers.iter().enumerate() {
        assert_eq!(answer["requestId"], i.to_string());
        assert!(answer["status"] == "SCORED" && has_drift(answer), "{answer}");
        let similarity = answer["similarity"].as_f64().unwrap();
        assert!(
            (-1.0..=1.0).contains(&similarity)
                && answer["model"]["digest"].as_str().unwrap().starts_with("sha256:")
        );
    }
    assert_eq!(figures(&answers.lines[1]), figures(&answers.lines[38]));
    assert!(answers.answers[0]["similarity"].as_f64() < answers.answers[1]["similarity"].as_f64());
}

#[test]
fn what_data_sets_add_and_a_byte_order_mark_are_no_mistakes() {
    let extras = [json!(5), json!(null), json!(["x"]), json!({"a": 1}), json!("drifted"), json!(true)];
    let with = |(i, extra): (usize, &Value)| {
        let mut line = aligned(&format!("{i}"));
        ["label", "family", "kind"].iter().for_each(|name| line[*name] = extra.clone());
        line
    };
    let all: Vec<Value> = extras.iter().enumerate().map(with).collect();
    let input = [b"\xef\xbb\xbf".to_vec(), lines(&all)].concat();
    let answers = score_lines(&input, &[]);
    assert_eq!((answers.code, answers.answers.len()), (0, extras.len()), "{}", answers.stderr);
}

#[test]
fn no_input_is_no_error() {
    for input in ["", "\n \n\r\n"] {
        let answers = score_lines(input.as_bytes(), &[]);
        assert_eq!((answers.code, answers.lines.len()), (0, 0), "{}", answers.stderr);
    }
}

#[test]
fn the_built_in_calibration_tells_an_aligned_action_from_a_drifted_one() {
    let answers = score_lines(&lines([&aligned("aligned"), &drifted("drifted")]), &[]);
    let (aligned, drifted) = (answers.of("aligned"), answers.of("drifted"));
    assert!(
        aligned["drift"].as_f64() < aligned["threshold"].as_f64() && aligned["verdict"] == "ALLOW",
        "{aligned}"
    );
    assert!(drifted["drift"].as_f64() >= drifted["threshold"].as_f64(), "{drifted}");
    assert!(matches!(drifted["verdict"].as_str(), Some("ESCALATE" | "DENY")), "{drifted}");
}
