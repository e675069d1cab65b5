//! What of a request and its answer goes into the ledger.
//!
//! Words of users stand apart from the rest (`content`), so that they can be encrypted, erased or left out while the
//! decision stays whole: the request itself, and what evidence quotes of it.

use std::sync::OnceLock;

use rhumb_drift::render::floor_boundary;
use rhumb_ledger::intent::action::{action_digest, value_digest};
use rhumb_ledger::intent::canon;
use rhumb_ledger::record::{IntentRef, Position};
use rhumb_ledger::{Content, Decision};
use rhumb_proto::v1;
use serde_json::{Map, Value, json};

use crate::convert;
use crate::errors::GatewayError;

/// Bytes of a name in a record.
const NAME_BYTES: usize = 1024;
/// Fields of the evidence that hold words of users.
const QUOTING: [&str; 4] = ["values", "unmatchedWords", "findings", "weakestSegment"];

/// A request, without its token, as it is recorded; written when it is first asked for, since nobody asks where there is
/// neither ledger nor chain.
#[derive(Debug)]
pub struct Written<'a> {
    request: &'a v1::ScoreRequest,
    json: OnceLock<Value>,
    digest: OnceLock<String>,
}

impl<'a> Written<'a> {
    /// Of a request.
    pub fn of(request: &'a v1::ScoreRequest) -> Self {
        Self { request, json: OnceLock::new(), digest: OnceLock::new() }
    }

    /// Its JSON. A request with enum values that nobody knows has none; its bytes stand for it then.
    fn json(&self) -> &Value {
        self.json.get_or_init(|| {
            serde_json::to_value(self.request).unwrap_or_else(|_| {
                let bytes = canon::digest(prost::Message::encode_to_vec(self.request));
                json!({"requestId": cut(&self.request.request_id), "unreadable": bytes})
            })
        })
    }

    /// `sha256:` and the digest of its canonical form.
    pub fn digest(&self) -> &str {
        self.digest.get_or_init(|| value_digest(self.json()))
    }

    /// The id that the caller gave it; may be empty.
    pub fn request_id(&self) -> &str {
        &self.request.request_id
    }

    /// What tells requests of a chain apart: an id may be used again for another action, as JSON-RPC clients do that
    /// count from 1 in every session. Empty for a request without an id.
    pub fn key(&self) -> String {
        let id = self.request_id();
        if id.is_empty() { String::new() } else { key(id, self.digest()) }
    }
}

/// See [`Written::key`].
pub fn key(request_id: &str, digest: &str) -> String {
    if request_id.is_empty() { String::new() } else { format!("{request_id} {digest}") }
}

/// Who asked, as far as the record is concerned.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The request, without its token.
    pub written: &'a Written<'a>,
    /// On whose account.
    pub tenant: &'a str,
    /// The authenticated caller; empty where callers are not.
    pub caller: &'a str,
    /// Who acts.
    pub agent: &'a str,
    /// Who delegated.
    pub delegator: &'a str,
    /// The threshold of the drift of the instruction that was handed down.
    pub instruction_threshold: Option<f64>,
}

/// A decision to record.
///
/// # Errors
/// If a message cannot be written as JSON, which has no known cause.
pub fn decision(asked: Asked<'_>, response: &v1::ScoreResponse) -> Result<Decision, GatewayError> {
    let (request, json) = (asked.written.request, asked.written.json());
    let mut answer = serde_json::to_value(response).map_err(GatewayError::broken)?;
    let quoted = take_words(&mut answer);
    let action = request.action.clone().unwrap_or_default();
    let digest = convert::action(action.clone()).map(|action| action_digest(&action)).unwrap_or_default();
    let intent = response.intent.as_ref();
    let given = request.intent.as_ref().map(|i| i.principal.as_str());
    let effect = convert::effect(action.effect).unwrap_or_default();
    Ok(Decision {
        id: response.decision_id.clone(),
        request_id: cut(&request.request_id),
        tenant: asked.tenant.to_owned(),
        caller: asked.caller.to_owned(),
        enforcement_point: cut(&request.enforcement_point),
        request_digest: asked.written.digest().to_owned(),
        action_digest: digest,
        intent: intent.filter(|i| !i.intent_id.is_empty()).map(reference),
        provenance: response.provenance().as_str_name().to_owned(),
        principal: cut(intent.map(|i| i.principal.as_str()).or(given).unwrap_or_default()),
        chain: position(asked, response),
        effect,
        tool: cut(&action.tool),
        server: cut(&action.server),
        status: convert::known_status(response.status()),
        verdict: convert::known_verdict(response.verdict()),
        reason: response.reason_code.clone(),
        drift: response.drift,
        threshold: response.threshold,
        response: answer,
        content: Content::Plain(json!({"request": json, "evidence": quoted})),
    })
}

/// A recorded answer as it was given, as far as its words are kept.
///
/// # Errors
/// If what was recorded is no answer.
pub fn response(decision: &Decision) -> Result<v1::ScoreResponse, GatewayError> {
    let mut answer = decision.response.clone();
    if let Content::Plain(content) = &decision.content {
        put_words(&mut answer, content.get("evidence").unwrap_or(&Value::Null));
    }
    serde_json::from_value(answer).map_err(GatewayError::broken)
}

/// What was told of the chain with a decision; nothing of one that belongs to none.
pub(crate) fn chain_state(decision: &Decision) -> v1::ChainState {
    let state = decision.response.get("chain").cloned().unwrap_or_default();
    serde_json::from_value(state).unwrap_or_default()
}

/// A recorded request, if it is kept.
///
/// # Errors
/// If what was recorded is no request.
pub fn request(decision: &Decision) -> Result<Option<v1::ScoreRequest>, GatewayError> {
    let Content::Plain(content) = &decision.content else { return Ok(None) };
    let request = content.get("request").cloned().unwrap_or_default();
    if request.get("unreadable").is_some() {
        return Ok(None);
    }
    serde_json::from_value(request).map(Some).map_err(GatewayError::broken)
}

/// Puts the words back into an answer that was recorded without them.
fn put_words(answer: &mut Value, quoted: &Value) {
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

/// Names of a request that was refused for their length are not recorded whole: they are in no content that can be
/// encrypted or left out.
fn cut(name: &str) -> String {
    name.get(..floor_boundary(name, NAME_BYTES)).unwrap_or_default().to_owned()
}

fn reference(intent: &v1::IntentReference) -> IntentRef {
    IntentRef { id: intent.intent_id.clone(), version: intent.version, digest: intent.digest.clone() }
}

fn position(asked: Asked<'_>, response: &v1::ScoreResponse) -> Option<Position> {
    let state = response.chain.as_ref().filter(|state| !state.chain_id.is_empty())?;
    Some(Position {
        id: state.chain_id.clone(),
        hop: state.hop,
        agent: asked.agent.to_owned(),
        delegator: asked.delegator.to_owned(),
        step_drift: state.step_drift,
        instruction_drift: state.instruction_drift,
        instruction_threshold: asked.instruction_threshold,
    })
}
