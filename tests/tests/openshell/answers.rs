//! What a supervisor reads for each verdict.

use rhumb_proto::openshell::middleware::header_mutation::Mutation;
use rhumb_proto::openshell::middleware::{
    Decision, ExistingHeaderAction, HeaderMutation, HttpRequestEvaluation, HttpRequestResult,
};
use rhumb_proto::v1::{GetDecisionRequest, Provenance, ScoreResponse};
use rhumb_tests::openshell::{asking, evaluate, evaluation, object};
use rhumb_tests::samples::{BILL, aligned, drifted};
use serde_json::{Value, json};

use crate::Site;

/// Far enough from every real drift: what a verdict becomes is the policy's part, where it begins is the model's.
const POLICY: &str = r#"
[defaults]
on_abstain = { read = "pass", write = "stop" }

[[rules]]
name = "warns"
match = { policies = ["warns"] }
set = { write = "WARN", write_far = "WARN" }

[[rules]]
name = "asks"
match = { policies = ["asks"] }
set = { write = "ESCALATE", write_far = "ESCALATE" }

[[rules]]
name = "denies"
match = { policies = ["denies"] }
set = { write = "DENY", write_far = "DENY" }
"#;

fn with_config(sample: &Value, config: &Value) -> HttpRequestEvaluation {
    HttpRequestEvaluation { config: Some(object(config)), ..asking(sample) }
}

/// Decision, reason code, and severity and count of each finding.
fn said(result: &HttpRequestResult) -> (Decision, &str, Vec<(&str, u32)>) {
    let findings = result.findings.iter().map(|f| (f.severity.as_str(), f.count));
    (result.decision(), result.reason_code.as_str(), findings.collect())
}

fn headers(result: &HttpRequestResult) -> Vec<(&str, &str)> {
    result.header_mutations.iter().map(written).collect()
}

fn written(mutation: &HeaderMutation) -> (&str, &str) {
    let Some(Mutation::Write(write)) = &mutation.mutation else { panic!("no change") };
    assert_eq!(write.on_existing(), ExistingHeaderAction::Overwrite);
    (write.name.strip_prefix("x-openshell-middleware-rhumb-").unwrap(), &write.value)
}

async fn recorded(site: &Site, decision_id: &str) -> ScoreResponse {
    let request = GetDecisionRequest { decision_id: decision_id.into(), ..Default::default() };
    let decision = site.server.ledger().await.get_decision(request).await.unwrap().into_inner();
    decision.response.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_verdict_has_its_answer() {
    let site = Site::open("", POLICY).await;
    site.bind(BILL).await;
    let ask = async |request| evaluate(&site.server, &site.gateway, request).await.unwrap();

    let allowed = ask(asking(&aligned(""))).await;
    assert_eq!(said(&allowed), (Decision::Allow, "", vec![]));
    let lines = headers(&allowed);
    assert_eq!(lines.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["decision", "verdict", "drift"]);
    assert_eq!(lines[1].1, "ALLOW");
    let answer = recorded(&site, lines[0].1).await;
    assert_eq!(lines[2].1, format!("{:.3}", answer.drift.unwrap()));
    assert_eq!(answer.provenance(), Provenance::ServerBound);

    let warned = ask(with_config(&drifted(""), &json!({"policy": "warns"}))).await;
    assert_eq!(said(&warned), (Decision::Allow, "", vec![("medium", 1)]));
    assert_eq!(headers(&warned)[1].1, "WARN");

    let denied = ask(with_config(&drifted(""), &json!({"policy": "denies"}))).await;
    assert_eq!(said(&denied), (Decision::Deny, "intent_drift", vec![("high", 1)]));
    assert!(denied.header_mutations.is_empty(), "they are not looked at");

    let escalated = ask(with_config(&drifted(""), &json!({"policy": "asks"}))).await;
    assert_eq!(said(&escalated), (Decision::Deny, "human_needed", vec![("medium", 1)]));

    for (policy, severity) in [("denies", "high"), ("asks", "medium")] {
        let shadow = ask(with_config(&drifted(""), &json!({"policy": policy, "mode": "shadow"}))).await;
        assert_eq!(said(&shadow), (Decision::Allow, "", vec![(severity, 1)]), "findings as if enforced");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_intent_reads_pass_and_writes_do_not() {
    let site = Site::open("", POLICY).await;
    let ask = async |request| evaluate(&site.server, &site.gateway, request).await.unwrap();
    let write = ask(asking(&aligned(""))).await;
    assert_eq!(said(&write), (Decision::Deny, "intent_missing", vec![("high", 1)]));
    let mut get = evaluation("");
    let target = get.target.as_mut().unwrap();
    (target.method, target.path) = ("GET".into(), "/v1/rates".into());
    let read = ask(get).await;
    assert_eq!(said(&read), (Decision::Allow, "", vec![("low", 1)]));
    assert_eq!(headers(&read)[1..], [("verdict", "ABSTAIN"), ("drift", "none")]);
    let demanded = with_config(&aligned(""), &json!({"min_provenance": "SIGNED"}));
    site.bind(BILL).await;
    let too_low = ask(demanded).await;
    assert_eq!(said(&too_low), (Decision::Deny, "human_needed", vec![("medium", 1)]), "bound, not signed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_scored_passes_and_its_headers_are_overwritten_all_the_same() {
    let site = Site::open("", POLICY).await;
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let passed = evaluate(&site.server, &site.gateway, evaluation(list.to_string())).await.unwrap();
    assert_eq!(said(&passed), (Decision::Allow, "", vec![]));
    assert_eq!(headers(&passed), [("decision", "none"), ("verdict", "none"), ("drift", "none")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_drifted_call_stops_its_batch() {
    let site = Site::open("", POLICY).await;
    site.bind(BILL).await;
    let calls = [aligned(""), drifted("")].map(|sample| rhumb_tests::openshell::mcp(&sample["action"]));
    let batch = HttpRequestEvaluation {
        config: Some(object(&json!({"policy": "denies", "kind": "mcp"}))),
        ..evaluation(json!(calls).to_string())
    };
    let denied = evaluate(&site.server, &site.gateway, batch).await.unwrap();
    assert_eq!(said(&denied), (Decision::Deny, "intent_drift", vec![("high", 1)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_leads_to_the_decision_where_the_operator_wants_it() {
    let site = Site::open("decision_in_reason = true\n", POLICY).await;
    site.bind(BILL).await;
    let request = with_config(&drifted(""), &json!({"policy": "denies"}));
    let denied = evaluate(&site.server, &site.gateway, request).await.unwrap();
    let id = denied.reason_code.strip_prefix("intent_drift_").unwrap();
    assert_eq!((id.len(), denied.reason_code.len()), (26, 39));
    assert_eq!(recorded(&site, &id.to_uppercase()).await.reason_code, "intent_drift");
}
