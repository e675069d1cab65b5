//! Recorded decisions as messages, and chains put together from them.

use rhumb_ledger::Stored;
use rhumb_ledger::log::hex;
use rhumb_ledger::record::{Decision, Position};
use rhumb_proto::v1::{self, ChainTrace, Verdict};

use crate::errors::GatewayError;
use crate::intents::timestamp;
use crate::record;

/// A recorded decision as a message.
///
/// # Errors
/// If what was recorded is no decision of ours.
pub fn decision(stored: &Stored<Decision>) -> Result<v1::Decision, GatewayError> {
    let decision = &stored.value;
    Ok(v1::Decision {
        decision_id: decision.id.clone(),
        sequence: stored.seq,
        record_digest: format!("sha256:{}", hex(&stored.digest)),
        time: Some(timestamp(stored.time_ms)),
        request_id: decision.request_id.clone(),
        request_digest: decision.request_digest.clone(),
        action_digest: decision.action_digest.clone(),
        tenant: decision.tenant.clone(),
        caller: decision.caller.clone(),
        enforcement_point: decision.enforcement_point.clone(),
        response: Some(record::response(decision)?),
        request: record::request(decision)?,
    })
}

/// A chain from its decisions, in any order, as they were told: where drift began is what was known after the last of them.
///
/// # Errors
/// If what was recorded is no decision of ours.
pub fn trace(
    chain_id: &str,
    decisions: &[Stored<Decision>],
    intent: Option<v1::RegisteredIntent>,
) -> Result<ChainTrace, GatewayError> {
    let last = decisions.iter().max_by_key(|stored| stored.seq);
    let mut stored: Vec<&Stored<Decision>> = decisions.iter().collect();
    stored.sort_by_key(|stored| (hop(stored), stored.seq));
    let known = last.map(decision).transpose()?.and_then(|d| d.response).and_then(|r| r.chain);
    let first = known.as_ref().and_then(|state| state.first_drifted_hop);
    let messages: Vec<v1::Decision> = stored.iter().map(|s| decision(s)).collect::<Result<_, _>>()?;
    let named = first.and_then(|hop| at(&stored, hop));
    let passed = first.and_then(|hop| passed(&stored, &messages, hop));
    let drifts = messages.iter().filter_map(|d| d.response.as_ref()?.drift);
    let (text, previous, next) = version(intent.as_ref(), chain_id);
    let given = || messages.iter().find_map(|d| Some(d.request.as_ref()?.intent.as_ref()?.text.clone()));
    Ok(ChainTrace {
        chain_id: chain_id.to_owned(),
        intent_text: text.or_else(given).unwrap_or_default(),
        principal: last.map(|stored| stored.value.principal.clone()).unwrap_or_default(),
        first_drifted_hop: first,
        first_drifted_agent: named.map(|p| p.agent.clone()).unwrap_or_default(),
        first_drifted_delegator: named.map(|p| p.delegator.clone()).unwrap_or_default(),
        found_by: known.map(|state| state.found_by).unwrap_or_default(),
        passed_by: passed.as_ref().map(|(point, _)| point.clone()).unwrap_or_default(),
        passed_at_hop: passed.map(|(_, hop)| hop),
        max_drift: drifts.max_by(f64::total_cmp),
        previous_chain_id: previous,
        next_chain_id: next,
        intent,
        decisions: messages,
        cut: false,
    })
}

fn hop(stored: &Stored<Decision>) -> u32 {
    stored.value.chain.as_ref().map_or(0, |position| position.hop)
}

fn at<'a>(stored: &[&'a Stored<Decision>], number: u32) -> Option<&'a Position> {
    stored.iter().find(|s| hop(s) == number)?.value.chain.as_ref()
}

/// The first enforcement point from `first` on that was told to let the action pass.
fn passed(stored: &[&Stored<Decision>], messages: &[v1::Decision], first: u32) -> Option<(String, u32)> {
    let lets_pass = |d: &v1::Decision| {
        d.response.as_ref().is_some_and(|r| matches!(r.verdict(), Verdict::Allow | Verdict::Warn))
    };
    let from = stored.iter().zip(messages).filter(|(s, _)| hop(s) >= first);
    from.into_iter().find(|(_, d)| lets_pass(d)).map(|(s, d)| (d.enforcement_point.clone(), hop(s)))
}

/// Text of the version whose chain this is, and the chains before and after.
fn version(intent: Option<&v1::RegisteredIntent>, chain_id: &str) -> (Option<String>, String, String) {
    let versions = intent.map(|intent| intent.versions.as_slice()).unwrap_or_default();
    let own = versions.iter().find(|v| v.chain_id == chain_id);
    let next = versions.iter().find(|v| v.previous_chain_id == chain_id);
    (
        own.map(|v| v.text.clone()).filter(|text| !text.is_empty()),
        own.map(|v| v.previous_chain_id.clone()).unwrap_or_default(),
        next.map(|v| v.chain_id.clone()).unwrap_or_default(),
    )
}
