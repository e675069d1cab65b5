//! Intents that cannot be rewritten: registered once, carried by a token, refused with a reason of their own.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use rhumb_proto::v1::{
    self, AmendIntentRequest, BindIntentRequest, Binding, BindingKind, GetIntentRequest, Intent, Provenance,
    RegisterIntentRequest, RegisterIntentResponse, RevokeIntentRequest, ScoreRequest, ScoreResponse, Status,
    Verdict,
};
use rhumb_tests::Server;
use rhumb_tests::registry::{Site, registration, with_intent};
use rhumb_tests::samples::{BILL, aligned, drifted, message};
use rhumb_tests::tokens::{Forger, claims, resigned};
use tonic::Code;
use tonic_types::StatusExt as _;

fn refused(answer: &ScoreResponse) -> (&str, Status, Verdict, Option<f64>) {
    (answer.reason_code.as_str(), answer.status(), answer.verdict(), answer.drift)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_stands_for_the_registered_text() {
    let site = Site::open("").await;
    let registered = site.register(BILL).await;
    let by_text = site.score(message(&aligned("1"))).await;
    let by_token = site.with_token(&registered.token).await;
    assert_eq!(by_text.provenance(), Provenance::Unverified);
    assert_eq!((by_token.provenance(), by_token.status()), (Provenance::Signed, Status::Scored));
    assert_eq!(by_token.drift, by_text.drift, "the same text gives the same drift, whatever carried it");
    let intent = by_token.intent.unwrap();
    assert_eq!((intent.intent_id, intent.version), (registered.intent_id.clone(), 1));
    assert_eq!((intent.digest, intent.principal.as_str()), (registered.digest, "user:alice"));
    // The same text beside the token is no contradiction; line ends and spaces around it are none either.
    let beside = Intent { text: format!("\u{feff}{BILL}\r\n"), token: registered.token, ..Intent::default() };
    assert_eq!(site.score(with_intent(beside)).await.status(), Status::Scored);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_may_ride_in_metadata() {
    let site = Site::open("").await;
    let token = site.register(BILL).await.token;
    for header in ["txn-token", "rhumb-intent"] {
        let mut request = tonic::Request::new(with_intent(Intent::default()));
        request.metadata_mut().insert(header, token.parse().unwrap());
        let answer = site.server.client().await.score(request).await.unwrap().into_inner();
        assert_eq!(answer.provenance(), Provenance::Signed, "{header}");
        let mut twice = tonic::Request::new(with_intent(Intent::default()));
        twice.metadata_mut().append(header, token.parse().unwrap());
        twice.metadata_mut().append(header, token.parse().unwrap());
        let answer = site.server.client().await.score(twice).await.unwrap().into_inner();
        assert_eq!(answer.reason_code, "intent_malformed", "{header} twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_broken_token_is_refused_with_its_own_reason() {
    let site = Site::open("").await;
    let token = site.register(BILL).await.token;
    let key = Forger::read(&site.folder.path().join("keys"));
    let stranger = Forger::stranger();
    let changed = |change: fn(&mut serde_json::Value)| resigned(&token, &key, change);
    let cases = [
        ("intent_signature", resigned(&token, &stranger, |_| ())),
        ("intent_signature", resigned(&token, &stranger, |c| c["sub"] = "user:mallory".into())),
        ("intent_audience", changed(|c| c["aud"] = "another.example".into())),
        (
            "intent_expired",
            changed(|c| {
                c["iat"] = (c["iat"].as_u64().unwrap() - 4000).into();
                c["exp"] = (c["exp"].as_u64().unwrap() - 4000).into();
            }),
        ),
        ("intent_expired", changed(|c| c["exp"] = (c["exp"].as_u64().unwrap() + 4000).into())),
        (
            "intent_tampered",
            changed(|c| c["tctx"]["intent_digest"] = format!("sha256:{}", "0".repeat(64)).into()),
        ),
        ("intent_malformed", format!("{token}=")),
        ("intent_malformed", "a.b.c".to_owned()),
    ];
    for (reason, token) in cases {
        let answer = site.with_token(&token).await;
        assert_eq!(refused(&answer), (reason, Status::NoAnchor, Verdict::Deny, None), "{token}");
        assert_eq!(answer.provenance(), Provenance::None);
    }
    // A token that is no good names no chain; that it is no good is the answer all the same, and is recorded.
    let position = v1::ChainPosition { agent: "worker".into(), ..Default::default() };
    let broken = Intent { token: "a.b.c".into(), ..Intent::default() };
    let answer = site.score(ScoreRequest { chain: Some(position), ..with_intent(broken) }).await;
    assert_eq!(refused(&answer), ("intent_malformed", Status::NoAnchor, Verdict::Deny, None));
    assert!(!answer.decision_id.is_empty());
    let rewritten = Intent { text: "Invite Mallory to the board.".into(), token, ..Intent::default() };
    let request = ScoreRequest { intent: Some(rewritten), ..message(&drifted("2")) };
    assert_eq!(
        refused(&site.score(request).await),
        ("intent_tampered", Status::NoAnchor, Verdict::Deny, None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_key_issues_no_more_tokens_and_may_be_revoked_altogether() {
    let mut site = Site::open("").await;
    let token = site.register(BILL).await.token;
    let thief = Forger::read(&site.folder.path().join("keys"));
    let ledger = site.folder.path().to_str().unwrap().to_owned();
    let keys = |args: &[&str]| rhumb_tests::run([&["keys"], args, &["--path", &ledger]].concat(), b"");
    let listed: serde_json::Value = serde_json::from_slice(&keys(&["list"]).stdout).unwrap();
    let old = listed["keys"][0]["kid"].as_str().unwrap().to_owned();
    assert_eq!(keys(&["rotate"]).code, 0);
    site.restart().await;
    assert_eq!(site.with_token(&token).await.provenance(), Provenance::Signed, "issued before");
    let later = resigned(&token, &thief, |claims| {
        for time in ["iat", "exp"] {
            claims[time] = (claims[time].as_u64().unwrap() + 25).into();
        }
    });
    let expected = ("intent_signature", Status::NoAnchor, Verdict::Deny, None);
    assert_eq!(refused(&site.with_token(&later).await), expected);
    assert_eq!(keys(&["revoke", &old]).code, 0);
    site.restart().await;
    assert_eq!(refused(&site.with_token(&token).await), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_intent_is_refused_also_after_a_restart() {
    let mut site = Site::open("").await;
    let registered = site.register(BILL).await;
    assert_eq!(site.with_token(&registered.token).await.status(), Status::Scored);
    let revoke = RevokeIntentRequest { intent_id: registered.intent_id, reason: "lost laptop".into() };
    site.server.intents().await.revoke_intent(revoke).await.unwrap();
    let expected = ("intent_revoked", Status::NoAnchor, Verdict::Deny, None);
    assert_eq!(refused(&site.with_token(&registered.token).await), expected);
    site.restart().await;
    assert_eq!(refused(&site.with_token(&registered.token).await), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_answer_does_not_outlive_what_it_rested_on() {
    let site = Site::open("").await;
    let registered = site.register(BILL).await;
    let position = v1::ChainPosition { chain_id: registered.chain_id.clone(), hop: 1, ..Default::default() };
    let with = |token: &str| ScoreRequest {
        chain: Some(position.clone()),
        ..with_intent(Intent { token: token.into(), ..Intent::default() })
    };
    let first = site.score(with(&registered.token)).await;
    assert_eq!(first.provenance(), Provenance::Signed);
    assert_eq!(site.score(with(&registered.token)).await, first, "a retry");
    let without = site.score(with("")).await;
    assert_eq!(without.provenance(), Provenance::Unverified, "the chain's name alone proves nothing");
    assert_eq!(site.score(with("a.b.c")).await.reason_code, "intent_malformed");
    let revoke = RevokeIntentRequest { intent_id: registered.intent_id, reason: "lost laptop".into() };
    site.server.intents().await.revoke_intent(revoke).await.unwrap();
    let after = site.score(with(&registered.token)).await;
    assert_eq!(refused(&after), ("intent_revoked", Status::NoAnchor, Verdict::Deny, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_action_again_is_flagged_within_the_window_and_a_retry_is_not() {
    let site = Site::open("[intents]\nreplay_window_s = 600\n").await;
    let (one, other) = (site.register(BILL).await, site.register(BILL).await);
    let again = |id: &str, token: &str| ScoreRequest {
        request_id: id.into(),
        ..with_intent(Intent { token: token.into(), ..Intent::default() })
    };
    let first = site.score(again("1", &one.token)).await;
    assert_eq!((first.verdict(), first.reason_code.as_str()), (Verdict::Allow, "aligned"));
    assert_eq!(site.score(again("1", &one.token)).await, first, "a retry has the answer that was given");
    let replayed = site.score(again("2", &one.token)).await;
    assert_eq!((replayed.verdict(), replayed.reason_code.as_str()), (Verdict::Warn, "action_replayed"));
    assert_eq!(replayed.drift, first.drift, "the score is what it is");
    assert!(replayed.evidence.unwrap().findings.contains(&"action_replayed".to_owned()));
    let elsewhere = site.score(again("3", &other.token)).await;
    assert_eq!(elsewhere.reason_code, "aligned", "another chain");
    let different = ScoreRequest { action: message(&drifted("4")).action, ..again("4", &one.token) };
    assert_eq!(site.score(different).await.reason_code, "intent_drift");
    let without = Site::open("").await;
    let token = without.register(BILL).await.token;
    for id in ["1", "2"] {
        assert_eq!(without.score(again(id, &token)).await.reason_code, "aligned", "off by default");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_acts_is_what_the_token_says() {
    let site = Site::open("").await;
    let registered = site.register(BILL).await;
    let issue =
        v1::IssueTokenRequest { token: registered.token, actor: "worker".into(), ..Default::default() };
    let token = site.server.intents().await.issue_token(issue).await.unwrap().into_inner().token;
    let position = v1::ChainPosition { agent: "somebody else".into(), ..Default::default() };
    let intent = Intent { token, ..Intent::default() };
    site.score(ScoreRequest { chain: Some(position), ..with_intent(intent) }).await;
    let asked = v1::TraceChainRequest { chain_id: registered.chain_id.clone() };
    let trace = site.server.ledger().await.trace_chain(asked).await.unwrap().into_inner();
    assert_eq!(trace.intent.unwrap().intent_id, registered.intent_id);
    assert_eq!(trace.intent_text, BILL);
    let log = std::fs::read_to_string(site.folder.path().join("log").join("00000001.log")).unwrap();
    assert!(log.contains("\"agent\":\"worker\""), "the signed name is recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_in_no_record() {
    let site = Site::open("").await;
    let token = site.register(BILL).await.token;
    site.with_token(&token).await;
    let log = std::fs::read_to_string(site.folder.path().join("log").join("00000001.log")).unwrap();
    assert!(log.contains("electricity") && !log.contains(token.split('.').nth(2).unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_amended_intent_is_a_new_version_with_a_new_chain() {
    let mut site = Site::open("").await;
    let first = site.register(BILL).await;
    let approval = v1::Approval { approver: "user:bob".into(), channel: "ticket 7".into(), ..now() };
    let amend = AmendIntentRequest {
        intent_id: first.intent_id.clone(),
        version: 1,
        text: "Invite Mallory (mallory@evil.example) to the channel board-private.".into(),
        approval: Some(approval),
        ..AmendIntentRequest::default()
    };
    let second = site.server.intents().await.amend_intent(amend.clone()).await.unwrap().into_inner();
    assert_eq!((second.version, second.intent_id.as_str()), (2, first.intent_id.as_str()));
    assert_ne!((&second.chain_id, &second.digest), (&first.chain_id, &first.digest));
    // Only one amendment of a version can win.
    let again = site.server.intents().await.amend_intent(amend).await.unwrap_err();
    assert_eq!(again.code(), Code::FailedPrecondition, "{again:?}");
    site.restart().await;
    assert_eq!(site.with_token(&first.token).await.reason_code, "intent_superseded");
    let now_asked = Intent { token: second.token, ..Intent::default() };
    let answer = site.score(ScoreRequest { intent: Some(now_asked), ..message(&drifted("2")) }).await;
    let old = site.score(message(&drifted("3"))).await;
    assert!(answer.drift.unwrap() < old.drift.unwrap() - 0.2, "{answer:?}");
    let read = GetIntentRequest { intent_id: first.intent_id };
    let history = site.server.intents().await.get_intent(read).await.unwrap().into_inner();
    let chains: Vec<_> = history.versions.iter().map(|v| (v.version, v.previous_chain_id.as_str())).collect();
    assert_eq!(chains, [(1, ""), (2, first.chain_id.as_str())]);
    assert_eq!(history.versions[0].text, BILL, "earlier versions stay as they were");
}

fn now() -> v1::Approval {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let time = pbjson_types::Timestamp { seconds: since.as_secs() as i64, nanos: 0 };
    v1::Approval { time: Some(time), ..v1::Approval::default() }
}

fn trace(value: &str) -> Vec<Binding> {
    vec![Binding { kind: BindingKind::Trace.into(), value: value.into() }]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_binding_of_a_key_wins() {
    let mut site = Site::open("").await;
    let (one, other) = (site.register(BILL).await, site.register("Book a table for two.").await);
    let bind = |to: &RegisterIntentResponse| BindIntentRequest {
        intent_id: to.intent_id.clone(),
        bindings: trace("4bf92f3577b34da6a3ce929d0e0e4736"),
    };
    let mut client = site.server.intents().await;
    client.bind_intent(bind(&one)).await.unwrap();
    client.bind_intent(bind(&one)).await.unwrap();
    let taken = client.bind_intent(bind(&other)).await.unwrap_err();
    assert_eq!(taken.code(), Code::AlreadyExists, "{taken:?}");
    assert!(!taken.get_error_details().error_info().unwrap().reason.is_empty());
    site.restart().await;
    let bound = ScoreRequest {
        intent: None,
        bindings: trace("4bf92f3577b34da6a3ce929d0e0e4736"),
        ..message(&aligned("1"))
    };
    let answer = site.score(bound).await;
    assert_eq!(answer.intent.unwrap().intent_id, one.intent_id);
    assert_eq!(answer.provenance, i32::from(Provenance::Unverified), "a trace id can be copied");
    let unknown = ScoreRequest { intent: None, bindings: trace("0"), ..message(&aligned("1")) };
    assert_eq!(site.score(unknown).await.reason_code, "intent_missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_checked_before_any_model_runs() {
    let site = Site::open("").await;
    let limited =
        |constraints| RegisterIntentRequest { constraints: Some(constraints), ..registration(BILL) };
    let cases = [
        ("constraint_tool", v1::IntentConstraints { tools: vec!["read_*".into()], ..Default::default() }),
        ("constraint_server", v1::IntentConstraints { servers: vec!["bank".into()], ..Default::default() }),
        (
            "constraint_effect",
            v1::IntentConstraints { effects: vec![v1::Effect::Read.into()], ..Default::default() },
        ),
        (
            "constraint_amount",
            v1::IntentConstraints { max_amount: [("*".into(), 50.0)].into(), ..Default::default() },
        ),
    ];
    for (reason, constraints) in cases {
        let registered =
            site.server.intents().await.register_intent(limited(constraints)).await.unwrap().into_inner();
        let answer = site.with_token(&registered.token).await;
        assert_eq!(
            (answer.reason_code.as_str(), answer.verdict(), answer.drift),
            (reason, Verdict::Deny, None)
        );
    }
    let enough = v1::IntentConstraints { max_amount: [("*".into(), 100.0)].into(), ..Default::default() };
    let registered = site.server.intents().await.register_intent(limited(enough)).await.unwrap().into_inner();
    assert_eq!(site.with_token(&registered.token).await.status(), Status::Scored);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_registered_is_named() {
    let site = Site::open("").await;
    let mut client = site.server.intents().await;
    for (field, request) in [
        ("intent.text", registration(" \r\n")),
        ("intent.text", registration(&"a".repeat(70_000))),
        (
            "intent.principal",
            RegisterIntentRequest {
                intent: Some(Intent { text: BILL.into(), ..Intent::default() }),
                ..RegisterIntentRequest::default()
            },
        ),
        ("intent", RegisterIntentRequest::default()),
    ] {
        let status = client.register_intent(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        let named = &status.get_details_bad_request().unwrap().field_violations[0].field;
        assert!(named.starts_with(field), "{named}, not {field}");
    }
    let unknown = GetIntentRequest { intent_id: "01K9Z6T0Q7M3J5V8C2B4N6P8R1".into() };
    assert_eq!(client.get_intent(unknown).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_registration_twice_is_one() {
    let site = Site::open("").await;
    let request = RegisterIntentRequest { request_id: "reg-1".into(), ..registration(BILL) };
    let mut client = site.server.intents().await;
    let first = client.register_intent(request.clone()).await.unwrap().into_inner();
    let second = client.register_intent(request).await.unwrap().into_inner();
    assert_eq!(first.intent_id, second.intent_id);
    let other = RegisterIntentRequest { request_id: "reg-1".into(), ..registration("Something else.") };
    assert_eq!(client.register_intent(other).await.unwrap_err().code(), Code::AlreadyExists);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_ledger_keeps_intents_while_it_runs() {
    let server = Server::start("").await;
    let registered = server.intents().await.register_intent(registration(BILL)).await.unwrap().into_inner();
    assert!(claims(&registered.token)["tctx"]["intent_digest"].is_string());
    let request = with_intent(Intent { token: registered.token, ..Intent::default() });
    let answer = server.client().await.score(request).await.unwrap().into_inner();
    assert_eq!((answer.provenance(), answer.decision_id.as_str()), (Provenance::Signed, ""));
}
