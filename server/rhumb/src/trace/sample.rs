//! Traces for tests.

use rhumb_proto::v1::{
    ChainPosition, ChainState, ChainTrace, Decision, ScoreRequest, ScoreResponse, Verdict,
};
use rhumb_proto::{json, v1};

/// The demo's chain with the scores that it got, and one action that could not be scored.
pub fn recorded() -> ChainTrace {
    json::parse(include_str!("../../../../tests/fixtures/trace.json")).unwrap()
}

/// A chain of the principal `u`.
pub fn chain(decisions: Vec<Decision>) -> ChainTrace {
    ChainTrace { chain_id: "c".into(), principal: "u".into(), decisions, ..ChainTrace::default() }
}

/// One action at `hop`: denied from 0.5 on.
pub fn decision(hop: u32, agent: &str, delegator: &str, drift: f64) -> Decision {
    let chain = ChainState { hop, ..ChainState::default() };
    let mut score = ScoreResponse {
        drift: Some(drift),
        threshold: Some(0.5),
        chain: Some(chain),
        status: v1::Status::Scored.into(),
        ..ScoreResponse::default()
    };
    score.set_verdict(if drift < 0.5 { Verdict::Allow } else { Verdict::Deny });
    let action = v1::Action { tool: format!("tool{hop}"), ..v1::Action::default() };
    let position =
        ChainPosition { hop, agent: agent.into(), delegator: delegator.into(), ..ChainPosition::default() };
    let request = ScoreRequest { action: Some(action), chain: Some(position), ..ScoreRequest::default() };
    Decision {
        response: Some(score),
        request: Some(request),
        enforcement_point: "gate".into(),
        ..Decision::default()
    }
}
