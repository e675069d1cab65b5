//! `SubmitPolicyAnalysis`: a sandbox asks that it may reach more. That is an action too, and the one by which an agent would
//! make room for all others.

use std::time::Instant;

use futures::future::join_all;
use pbjson_types::{Struct, Value};
use rhumb_proto::openshell::gateway_interceptor::InterceptorResult;
use rhumb_proto::v1;
use tonic::Status;

use super::OpenShell;
use super::door::Guest;
use super::fields;
use super::interceptor::{Principal, allowed, denied, said};
use crate::caller::Caller;
use crate::errors;

/// Changes of one analysis; each is scored.
const CHUNKS: usize = 64;
/// The tool's name, for rules of the policy file and constraints of intents.
const TOOL: &str = "policy.change";
const SERVER: &str = "openshell";

/// What is asked.
pub(super) struct Asked {
    pub principal: Principal,
    pub proposed: Option<Struct>,
    pub enforcement_point: String,
}

/// Scores every proposed change against the intent of the sandbox; one that is stopped stops all.
///
/// # Errors
/// A change has no score, and the policy leaves that to the gateway.
pub(super) async fn decide(
    of: &OpenShell,
    guest: &Guest,
    mut caller: Caller,
    asked: Asked,
    deadline: Instant,
) -> Result<InterceptorResult, Status> {
    let chunks = fields::list(asked.proposed.as_ref(), &["proposedChunks"]);
    if chunks.is_empty() {
        return Ok(allowed([]));
    }
    if chunks.len() > CHUNKS {
        let reason = format!("{} changes at once, at most {CHUNKS} are looked at", chunks.len());
        return Ok(denied("INVALID_ARGUMENT", &reason, &[]));
    }
    let decider = of.0.front.decider()?;
    let sandbox = said(&asked.principal, "sandbox_id");
    if !sandbox.is_empty() {
        guest.vouch(&mut caller, sandbox);
    }
    let call = caller.one(deadline);
    let requests = chunks.iter().map(|chunk| request(chunk, sandbox, &asked.enforcement_point));
    let answers = join_all(requests.map(|request| decider.hold(request, &caller, &call))).await;
    let answers: Vec<_> = answers.into_iter().collect::<Result<_, _>>().map_err(|e| errors::status(&e))?;
    let stopped = answers.iter().find(|answer| answer.outcome() == v1::Outcome::Stop);
    Ok(match stopped.or(answers.first()) {
        Some(answer) => result(answer, stopped.is_some()),
        None => allowed([]),
    })
}

/// The reason is shown to the agent: a code, no text.
fn result(answer: &v1::ScoreResponse, is_stopped: bool) -> InterceptorResult {
    let drift = answer.drift.map(|drift| format!("{drift:.3}")).unwrap_or_default();
    let annotations = [
        ("rhumb.decision", answer.decision_id.as_str()),
        ("rhumb.verdict", answer.verdict().as_str_name()),
        ("rhumb.drift", drift.as_str()),
        ("rhumb.reason", answer.reason_code.as_str()),
    ];
    match is_stopped {
        true => denied("PERMISSION_DENIED", &answer.reason_code, &annotations),
        false => allowed(annotations),
    }
}

fn request(chunk: &Value, sandbox: &str, enforcement_point: &str) -> v1::ScoreRequest {
    let chunk = fields::object(chunk);
    let rule = fields::at(chunk, &["proposedRule"]).cloned().unwrap_or_default();
    let action = v1::Action {
        tool: TOOL.to_owned(),
        tool_description: "Changes what the sandbox may reach.".to_owned(),
        server: SERVER.to_owned(),
        arguments: Some(Struct { fields: [("proposedRule".to_owned(), rule)].into() }),
        text: fields::text(chunk, &["rationale"]).to_owned(),
        effect: v1::Effect::Write.into(),
        ..v1::Action::default()
    };
    v1::ScoreRequest {
        action: Some(action),
        chain: (!sandbox.is_empty()).then(|| super::middleware::chain(sandbox.to_owned())),
        enforcement_point: enforcement_point.to_owned(),
        ..v1::ScoreRequest::default()
    }
}
