//! What of a request may lead to an intent.

use rhumb_ledger::intent::carriers::TokenPlace;
use rhumb_ledger::intent::config::META_PREFIX;
use rhumb_ledger::{BindingKey, BindingKind};
use serde_json::{Map, Value};

use super::Headers;
use super::query::decode;

/// Characters of an id of an intent.
const ULID: usize = 26;
/// What W3C allows of baggage.
const BAGGAGE_BYTES: usize = 8192;
const BAGGAGE_MEMBERS: usize = 64;
/// The member of baggage.
const HINT: &str = "rhumb.intent_id";
/// Our member of `_meta` and of A2A metadata, below the prefix.
const TOKEN: &str = "intent-token";
/// Members of `_meta` that propagate a trace.
const TRACES: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// What of a request, or of one call, may lead to an intent. Where the whole message and a call both carry something, both
/// count: two that differ are a conflict.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Carried {
    /// Tokens with their places, each as often as it was given.
    pub tokens: Vec<(TokenPlace, String)>,
    /// Session, trace and context; those that could be bound, at least: 1 to 256 printable characters.
    pub keys: Vec<BindingKey>,
    /// `rhumb.intent_id` of the baggage; empty where there is none.
    pub hint_id: String,
}

impl Carried {
    pub(super) fn of_headers(headers: &Headers) -> Self {
        let mut carried = Self::default();
        for (name, place) in [("txn-token", TokenPlace::TxnToken), ("rhumb-intent", TokenPlace::RhumbIntent)]
        {
            let tokens = headers.get_all(name).map(|token| (place, token.trim().to_owned()));
            carried.tokens.extend(tokens);
        }
        headers.get_all("mcp-session-id").for_each(|id| carried.key(BindingKind::McpSession, id.trim()));
        headers.get_all("traceparent").for_each(|parent| carried.trace(parent));
        // Lines of baggage are one list.
        carried.hint(&headers.get_all("baggage").collect::<Vec<_>>().join(","));
        carried
    }

    /// `_meta` of MCP.
    pub(super) fn of_meta(meta: &Map<String, Value>) -> Self {
        let mut carried = Self::default();
        carried.token(TokenPlace::McpMeta, meta);
        let text = |name: &str| meta.get(name).and_then(Value::as_str);
        text("traceparent").into_iter().for_each(|parent| carried.trace(parent));
        text("baggage").into_iter().for_each(|baggage| carried.hint(baggage));
        carried
    }

    /// A message of A2A.
    pub(super) fn of_message(message: &Map<String, Value>) -> Self {
        let mut carried = Self::default();
        if let Some(Value::Object(metadata)) = message.get("metadata") {
            carried.token(TokenPlace::A2aMetadata, metadata);
        }
        for name in ["contextId", "context_id"] {
            let id = message.get(name).and_then(Value::as_str);
            id.into_iter().for_each(|id| carried.key(BindingKind::A2aContext, id));
        }
        carried
    }

    /// Whether a member of metadata carries an intent, and is no part of the action.
    pub(super) fn is_carrier(name: &str) -> bool {
        TRACES.contains(&name) || name.strip_prefix(META_PREFIX) == Some(TOKEN)
    }

    /// What is no string is given all the same: a token that was broken must not help more than none.
    fn token(&mut self, place: TokenPlace, members: &Map<String, Value>) {
        let token = members.get(&format!("{META_PREFIX}{TOKEN}"));
        let written = |token: &Value| token.as_str().map_or_else(|| token.to_string(), str::to_owned);
        self.tokens.extend(token.map(|token| (place, written(token))));
    }

    fn key(&mut self, kind: BindingKind, value: &str) {
        let is_key = (1..=256).contains(&value.len()) && value.bytes().all(|b| (b' '..=b'~').contains(&b));
        let key = BindingKey { kind, value: value.to_owned() };
        if is_key && !self.keys.contains(&key) {
            self.keys.push(key);
        }
    }

    fn trace(&mut self, parent: &str) {
        if let Some(id) = trace_id(parent.trim()) {
            self.key(BindingKind::Trace, id);
        }
    }

    fn hint(&mut self, baggage: &str) {
        if baggage.len() > BAGGAGE_BYTES {
            return;
        }
        let members = baggage.split(',').take(BAGGAGE_MEMBERS);
        let named = members.filter_map(|member| member.split(';').next()?.split_once('='));
        let ids = named.filter(|(name, _)| name.trim() == HINT).map(|(_, id)| decode(id.trim(), false));
        self.hint_id = { ids }.find(|id| is_ulid(id)).unwrap_or_default();
    }
}

/// The trace id of `00-<32 digits>-<16>-<2>`. Later versions may have more at the end.
fn trace_id(parent: &str) -> Option<&str> {
    let mut fields = parent.split('-');
    let (version, trace, span, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let is_hex =
        |text: &str, len| text.len() == len && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let is_nonzero = |text: &str| text.bytes().any(|b| b != b'0');
    let is_known = version != "00" || fields.next().is_none();
    let is_shaped = is_hex(version, 2) && version != "ff" && is_hex(span, 16) && is_hex(flags, 2) && is_known;
    (is_shaped && is_hex(trace, 32) && is_nonzero(trace)).then_some(trace)
}

pub(super) fn is_ulid(text: &str) -> bool {
    let is_digit =
        |b: u8| b.is_ascii_alphanumeric() && !matches!(b.to_ascii_uppercase(), b'I' | b'L' | b'O' | b'U');
    text.len() == ULID && text.bytes().all(is_digit) && text.starts_with(|c| ('0'..='7').contains(&c))
}
