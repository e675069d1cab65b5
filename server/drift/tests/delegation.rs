//! Requests written by somebody who had not seen the training set or the code.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use rhumb_drift::delegation::{DELEGATING, Delegation};

const TEST: &str = include_str!("../../../models/delegation/test.jsonl");
const TRAIN: &str = include_str!("../../../models/delegation/train.jsonl");

fn requests(lines: &str) -> Vec<(String, bool)> {
    let read = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        (value["text"].as_str().unwrap().to_owned(), value["delegating"].as_bool().unwrap())
    };
    lines.lines().map(read).collect()
}

#[test]
fn delegation_is_recognised_in_requests_never_seen() {
    let requests = requests(TEST);
    let found = |delegating: bool| {
        let of_label: Vec<_> = requests.iter().filter(|(_, d)| *d == delegating).collect();
        assert!(of_label.len() >= 60);
        let found = of_label.iter().filter(|(t, _)| Delegation::built_in().probability(t) >= DELEGATING);
        found.count() as f64 / of_label.len() as f64
    };
    let (hits, alarms) = (found(true), found(false));
    // 0.75 and 0.09 when the weights were made.
    assert!(hits >= 0.7 && alarms <= 0.12, "{hits} of the delegating requests found, {alarms} of the others");
}

#[test]
fn no_test_request_was_trained_on() {
    let train: std::collections::HashSet<String> =
        requests(TRAIN).into_iter().map(|(t, _)| t.to_lowercase()).collect();
    assert!(requests(TEST).iter().all(|(t, _)| !train.contains(&t.to_lowercase())));
}
