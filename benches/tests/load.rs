//! The load generator against the real program.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::process::{Command, Output};

use rhumb_tests::program::{home, program};
use serde_json::Value;

fn load(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_load"));
    command.args(args).env("RHUMB_HOME", home()).env("RHUMB_LOG", "warn");
    command.output().unwrap()
}

/// Against a server of its own; the report.
fn report(args: &[&str]) -> Value {
    let program = program();
    let spawn = ["--spawn", program.to_str().unwrap(), "--precision", "int8", "--json"];
    let output = load(&[&spawn, args].concat());
    let (stdout, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stderr}");
    serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{e}: {stdout}"))
}

fn count(counts: &Value, name: &str) -> u64 {
    counts[name].as_u64().unwrap_or_else(|| panic!("{name}: {counts}"))
}

fn assert_all_accounted_for(counts: &Value) {
    let ends = ["ok", "late", "refused", "expired", "failed", "unanswered"];
    assert_eq!(count(counts, "sent"), ends.iter().map(|e| count(counts, e)).sum::<u64>(), "{counts}");
    assert_eq!(count(counts, "scheduled"), count(counts, "sent") + count(counts, "overflow"));
}

#[test]
fn every_call_of_an_open_loop_is_accounted_for() {
    let report = report(&["--rate", "20", "--seconds", "2", "--warmup", "0.5", "--deadline-ms", "5000"]);
    let phase = &report["phases"][0];
    assert_all_accounted_for(phase);
    assert_eq!(count(phase, "scheduled"), 40);
    assert!(count(phase, "ok") > 0, "{phase}");
    let answers = &phase["answers"];
    assert_eq!(count(answers, "scored"), count(phase, "ok") + count(phase, "late"));
    // The workload does what its name says.
    assert_eq!(
        (count(answers, "intentCached"), count(answers, "actionCached")),
        (count(answers, "scored"), 0)
    );
    assert!(phase["latencyMs"]["p50"].as_f64() > Some(0.0));
    assert!(phase["memory"]["firstBytes"].as_u64() > Some(1_000_000));
    assert_eq!((&report["health"], &report["exit"]), (&"SERVING".into(), &"exit status: 0".into()));
}

#[test]
fn bulk_in_the_background_is_measured_beside_the_foreground() {
    let args = ["--rate", "10", "--seconds", "1", "--warmup", "0.2", "--lane", "enforcement", "--batch", "4"];
    let background = ["--background-concurrency", "2", "--phases"];
    for rpc in ["batch", "stream"] {
        let report = report(&[&args[..], &background, &["--background-rpc", rpc]].concat());
        let (alone, bulk) = (&report["phases"][0], &report["phases"][1]);
        [alone, bulk, &bulk["background"]["counts"]].into_iter().for_each(assert_all_accounted_for);
        assert!(alone["background"].is_null());
        assert!(bulk["background"]["scoredPerSecond"].as_f64() > Some(1.0), "{bulk}");
    }
}

#[test]
fn a_soak_sends_just_so_many() {
    let report = report(&["--soak", "300"]);
    let phase = &report["phases"][0];
    assert_all_accounted_for(phase);
    assert_eq!(count(phase, "sent"), 300);
    assert_eq!(count(phase, "failed") + count(phase, "unanswered"), 0);
}

#[test]
fn another_machine_is_never_loaded() {
    let output = load(&["--server", "http://192.0.2.7:50051", "--rate", "1"]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("only loopback addresses"), "{stderr}");
}
