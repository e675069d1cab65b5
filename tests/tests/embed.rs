//! `rhumb embed`: the vectors of the real program are those of an independent implementation.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::path::Path;

use rhumb_models::Manifest;
use rhumb_models::golden::Golden;
use rhumb_tests::{Run, run};
use serde_json::{Value, json};

fn embed(input: &Path, output: &Path, batch_size: &str) -> (Run, String) {
    let args = [
        "embed".as_ref(),
        // The golden vectors are the exact ones.
        "--precision".as_ref(),
        "f32".as_ref(),
        "--input".as_ref(),
        input.as_os_str(),
        "--output".as_ref(),
        output.as_os_str(),
        "--batch-size".as_ref(),
        batch_size.as_ref(),
    ];
    let run = run(args, b"");
    let text = std::fs::read_to_string(output).unwrap();
    (run, text)
}

fn vector(line: &Value) -> Vec<f32> {
    line["embedding"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

/// The figures are the last line, after the log's.
fn figures(run: &Run) -> Value {
    serde_json::from_str(run.stderr.lines().last().unwrap()).unwrap()
}

#[test]
fn vectors_are_the_golden_ones_whatever_the_size_of_a_batch() {
    let digest = Manifest::built_in("minilm").unwrap().digest();
    let golden = Golden::of_model(&digest).unwrap().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("texts.jsonl");
    let texts: Vec<String> = golden
        .texts
        .iter()
        .enumerate()
        .map(|(id, text)| json!({"id": id, "text": text}).to_string())
        .collect();
    std::fs::write(&input, texts.join("\n")).unwrap();

    let (first, one_by_one) = embed(&input, &folder.path().join("1.jsonl"), "1");
    let (second, many) = embed(&input, &folder.path().join("64.jsonl"), "64");
    assert_eq!((first.code, second.code), (0, 0), "{} {}", first.stderr, second.stderr);
    assert!(one_by_one == many, "the size of a batch changes vectors");

    let lines: Vec<Value> = many.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), golden.texts.len());
    for (i, (line, expected)) in lines.iter().zip(&golden.pooled).enumerate() {
        assert_eq!(line["id"], i);
        let found = vector(line);
        assert_eq!(found.len(), expected.len());
        let difference = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference < 1e-5, "text {i}: {difference}");
    }
    let tokens: usize = golden.ids.iter().map(Vec::len).sum();
    for run in [first, second] {
        let figures = figures(&run);
        assert_eq!((&figures["texts"], &figures["tokens"]), (&json!(golden.texts.len()), &json!(tokens)));
    }
}

#[test]
fn the_figures_are_one_line_of_json_on_stderr() {
    let run = run(
        ["embed", "--input", "-", "--output", "-"],
        b"{\"id\":\"a\",\"text\":\"hello\"}\n{\"id\":[2],\"text\":\"\"}\n",
    );
    assert_eq!(run.code, 0, "{}", run.stderr);
    let figures = figures(&run);
    let mut keys: Vec<&str> = figures.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        ["device", "precision", "seconds", "texts", "textsPerSecond", "tokens", "tokensPerSecond"]
    );
    assert_eq!((&figures["texts"], &figures["tokens"]), (&json!(2), &json!(5)));
    let (seconds, rate) = (figures["seconds"].as_f64().unwrap(), figures["textsPerSecond"].as_f64().unwrap());
    assert!(seconds > 0.0 && (seconds * rate - 2.0).abs() < 1e-6, "{figures}");
    let ids: Vec<Value> = String::from_utf8(run.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone())
        .collect();
    assert_eq!(ids, [json!("a"), json!([2])]);
}

#[test]
fn a_bad_line_is_told_and_the_others_are_embedded() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("mine.jsonl"), folder.path().join("out.jsonl"));
    let lines: [&[u8]; 6] = [
        b"{\"id\":1,\"text\":\"one\"}",
        b"{\"id\":2,\"text\":",
        b"{\"id\":3,\"text\":7}",
        b"{\"id\":4,\"txt\":\"four\"}",
        b"\xff",
        b"{\"id\":6,\"text\":\"six\"}",
    ];
    std::fs::write(&input, lines.join(&b'\n')).unwrap();
    let (run, text) = embed(&input, &output, "32");
    assert_eq!(run.code, 2);
    let ids: Vec<Value> =
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone()).collect();
    assert_eq!(ids, [json!(1), json!(6)]);
    for number in 2..=5 {
        assert!(run.stderr.contains(&format!("mine.jsonl: line {number}: ")), "{}", run.stderr);
    }
    assert_eq!(figures(&run)["texts"], 2);
}

#[test]
fn integers_of_an_id_come_back_as_they_were_written() {
    let run = run(["embed", "--input", "-", "--output", "-"], b"{\"id\":9007199254740993,\"text\":\"x\"}\n");
    let line: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(line["id"], json!(9_007_199_254_740_993_u64), "{}", run.stderr);
}
