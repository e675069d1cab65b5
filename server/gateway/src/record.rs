//! What of a request and its answer goes into the ledger.
//!
//! Words of users stand apart from the rest (`content`), so that they can be encrypted, erased or left out while the
//! decision stays whole: the request itself, and what evidence quotes of it.

use rhumb_drift::{Effect, Status, Verdict};
use rhumb_ledger::record::{IntentRef, Position};
use rhumb_ledger::{Content, Decision};
use rhumb_proto::v1;
use serde_json::{Map, Value, json};

use crate::errors::Broken;

/// Fields of the evidence that hold words of users.
const QUOTING: [&str; 4] = ["values", "unmatchedWords", "findings", "weakestSegment"];

/// Who asked, as far as the record is concerned.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The request, without its token.
    pub request: &'a v1::ScoreRequest,
    /// On whose account.
    pub tenant: &'a str,
    /// The authenticated caller; empty where callers are not.
    pub caller: &'a str,
}

/// A decision to record.
///
/// # Errors
/// If a message cannot be written as JSON, which has no known cause.
pub fn decision(asked: Asked<'_>, response: &v1::ScoreResponse) -> Result<Decision, Broken> {
    let request = serde_json::to_value(asked.request).map_err(Broken::new)?;
    let mut answer = serde_json::to_value(response).map_err(Broken::new)?;
    let quoted = take_words(&mut answer);
    let action = asked.request.action.clone().unwrap_or_default();
    let intent = response.intent.as_ref();
    let given = asked.request.intent.as_ref().map(|i| i.principal.as_str());
    Ok(Decision {
        id: response.decision_id.clone(),
        request_id: asked.request.request_id.clone(),
        tenant: asked.tenant.to_owned(),
        caller: asked.caller.to_owned(),
        enforcement_point: asked.request.enforcement_point.clone(),
        request_digest: rhumb_ledger::intent::digest_of(&request),
        action_digest: action_digest(&request),
        intent: intent.filter(|i| !i.intent_id.is_empty()).map(reference),
        provenance: response.provenance().as_str_name().to_owned(),
        principal: intent.map(|i| i.principal.as_str()).or(given).unwrap_or_default().to_owned(),
        chain: position(asked.request, response),
        effect: effect(action.effect()),
        tool: action.tool,
        server: action.server,
        status: status(response.status()),
        verdict: verdict(response.verdict()),
        reason: response.reason_code.clone(),
        drift: response.drift,
        threshold: response.threshold,
        response: answer,
        content: Content::Plain(json!({"request": request, "evidence": quoted})),
    })
}

/// Puts the words back into an answer that was recorded without them.
pub fn put_words(answer: &mut Value, quoted: &Value) {
    let Some(quoted) = quoted.as_object() else { return };
    for (name, words) in quoted {
        let place = match name.as_str() {
            "detail" => Some(&mut *answer),
            _ => answer.get_mut("evidence"),
        };
        if let Some(Value::Object(place)) = place {
            place.insert(name.clone(), words.clone());
        }
    }
}

/// Takes what quotes users out of an answer.
fn take_words(answer: &mut Value) -> Value {
    let mut quoted = Map::new();
    let mut take = |from: Option<&mut Value>, name: &str| {
        if let Some(words) = from.and_then(Value::as_object_mut).and_then(|map| map.remove(name)) {
            quoted.insert(name.to_owned(), words);
        }
    };
    take(Some(answer), "detail");
    QUOTING.iter().for_each(|name| take(answer.get_mut("evidence"), name));
    Value::Object(quoted)
}

fn action_digest(request: &Value) -> String {
    let action = request.get("action");
    let field = |name| action.and_then(|a| a.get(name)).cloned().unwrap_or_default();
    rhumb_ledger::intent::digest_of(&json!({
        "server": field("server"), "tool": field("tool"), "text": field("text"),
        "arguments": action.and_then(|a| a.get("arguments").or(a.get("argumentsJson"))),
    }))
}

fn reference(intent: &v1::IntentReference) -> IntentRef {
    IntentRef { id: intent.intent_id.clone(), version: intent.version, digest: intent.digest.clone() }
}

fn position(request: &v1::ScoreRequest, response: &v1::ScoreResponse) -> Option<Position> {
    let state = response.chain.as_ref()?;
    let asked = request.chain.clone().unwrap_or_default();
    Some(Position {
        id: state.chain_id.clone(),
        hop: state.hop,
        agent: asked.agent,
        delegator: asked.delegator,
        step_drift: state.step_drift,
        instruction_drift: state.instruction_drift,
    })
}
