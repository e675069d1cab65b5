//! Whole ways: register, carry, look up. One desk stands for the thread that writes.

mod bindings;
mod carriage;
mod foreign;
mod forgery;
mod registering;
mod replay;

use std::sync::Arc;

use serde_json::{Value, json};

use super::apply::apply;
use super::bind::BoundReply;
use super::carriers::{Anchor, CarriedKey, Carriers, Found, NoAnchor, TokenPlace, plain};
use super::config::IntentConfig;
use super::issue::{Issued, TokenRequest};
use super::jws;
use super::register::{Amendment, Registration};
use super::registry::{Caller, Outcome, Registry};
use crate::error::Refusal;
use crate::keys::Keys;
use crate::record::{Approval, BindingKey, BindingKind, Event, Record};
use crate::tables::MemoryTables;

pub const NOW: u64 = 1_795_000_000_000;
pub const HOUR: u64 = 3_600_000;
pub const TEXT: &str = "Pay the bill in bill.txt";

/// The thread that writes: decides, records, applies, replies.
pub struct Desk {
    pub registry: Registry,
    pub keys: Arc<Keys>,
    pub tables: MemoryTables,
    pub log: Vec<Record>,
    pub now: u64,
}

impl Desk {
    pub fn new() -> Self {
        Self::with(IntentConfig::default())
    }

    pub fn with(config: IntentConfig) -> Self {
        let keys = Arc::new(Keys::ephemeral().unwrap());
        let registry = Registry::new(config, keys.clone()).unwrap();
        Self { registry, keys, tables: MemoryTables::default(), log: Vec::new(), now: NOW }
    }

    pub fn take<T>(&mut self, outcome: Outcome<T>) -> Result<T, Refusal> {
        for event in outcome.events {
            self.record(event);
        }
        outcome.reply
    }

    pub fn record(&mut self, event: Event) {
        let record = Record { seq: self.log.len() as u64 + 1, time_ms: self.now, event };
        apply(&mut self.tables, &record).unwrap();
        self.log.push(record);
    }

    pub fn register(&mut self, request: &Registration) -> Result<Issued, Refusal> {
        let outcome = self.registry.decide_register(&self.tables, &caller(), self.now, request).unwrap();
        self.take(outcome)
    }

    pub fn registered(&mut self, text: &str) -> Issued {
        self.register(&request(text)).unwrap()
    }

    pub fn amend(&mut self, old: &Issued, text: &str, keep_old: bool) -> Result<Issued, Refusal> {
        let amendment = amendment(old, text, keep_old);
        let outcome = self.registry.decide_amend(&self.tables, &caller(), self.now, &amendment).unwrap();
        self.take(outcome)
    }

    pub fn revoke(&mut self, id: &str) -> Result<u64, Refusal> {
        let outcome = self.registry.decide_revoke(&self.tables, &caller(), self.now, id, "done").unwrap();
        self.take(outcome)
    }

    pub fn bind(&mut self, id: &str, keys: &[BindingKey]) -> Result<BoundReply, Refusal> {
        let outcome = self.registry.decide_bind(&self.tables, &caller(), self.now, id, keys).unwrap();
        self.take(outcome)
    }

    pub fn token(&mut self, request: &TokenRequest) -> Result<Issued, Refusal> {
        let outcome = self.registry.decide_token(&self.tables, &caller(), self.now, request).unwrap();
        self.take(outcome)
    }

    pub fn found(&self, carriers: &Carriers) -> Found {
        self.registry.lookup(&self.tables, carriers, self.now, &plain).unwrap()
    }

    pub fn look(&self, carriers: &Carriers) -> Result<Anchor, NoAnchor> {
        self.found(carriers).anchor
    }

    /// The reason why a token is refused; empty for a good one.
    pub fn reason_of(&self, token: &str) -> &'static str {
        self.look(&with_token(token)).err().map_or("", |n| n.reason)
    }

    /// Claims of ours, changed and signed with our key.
    pub fn forge(&self, issued: &Issued, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = claims_of(&issued.token);
        change(&mut claims);
        jws::compact(&header(self.keys.kid()), &claims.to_string(), |m| self.keys.sign(m))
    }
}

pub fn caller() -> Caller {
    Caller { tenant: "acme".into(), name: "frontend".into(), authenticated: true }
}

pub fn request(text: &str) -> Registration {
    Registration { text: text.into(), principal: "user:alice".into(), ..Registration::default() }
}

pub fn amendment(old: &Issued, text: &str, keep_old: bool) -> Amendment {
    Amendment {
        intent_id: old.intent_id.clone(),
        version: old.version,
        text: text.into(),
        approval: Approval { approver: "bob".into(), time_ms: NOW, channel: "ticket CHG-1".into() },
        constraints: None,
        expires_ms: None,
        keep_old,
    }
}

pub fn header(kid: &str) -> String {
    json!({"typ": "txntoken+jwt", "alg": "EdDSA", "kid": kid}).to_string()
}

pub fn claims_of(token: &str) -> Value {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

pub fn carriers() -> Carriers {
    Carriers { tenant: "acme".into(), caller: Some("frontend".into()), ..Carriers::default() }
}

pub fn with_token(token: &str) -> Carriers {
    Carriers { tokens: vec![(TokenPlace::Field, token.to_owned())], ..carriers() }
}

pub fn key(kind: BindingKind, value: &str) -> BindingKey {
    BindingKey { kind, value: value.into() }
}

pub fn with_key(key: BindingKey, is_proven: bool) -> Carriers {
    Carriers { keys: vec![CarriedKey { key, is_proven }], ..carriers() }
}
