//! The demo: the main job in one go.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use serde_json::Value;

fn demo(args: &[&str]) -> String {
    let run = rhumb_tests::run([&["demo", "--log", "warn"], args].concat(), b"");
    assert_eq!(run.code, 0, "{}", run.stderr);
    String::from_utf8(run.stdout).unwrap()
}

#[test]
fn it_finds_the_drifted_hops_and_where_drift_began() {
    let chain: Value = serde_json::from_str(&demo(&["--json"])).unwrap();
    let verdicts: Vec<&str> =
        chain["hops"].as_array().unwrap().iter().map(|h| h["score"]["verdict"].as_str().unwrap()).collect();
    let (benign, drifted) = verdicts.split_at(4);
    assert!(benign.iter().all(|v| *v == "ALLOW"), "{verdicts:?}");
    assert!(drifted.len() == 3 && drifted.iter().all(|v| *v != "ALLOW"), "{verdicts:?}");
    assert_eq!(
        (chain["firstDriftedHop"].as_u64(), chain["firstDriftedAgent"].as_str()),
        (Some(5), Some("mail-agent"))
    );
}

#[test]
fn the_table_shows_the_argument_that_gave_it_away() {
    let table = demo(&[]);
    assert!(table.contains("recipient = guests@alma-partners.example (only in untrusted text)"), "{table}");
    assert!(table.contains("Drift began at hop 5"), "{table}");
}
