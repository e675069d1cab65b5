//! JSON-RPC: its envelope, its batches, and which method is what.

use rhumb_ledger::intent::reason;
use serde_json::{Map, Value};

use super::carried::Carried;
use super::json::{Document, Entry, Root};
use super::{Broken, Item, Kind, OnUnknown, Passed, Reading, Scoring, Seen, What, a2a, mcp, short};

/// Calls of a batch.
const BATCH: usize = 64;
/// Bytes of an id: it is sent back.
const ID_BYTES: usize = 1024;
/// Members of the envelope, and of parameters, that decide what is called.
const DECIDING: [&str; 12] = [
    "jsonrpc",
    "id",
    "method",
    "params",
    "result",
    "error",
    "name",
    "arguments",
    "uri",
    "_meta",
    "message",
    "parts",
];

/// What the answer to a call must repeat.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RpcId {
    /// There is none.
    #[default]
    Absent,
    /// A string, a number or null, as it was written: `1` and `1.0` stay two, and digits stay as many as they were.
    Value(Box<str>),
}

impl RpcId {
    /// For an answer: as it was written, `null` where there was none.
    pub fn to_json(&self) -> &str {
        match self {
            Self::Absent => "null",
            Self::Value(written) => written,
        }
    }

    fn of(written: Option<String>) -> Result<Self, Broken> {
        let Some(written) = written else { return Ok(Self::Absent) };
        let is_id = written == "null"
            || written.starts_with(['"', '-'])
            || written.starts_with(|c: char| c.is_ascii_digit());
        if !is_id || written.len() > ID_BYTES {
            return Err(Broken::unparsable("`id` is no string, number or null, or is too long"));
        }
        Ok(Self::Value(written.into()))
    }
}

/// The calls of a body.
pub(super) fn reading(seen: &Seen<'_>, kind: Kind, document: Document) -> Reading {
    let document = match document.checked() {
        Ok(document) => document,
        Err(broken) => return Reading::of(kind, What::Broken(broken)),
    };
    match document.root {
        Root::One(entry) => Reading::items(kind, false, vec![item(seen, entry)]),
        Root::Many(entries) if entries.is_empty() || entries.len() > BATCH => {
            let detail = format!("a batch of {} calls, 1 to {BATCH} are taken", entries.len());
            Reading::of(kind, What::Broken(Broken::unparsable(detail)))
        }
        Root::Many(entries) => {
            Reading::items(kind, true, entries.into_iter().map(|entry| item(seen, entry)).collect())
        }
    }
}

fn item(seen: &Seen<'_>, entry: Entry) -> Item {
    let broken = |id, broken| Item::new(id, What::Broken(broken));
    let Value::Object(envelope) = entry.value else {
        return broken(RpcId::Absent, Broken::unparsable("a call is no JSON object"));
    };
    match RpcId::of(entry.id) {
        Err(fault) => broken(RpcId::Absent, fault),
        Ok(id) => match call(seen, envelope) {
            Ok((what, carried)) => Item { id, what, carried },
            Err(fault) => broken(id, fault),
        },
    }
}

/// A call, or the parts of one that decide what is done with it.
pub(super) type Read = Result<(What, Carried), Broken>;

fn call(seen: &Seen<'_>, mut envelope: Map<String, Value>) -> Read {
    refuse_lookalikes(&envelope)?;
    if envelope.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(Broken::unparsable("`jsonrpc` is not \"2.0\""));
    }
    let params = envelope.remove("params");
    if let Some(Value::Object(params)) = &params {
        refuse_lookalikes(params)?;
    }
    match envelope.remove("method") {
        Some(Value::String(method)) => {
            mcp::check_headers(seen.message.headers, Some(&method), params.as_ref())?;
            by_method(seen, &method, params)
        }
        Some(_) => Err(Broken::unparsable("`method` is no string")),
        None if envelope.contains_key("result") || envelope.contains_key("error") => {
            mcp::check_headers(seen.message.headers, None, None)?;
            passed(Passed::ClientResponse)
        }
        None => Err(Broken::unparsable("neither `method` nor `result` nor `error`")),
    }
}

fn passed(passed: Passed) -> Read {
    Ok((What::Pass(passed), Carried::default()))
}

/// The table of methods. An id is not asked for: a server may run a call that has none, and an agent that does not wait for
/// the answer would be rid of the score.
fn by_method(seen: &Seen<'_>, method: &str, params: Option<Value>) -> Read {
    let rules = &seen.rules.mcp;
    match method {
        mcp::CALL => mcp::call(seen, params),
        mcp::READ if rules.resources_read == Scoring::Pass => passed(Passed::McpMethod),
        mcp::PROMPT if rules.prompts_get == Scoring::Pass => passed(Passed::McpMethod),
        mcp::READ | mcp::PROMPT => mcp::reads(seen, method, params),
        _ if a2a::is_send(method) => a2a::send(seen, params),
        _ if mcp::is_harmless(method) => passed(Passed::McpMethod),
        _ if a2a::is_harmless(method) => passed(Passed::A2aMethod),
        _ if method.starts_with("notifications/") => passed(Passed::Notification),
        _ => unknown(rules.unknown_method, method),
    }
}

fn unknown(on_unknown: OnUnknown, method: &str) -> Read {
    let plain = fold(method.trim());
    let scored = ["tools/call", "resources/read", "prompts/get", "sendmessage", "sendstreamingmessage"];
    if scored.contains(&plain.as_str()) || plain == "message/send" || plain == "message/stream" {
        return Err(Broken::unparsable("`method` looks like one that is scored"));
    }
    match on_unknown {
        OnUnknown::Pass => passed(Passed::UnknownMethod),
        OnUnknown::Refuse => {
            let detail = format!("method `{}` is not known", short(method));
            Ok((What::Refuse(reason::METHOD_REFUSED, detail), Carried::default()))
        }
    }
}

/// Some parsers take names in any case, and would find a second `params` where there seems to be one.
pub(super) fn refuse_lookalikes(object: &Map<String, Value>) -> Result<(), Broken> {
    let is_lookalike =
        |key: &&String| !DECIDING.contains(&key.as_str()) && DECIDING.contains(&fold(key).as_str());
    match object.keys().filter(|key| key.len() <= 16).find(is_lookalike) {
        Some(key) => Err(Broken::unparsable(format!("key `{}` looks like one that decides", short(key)))),
        None => Ok(()),
    }
}

/// Lower case as such parsers see it: the long s and the sign of kelvin are letters of ASCII to them.
fn fold(name: &str) -> String {
    let plain = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    name.chars().map(plain).collect()
}
