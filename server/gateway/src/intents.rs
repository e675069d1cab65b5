//! Messages of the intents to the registry's types and back.

use pbjson_types::Timestamp;
use rhumb_drift::InputError;
use rhumb_ledger::intent::bind::BoundReply;
use rhumb_ledger::intent::constraints::Constraints;
use rhumb_ledger::intent::issue::Issued;
use rhumb_ledger::intent::register::{Amendment, Registration};
use rhumb_ledger::intent::registry::{Caller as Registrar, Outcome, Registered};
use rhumb_ledger::intent::state::Version;
use rhumb_ledger::{Ledger, LedgerError, record};
use rhumb_proto::v1;

use crate::anchor::{binding, keys};
use crate::caller::Caller;
use crate::convert;

/// Who registers. Without configured callers the deployment vouches for everybody who reaches the port.
pub fn registrar(caller: &Caller) -> Registrar {
    Registrar {
        tenant: caller.tenant.as_str().to_owned(),
        name: caller.name().to_owned(),
        authenticated: true,
    }
}

/// What the ledger's thread is to record, and to answer then.
pub fn outcome<T>(decided: Result<Outcome<T>, LedgerError>) -> rhumb_ledger::Outcome<T> {
    match decided {
        Ok(Outcome { events, reply }) => {
            rhumb_ledger::Outcome { events, reply: reply.map_err(LedgerError::from) }
        }
        Err(error) => rhumb_ledger::Outcome::refused(error),
    }
}

/// A registration of a message.
///
/// # Errors
/// Names the field that cannot be used.
pub fn registration(request: v1::RegisterIntentRequest) -> Result<Registration, InputError> {
    let intent = request.intent.ok_or_else(|| InputError::new("intent", "is missing"))?;
    if !intent.token.is_empty() || !intent.intent_id.is_empty() {
        let problem = "a token or id is of an intent that is registered already";
        return Err(InputError::new("intent", problem));
    }
    Ok(Registration {
        text: intent.text,
        principal: intent.principal,
        constraints: constraints(request.constraints.unwrap_or_default())?,
        expires_ms: request.expires.map(|t| millis("expires", &t)).transpose()?,
        requester: request.requester,
        scope: request.scope,
        authentication: request.authentication,
        bindings: keys(&request.bindings)?,
        request_id: request.request_id,
    })
}

/// An amendment of a message.
///
/// # Errors
/// Names the field that cannot be used.
pub fn amendment(request: v1::AmendIntentRequest) -> Result<Amendment, InputError> {
    let approval = request.approval.ok_or_else(|| InputError::new("approval", "is missing"))?;
    let time = approval.time.ok_or_else(|| InputError::new("approval.time", "is missing"))?;
    Ok(Amendment {
        intent_id: request.intent_id,
        version: request.version,
        text: request.text,
        approval: record::Approval {
            approver: approval.approver,
            time_ms: millis("approval.time", &time)?,
            channel: approval.channel,
        },
        constraints: request.constraints.map(constraints).transpose()?,
        expires_ms: request.expires.map(|t| millis("expires", &t)).transpose()?,
        keep_old: request.keep_old,
    })
}

fn constraints(limits: v1::IntentConstraints) -> Result<Constraints, InputError> {
    let named = |e: InputError| InputError::new("constraints.effects", e.problem);
    let effects = limits.effects.into_iter().map(|effect| convert::effect(effect).map_err(named));
    let end = limits.not_after.map(|t| millis("constraints.notAfter", &t)).transpose()?;
    Ok(Constraints {
        tools: limits.tools,
        servers: limits.servers,
        effects: effects.collect::<Result<_, _>>()?,
        max_amount: limits.max_amount.into_iter().collect(),
        not_after: end.map(|ms| ms / 1000),
    })
}

fn limits(constraints: &Constraints) -> v1::IntentConstraints {
    let effect = |effect: &rhumb_drift::Effect| convert::effect_message(*effect).into();
    v1::IntentConstraints {
        tools: constraints.tools.clone(),
        servers: constraints.servers.clone(),
        effects: constraints.effects.iter().map(effect).collect(),
        max_amount: constraints.max_amount.iter().map(|(k, v)| (k.clone(), *v)).collect(),
        not_after: constraints.not_after.map(|s| timestamp(s.saturating_mul(1000))),
    }
}

/// A token, and what it is of, as a message.
pub fn issued(issued: Issued) -> v1::RegisterIntentResponse {
    v1::RegisterIntentResponse {
        intent_id: issued.intent_id,
        version: issued.version,
        token: issued.token,
        digest: issued.digest,
        chain_id: issued.chain_id,
        token_expires: Some(timestamp(issued.token_expires_ms)),
        intent_expires: Some(timestamp(issued.intent_expires_ms)),
    }
}

/// Keys that were tied, as a message.
pub fn bound(reply: BoundReply) -> v1::BindIntentResponse {
    let BoundReply { intent_id, version, expires_ms } = reply;
    v1::BindIntentResponse { intent_id, version, expires: Some(timestamp(expires_ms)) }
}

/// An intent with its history as a message; texts as far as they are kept.
pub fn registered(registered: Registered, ledger: &Ledger) -> v1::RegisteredIntent {
    let Registered { head, versions } = registered;
    let constraints = versions.last().and_then(|v| Constraints::from_value(&v.intent.constraints).ok());
    v1::RegisteredIntent {
        intent_id: head.id,
        principal: head.principal,
        versions: versions.into_iter().map(|v| with_text(v, ledger)).collect(),
        expires: Some(timestamp(head.expires_ms)),
        revoked: head.revoked.as_ref().map(|r| timestamp(r.at_ms)),
        revocation_reason: head.revoked.map(|r| r.reason).unwrap_or_default(),
        bindings: head.keys.iter().map(binding).collect(),
        constraints: constraints.filter(|c| !c.is_empty()).as_ref().map(limits),
    }
}

fn with_text(stored: Version, ledger: &Ledger) -> v1::IntentVersion {
    let text = ledger.text_of(&stored.intent).unwrap_or_default();
    version(stored.intent, text, stored.created_ms)
}

/// A version of an intent as a message.
pub fn version(intent: record::IntentVersion, text: String, created_ms: u64) -> v1::IntentVersion {
    let approval = intent.approval.map(|a| v1::Approval {
        approver: a.approver,
        time: Some(timestamp(a.time_ms)),
        channel: a.channel,
    });
    v1::IntentVersion {
        version: intent.version,
        text,
        digest: intent.digest,
        chain_id: intent.chain,
        previous_chain_id: intent.previous_chain.unwrap_or_default(),
        created: Some(timestamp(created_ms)),
        requester: intent.requester,
        approval,
    }
}

/// Milliseconds since 1970 as a message.
pub fn timestamp(ms: u64) -> Timestamp {
    let seconds = i64::try_from(ms / 1000).unwrap_or(i64::MAX);
    let nanos = i32::try_from(ms % 1000).unwrap_or_default() * 1_000_000;
    Timestamp { seconds, nanos }
}

/// A time of a message in milliseconds since 1970.
fn millis(field: &str, time: &Timestamp) -> Result<u64, InputError> {
    let bad = || InputError::new(field, "is no time from 1970 on");
    let seconds = u64::try_from(time.seconds).map_err(|_| bad())?;
    let nanos = u64::try_from(time.nanos).ok().filter(|n| *n < 1_000_000_000).ok_or_else(bad)?;
    seconds.checked_mul(1000).and_then(|ms| ms.checked_add(nanos / 1_000_000)).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_go_there_and_back() {
        for ms in [0, 1, 999, 1_795_000_000_123] {
            assert_eq!(millis("t", &timestamp(ms)), Ok(ms));
        }
        for (seconds, nanos) in [(-1, 0), (0, -1), (0, 1_000_000_000), (i64::MAX, 0)] {
            assert_eq!(millis("t", &Timestamp { seconds, nanos }).unwrap_err().field, "t");
        }
    }

    #[test]
    fn what_is_registered_already_is_not_registered_again() {
        let intent = v1::Intent { intent_id: "x".into(), ..v1::Intent::default() };
        let request = v1::RegisterIntentRequest { intent: Some(intent), ..Default::default() };
        assert_eq!(registration(request).unwrap_err().field, "intent");
    }
}
