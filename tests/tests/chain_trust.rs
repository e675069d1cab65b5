//! Who can say what of a chain: strangers nothing, and nobody can unsay what was seen.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use rhumb_proto::v1::{
    ChainPosition, ChainTrace, Hop, Intent, Mode, RegisterIntentResponse, ScoreChainRequest, ScoreRequest,
    ScoreResponse, Status, TraceChainRequest, Verdict,
};
use rhumb_tests::registry::Site;
use rhumb_tests::samples::{BILL, aligned, drifted, message};
use serde_json::Value;

fn token(registered: &RegisterIntentResponse) -> Option<Intent> {
    Some(Intent { token: registered.token.clone(), ..Intent::default() })
}

/// An action at a hop, asked for by an enforcement point.
fn at(hop: u32, action: &Value, intent: Option<Intent>, chain: &str, point: &str) -> ScoreRequest {
    let position =
        ChainPosition { chain_id: chain.into(), hop, agent: "worker".into(), ..Default::default() };
    ScoreRequest { intent, chain: Some(position), enforcement_point: point.into(), ..message(action) }
}

async fn traced(site: &Site, chain: &str) -> ChainTrace {
    let asked = TraceChainRequest { chain_id: chain.into() };
    site.server.ledger().await.trace_chain(asked).await.unwrap().into_inner()
}

fn state(answer: &ScoreResponse) -> (u32, Option<u32>, bool) {
    let chain = answer.chain.as_ref().unwrap();
    (chain.actions, chain.first_drifted_hop, chain.apart)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_says_nothing_of_a_chain() {
    let mut site = Site::open("").await;
    let registered = site.register(BILL).await;
    let chain = registered.chain_id.as_str();
    let own = |n: u32| at(n, &aligned(&n.to_string()), token(&registered), chain, "edge");
    assert_eq!(state(&site.score(own(1)).await), (1, None, false));
    let strange =
        Intent { text: "Delete all.".into(), principal: "user:mallory".into(), ..Intent::default() };
    let forged = Intent { token: "a.b.c".into(), ..Intent::default() };
    for (id, intent) in [("s1", Some(strange)), ("s2", Some(forged)), ("s3", None)] {
        let answer = site.score(at(1, &drifted(id), intent, chain, "elsewhere")).await;
        assert_eq!(state(&answer), (0, None, true), "{id}: {answer:?}");
        assert!(answer.verdict() > Verdict::Warn);
    }
    assert_eq!(state(&site.score(own(2)).await), (2, None, false));
    let trace = traced(&site, chain).await;
    assert_eq!((trace.principal.as_str(), trace.decisions.len()), ("user:alice", 5), "attempts are listed");
    assert_eq!((trace.first_drifted_hop, trace.passed_by.as_str()), (None, ""));
    site.restart().await;
    assert_eq!(state(&site.score(own(3)).await), (3, None, false), "nor after a restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_harmless_chain_told_afterwards_does_not_unsay_drift() {
    let mut site = Site::open("").await;
    let registered = site.register(BILL).await;
    let chain = registered.chain_id.as_str();
    site.score(at(1, &aligned("1"), token(&registered), chain, "edge")).await;
    let off = site.score(at(2, &drifted("2"), token(&registered), chain, "edge")).await;
    assert_eq!(state(&off), (2, Some(2), false));
    let hop = Hop { action: message(&aligned("3")).action, agent: "worker".into(), ..Hop::default() };
    let whole = ScoreChainRequest { intent: token(&registered), hops: vec![hop], ..Default::default() };
    let whole = site.server.client().await.score_chain(whole).await.unwrap().into_inner();
    assert_eq!((whole.chain_id.as_str(), whole.first_drifted_hop), (chain, None), "judged by itself");
    assert_eq!(traced(&site, chain).await.first_drifted_hop, Some(2));
    site.restart().await;
    let next = site.score(at(3, &aligned("4"), token(&registered), chain, "edge")).await;
    assert_eq!(state(&next), (4, Some(2), false));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_let_drift_pass_is_who_let_it_pass_in_fact() {
    let site = Site::open("").await;
    let (shadow, enforced) = (site.register(BILL).await, site.register(BILL).await);
    let action = ScoreRequest {
        mode: Mode::Shadow.into(),
        ..at(1, &drifted("1"), token(&shadow), &shadow.chain_id, "watching")
    };
    let answer = site.score(action).await;
    assert_eq!((answer.status(), answer.verdict() > Verdict::Warn), (Status::Scored, true));
    let trace = traced(&site, &shadow.chain_id).await;
    assert_eq!((trace.passed_by.as_str(), trace.passed_at_hop), ("watching", Some(1)));
    site.score(at(1, &drifted("2"), token(&enforced), &enforced.chain_id, "strict")).await;
    site.score(at(2, &aligned("3"), token(&enforced), &enforced.chain_id, "lenient")).await;
    let trace = traced(&site, &enforced.chain_id).await;
    assert_eq!(
        (trace.first_drifted_hop, trace.passed_by.as_str()),
        (Some(1), ""),
        "what leads back is no drift"
    );
}
