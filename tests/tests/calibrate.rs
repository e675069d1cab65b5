//! `rhumb calibrate`: the file that it writes, what it refuses, and who uses the file.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::path::{Path, PathBuf};

use rhumb_tests::calibration;
use rhumb_tests::samples::{aligned, drifted, fresh, message};
use rhumb_tests::score::lines;
use rhumb_tests::{Run, Server, run, score_lines};
use serde_json::{Value, json};
use tempfile::TempDir;

/// So many aligned actions, each of a request of its own, all writes.
fn labelled(n: usize) -> Vec<Value> {
    let topics = ["Ana", "the board", "a neighbour", "grandmother", "the night shift"];
    let mut requests: Vec<Value> = (0..n).map(|i| fresh(&i.to_string(), topics[i % topics.len()])).collect();
    for (i, request) in requests.iter_mut().enumerate() {
        request["label"] = json!("aligned");
        if i % 3 == 0 {
            request["action"]["arguments"]["day"] = json!(format!("in {i} days"));
        }
    }
    requests
}

fn calibrate(folder: &TempDir, input: &[u8], args: &[&str]) -> (Run, PathBuf) {
    let (from, to) = (folder.path().join("mine.jsonl"), folder.path().join("site.json"));
    std::fs::write(&from, input).unwrap();
    let fixed =
        ["calibrate", "--log", "warn", "--input", from.to_str().unwrap(), "--output", to.to_str().unwrap()];
    (run([&fixed, args].concat(), b""), to)
}

fn site(folder: &TempDir) -> PathBuf {
    let (run, file) = calibrate(folder, &lines(&labelled(50)), &["--target-fpr", "0.05"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    file
}

fn read(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

fn with(file: &Path) -> [&str; 2] {
    ["--calibration", file.to_str().unwrap()]
}

/// The file with something changed, beside it.
fn changed(file: &Path, change: impl FnOnce(&mut Value)) -> PathBuf {
    let mut value = read(file);
    change(&mut value);
    let other = file.with_extension("changed.json");
    std::fs::write(&other, value.to_string()).unwrap();
    other
}

#[test]
fn the_file_has_the_agreed_form() {
    let folder = tempfile::tempdir().unwrap();
    let file = read(&site(&folder));
    assert_eq!(file["targetFpr"], 0.05);
    assert!(file["method"].as_str().is_some_and(|m| m.contains("conformal")));
    assert!(file["model"]["name"] == "minilm" && file["model"]["digest"].as_str().is_some());
    for effect in ["READ", "WRITE", "UNKNOWN"] {
        let own = &file["thresholds"][effect];
        let threshold = own["threshold"].as_f64().unwrap();
        let ends = [own["interval"][0].as_f64().unwrap(), own["interval"][1].as_f64().unwrap()];
        assert!(0.0 <= ends[0] && ends[0] <= threshold && threshold <= ends[1] && ends[1] <= 1.0, "{own}");
    }
    let write = &file["thresholds"]["WRITE"];
    assert_eq!((&write["samples"], &write["pooled"]), (&json!(50), &json!(false)));
    assert!((write["expectedFpr"].as_f64().unwrap() - 0.05).abs() < 1e-9);
    assert_eq!((&file["thresholds"]["READ"]["samples"], &file["samples"]), (&json!(0), &json!(50)));
}

#[test]
fn as_many_alarms_as_asked_are_raised_on_the_sample_itself() {
    let folder = tempfile::tempdir().unwrap();
    let file = site(&folder);
    let answers = score_lines(&lines(&labelled(50)), &with(&file));
    let threshold = read(&file)["thresholds"]["WRITE"]["threshold"].clone();
    assert!(answers.answers.iter().all(|a| a["threshold"] == threshold), "the very same number");
    let alarms = answers.answers.iter().filter(|a| a["drift"].as_f64() >= threshold.as_f64()).count();
    let told = answers.answers.iter().filter(|a| a["verdict"] != "ALLOW").count();
    assert_eq!((alarms, told), (2, 2));
}

#[test]
fn answers_name_the_thresholds_and_keep_their_drift() {
    let folder = tempfile::tempdir().unwrap();
    let file = site(&folder);
    let input = lines([&aligned("a"), &drifted("d")]);
    let (before, after) = (score_lines(&input, &[]), score_lines(&input, &with(&file)));
    let head = before.answers[0]["calibrationId"].as_str().unwrap();
    let id = after.answers[0]["calibrationId"].as_str().unwrap();
    assert!(id.starts_with(&format!("{head}+site@")), "{id}");
    assert_eq!(read(&file)["calibrationId"], head);
    assert_eq!(before.of("d")["drift"], after.of("d")["drift"]);
    assert_ne!(before.of("a")["threshold"], after.of("a")["threshold"]);
}

#[test]
fn a_drift_at_the_threshold_is_an_alarm_and_one_below_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let drift = score_lines(&lines([&drifted("d")]), &[]).of("d")["drift"].as_f64().unwrap();
    let site = site(&folder);
    let verdict = |threshold: f64| {
        let file = changed(&site, |f| f["thresholds"]["WRITE"]["threshold"] = json!(threshold));
        score_lines(&lines([&drifted("d")]), &with(&file)).of("d")["verdict"].clone()
    };
    assert!(verdict(drift) != "ALLOW" && verdict(drift.next_up()) == "ALLOW");
}

#[test]
fn thresholds_of_another_model_or_head_are_refused_with_both_names() {
    let folder = tempfile::tempdir().unwrap();
    let site = site(&folder);
    let digest = read(&site)["model"]["digest"].as_str().unwrap().to_owned();
    let head = read(&site)["calibrationId"].as_str().unwrap().to_owned();
    let model = changed(&site, |f| f["model"]["digest"] = json!("sha256:other"));
    let refused = run(["score"].iter().chain(&with(&model)), b"");
    assert_eq!(refused.code, 2);
    assert!(
        refused.stderr.contains("sha256:other") && refused.stderr.contains(&digest),
        "{}",
        refused.stderr
    );
    let other = changed(&site, |f| f["calibrationId"] = json!("other@1"));
    let refused = run(["score"].iter().chain(&with(&other)), b"");
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("other@1") && refused.stderr.contains(&head), "{}", refused.stderr);
    assert!(refused.stderr.contains("site.changed.json"), "{}", refused.stderr);
}

#[test]
fn a_file_that_is_neither_and_two_of_a_kind_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let site = site(&folder);
    let neither = folder.path().join("neither.json");
    std::fs::write(&neither, "{\"a\":1}").unwrap();
    let refused = run(["score"].iter().chain(&with(&neither)), b"");
    assert!(refused.code == 2 && refused.stderr.contains("neither a head"), "{}", refused.stderr);
    let twice = run(["score"].iter().chain(&with(&site)).chain(&with(&site)), b"");
    assert!(twice.code == 2 && twice.stderr.contains("one is needed"), "{}", twice.stderr);
}

#[test]
fn thresholds_of_another_head_come_with_that_head() {
    let folder = tempfile::tempdir().unwrap();
    let head = folder.path().join("head.json");
    std::fs::write(&head, calibration::every_feature_counts()).unwrap();
    let args = [["--target-fpr", "0.05"], with(&head)].concat();
    let (made, site) = calibrate(&folder, &lines(&labelled(30)), &args);
    assert_eq!(made.code, 0, "{}", made.stderr);
    assert!(read(&site)["calibrationId"].as_str().unwrap().starts_with("every-feature@"));
    let input = lines([&aligned("a")]);
    let both = score_lines(&input, &[with(&site), with(&head)].concat());
    let id = both.of("a")["calibrationId"].as_str().unwrap();
    assert!(id.starts_with("every-feature@") && id.contains("+site@"), "{id}");
    assert_eq!(score_lines(&input, &with(&site)).code, 2, "not with the built-in head");
    let again = [["--target-fpr", "0.05"], with(&site)].concat();
    let (run, _) = calibrate(&folder, &lines(&labelled(30)), &again);
    assert!(run.code == 2 && run.stderr.contains("from a head alone"), "{}", run.stderr);
}

#[test]
fn aligned_lines_without_a_request_are_left_out_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut requests = labelled(21);
    requests[4]["intent"]["text"] = json!("");
    let (run, file) = calibrate(&folder, &lines(&requests), &["--target-fpr", "0.05"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("1 aligned lines have no request"), "{}", run.stderr);
    assert_eq!(read(&file)["samples"], 20);
}

#[test]
fn too_few_aligned_actions_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut requests = labelled(40);
    requests[19..].iter_mut().for_each(|r| r["label"] = json!("drifted"));
    let (run, file) = calibrate(&folder, &lines(&requests), &["--target-fpr", "0.05"]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("19 aligned actions") && run.stderr.contains("mine.jsonl"), "{}", run.stderr);
    assert!(run.stderr.contains("21 drifted lines are left out"), "{}", run.stderr);
    assert!(!file.exists());
}

#[test]
fn a_line_that_cannot_be_used_is_named_with_its_field() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |line: usize, change: &dyn Fn(&mut Value)| {
        let mut requests = labelled(20);
        change(&mut requests[line - 1]);
        let (run, file) = calibrate(&folder, &lines(&requests), &["--target-fpr", "0.05"]);
        assert!(run.code == 2 && !file.exists());
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        run.stderr
    };
    let unlabelled = refused(7, &|r| drop(r.as_object_mut().unwrap().remove("label")));
    assert!(unlabelled.contains("mine.jsonl: line 7: label"), "{unlabelled}");
    let broken = refused(8, &|r| r["action"] = json!(7));
    assert!(broken.contains("mine.jsonl: line 8: action"), "{broken}");
    let empty = refused(9, &|r| r["action"] = json!({"text": "\u{200b}"}));
    assert!(empty.contains("mine.jsonl: line 9: action"), "{empty}");
}

#[test]
fn unlabelled_traffic_is_taken_where_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let mut requests = labelled(20);
    requests.iter_mut().for_each(|r| drop(r.as_object_mut().unwrap().remove("label")));
    let args = ["--target-fpr", "0.1", "--all-aligned", "--json", "--name", "shop"];
    let (run, file) = calibrate(&folder, &lines(&requests), &args);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let printed: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!((&printed, &printed["name"]), (&read(&file), &json!("shop")));
}

#[test]
fn rates_that_are_none_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for rate in ["0", "1", "NaN", "-0.1", "5"] {
        let flag = format!("--target-fpr={rate}");
        let (run, _) = calibrate(&folder, &lines(&labelled(20)), &[&flag]);
        assert!(run.code == 2 && run.stderr.contains("--target-fpr"), "{rate}: {}", run.stderr);
    }
}

#[test]
fn eval_counts_alarms_at_the_thresholds_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let site = site(&folder);
    let mut requests = labelled(50);
    let other = drifted("d");
    requests.push(other);
    requests[50]["label"] = json!("drifted");
    let input = folder.path().join("eval.jsonl");
    std::fs::write(&input, lines(&requests)).unwrap();
    let args = ["eval", "--json", "--input", input.to_str().unwrap()];
    let run = run(args.iter().chain(&with(&site)), b"");
    assert_eq!(run.code, 0, "{}", run.stderr);
    let report: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert!(report["calibrationId"].as_str().unwrap().contains("+site@"));
    assert_eq!(report["writes"]["atThreshold"], json!({"fpr": 0.04, "tpr": 1.0}));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_uses_the_file_of_its_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let site = site(&folder);
    let server = Server::start(&format!("[model]\ncalibration = {:?}\n", site.to_str().unwrap())).await;
    let answer = server.client().await.score(message(&aligned("1"))).await.unwrap().into_inner();
    assert!(answer.calibration_id.contains("+site@"), "{}", answer.calibration_id);
    assert_eq!(answer.threshold, read(&site)["thresholds"]["WRITE"]["threshold"].as_f64());
}
