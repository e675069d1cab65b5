//! A good token against what is registered.

use super::reason;
use super::registry::alive;
use super::state::{self, Head, Version};
use super::token::{Fault, Verified, check_delegation};
use crate::error::LedgerError;
use crate::tables::Read;

/// What is known of an intent, or the fault of its token.
pub(super) type Settled = Result<Option<(Head, Version)>, Fault>;

/// The intent and version that a token names, as they were at `at_ms`; `None` where they are not in our tables.
///
/// Checks in this order: digest, revoked or over, superseded, delegation.
pub(super) fn settle(
    tables: &dyn Read,
    tenant: &str,
    token: &Verified,
    at_ms: u64,
) -> Result<Settled, LedgerError> {
    let head = match &token.intent_id {
        Some(id) => state::head(tables, id)?,
        None => None,
    };
    let Some(head) = head else { return Ok(check_delegation(&token.actors).map(|()| None)) };
    if head.tenant != tenant {
        return Ok(Err(Fault::new(reason::INTENT_ISSUER, "its intent is not of this tenant")));
    }
    let number = match token.version {
        Some(number) => number,
        None => number_at(tables, &head, at_ms)?,
    };
    let version = state::version(tables, &head.id, number)?;
    let known = version.as_ref().map(|v| v.intent.digest.as_str());
    if known.zip(token.digest.as_deref()).is_some_and(|(known, given)| known != given) {
        return Ok(Err(Fault::new(reason::INTENT_TAMPERED, "not the digest that was registered")));
    }
    let checks = alive(&head, at_ms)
        .and(not_superseded(tables, &head, number, at_ms)?)
        .and_then(|()| check_delegation(&token.actors));
    Ok(checks.map(|()| version.map(|version| (head, version))))
}

/// The version that was current at a time; the first where there was none yet, as clocks differ.
pub(super) fn number_at(tables: &dyn Read, head: &Head, at_ms: u64) -> Result<u32, LedgerError> {
    let mut number = head.version;
    while number > 1 {
        match state::version(tables, &head.id, number)? {
            Some(version) if version.created_ms > at_ms => number -= 1,
            _ => break,
        }
    }
    Ok(number)
}

/// Whether a version counts at a time: it is current, or every amendment since keeps the old one.
pub(super) fn not_superseded(
    tables: &dyn Read,
    head: &Head,
    number: u32,
    at_ms: u64,
) -> Result<Result<(), Fault>, LedgerError> {
    for later in number.saturating_add(1)..=head.version {
        let Some(version) = state::version(tables, &head.id, later)? else { continue };
        if version.created_ms <= at_ms && !version.intent.keep_old {
            return Ok(Err(Fault::new(reason::INTENT_SUPERSEDED, "the intent was amended since")));
        }
    }
    Ok(Ok(()))
}
