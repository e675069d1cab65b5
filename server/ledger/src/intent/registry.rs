//! Decisions about intents: tables, time and a request to events and a reply. Nothing is changed here; the one thread that
//! writes records the events, brings the tables up to them with [`apply`](super::apply::apply), and then gives the reply.

use std::sync::Arc;

use rhumb_drift::InputError;
use ring::rand::{SecureRandom as _, SystemRandom};
use ulid::Ulid;

use super::config::IntentConfig;
use super::issuer::Issuers;
use super::reason;
use super::state::{self, Head, Version};
use super::token::Fault;
use crate::error::{LedgerError, Refusal, RefusalKind};
use crate::keys::Keys;
use crate::record::{Event, IntentVersion, Revocation};
use crate::tables::Read;

/// What is to be recorded, and then to be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome<T> {
    /// To be recorded in this order, also where the reply is a refusal.
    pub events: Vec<Event>,
    /// For the caller, once the events are recorded.
    pub reply: Result<T, Refusal>,
}

impl<T> Outcome<T> {
    pub(super) fn refused(kind: RefusalKind, reason: &'static str, detail: impl Into<String>) -> Self {
        Self { events: Vec::new(), reply: Err(Refusal::new(kind, reason, detail)) }
    }
}

impl<T> From<Refusal> for Outcome<T> {
    fn from(refusal: Refusal) -> Self {
        Self { events: Vec::new(), reply: Err(refusal) }
    }
}

/// Who calls, on whose account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Caller {
    /// On whose account; empty is a tenant too.
    pub tenant: String,
    /// Its name; may be empty where the deployment vouches for everybody who reaches the port.
    pub name: String,
    /// Whether it is known, by mTLS, a bearer token, or the deployment's word for everybody.
    pub authenticated: bool,
}

/// An intent with its versions, the oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Registered {
    /// The intent.
    pub head: Head,
    /// The versions.
    pub versions: Vec<Version>,
}

/// Decides about intents.
#[derive(Debug, Clone)]
pub struct Registry {
    pub(super) config: IntentConfig,
    pub(super) keys: Arc<Keys>,
    pub(super) issuers: Issuers,
}

impl Registry {
    /// A registry that signs with `keys`. After a rotation, make a new one.
    ///
    /// # Errors
    /// Names the field of the configuration, or the file of an issuer's keys.
    pub fn new(config: IntentConfig, keys: Arc<Keys>) -> Result<Self, LedgerError> {
        let issuers = Issuers::load(&config, keys.public())?;
        Ok(Self { config, keys, issuers })
    }

    /// The configuration.
    pub fn config(&self) -> &IntentConfig {
        &self.config
    }

    /// The public keys as a JWK set.
    pub fn jwks(&self) -> String {
        self.keys.jwks()
    }

    /// An intent with all versions; `None` where this tenant has none of this id.
    ///
    /// # Errors
    /// If the store fails.
    pub fn get(&self, tables: &dyn Read, tenant: &str, id: &str) -> Result<Option<Registered>, LedgerError> {
        let Some(head) = own_head(tables, tenant, id)? else { return Ok(None) };
        let versions = state::versions(tables, &head.id)?;
        Ok(Some(Registered { head, versions }))
    }

    /// Ends an intent; one that is revoked already stays as it is. The reply is when it was, in milliseconds since 1970.
    ///
    /// # Errors
    /// If a field cannot be used, or the store fails.
    pub fn decide_revoke(
        &self,
        tables: &dyn Read,
        caller: &Caller,
        now_ms: u64,
        id: &str,
        why: &str,
    ) -> Result<Outcome<u64>, LedgerError> {
        check_length("reason", why, 0, 1024)?;
        if let Err(refusal) = authenticated(caller) {
            return Ok(refusal.into());
        }
        let Some(head) = own_head(tables, &caller.tenant, id)? else { return Ok(not_found().into()) };
        if let Some(revoked) = head.revoked {
            return Ok(Outcome { events: Vec::new(), reply: Ok(revoked.at_ms) });
        }
        let event = Revocation { intent: head.id, reason: why.to_owned(), caller: caller.name.clone() };
        Ok(Outcome { events: vec![Event::Revoked(event)], reply: Ok(now_ms) })
    }
}

/// The current version of an intent, if it has not ended.
pub(super) fn current(
    tables: &dyn Read,
    head: &Head,
    now_ms: u64,
) -> Result<Result<IntentVersion, Refusal>, LedgerError> {
    if let Err(fault) = alive(head, now_ms) {
        return Ok(Err(refusal_of(fault)));
    }
    let version = state::version(tables, &head.id, head.version)?;
    let missing = || LedgerError::Damaged {
        place: format!("intent {}", head.id),
        problem: format!("version {} is missing", head.version),
    };
    version.map(|v| Ok(v.intent)).ok_or_else(missing)
}

/// Whether an intent was neither revoked nor over at a time.
pub(super) fn alive(head: &Head, at_ms: u64) -> Result<(), Fault> {
    if head.revoked.as_ref().is_some_and(|r| r.at_ms <= at_ms) {
        return Err(Fault::new(reason::INTENT_REVOKED, "the intent was revoked"));
    }
    if head.expires_ms <= at_ms {
        return Err(Fault::new(reason::INTENT_EXPIRED, "the intent has ended"));
    }
    Ok(())
}

/// What a fault of a token or an intent means to somebody who wants to change something.
pub(super) fn refusal_of(fault: Fault) -> Refusal {
    let kind = match fault.reason {
        reason::INTENT_REVOKED | reason::INTENT_EXPIRED | reason::INTENT_SUPERSEDED => {
            RefusalKind::FailedPrecondition
        }
        reason::INTENT_TEXT_UNAVAILABLE => RefusalKind::NotFound,
        _ => RefusalKind::Unauthenticated,
    };
    Refusal::new(kind, fault.reason, fault.detail)
}

/// The intent of this id, if it is this tenant's.
pub(super) fn own_head(tables: &dyn Read, tenant: &str, id: &str) -> Result<Option<Head>, LedgerError> {
    Ok(state::head(tables, id)?.filter(|head| head.tenant == tenant))
}

pub(super) fn not_found() -> Refusal {
    Refusal::new(RefusalKind::NotFound, reason::INTENT_NOT_FOUND, "no such intent")
}

pub(super) fn authenticated(caller: &Caller) -> Result<(), Refusal> {
    if caller.authenticated {
        return Ok(());
    }
    let detail = "only an authenticated caller may do this";
    Err(Refusal::new(RefusalKind::Unauthenticated, reason::CALLER_UNAUTHENTICATED, detail))
}

/// Refuses a text that is shorter or longer, in bytes, or has control characters.
pub(super) fn check_length(field: &str, text: &str, least: usize, most: usize) -> Result<(), InputError> {
    if !(least..=most).contains(&text.len()) {
        return Err(InputError::new(field, format!("{} bytes, {least} to {most} are taken", text.len())));
    }
    if text.chars().any(char::is_control) {
        return Err(InputError::new(field, "has control characters"));
    }
    Ok(())
}

/// A fresh ULID.
pub(super) fn fresh_id(now_ms: u64) -> Result<String, LedgerError> {
    let mut random = [0; 16];
    let failed = |_| LedgerError::Store("no randomness for an id".to_owned());
    SystemRandom::new().fill(&mut random).map_err(failed)?;
    // A ULID holds 48 bits of time and 80 bits at random.
    Ok(Ulid::from_parts(now_ms & ((1 << 48) - 1), u128::from_be_bytes(random) >> 48).to_string())
}
