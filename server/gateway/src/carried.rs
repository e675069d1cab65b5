//! What a message carries, besides the request itself, that may lead to an intent.

use rhumb_ledger::intent::carriers::{CarriedKey, TokenPlace};
use rhumb_ledger::{BindingKey, BindingKind};
use serde_json::{Map, Value};

use crate::message;

/// What a message carries that may lead to an intent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Carried {
    /// Tokens with their places, each as often as it was given.
    pub tokens: Vec<(TokenPlace, String)>,
    /// Keys of bindings.
    pub keys: Vec<CarriedKey>,
    /// Claims whose signature an enforcement point has verified. INVARIANT: only from points that proved who they are.
    pub verified_claims: Vec<Map<String, Value>>,
    /// An id that anybody may have written.
    pub hint_id: String,
}

impl Carried {
    /// Adds a key that somebody says is so.
    pub fn key(&mut self, kind: BindingKind, value: impl Into<String>) {
        self.keys.push(Self::said(BindingKey { kind, value: value.into() }));
    }

    /// Adds a key that the caller's own credential names.
    pub fn proven_key(&mut self, kind: BindingKind, value: impl Into<String>) {
        self.keys.push(CarriedKey { key: BindingKey { kind, value: value.into() }, is_proven: true });
    }

    /// Nothing but keys that somebody says are so.
    pub(crate) fn said(key: BindingKey) -> CarriedKey {
        CarriedKey { key, is_proven: false }
    }

    /// What a part of the message carries, added to what the whole does.
    pub fn and(mut self, part: Self) -> Self {
        self.tokens.extend(part.tokens);
        self.keys.extend(part.keys);
        self.verified_claims.extend(part.verified_claims);
        if self.hint_id.is_empty() {
            self.hint_id = part.hint_id;
        }
        self
    }
}

impl From<message::Carried> for Carried {
    fn from(read: message::Carried) -> Self {
        let message::Carried { tokens, keys, hint_id } = read;
        let keys = keys.into_iter().map(Self::said).collect();
        Self { tokens, keys, hint_id, verified_claims: Vec::new() }
    }
}
