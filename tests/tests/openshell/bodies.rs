//! Bodies as they come: compressed, cut, unreadable, large; and tokens within them.

use std::io::Write as _;

use rhumb_proto::openshell::middleware::{Decision, HttpHeader, HttpRequestEvaluation};
use rhumb_proto::v1::{GetDecisionRequest, Provenance, ScoreResponse, Status};
use rhumb_tests::openshell::{asking, evaluate, evaluation, mcp, object};
use rhumb_tests::samples::{BILL, aligned, drifted};
use serde_json::json;

use crate::Site;

async fn decided(site: &Site, id: &str, mut request: HttpRequestEvaluation) -> (Decision, ScoreResponse) {
    request.context.as_mut().unwrap().request_id = id.to_owned();
    let result = evaluate(&site.server, &site.gateway, request).await.unwrap();
    let asked = GetDecisionRequest { request_id: id.into(), ..Default::default() };
    let decision = site.server.ledger().await.get_decision(asked).await.unwrap().into_inner();
    (result.decision(), decision.response.unwrap())
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn with_header(name: &str, value: &str, mut request: HttpRequestEvaluation) -> HttpRequestEvaluation {
    request.headers.push(HttpHeader { name: name.into(), value: value.into() });
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_call_is_scored_as_the_plain_one() {
    let site = Site::open("", "").await;
    site.bind(BILL).await;
    let (plain, expected) = decided(&site, "plain", asking(&aligned(""))).await;
    let packed = evaluation(gzip(&mcp(&aligned("")["action"]).to_string()));
    let (packed, answer) = decided(&site, "gzip", with_header("content-encoding", "gzip", packed)).await;
    assert_eq!((plain, packed), (Decision::Allow, Decision::Allow));
    assert_eq!(answer.drift, expected.drift);
    let drifted = evaluation(gzip(&mcp(&drifted("")["action"]).to_string()));
    let (decision, _) = decided(&site, "bad", with_header("content-encoding", "gzip", drifted)).await;
    assert_eq!(decision, Decision::Deny);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_not_let_through() {
    let site = Site::open("", "").await;
    site.bind(BILL).await;
    let call = mcp(&aligned("")["action"]).to_string();
    let twice = call.replacen("\"id\":7", "\"id\":7,\"method\":\"tools/list\"", 1);
    let mcp_only = |request: HttpRequestEvaluation| HttpRequestEvaluation {
        config: Some(object(&json!({"kind": "mcp"}))),
        ..request
    };
    let cases = [
        ("cut", mcp_only(evaluation(call[..call.len() - 2].to_owned()))),
        ("a key twice", evaluation(twice)),
        ("not packed", with_header("content-encoding", "gzip", evaluation(call.clone()))),
        ("unknown packing", with_header("content-encoding", "br", evaluation(call.clone()))),
        ("another story", with_header("mcp-method", "tools/list", evaluation(call.clone()))),
    ];
    for (what, request) in cases {
        let (decision, answer) = decided(&site, what, request).await;
        assert_eq!(decision, Decision::Deny, "{what}");
        assert!([Status::Unparsable, Status::Truncated].contains(&answer.status()), "{what}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_four_mebibytes_is_read_whole() {
    let site = Site::open("", "").await;
    site.bind(BILL).await;
    let mut action = drifted("")["action"].clone();
    let around = mcp(&action).to_string().len() + ",\"note\":\"\"".len();
    action["arguments"]["note"] = "n".repeat(4 * 1024 * 1024 - around).into();
    let body = mcp(&action).to_string();
    assert_eq!(body.len(), 4 * 1024 * 1024);
    let (decision, answer) = decided(&site, "large", evaluation(body)).await;
    assert_eq!((decision, answer.status()), (Decision::Deny, Status::Truncated), "scored as far as it goes");
    assert!(answer.drift.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_a_round_length_and_one_that_is_empty_are_whole_too() {
    let site = Site::open("", "").await;
    site.bind(BILL).await;
    for bytes in [0, 4096, 65_536] {
        let mut note = evaluation(" ".repeat(bytes).replacen("  ", "{}", 1));
        note.target.as_mut().unwrap().path = "/v1/notes".into();
        let (_, answer) = decided(&site, &format!("round-{bytes}"), note).await;
        assert_eq!(answer.status(), Status::Scored, "{bytes}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_the_request_comes_before_the_sandbox() {
    let site = Site::open("", "").await;
    let token = site.register(BILL, "user:alice").await.token;
    let header = with_header("txn-token", &token, asking(&aligned("")));
    let (decision, answer) = decided(&site, "header", header).await;
    assert_eq!((decision, answer.provenance()), (Decision::Allow, Provenance::Signed));
    let mut call = mcp(&aligned("")["action"]);
    call["params"]["_meta"] = json!({"dev.rhumb/intent-token": token});
    let (decision, answer) = decided(&site, "meta", evaluation(call.to_string())).await;
    assert_eq!((decision, answer.provenance()), (Decision::Allow, Provenance::Signed));
    // Two references that differ are a contradiction.
    site.bind("Invite Ana to the chat.").await;
    let header = with_header("txn-token", &token, asking(&aligned("")));
    let (decision, answer) = decided(&site, "both", header).await;
    assert_eq!((decision, answer.reason_code.as_str()), (Decision::Deny, "intent_conflict"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_says_which_sandbox_asked_for_what() {
    let site = Site::open("", "").await;
    site.bind(BILL).await;
    decided(&site, "one", asking(&aligned(""))).await;
    let asked = GetDecisionRequest { request_id: "one".into(), ..Default::default() };
    let decision = site.server.ledger().await.get_decision(asked).await.unwrap().into_inner();
    assert!(decision.caller.starts_with("spiffe://openshell/sandbox/"), "{}", decision.caller);
    assert_eq!(decision.enforcement_point, "drift-guard");
    let action = decision.request.unwrap().action.unwrap();
    assert_eq!((action.tool.as_str(), action.server.as_str()), ("send_money", "bank.example"));
}
