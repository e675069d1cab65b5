//! Recorded decisions as messages, and chains put together from them.

use rhumb_ledger::Stored;
use rhumb_ledger::log::hex;
use rhumb_ledger::record::Decision;
use rhumb_proto::v1::{self, ChainTrace};

use crate::errors::GatewayError;
use crate::intents::timestamp;
use crate::record;
use crate::standing::{self, Standing};

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

/// A chain from its decisions, in any order, as they were told: where drift began is what was known when that was last said,
/// so that nothing that comes later can unsay it. Chains of one name belong to several tenants; this is the one of the last
/// decision. Decisions that do not count in the chain are listed, and say nothing of it.
///
/// # Errors
/// If what was recorded is no decision of ours.
pub fn trace(
    chain_id: &str,
    decisions: &[Stored<Decision>],
    intent: Option<v1::RegisteredIntent>,
) -> Result<ChainTrace, GatewayError> {
    let last = decisions.iter().max_by_key(|stored| stored.seq);
    let tenant = last.map(|stored| stored.value.tenant.as_str());
    let own = |stored: &&Stored<Decision>| Some(stored.value.tenant.as_str()) == tenant;
    let mut stored: Vec<&Stored<Decision>> = decisions.iter().filter(own).collect();
    stored.sort_by_key(|stored| stored.seq);
    let mut standing = Standing::default();
    let mut counted: Vec<&Stored<Decision>> =
        stored.iter().copied().filter(|stored| standing.counts(&stored.value)).collect();
    let mut states = counted.iter().rev().map(|stored| record::chain_state(&stored.value));
    let known = states.find(|state| state.first_drifted_hop.is_some());
    let first = known.as_ref().and_then(|state| state.first_drifted_hop);
    let principal = principal(intent.as_ref(), &counted);
    stored.sort_by_key(|stored| (hop(stored), stored.seq));
    counted.sort_by_key(|stored| (hop(stored), stored.seq));
    let messages: Vec<v1::Decision> = stored.iter().map(|s| decision(s)).collect::<Result<_, _>>()?;
    let place = first.and_then(|hop| drifted(&counted, hop));
    let named = place.and_then(|place| counted.get(place)?.value.chain.as_ref());
    let passed = place.and_then(|place| passed(&counted, place));
    let drifts = counted.iter().filter_map(|stored| stored.value.drift);
    let (text, previous, next) = version(intent.as_ref(), chain_id);
    let given = || messages.iter().find_map(|d| Some(d.request.as_ref()?.intent.as_ref()?.text.clone()));
    Ok(ChainTrace {
        chain_id: chain_id.to_owned(),
        intent_text: text.or_else(given).unwrap_or_default(),
        principal,
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

/// Who is accountable: as the intent was registered, else as the decision on the best ground says, the first of several.
fn principal(intent: Option<&v1::RegisteredIntent>, counted: &[&Stored<Decision>]) -> String {
    let registered = intent.map(|intent| intent.principal.clone()).filter(|principal| !principal.is_empty());
    let trust = |stored: &&&Stored<Decision>| standing::trust(&stored.value);
    let named = || counted.iter().filter(|stored| !stored.value.principal.is_empty());
    let best = || named().rev().max_by_key(trust).map(|stored| stored.value.principal.clone());
    registered.or_else(best).unwrap_or_default()
}

fn hop(stored: &Stored<Decision>) -> u32 {
    stored.value.chain.as_ref().map_or(0, |position| position.hop)
}

/// Where the first drifted action stands. Of several of one hop it is the first at its threshold, else the farthest off.
fn drifted(stored: &[&Stored<Decision>], first: u32) -> Option<usize> {
    let drift = |d: &Decision| d.drift.unwrap_or(-1.0);
    let alarm = |d: &Decision| d.threshold.is_some_and(|threshold| drift(d) >= threshold);
    let of_hop = || stored.iter().enumerate().filter(|(_, s)| hop(s) == first);
    let farthest = || of_hop().max_by(|(_, a), (_, b)| drift(&a.value).total_cmp(&drift(&b.value)));
    of_hop().find(|(_, s)| alarm(&s.value)).or_else(farthest).map(|(place, _)| place)
}

/// The first enforcement point from there on that let an action pass which is part of the drift (the first drifted one, one
/// at its threshold, or one that added to what had gathered); the caller where it has no name.
fn passed(stored: &[&Stored<Decision>], place: usize) -> Option<(String, u32)> {
    let gathered = |i: usize| stored.get(i).map_or(0.0, |s| record::chain_state(&s.value).cumulative_drift);
    let is_part = |i: usize, d: &Decision| {
        let alarm = d.drift.zip(d.threshold).is_some_and(|(drift, threshold)| drift >= threshold);
        i == place || alarm || gathered(i) > i.checked_sub(1).map_or(0.0, gathered)
    };
    let mut from = stored.iter().enumerate().skip(place);
    let (_, passed) = from.find(|(i, s)| is_part(*i, &s.value) && standing::passed(&s.value))?;
    let names = [&passed.value.enforcement_point, &passed.value.caller];
    let name = names.into_iter().find(|name| !name.is_empty()).cloned().unwrap_or_default();
    Some((name, hop(passed)))
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
