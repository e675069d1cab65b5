//! Everything in one request that may lead to an intent, and what was found.

use rhumb_drift::Verdict;
use serde_json::{Map, Value};

use super::config::Provenance;
use super::constraints::Constraints;
use super::reason;
use super::token::Fault;
use crate::record::{BindingKey, Content, IntentRef, IntentVersion};

/// Where a token stood; in the order in which they are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TokenPlace {
    /// `ScoreRequest.intent.token`.
    Field,
    /// Header or metadata `Txn-Token`: may be another issuer's, and is skipped then.
    TxnToken,
    /// Header or metadata `Rhumb-Intent`.
    RhumbIntent,
    /// `message.metadata` of A2A.
    A2aMetadata,
    /// `params._meta` of MCP.
    McpMeta,
    /// Metadata that an enforcement point adds.
    MetadataContext,
}

impl TokenPlace {
    fn name(self) -> &'static str {
        match self {
            Self::Field => "intent.token",
            Self::TxnToken => "Txn-Token",
            Self::RhumbIntent => "Rhumb-Intent",
            Self::A2aMetadata => "A2A metadata",
            Self::McpMeta => "MCP _meta",
            Self::MetadataContext => "metadata context",
        }
    }
}

/// A key of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarriedKey {
    /// The key.
    pub key: BindingKey,
    /// Whether its value was proven: a sandbox id that the caller's own token names.
    pub is_proven: bool,
}

/// Everything in one request that may lead to an intent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Carriers {
    /// On whose account.
    pub tenant: String,
    /// The caller's proven name; `None` where it is not authenticated.
    pub caller: Option<String>,
    /// Tokens with their places. A header that stands twice is here twice. An empty one counts as given, but for that of
    /// the request's field.
    pub tokens: Vec<(TokenPlace, String)>,
    /// Claims that an enforcement point has verified the signature of. INVARIANT: only from points that proved who they
    /// are; leave empty otherwise.
    pub verified_claims: Vec<Map<String, Value>>,
    /// Keys, also the chain id of the request.
    pub keys: Vec<CarriedKey>,
    /// The request's own id of an intent; empty where there is none.
    pub intent_id: String,
    /// An id that anybody may have written, as in `baggage`; empty where there is none.
    pub hint_id: String,
    /// The request's own text; empty where there is none.
    pub text: String,
    /// The request's own principal.
    pub principal: String,
}

impl Carriers {
    /// The tokens in the order of their places.
    ///
    /// # Errors
    /// `intent_malformed` where a place holds two.
    pub(super) fn tokens(&self) -> Result<Vec<(TokenPlace, &str)>, Fault> {
        let is_given = |place, token: &str| place != TokenPlace::Field || !token.is_empty();
        let mut tokens: Vec<_> = self.tokens.iter().map(|(place, token)| (*place, token.as_str())).collect();
        tokens.retain(|(place, token)| is_given(*place, token));
        tokens.sort_by_key(|(place, _)| *place);
        let twice = tokens.windows(2).find(|pair| matches!(pair, [(a, _), (b, _)] if a == b));
        let twice = twice.and_then(|pair| pair.first());
        // Proxies join repeated headers with a comma.
        match twice.or_else(|| tokens.iter().find(|(_, token)| token.contains(','))) {
            Some((place, _)) => Err(Fault::malformed(format!("{}: more than one token", place.name()))),
            None => Ok(tokens),
        }
    }
}

/// What an action is compared with.
#[derive(Debug, Clone, PartialEq)]
pub struct Anchor {
    /// The originating request. Canonical, but for a text that stands for itself: that is as it was given.
    pub text: String,
    /// The accountable human or service.
    pub principal: String,
    /// How far it can be trusted.
    pub provenance: Provenance,
    /// Where it was found, for example `token` or `mcp_session`.
    pub source: &'static str,
    /// The registered intent; absent for a text that stands for itself, or another issuer's.
    pub intent: Option<IntentRef>,
    /// `sha256:...` of the canonical text.
    pub digest: String,
    /// The chain (`txn`), where the source or the registered intent names one.
    pub chain: Option<String>,
    /// To be checked before any model runs.
    pub constraints: Constraints,
    /// Who acts, and the delegators, the nearest first.
    pub actors: Vec<String>,
    /// When token, binding or intent ends, the earliest, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
}

/// Why there is nothing to compare with: status NO_ANCHOR, provenance NONE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoAnchor {
    /// One of the reasons `intent_*`.
    pub reason: &'static str,
    /// For a person; holds no words of users.
    pub detail: String,
    /// What a policy without a word on it may answer.
    pub verdict: Verdict,
}

impl From<Fault> for NoAnchor {
    fn from(fault: Fault) -> Self {
        let verdict = match fault.reason {
            reason::INTENT_MISSING | reason::INTENT_TEXT_UNAVAILABLE => Verdict::Abstain,
            // Somebody can renew or confirm it.
            reason::INTENT_EXPIRED | reason::INTENT_SUPERSEDED => Verdict::Escalate,
            _ => Verdict::Deny,
        };
        Self { reason: fault.reason, detail: fault.detail, verdict }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The anchor, or why there is none.
    pub anchor: Result<Anchor, NoAnchor>,
    /// Tokens of issuers that are not configured for intents.
    pub skipped_tokens: u32,
}

/// Makes kept words readable; `None` where they are not to be had. For a store that keeps text as it is: [`plain`].
pub type Open<'a> = &'a dyn Fn(&IntentVersion) -> Option<String>;

/// The text of a version that is kept as it is.
pub fn plain(version: &IntentVersion) -> Option<String> {
    match &version.text {
        Content::Plain(Value::String(text)) => Some(text.clone()),
        _ => None,
    }
}
