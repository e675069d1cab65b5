//! A whole chain at once: every hop against the origin and against what it was told, and where the course was left.
//!
//! Such a chain is judged by itself: what came before under the same id plays no part. Its decisions are recorded, and count
//! for the hops that come after it.

use std::collections::{HashMap, HashSet};

use futures::stream::{self, StreamExt as _};
use rhumb_drift::{ChainTracker, InputError};
use rhumb_engine::{Call, EngineError, ScoreInput};
use rhumb_ledger::intent::carriers::{Anchor, NoAnchor};
use rhumb_ledger::intent::config::Provenance;
use rhumb_ledger::{Decision, LedgerError, Stored};
use rhumb_proto::v1::{self, Hop, HopScore, ScoreChainRequest, ScoreChainResponse, ScoreRequest};

use crate::anchor::carriers;
use crate::caller::Caller;
use crate::decide::{Decider, at_most, is_recent, ruling, trust};
use crate::draft::Draft;
use crate::errors::GatewayError;
use crate::flights::Turn;
use crate::place::Place;
use crate::policy::{Policies, Ruling};
use crate::record::{self, Written};

/// Of a chain so many of the last decisions are looked at, for each hop, to find those that are recorded.
const LOOKED_AT: usize = 8;
/// Hops of one call that are worked on at once.
const CONCURRENCY: usize = 64;

/// A hop and its request.
struct Asked {
    place: Place,
    request: ScoreRequest,
    input: ScoreInput,
    ruling: Ruling,
}

/// Scores every hop against the origin and says where drift began.
///
/// # Errors
/// Names the first hop that cannot be read; or why nothing was scored or recorded.
pub async fn score_chain(
    decider: &Decider,
    mut request: ScoreChainRequest,
    caller: &Caller,
    call: &Call,
) -> Result<ScoreChainResponse, GatewayError> {
    at_most("chainId", &request.chain_id)?;
    decider.check_intent(request.intent.as_ref())?;
    let carriers = carriers(&mut request.intent, &request.bindings, &request.chain_id, caller)?;
    let mut anchor = decider.anchor(&carriers)?;
    // A token names the chain.
    if let Ok(Some(chain)) = anchor.as_ref().map(|anchor| anchor.chain.clone()) {
        request.chain_id = chain;
    }
    // The same chain, asked for twice at once, is to be found recorded by whoever comes second.
    let turn = match decider.site().ledger.is_kept() && !request.chain_id.is_empty() {
        true => {
            // Nobody waits for a chain of this name that belongs to another intent.
            let intent = anchor.as_ref().map(|anchor| anchor.digest.as_str()).unwrap_or_default();
            let parts = [caller.tenant.as_str(), caller.name(), &request.chain_id, intent, "whole chain"];
            decider.turn_of(&parts, call).await?
        }
        false => None,
    };
    if turn.as_ref().is_some_and(|turn| turn.waited) {
        anchor = decider.anchor(&carriers)?;
    }
    let hops = std::mem::take(&mut request.hops).into_iter().zip(1..);
    let policies = decider.site().policy.now();
    let trust = trust(&anchor);
    let hops = hops.map(|(hop, number)| asked(decider, number, hop, &request, &policies, caller, trust));
    let hops: Vec<Asked> = hops.collect::<Result<_, _>>()?;
    let drafts = stream::iter(hops.into_iter().map(|hop| draft(decider, hop, anchor.clone(), call)));
    let drafts: Vec<_> = drafts.buffered(CONCURRENCY).collect().await;
    let mut drafts: Vec<(Asked, Draft)> = drafts.into_iter().collect::<Result<_, _>>()?;
    let mut tracker = ChainTracker::default();
    for (hop, draft) in &mut drafts {
        if let Some(digest) = decider.changed_tool(&policies, &hop.request, caller.tenant.as_str())? {
            draft.tool_changed(&hop.ruling, &digest);
        }
        // Each hop of one call is an action of its own, whatever its id.
        decider.place_in(&mut tracker, &hop.place, &hop.request, "", draft, &hop.ruling);
        draft.ruled(&hop.ruling, policies.id());
    }
    let told = record(decider, drafts, &anchor, policies.id(), caller, turn).await?;
    Ok(response(decider, &request, principal(&anchor, &request), &tracker, told))
}

/// Records all hops, or none. A hop that is recorded already, because a caller asks again or with more hops, has the answer
/// that was given, if it is the same now. What tells hops apart is the whole request, its place in the chain included, so they
/// need no id.
async fn record(
    decider: &Decider,
    drafts: Vec<(Asked, Draft)>,
    anchor: &Result<Anchor, NoAnchor>,
    policy: &str,
    caller: &Caller,
    turn: Option<Turn>,
) -> Result<Vec<(Place, v1::ScoreResponse)>, GatewayError> {
    let (hops, mut drafts): (Vec<Asked>, Vec<Draft>) = drafts.into_iter().unzip();
    if let Some(chain) = hops.first().map(|hop| hop.place.chain.clone())
        && decider.site().ledger.is_kept()
    {
        let tenant = caller.tenant.as_str().to_owned();
        let written: Vec<Written<'_>> = hops.iter().map(|hop| Written::of(&hop.request)).collect();
        let mut recorded = match anchor {
            Ok(_) => recorded(decider, &tenant, &chain, &written).await?,
            Err(_) => HashMap::new(),
        };
        let mut decisions = Vec::new();
        for ((hop, written), draft) in hops.iter().zip(&written).zip(&mut drafts) {
            if let (Ok(anchor), Some(stored)) = (anchor, recorded.remove(written.digest()))
                && decider.stands(&stored, written, &hop.place, anchor, policy, caller)
                && let earlier = record::response(&stored.value)?
                && says_the_same(&earlier, &draft.response)
            {
                draft.response = earlier;
                continue;
            }
            decisions.extend(decider.decision(written, caller, Some(&hop.place), draft)?);
        }
        if !decisions.is_empty() {
            let live = decider.site().live.clone();
            // The next hop that comes by itself finds them in the ledger.
            let then = move || {
                live.forget(&tenant, &chain);
                drop(turn);
            };
            decider.record_whole(decisions, then).await?;
        }
    }
    Ok(hops.into_iter().map(|hop| hop.place).zip(drafts.into_iter().map(|draft| draft.response)).collect())
}

/// What is recorded of these requests, by their digest; the last of each.
async fn recorded(
    decider: &Decider,
    tenant: &str,
    chain: &str,
    written: &[Written<'_>],
) -> Result<HashMap<String, Stored<Decision>>, GatewayError> {
    let ledger = decider.site().ledger.clone();
    let wanted: HashSet<String> = written.iter().map(|written| written.digest().to_owned()).collect();
    let (tenant, chain) = (tenant.to_owned(), chain.to_owned());
    let read = move || {
        let mut found = HashMap::new();
        ledger.chain(Some(&tenant), &chain, LOOKED_AT * wanted.len(), false, |stored| {
            if is_recent(stored.time_ms) && wanted.contains(&stored.value.request_digest) {
                found.insert(stored.value.request_digest.clone(), stored.value.id);
            }
            Ok::<_, LedgerError>(())
        })?;
        // With words, which may have to be decrypted.
        let found =
            found.into_iter().filter_map(|(digest, id)| Some((digest, ledger.decision(&id).transpose()?)));
        found.map(|(digest, stored)| Ok((digest, stored?))).collect::<Result<_, GatewayError>>()
    };
    tokio::task::spawn_blocking(read).await.map_err(GatewayError::broken)?
}

/// Whether an answer that was given before still holds: limits of an intent end, and tools change.
fn says_the_same(earlier: &v1::ScoreResponse, now: &v1::ScoreResponse) -> bool {
    let said = |answer: &v1::ScoreResponse| {
        (answer.verdict, answer.status, answer.reason_code.clone(), answer.drift.map(f64::to_bits))
    };
    said(earlier) == said(now)
}

fn principal(anchor: &Result<Anchor, NoAnchor>, request: &ScoreChainRequest) -> String {
    let given = || request.intent.as_ref().map(|intent| intent.principal.clone()).unwrap_or_default();
    anchor.as_ref().map_or_else(|_| given(), |anchor| anchor.principal.clone())
}

/// Hops are counted from 1, places in the message from 0. What concerns the intent concerns the whole chain.
fn of_hop(hop: u32, e: InputError) -> InputError {
    if e.field.starts_with("intent") {
        return e;
    }
    InputError::new(format!("hops[{}].{}", hop.saturating_sub(1), e.field), e.problem)
}

fn asked(
    decider: &Decider,
    number: u32,
    hop: Hop,
    chain: &ScoreChainRequest,
    policies: &Policies,
    caller: &Caller,
    trust: Provenance,
) -> Result<Asked, InputError> {
    let position = v1::ChainPosition {
        chain_id: chain.chain_id.clone(),
        hop: number,
        agent: hop.agent,
        delegator: hop.delegator,
        instruction: hop.instruction,
    };
    let mut request = ScoreRequest {
        request_id: hop.request_id,
        intent: chain.intent.clone(),
        action: hop.action,
        context: hop.context,
        chain: Some(position.clone()),
        enforcement_point: hop.enforcement_point,
        ..ScoreRequest::default()
    };
    Decider::check_names(&request).map_err(|e| of_hop(number, e))?;
    decider.complete(policies, &mut request, caller);
    let input = decider.input(&request).map_err(|e| of_hop(number, e))?;
    let ruling = ruling(policies, &request, caller, input.action.effect, trust);
    Ok(Asked { place: Place::from(position), request, input, ruling })
}

async fn draft(
    decider: &Decider,
    mut hop: Asked,
    anchor: Result<Anchor, NoAnchor>,
    call: &Call,
) -> Result<(Asked, Draft), GatewayError> {
    let input = std::mem::take(&mut hop.input);
    let draft = decider.draft(&hop.request, input, anchor, &hop.place.instruction, call, &hop.ruling).await;
    let draft = draft.map_err(|e| match e {
        GatewayError::Engine(EngineError::Input(e)) => of_hop(hop.place.hop, e).into(),
        other => other,
    })?;
    Ok((hop, draft))
}

fn response(
    decider: &Decider,
    request: &ScoreChainRequest,
    principal: String,
    tracker: &ChainTracker,
    told: Vec<(Place, v1::ScoreResponse)>,
) -> ScoreChainResponse {
    let summary = tracker.summary(decider.engine.chain_parameters());
    let first = summary.first_drifted;
    let passed = first.and_then(|f| f.passed_by);
    let hops = told.into_iter().map(|(place, response)| HopScore {
        hop: place.hop,
        agent: place.agent,
        delegator: place.delegator,
        score: Some(response),
    });
    ScoreChainResponse {
        chain_id: request.chain_id.clone(),
        hops: hops.collect(),
        first_drifted_hop: first.map(|f| f.hop),
        first_drifted_agent: first.map(|f| f.agent.to_owned()).unwrap_or_default(),
        first_drifted_delegator: first.map(|f| f.delegator.to_owned()).unwrap_or_default(),
        principal,
        max_drift: summary.max_drift,
        found_by: first.map(|f| f.found_by.as_str().to_owned()).unwrap_or_default(),
        passed_by: passed.map(|(point, _)| point.to_owned()).unwrap_or_default(),
        passed_at_hop: passed.map(|(_, hop)| hop),
        cumulative_drift: summary.cumulative_drift,
        cumulative_threshold: summary.cumulative_threshold,
    }
}
