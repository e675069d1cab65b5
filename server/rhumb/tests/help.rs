//! The program's own help. That this package has an integration test also makes `cargo test --workspace` build the
//! program itself, which the tests in `tests/` run.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::process::Command;

fn help(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_rhumb")).args(args).arg("--help").output().unwrap();
    assert!(output.status.success(), "{args:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_command_shows_an_example() {
    for command in [
        "demo",
        "serve",
        "score",
        "embed",
        "train",
        "train-chains",
        "train-delegation",
        "train-smoothing",
        "calibrate",
        "model",
    ] {
        assert!(help(&[command]).contains("Example:\n  "), "{command}");
    }
    for command in ["eval", "eval-chains", "bench", "trace", "ledger", "keys", "policy"] {
        assert!(help(&[command]).contains("Examples:\n  "), "{command}");
    }
    for command in ["list", "fetch", "import", "verify"] {
        assert!(help(&["model", command]).contains("Example:\n  "), "model {command}");
    }
}

#[test]
fn wrong_use_exits_with_2() {
    for args in [&["nonsense"][..], &["score", "--device", "tpu"], &["eval"], &["bench", "--length", "0"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_rhumb")).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
}
