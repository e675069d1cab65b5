//! `rhumb trace`: a recorded chain, read from a file.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use rhumb_tests::Run;
use serde_json::Value;

const TREE: &str = include_str!("../fixtures/trace.txt");

/// The recorded chain.
fn recorded() -> String {
    rhumb_tests::in_repository("tests/fixtures/trace.json").to_str().unwrap().to_owned()
}

/// Needs no model.
fn trace(args: &[&str], input: &str) -> Run {
    let home = tempfile::tempdir().unwrap();
    rhumb_tests::program::run_in(home.path(), [&["trace"], args].concat(), input.as_bytes())
}

fn text(run: &Run) -> String {
    String::from_utf8(run.stdout.clone()).unwrap()
}

#[test]
fn a_pipe_gets_the_tree_without_styles() {
    let run = trace(&["--input", &recorded()], "");
    assert_eq!(run.code, 0, "{}", run.stderr);
    let lines: String = text(&run).lines().map(|l| format!("{}\n", l.trim_end())).collect();
    assert_eq!(lines, TREE, "\n{lines}");
}

#[test]
fn the_page_is_one_file_and_the_same_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chain.html");
    let run = trace(&["--input", &recorded(), "--html", path.to_str().unwrap()], "");
    assert_eq!(run.code, 0, "{}", run.stderr);
    let page = std::fs::read_to_string(&path).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("default-src 'none'"));
    let data = page.split_once("id=\"data\">").unwrap().1.split_once("</script>").unwrap().0;
    assert_eq!(serde_json::from_str::<Value>(data).unwrap()["tenant"], "corp");
    assert!(page.contains("[\"Tenant\", data.tenant]"), "the script shows it");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(text(&trace(&["--input", &recorded(), "--html", "-"], "")), page);
}

#[test]
fn json_comes_out_as_it_went_in() {
    let recorded = std::fs::read_to_string(recorded()).unwrap();
    let run = trace(&["--input", "-", "--json"], &recorded);
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let (got, expected) = (parse(&text(&run)), parse(&recorded));
    for field in ["chainId", "principal", "firstDriftedHop", "passedBy", "maxDrift"] {
        assert_eq!(got[field], expected[field], "{field}");
    }
    assert_eq!(got["decisions"][5]["response"]["evidence"], expected["decisions"][5]["response"]["evidence"]);
}

#[test]
fn a_chain_that_is_not_there_is_1_and_wrong_use_is_2() {
    let other = trace(&["chain-x", "--input", &recorded()], "");
    assert_eq!(other.code, 1);
    assert!(other.stderr.contains("holds chain \"chain-7f3a91\", not \"chain-x\""), "{}", other.stderr);
    let broken = trace(&["--input", "-"], r#"{"chainId":"c","decisions":[{"sequence":"many"}]}"#);
    assert_eq!(broken.code, 2);
    assert!(broken.stderr.contains("decisions[0].sequence"), "{}", broken.stderr);
    for args in [&[][..], &["--server", "http://127.0.0.1:1"], &["--input", &recorded(), "--path", "x"]] {
        assert_eq!(trace(args, "").code, 2, "{args:?}");
    }
    assert_eq!(trace(&["--input", &recorded(), "--json", "--html", "-"], "").code, 2);
    assert_eq!(trace(&["c", "--server", "http://127.0.0.1:1"], "").code, 2);
    // Where nothing is said a server on this machine is asked, which may be there or not.
    let local = trace(&["no-such-chain-at-all"], "");
    assert!(local.code > 0 && local.stderr.contains("http://127.0.0.1:50051"), "{}", local.stderr);
    assert!(!local.stderr.contains("Usage"), "{}", local.stderr);
}
