//! Decisions that can be proved: recorded before they are told, found again, and any change to them shows.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rhumb_proto::v1::{
    BindIntentRequest, Binding, BindingKind, ChainPosition, Decision, GetDecisionRequest, Intent,
    RegisterIntentRequest, ScoreRequest, TraceChainRequest, Verdict, VerifyLedgerRequest,
};
use rhumb_tests::samples::{BILL, aligned, drifted, message, with_arguments};
use rhumb_tests::{Run, Server, run};
use serde_json::{Value, json};
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

const SECRET: &str = "UK12345678901234567890";

fn ledger(command: &str, folder: &Path, more: &[&str]) -> Run {
    let mut args = vec!["ledger", command, "--path", folder.to_str().unwrap()];
    args.extend(more);
    run(args, b"")
}

fn stdout(run: &Run) -> String {
    assert_eq!(run.code, 0, "{}", run.stderr);
    String::from_utf8(run.stdout.clone()).unwrap()
}

fn on_chain(request: &Value, chain: &str, hop: u32, point: &str) -> ScoreRequest {
    let (agent, delegator) = (format!("agent-{hop}"), format!("agent-{}", hop.saturating_sub(1)));
    let position =
        ChainPosition { chain_id: chain.into(), hop, agent, delegator, ..ChainPosition::default() };
    ScoreRequest { chain: Some(position), enforcement_point: point.into(), ..message(request) }
}

/// A ledger with twelve decisions and a signed end.
async fn filled(more: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(&format!("[ledger]\npath = {:?}\n{more}", folder.path())).await;
    let mut client = server.client().await;
    for i in 0..12 {
        let id = format!("q{i}");
        let request = with_arguments(&id, json!({"account": SECRET, "amount": 98.7}));
        client.score(message(&request)).await.unwrap();
    }
    server.terminate();
    assert!(server.wait().success());
    folder
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.path() {
            path if path.is_dir() => found.extend(files(&path)),
            path => found.push(path),
        }
    }
    found.sort();
    found
}

fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for file in files(from) {
        let path = to.path().join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(file, path).unwrap();
    }
    to
}

/// The file that holds the records.
fn log(folder: &Path) -> PathBuf {
    files(folder).into_iter().find(|f| fs::read(f).unwrap().windows(4).any(|w| w == b"\"q7\"")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_found_by_the_requests_id_and_by_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let config = format!("[ledger]\npath = {:?}\n", folder.path());
    let mut server = Server::start(&config).await;
    let request = ScoreRequest { enforcement_point: "edge-1".into(), ..message(&drifted("d-1")) };
    let answer = server.client().await.score(request.clone()).await.unwrap().into_inner();
    for restarted in [false, true] {
        if restarted {
            server.terminate();
            assert!(server.wait().success());
            server = Server::start(&config).await;
        }
        let mut client = server.ledger().await;
        let by_id = GetDecisionRequest { decision_id: answer.decision_id.clone(), ..Default::default() };
        let by_request = GetDecisionRequest { request_id: "d-1".into(), ..Default::default() };
        let found: Decision = client.get_decision(by_id).await.unwrap().into_inner();
        assert_eq!(client.get_decision(by_request).await.unwrap().into_inner(), found);
        assert_eq!(found.response.unwrap(), answer);
        assert_eq!(found.request.unwrap(), request);
        assert!(found.request_digest.starts_with("sha256:") && found.sequence > 0);
        assert_eq!(found.enforcement_point, "edge-1");
        let missing = GetDecisionRequest { request_id: "d-2".into(), ..Default::default() };
        assert_eq!(client.get_decision(missing).await.unwrap_err().code(), Code::NotFound);
        let neither = client.get_decision(GetDecisionRequest::default()).await.unwrap_err();
        assert_eq!(neither.code(), Code::InvalidArgument);
    }
    let verified = server.ledger().await.verify_ledger(VerifyLedgerRequest {}).await.unwrap().into_inner();
    assert!(verified.intact && verified.head_sequence > 0, "{verified:?}");
    assert_eq!(verified.head_digest.len(), 64);
    stdout(&ledger("verify", folder.path(), &[]));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_ledger_nothing_is_recorded_and_that_is_said() {
    let server = Server::start("").await;
    let by_request = GetDecisionRequest { request_id: "d-1".into(), ..Default::default() };
    let status = server.ledger().await.get_decision(by_request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_is_traced_whatever_the_order_of_its_hops() {
    let folder = tempfile::tempdir().unwrap();
    let config = format!("[ledger]\npath = {:?}\n", folder.path());
    let mut server = Server::start(&config).await;
    let mut client = server.client().await;
    for (hop, request) in [(3, drifted("h3")), (1, aligned("h1")), (4, drifted("h4")), (2, aligned("h2"))] {
        let point = format!("point-{hop}");
        client.score(on_chain(&request, "c-1", hop, &point)).await.unwrap();
    }
    // A retry is answered as before, and is no further hop.
    let first = client.score(on_chain(&drifted("h3"), "c-1", 3, "point-3")).await.unwrap().into_inner();
    let again = client.score(on_chain(&drifted("h3"), "c-1", 3, "point-3")).await.unwrap().into_inner();
    assert_eq!(first.decision_id, again.decision_id);
    assert_eq!(again, first, "a retry gets the recorded answer");
    // The last answer knows of the drift at hop 3 although hop 5 itself serves the request.
    let last = client.score(on_chain(&aligned("h5"), "c-1", 5, "point-5")).await.unwrap().into_inner();
    let state = last.chain.unwrap();
    assert_eq!((state.hop, state.actions, state.first_drifted_hop), (5, 5, Some(3)));
    server.terminate();
    assert!(server.wait().success());
    server = Server::start(&config).await;
    let request = TraceChainRequest { chain_id: "c-1".into() };
    let trace = server.ledger().await.trace_chain(request).await.unwrap().into_inner();
    let hops: Vec<u32> =
        trace.decisions.iter().map(|d| d.response.as_ref().unwrap().chain.as_ref().unwrap().hop).collect();
    assert_eq!(hops, [1, 2, 3, 4, 5], "in the order of the chain, not of arrival");
    assert_eq!((trace.first_drifted_hop, trace.first_drifted_agent.as_str()), (Some(3), "agent-3"));
    assert_eq!((trace.first_drifted_delegator.as_str(), trace.principal.as_str()), ("agent-2", "user:jo"));
    // Its hops go on after a restart.
    let mut client = server.client().await;
    let sixth = client.score(on_chain(&aligned("h6"), "c-1", 0, "point-6")).await.unwrap().into_inner();
    let state = sixth.chain.unwrap();
    assert_eq!((state.hop, state.actions, state.first_drifted_hop), (6, 6, Some(3)));
    // The id of an earlier request with another action is another action: clients count from 1 in every session.
    let reused = client.score(on_chain(&drifted("h1"), "c-1", 7, "point-7")).await.unwrap().into_inner();
    assert_eq!(reused.chain.unwrap().actions, 7);
    let unknown = TraceChainRequest { chain_id: "c-2".into() };
    let status = server.ledger().await.trace_chain(unknown).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_intent_authorised_and_which_bindings_were_refused_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(&format!("[ledger]\npath = {:?}\n", folder.path())).await;
    let mut intents = server.intents().await;
    let mut ids = Vec::new();
    for text in [BILL, "Book a table for two."] {
        let intent = Intent { text: text.into(), principal: "user:alice".into(), ..Intent::default() };
        let request = RegisterIntentRequest { intent: Some(intent), ..RegisterIntentRequest::default() };
        ids.push(intents.register_intent(request).await.unwrap().into_inner().intent_id);
    }
    let key = Binding { kind: BindingKind::A2aContext.into(), value: "context-1".into() };
    let bind = |id: &str| BindIntentRequest { intent_id: id.into(), bindings: vec![key.clone()] };
    intents.bind_intent(bind(&ids[0])).await.unwrap();
    intents.bind_intent(bind(&ids[1])).await.unwrap_err();
    let on_intent = |request: &Value, id: &str| {
        let intent = Intent { intent_id: id.into(), ..Intent::default() };
        ScoreRequest { intent: Some(intent), ..message(request) }
    };
    let mut client = server.client().await;
    for (request, id) in [(aligned("a"), &ids[0]), (drifted("b"), &ids[0]), (aligned("c"), &ids[1])] {
        client.score(on_intent(&request, id)).await.unwrap();
    }
    server.terminate();
    assert!(server.wait().success());
    let show = |more: &[&str]| stdout(&ledger("show", folder.path(), more));
    let json = |more: &[&str]| -> Vec<Value> {
        let text = show(&[more, &["--json"]].concat());
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let requests = |more: &[&str]| -> Vec<String> {
        json(more).iter().map(|d| d["requestId"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(requests(&["--intent", &ids[0]]), ["a", "b"]);
    assert_eq!(requests(&["--principal", "user:alice"]), ["a", "b", "c"]);
    assert_eq!(requests(&["--principal", "user:bob"]), [""; 0]);
    assert_eq!(requests(&["--intent", &ids[0], "--verdict", "allow"]), ["a"]);
    let tenant = json(&["--last", "1"])[0]["tenant"].as_str().unwrap_or_default().to_owned();
    assert_eq!(requests(&["--tenant", &tenant]).len(), 3);
    assert_eq!(requests(&["--tenant", "nobody"]), [""; 0]);
    let refused = show(&["--kind", "binding_refused"]);
    let line = format!("a2a_context=context-1 to intent {}, held by intent {}", ids[1], ids[0]);
    assert!(refused.contains(&line) && refused.contains("binding_refused"), "{refused}");
    let kinds = json(&["--kind", "intent,bound,binding-refused", "--intent", &ids[1]]);
    assert_eq!(
        kinds.iter().map(|r| r["kind"].as_str().unwrap()).collect::<Vec<_>>(),
        ["intent", "binding_refused"]
    );
    assert!(show(&["--kind", "opened"]).contains("rhumb "));
    for wrong in
        [&["--kind", "nonsense"][..], &["--verdict", "MAYBE"], &["--kind", "bound", "--request", "a"]]
    {
        assert_eq!(ledger("show", folder.path(), wrong).code, 2, "{wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_comes_again_while_it_is_answered_is_one_hop() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&format!("[ledger]\npath = {:?}\n", folder.path())).await;
    let client = server.client().await;
    let ask = |id: &'static str| {
        let mut client = client.clone();
        async move { client.score(on_chain(&drifted(id), "c-1", 1, "edge")).await.unwrap().into_inner() }
    };
    let answers = futures::future::join_all((0..12).map(|i| ask(["one", "two"][i % 2]))).await;
    for (i, answer) in answers.iter().enumerate() {
        assert_eq!(answer.decision_id, answers[i % 2].decision_id);
    }
    assert_ne!(answers[0].decision_id, answers[1].decision_id);
    let last = ask("three").await.chain.unwrap();
    assert_eq!(last.actions, 3, "{last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_chain_of_two_tenants_is_two_chains() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&format!("[ledger]\npath = {:?}\n", folder.path())).await;
    let mut actions = Vec::new();
    for tenant in ["blue", "green", "blue"] {
        let mut request = tonic::Request::new(on_chain(&aligned(&format!("{}", actions.len())), "c", 1, ""));
        request.metadata_mut().insert("rhumb-tenant", tenant.parse().unwrap());
        let answer = server.client().await.score(request).await.unwrap().into_inner();
        actions.push(answer.chain.unwrap().actions);
    }
    assert_eq!(actions, [1, 1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_lacks_records_is_accepted_by_who_names_it() {
    let folder = filled("durability = \"os\"\n").await;
    let accept = |more: &[&str]| ledger("accept-end", folder.path(), more);
    assert!(stdout(&accept(&[])).contains("nothing is missing"));
    assert_eq!(accept(&["--last", "3"]).code, 1);
    let path = log(folder.path());
    let text = fs::read_to_string(&path).unwrap();
    let left = &text[..text[..text.find("\"q7\"").unwrap()].rfind('\n').unwrap() + 1];
    fs::write(&path, left).unwrap();
    let last = left.lines().count().to_string();

    let told = accept(&[]);
    assert!(told.code == 1 && told.stderr.contains(&format!("--last {last}")), "{}", told.stderr);
    let other = accept(&["--last", "3"]);
    assert!(other.code == 1 && other.stderr.contains(&format!("ends at record {last}")), "{}", other.stderr);
    assert_eq!(ledger("verify", folder.path(), &[]).code, 1);
    assert!(stdout(&accept(&["--last", &last])).contains("is lost"));
    stdout(&ledger("verify", folder.path(), &[]));

    let server = Server::start(&format!("[ledger]\npath = {:?}\n", folder.path())).await;
    let find = |id: &str| GetDecisionRequest { request_id: id.into(), ..Default::default() };
    let mut client = server.ledger().await;
    assert!(client.get_decision(find("q6")).await.is_ok());
    assert_eq!(client.get_decision(find("q7")).await.unwrap_err().code(), Code::NotFound);
    server.client().await.score(message(&aligned("after"))).await.unwrap();
    assert_eq!(accept(&["--last", &last]).code, 1, "in use");
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_names_the_first_bad_record() {
    let folder = filled("").await;
    let good = ledger("verify", folder.path(), &[]);
    assert_eq!(good.code, 0, "{}", good.stderr);
    let text = fs::read_to_string(log(folder.path())).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let at = lines.iter().position(|l| l.contains("\"q7\"")).unwrap();
    let number = at + 1;
    let without = |skip: usize| {
        lines.iter().enumerate().filter(|(i, _)| *i != skip).map(|(_, l)| *l).collect::<String>()
    };
    let mut swapped = lines.clone();
    swapped.swap(at, at + 1);
    let cases = [
        ("a flipped byte", text.replacen("\"q7\"", "\"q6\"", 1), format!("record {number}")),
        ("a removed record", without(at), format!("record {number}")),
        ("swapped records", swapped.concat(), format!("record {number}")),
        ("a cut file", lines[..at].concat(), format!("{}", number - 1)),
        ("a file cut in a record", text[..text.find("\"q7\"").unwrap()].to_owned(), format!("{number}")),
    ];
    for (what, text, named) in cases {
        let copy = copy(folder.path());
        fs::write(log(copy.path()), text).unwrap();
        let bad = ledger("verify", copy.path(), &[]);
        assert_eq!(bad.code, 1, "{what}: {}", bad.stderr);
        let said = String::from_utf8(bad.stdout.clone()).unwrap() + &bad.stderr;
        assert!(said.contains(&named), "{what}: {said:?} does not name {named}");
        assert_eq!(said.trim().lines().count(), 1, "{what}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_anywhere_in_the_log_is_found() {
    let folder = filled("").await;
    let copy = copy(folder.path());
    let log = log(copy.path());
    let bytes = fs::read(&log).unwrap();
    for at in (0..bytes.len()).step_by(bytes.len() / 40) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x01;
        fs::write(&log, &changed).unwrap();
        assert_eq!(ledger("verify", copy.path(), &[]).code, 1, "byte {at}");
    }
    fs::write(&log, &bytes).unwrap();
    assert_eq!(ledger("verify", copy.path(), &[]).code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_does_not_start_on_a_ledger_that_was_changed() {
    let folder = filled("").await;
    let text = fs::read_to_string(log(folder.path())).unwrap();
    fs::write(log(folder.path()), text.replacen("\"q7\"", "\"q6\"", 1)).unwrap();
    let mut server = Server::spawn(&format!("[ledger]\npath = {:?}\n", folder.path()));
    assert!(!server.wait().success());
    assert!(server.stderr().contains("record"), "{}", server.stderr());
}

#[tokio::test(flavor = "multi_thread")]
async fn words_of_users_are_kept_encrypted_or_not_at_all() {
    for (mode, kept) in [("keep", true), ("encrypt", true), ("digest", false)] {
        let folder = filled(&format!("text = {mode:?}\n")).await;
        let holds = |needle: &str| {
            files(folder.path())
                .iter()
                .any(|f| fs::read(f).unwrap().windows(needle.len()).any(|w| w == needle.as_bytes()))
        };
        assert_eq!(holds(SECRET) || holds("electricity"), mode == "keep", "{mode}");
        let shown = stdout(&ledger("show", folder.path(), &["--request", "q7", "--json"]));
        assert_eq!(shown.contains(SECRET), kept, "{mode}: {shown}");
        assert!(shown.contains("requestDigest"), "{mode}");
        stdout(&ledger("verify", folder.path(), &[]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_is_exported_in_three_formats() {
    let folder = filled("").await;
    let lines = stdout(&ledger("export", folder.path(), &["--format", "jsonl"]));
    let decisions =
        lines.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()).filter(|r| r["kind"] == "decision");
    assert_eq!(decisions.count(), 12);
    let ocsf = stdout(&ledger("export", folder.path(), &["--format", "ocsf"]));
    let events: Vec<Value> = ocsf.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(events.len(), 12);
    assert!(
        events
            .iter()
            .all(|e| e["class_uid"].is_u64() && e["time"].is_u64() && e["metadata"]["version"].is_string())
    );
    let file = folder.path().with_extension("parquet");
    let output = file.to_str().unwrap();
    stdout(&ledger("export", folder.path(), &["--format", "parquet", "--output", output]));
    let bytes = fs::read(&file).unwrap();
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    fs::remove_file(file).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_be_recorded_is_not_given() {
    // A folder that takes no more: the ledger's own is replaced by one that refuses writes only for ordinary users, so
    // the limit on the size of files stands in for a full disk.
    let folder = tempfile::tempdir().unwrap();
    let config = format!("[ledger]\npath = {:?}\n", folder.path());
    let server = Server::start(&config).await;
    let mut client = server.client().await;
    assert_eq!(client.score(message(&aligned("1"))).await.unwrap().into_inner().verdict(), Verdict::Allow);
    server.limit_file_size(1024);
    let status = client.score(message(&aligned("2"))).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    // Who waits for the ledger and who tells the health are two tasks.
    let deadline = Instant::now() + Duration::from_secs(10);
    while server.health().await.unwrap() != ServingStatus::NotServing {
        assert!(Instant::now() < deadline, "still SERVING");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
