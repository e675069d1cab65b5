//! From the human's request over the sandbox's creation to the requests of its agent.

use rhumb_proto::openshell::gateway_interceptor::interceptor_evaluation::Phase as Before;
use rhumb_proto::openshell::gateway_interceptor::{
    DescribeRequest, GatewayInterceptorPhase as Phase, InterceptorEvaluation, ModifyOperationEvaluation,
    ProviderProfileSnapshotRequest,
};
use rhumb_proto::openshell::middleware::Decision;
use rhumb_proto::v1::{GetIntentRequest, RevokeIntentRequest};
use rhumb_tests::openshell::{
    asking, committed, evaluate, intercept, interceptor, object, person, proposed, with,
};
use rhumb_tests::samples::{BILL, aligned, drifted};
use rhumb_tests::tokens::{Forger, resigned};
use serde_json::{Value, json};
use tonic::Code;

use crate::{Site, made};

/// A request for a sandbox, with a secret where OpenShell lets people put one.
fn creation(annotations: &Value) -> Value {
    let environment = json!({"BANK_PASSWORD": "hunter2-in-the-clear"});
    json!({"name": "bills", "annotations": annotations, "spec": {"environment": environment}})
}

fn with_token(token: &str) -> Value {
    creation(&json!({"rhumb.dev/intent-token": token}))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manifest_asks_before_and_is_told_after() {
    let site = Site::open("", "").await;
    let request = with(DescribeRequest {}, &site.gateway.for_interceptor());
    let manifest = interceptor(&site.server).await.describe(request).await.unwrap().into_inner();
    assert_eq!((manifest.failure_policy.as_str(), manifest.provider_profiles), ("fail_closed", false));
    let rows = manifest.bindings.iter().map(|binding| {
        let rpc = binding.selector.as_ref().unwrap().rpc.strip_prefix("openshell.v1.OpenShell/").unwrap();
        (rpc, binding.phases().collect::<Vec<_>>(), binding.failure_policy.as_str())
    });
    let rows = rows.collect::<Vec<_>>();
    assert_eq!(
        rows,
        [
            ("CreateSandbox", vec![Phase::Validate], "fail_closed"),
            ("CreateSandbox", vec![Phase::PostCommit], "fail_open"),
            ("DeleteSandbox", vec![Phase::PostCommit], "fail_open"),
            ("SubmitPolicyAnalysis", vec![Phase::Validate], "fail_closed"),
            ("ApproveDraftChunk", vec![Phase::PostCommit], "fail_open"),
        ]
    );
    let ids: std::collections::BTreeSet<_> = manifest.bindings.iter().map(|b| b.id.as_str()).collect();
    assert_eq!(ids.len(), 5);
    let profiles = with(ProviderProfileSnapshotRequest {}, &site.gateway.for_interceptor());
    let profiles = interceptor(&site.server).await.snapshot_provider_profiles(profiles).await;
    assert_eq!(profiles.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_is_held_to_the_intent_it_was_made_for() {
    let site = Site::open("", "").await;
    let registered = site.register(BILL, "user:alice").await;
    let (server, gateway) = (&site.server, &site.gateway);
    let asked = proposed("CreateSandbox", &person("alice"), &with_token(&registered.token));
    let asked = intercept(server, gateway, asked).await.unwrap();
    assert!(asked.allowed && asked.log_annotations["rhumb.intent_id"] == registered.intent_id, "{asked:?}");

    // The other phase before the fact, for an operator who prefers it.
    let mut modified = proposed("CreateSandbox", &person("mallory"), &with_token(&registered.token));
    let operation = Some(object(&with_token(&registered.token)));
    let modify = ModifyOperationEvaluation { proposed_operation: operation };
    modified.phase = Some(Before::ModifyOperation(modify));
    assert!(!intercept(server, gateway, modified).await.unwrap().allowed);

    let early = evaluate(server, gateway, asking(&aligned(""))).await.unwrap();
    assert_eq!((early.decision(), early.reason_code.as_str()), (Decision::Deny, "intent_missing"));
    // Told twice, as after a lost answer.
    for _ in 0..2 {
        let told = committed("CreateSandbox", &person("alice"), &made(crate::SANDBOX, &registered.token));
        let told = intercept(server, gateway, told).await.unwrap();
        assert!(told.allowed && told.log_annotations["rhumb.binding"] == "bound", "{told:?}");
    }
    let kept = GetIntentRequest { intent_id: registered.intent_id.clone() };
    let kept = server.intents().await.get_intent(kept).await.unwrap().into_inner();
    assert_eq!(kept.bindings.len(), 1);
    let good = evaluate(server, gateway, asking(&aligned(""))).await.unwrap();
    assert_eq!(good.decision(), Decision::Allow);
    let bad = evaluate(server, gateway, asking(&drifted(""))).await.unwrap();
    assert_eq!(bad.decision(), Decision::Deny);

    // The first write wins.
    let other = site.register("Invite Mallory to the chat.", "user:alice").await;
    let told = committed("CreateSandbox", &person("alice"), &made(crate::SANDBOX, &other.token));
    let told = intercept(server, gateway, told).await.unwrap();
    assert!(told.allowed && told.log_annotations["rhumb.binding"] == "binding_taken", "{told:?}");
    assert_eq!(evaluate(server, gateway, asking(&drifted(""))).await.unwrap().decision(), Decision::Deny);

    let deleted = intercept(server, gateway, committed("DeleteSandbox", &person("alice"), &json!({}))).await;
    assert!(deleted.unwrap().allowed);
    assert!(!server.stderr().contains("hunter2"), "what is proposed is in no log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_must_be_good_and_of_who_makes_the_sandbox() {
    let site = Site::open("", "").await;
    let registered = site.register(BILL, "user:alice").await;
    let key = Forger::read(&site.folder.path().join("ledger/keys"));
    let forged = resigned(&registered.token, &Forger::stranger(), |_| ());
    let old = resigned(&registered.token, &key, |claims| {
        claims["iat"] = (claims["iat"].as_u64().unwrap() - 4000).into();
        claims["exp"] = (claims["exp"].as_u64().unwrap() - 4000).into();
    });
    let revoked = site.register(BILL, "user:alice").await;
    let revoke = RevokeIntentRequest { intent_id: revoked.intent_id, reason: "done".into() };
    site.server.intents().await.revoke_intent(revoke).await.unwrap();
    let sandbox = json!({"kind": "sandbox", "sandbox_id": "s1"});
    let cases = [
        (person("mallory"), registered.token.as_str(), "PERMISSION_DENIED", "caller_forbidden"),
        (sandbox, registered.token.as_str(), "PERMISSION_DENIED", "caller_forbidden"),
        (person("alice"), forged.as_str(), "PERMISSION_DENIED", "intent_signature"),
        (person("alice"), "rubbish", "PERMISSION_DENIED", "intent_malformed"),
        (person("alice"), old.as_str(), "FAILED_PRECONDITION", "intent_expired"),
        (person("alice"), revoked.token.as_str(), "FAILED_PRECONDITION", "intent_revoked"),
    ];
    for (principal, token, code, reason) in cases {
        let asked = proposed("CreateSandbox", &principal, &with_token(token));
        let answer = intercept(&site.server, &site.gateway, asked).await.unwrap();
        assert!(!answer.allowed && answer.reason.contains(reason), "{reason}: {answer:?}");
        assert_eq!(answer.status_code, code, "{reason}");
        // Whoever got round the question ties nothing, and breaks nothing.
        let told = committed("CreateSandbox", &principal, &made("s2", token));
        let told = intercept(&site.server, &site.gateway, told).await.unwrap();
        assert!(told.allowed && told.log_annotations["rhumb.binding"] == reason, "{reason}: {told:?}");
    }
    let number = creation(&json!({"rhumb.dev/intent-token": 7}));
    let answer = intercept(&site.server, &site.gateway, proposed("CreateSandbox", &person("alice"), &number));
    assert!(!answer.await.unwrap().allowed, "what is no text does not pass for none");
    // The id of a sandbox that nobody could bind.
    for response in [json!({}), made("", &registered.token), made(&"x".repeat(300), &registered.token)] {
        let told = committed("CreateSandbox", &person("alice"), &response);
        assert!(intercept(&site.server, &site.gateway, told).await.unwrap().allowed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_without_a_token_is_refused_where_one_is_required() {
    for (required, more) in [(false, ""), (true, "require_intent = true\nannotation = \"x/y\"\n")] {
        let site = Site::open(more, "").await;
        let asked = proposed("CreateSandbox", &person("alice"), &creation(&json!({"other": "x"})));
        let answer = intercept(&site.server, &site.gateway, asked).await.unwrap();
        assert_eq!(answer.allowed, !required);
        let code = if required { "FAILED_PRECONDITION" } else { "" };
        assert_eq!((answer.status_code.as_str(), answer.reason.contains("x/y")), (code, required));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_in_the_manifest_has_no_answer_before_and_no_error_after() {
    let site = Site::open("", "").await;
    let asked = intercept(&site.server, &site.gateway, proposed("DropEverything", &person("a"), &json!({})));
    assert_eq!(asked.await.unwrap_err().code(), Code::InvalidArgument);
    let told = intercept(&site.server, &site.gateway, committed("DropEverything", &person("a"), &json!({})));
    assert!(told.await.unwrap().allowed);
    let other = InterceptorEvaluation {
        service: "openshell.v2.OpenShell".into(),
        ..proposed("CreateSandbox", &person("alice"), &json!({}))
    };
    assert_eq!(
        intercept(&site.server, &site.gateway, other).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    // A phase of a later version is none that we know.
    let later = InterceptorEvaluation { phase: None, ..proposed("CreateSandbox", &person("a"), &json!({})) };
    assert_eq!(
        intercept(&site.server, &site.gateway, later).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    let approved = json!({"policy": {"rules": []}});
    let told = committed("ApproveDraftChunk", &person("carol"), &approved);
    let told = intercept(&site.server, &site.gateway, told).await.unwrap();
    assert!(told.allowed && told.log_annotations["rhumb.approval"] == "recorded", "{told:?}");
    site.server.says("carol").await;
}
