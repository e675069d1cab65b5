//! Whether a call's tokens say which intent it serves.

use rhumb_ledger::intent::reason;

use crate::anchor::carriers;
use crate::caller::Caller;
use crate::decide::Decider;
use crate::errors::GatewayError;

/// Whether the tokens of a call lead to an intent, or should: one of ours that is broken must not make room for a weaker
/// reference. Another issuer's token says nothing.
///
/// # Errors
/// If the store fails.
pub fn token_decides(decider: &Decider, caller: &Caller) -> Result<bool, GatewayError> {
    if caller.carried.tokens.is_empty() {
        return Ok(false);
    }
    let anchor = decider.anchor(&carriers(&mut None, &[], "", caller)?)?;
    Ok(anchor.err().is_none_or(|why| why.reason != reason::INTENT_MISSING))
}
