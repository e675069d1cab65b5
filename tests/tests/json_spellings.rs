//! `rhumb score`: the same request, written in other ways, has the same score.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use rhumb_tests::samples::{BILL, aligned, with_arguments};
use rhumb_tests::score::{figures, lines};
use rhumb_tests::score_lines;
use serde_json::{Value, json};

/// A request that uses every field with two words in its name.
fn lower_camel_case() -> String {
    format!(
        r#"{{"requestId":"camel","intent":{{"text":"{BILL}"}},"action":{{"tool":"send_money","toolDescription":"Sends money.",
        "arguments":{{"account":"UK12345678901234567890","amount":98.7}},"effect":"WRITE",
        "inputSchema":{{"properties":{{"account":{{}},"amount":{{}}}}}}}}}}"#
    )
    .replace('\n', " ")
}

fn snake_case() -> String {
    let spellings = [
        ("requestId", "request_id"),
        ("toolDescription", "tool_description"),
        ("inputSchema", "input_schema"),
        ("camel", "snake"),
    ];
    spellings.iter().fold(lower_camel_case(), |text, (camel, snake)| text.replace(camel, snake))
}

#[test]
fn snake_case_and_lower_camel_case_are_the_same() {
    let answers = score_lines(format!("{}\n{}\n", lower_camel_case(), snake_case()).as_bytes(), &[]);
    assert_eq!(answers.statuses(), ["SCORED", "SCORED"], "{}", answers.stderr);
    assert_eq!(answers.answers[1]["requestId"], "snake");
    assert_eq!(figures(&answers.lines[0]), figures(&answers.lines[1]));
    assert_eq!(answers.answers[0]["evidence"], answers.answers[1]["evidence"]);
}

#[test]
fn the_order_of_arguments_does_not_matter() {
    let names: Vec<String> = (0..12).map(|i| format!("field_{i}")).collect();
    let written = |order: &[usize]| -> String {
        let fields: Vec<String> = order.iter().map(|i| format!(r#""{}":"value {i}""#, names[*i])).collect();
        let arguments = format!("{{{}}}", fields.join(","));
        format!(
            r#"{{"intent":{{"text":"{BILL}"}},"action":{{"tool":"fill_form","arguments":{{"form":{arguments},"copy":{arguments}}}}}}}"#
        )
    };
    let forward: Vec<usize> = (0..12).collect();
    let backward: Vec<usize> = (0..12).rev().collect();
    let mixed = [5, 0, 11, 3, 7, 1, 10, 2, 9, 4, 8, 6];
    let input = [written(&forward), written(&backward), written(&mixed)].join("\n");
    let answers = score_lines(input.as_bytes(), &[]);
    assert_eq!(answers.code, 0, "{}", answers.stderr);
    for (line, answer) in answers.lines.iter().zip(&answers.answers) {
        assert_eq!(figures(line), figures(&answers.lines[0]));
        assert_eq!(answer["evidence"], answers.answers[0]["evidence"]);
    }
}

#[test]
fn what_only_eval_reads_and_who_asked_do_not_change_the_score() {
    let mut labelled = aligned("labelled");
    for (key, value) in [("label", "drifted"), ("family", "bank"), ("kind", "gold")] {
        labelled[key] = json!(value);
    }
    let mut nobody = aligned("nobody");
    nobody["intent"].as_object_mut().unwrap().remove("principal");
    let mut nonsense = aligned("nonsense");
    nonsense["label"] = json!("neither of the two");
    let answers = score_lines(&lines([&aligned("plain"), &labelled, &nobody, &nonsense]), &[]);
    assert_eq!(answers.code, 0, "{}", answers.stderr);
    for line in &answers.lines {
        assert_eq!(figures(line), figures(&answers.lines[0]));
    }
}

#[test]
fn arguments_as_text_are_the_same_as_arguments() {
    let mut text = aligned("text");
    let arguments = text["action"]["arguments"].take();
    let action = text["action"].as_object_mut().unwrap();
    action.remove("arguments");
    action.insert("argumentsJson".into(), Value::String(arguments.to_string()));
    let answers = score_lines(&lines([&aligned("plain"), &text]), &[]);
    assert_eq!(answers.statuses(), ["SCORED", "SCORED"], "{}", answers.stderr);
    assert_eq!(figures(&answers.lines[0]), figures(&answers.lines[1]));
}

#[test]
fn an_effect_may_be_a_name_or_a_number() {
    let mut number = aligned("number");
    number["action"]["effect"] = json!(2);
    let answers = score_lines(&lines([&aligned("name"), &number]), &[]);
    assert_eq!(answers.statuses(), ["SCORED", "SCORED"], "{}", answers.stderr);
    assert_eq!(answers.of("name")["threshold"], answers.of("number")["threshold"]);
}

#[test]
fn hidden_characters_are_told_and_change_nothing() {
    let mut hidden = aligned("hidden");
    hidden["intent"]["text"] = json!(BILL.replace("bill", "b\u{200b}ill"));
    hidden["action"]["arguments"]["reference"] = json!("electri\u{2060}city bill");
    let answers = score_lines(&lines([&aligned("plain"), &hidden]), &[]);
    assert_eq!(figures(&answers.lines[0]), figures(&answers.lines[1]));
    let findings = answers.of("hidden")["evidence"]["findings"].to_string();
    assert!(findings.contains("invisible_characters:arguments.reference"), "{findings}");
}

#[test]
fn two_names_that_look_alike_are_both_seen_at_any_depth() {
    let names = json!({"to": "ana@corp.example", "t\u{200b}o": "eve@evil.example"});
    let requests = [with_arguments("top", names.clone()), with_arguments("deep", json!({"mail": [names]}))];
    let answers = score_lines(&lines(&requests), &[]);
    for answer in &answers.answers {
        let values = answer["evidence"]["values"].to_string();
        assert!(values.contains("ana@corp.example") && values.contains("eve@evil.example"), "{values}");
    }
}
