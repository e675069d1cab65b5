//! `rhumb score`: numbers, nesting and sizes at and beyond the limits. Nothing crashes, and nothing that was not seen is
//! allowed.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use rhumb_tests::samples::{BILL, aligned, nested, request, with_arguments};
use rhumb_tests::score::{has_drift, lines};
use rhumb_tests::score_lines;
use serde_json::{Value, json};

#[test]
fn huge_but_finite_numbers_are_scored() {
    let numbers =
        ["1e308", "-1e308", "5e-324", "-0.0", "12345678901234567890", "-9223372036854775809", "1e22"];
    let line =
        |number: &str| with_arguments(number, json!({"n": "N"})).to_string().replace("\"N\"", number) + "\n";
    let input: String = numbers.iter().map(|number| line(number)).collect();
    let answers = score_lines(input.as_bytes(), &[]);
    assert_eq!(answers.code, 0, "{}", answers.stderr);
    for answer in &answers.answers {
        assert!(answer["status"] == "SCORED" && has_drift(answer), "{answer}");
    }
    let long = &answers.of("12345678901234567890")["evidence"]["values"][0]["value"];
    assert_eq!(long, "12345678901234567890");
}

#[test]
fn odd_but_legal_text_is_scored() {
    let texts = [
        "\u{0}\u{7}",
        "\u{202e}evil",
        "🙂👩‍👩‍👧",
        "e\u{301}\u{301}\u{301}",
        "[SEP] [CLS] [PAD]",
        "\\\"{}",
        "\u{10ffff}",
    ];
    let requests: Vec<Value> =
        texts.iter().map(|text| with_arguments(text, json!({ "note": text, *text: 1 }))).collect();
    let answers = score_lines(&lines(&requests), &[]);
    assert_eq!((answers.code, answers.answers.len()), (0, texts.len()), "{}", answers.stderr);
    for (answer, text) in answers.answers.iter().zip(texts) {
        assert!(answer["requestId"] == text && answer["status"] == "SCORED" && has_drift(answer), "{answer}");
    }
}

#[test]
fn nesting_is_scored_up_to_the_limit_and_refused_beyond_it() {
    let deep = |levels: usize| with_arguments(&levels.to_string(), nested(levels));
    let list = with_arguments(
        "list",
        json!({"a": serde_json::from_str::<Value>(&format!("{}{}", "[".repeat(31), "]".repeat(31))).unwrap()}),
    );
    let lists =
        format!(r#"{{"action":{{"tool":"t","arguments":{{"a":{}{}}}}}}}"#, "[".repeat(200), "]".repeat(200));
    let open = format!(r#"{{"action":{{"tool":"t","arguments":{}"#, r#"{"a":"#.repeat(100_000));
    let mut input = lines([&deep(32), &list, &deep(33), &deep(100), &deep(200)]);
    input.extend(format!("{lists}\n{open}\n").into_bytes());
    input.extend(lines([&aligned("last")]));
    let answers = score_lines(&input, &[]);
    let expected =
        ["SCORED", "SCORED", "UNPARSABLE", "UNPARSABLE", "UNPARSABLE", "UNPARSABLE", "UNPARSABLE", "SCORED"];
    assert_eq!((answers.statuses().as_slice(), answers.code), (&expected[..], 2), "{}", answers.stderr);
    assert!(answers.of("33")["detail"].as_str().unwrap().contains("action.arguments"));
}

#[test]
fn what_does_not_fit_is_scored_in_part_and_never_allowed() {
    let many: serde_json::Map<String, Value> = (0..10_000).map(|i| (format!("a{i}"), json!(i))).collect();
    let megabytes = "pay the electricity bill ".repeat(80_000);
    let mut text = request("text", json!({"text": BILL}), json!({"text": megabytes, "effect": "WRITE"}));
    text["context"] = json!([{"source": "s", "text": "x".repeat(500_000), "trusted": true}]);
    let requests =
        [with_arguments("many", many.into()), with_arguments("long", json!({"note": megabytes})), text];
    let answers = score_lines(&lines(&requests), &[]);
    assert_eq!(answers.code, 0, "{}", answers.stderr);
    for answer in &answers.answers {
        assert!(answer["status"] == "TRUNCATED" && has_drift(answer), "{answer}");
        assert!(matches!(answer["verdict"].as_str(), Some("ESCALATE" | "DENY")), "{answer}");
    }
    assert!(answers.of("text")["evidence"]["findings"].to_string().contains("context_cut"));
}

#[test]
fn a_read_that_does_not_fit_is_at_least_told() {
    let mut read = with_arguments("read", json!({"note": "pay the electricity bill ".repeat(4_000)}));
    read["action"]["effect"] = json!("READ");
    let answers = score_lines(&lines([&read]), &[]);
    assert_eq!(answers.statuses(), ["TRUNCATED"]);
    assert_eq!(answers.of("read")["verdict"], "WARN");
}

#[test]
fn fields_beyond_their_limit_are_named() {
    let mut intent = aligned("intent.text");
    intent["intent"]["text"] = json!("a ".repeat(40_000));
    let mut tool = aligned("action.tool");
    tool["action"]["tool"] = json!("t".repeat(2_000));
    let mut context = aligned("context");
    context["context"] = vec![json!({"text": "x"}); 1_025].into();
    let mut schema = aligned("action.inputSchema");
    schema["action"]["inputSchema"] = nested(40);
    let answers = score_lines(&lines([&intent, &tool, &context, &schema]), &[]);
    for answer in &answers.answers {
        let field = answer["requestId"].as_str().unwrap();
        let detail = answer["detail"].as_str().unwrap();
        assert!(answer["status"] == "UNPARSABLE" && detail.contains(&format!(": {field}: ")), "{answer}");
    }
    assert_eq!((answers.code, answers.answers.len()), (2, 4));
}

#[test]
fn a_line_of_33_megabytes_costs_that_line_alone() {
    let mut input =
        lines([&aligned("first"), &with_arguments("huge", json!({"note": "x".repeat(33 << 20)}))]);
    input.extend(lines([&aligned("last")]));
    let answers = score_lines(&input, &[]);
    assert_eq!(answers.statuses(), ["SCORED", "UNPARSABLE", "SCORED"]);
    assert!(answers.code == 2 && answers.stderr.contains("line 2: longer than"), "{}", answers.stderr);
}

#[test]
fn an_answer_stays_small_however_long_the_names_are() {
    let list: Vec<Value> = (0..20).map(|i| json!(format!("value {i}"))).collect();
    let name = format!("n\u{200b}{}", "ame".repeat(50_000));
    let answers = score_lines(&lines([&with_arguments("names", json!({ name.as_str(): list }))]), &[]);
    assert!(answers.statuses() == ["TRUNCATED"] || answers.statuses() == ["SCORED"], "{}", answers.stderr);
    let bytes = answers.lines[0].len();
    assert!(bytes < 64 * 1024, "a request of {} bytes has an answer of {bytes}", name.len());
}
