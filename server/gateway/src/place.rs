//! Where in a chain an action stands, and what the chain makes of it.

use rhumb_drift::ChainTracker;
use rhumb_drift::chain::ChainHop;
use rhumb_ledger::intent::carriers::Anchor;
use rhumb_proto::v1;

use crate::caller::Caller;
use crate::convert;
use crate::decide::Decider;
use crate::draft::{Draft, known_provenance};
use crate::errors::GatewayError;
use crate::handed::chain_state;
use crate::live;
use crate::policy::{Outcome, Ruling};

/// Where in a chain an action stands.
pub(crate) struct Place {
    pub chain: String,
    pub hop: u32,
    pub agent: String,
    pub delegator: String,
    pub instruction: String,
}

impl From<v1::ChainPosition> for Place {
    fn from(said: v1::ChainPosition) -> Self {
        let v1::ChainPosition { chain_id: chain, hop, agent, delegator, instruction } = said;
        Self { chain, hop, agent, delegator, instruction }
    }
}

impl Decider {
    /// Takes the action into its chain, which may raise its verdict.
    pub(crate) async fn join(
        &self,
        place: &Place,
        request: &v1::ScoreRequest,
        key: &str,
        caller: &Caller,
        draft: &mut Draft,
        ruling: &Ruling,
    ) -> Result<(), GatewayError> {
        let (live, tenant) = (&self.site().live, caller.tenant.as_str());
        let parameters = self.engine.chain_parameters();
        let chain = live.chain(parameters, tenant, &place.chain).await?;
        {
            let mut course = live::lock(&chain);
            let trust = known_provenance(draft.response.provenance());
            if !course.standing.admits(trust, draft.is_refused(ruling)) {
                draft.response.chain = Some(apart(place, draft));
                return Ok(());
            }
            self.place_in(&mut course.tracker, place, request, key, draft, ruling);
        }
        live.weigh(tenant, &place.chain, &chain);
        Ok(())
    }

    /// Takes the action into a chain, which may raise its verdict.
    pub(crate) fn place_in(
        &self,
        tracker: &mut ChainTracker,
        place: &Place,
        request: &v1::ScoreRequest,
        request_id: &str,
        draft: &mut Draft,
        ruling: &Ruling,
    ) {
        let state = tracker.insert(self.engine.chain_parameters(), hop(place, request, request_id, draft));
        if state.raised {
            let raised = ruling.verdicts.in_drifted_chain(draft.told, draft.effect);
            draft.response.verdict = convert::verdict(raised.verdict).into();
            draft.response.reason_code = raised.reason.to_owned();
        }
        if !state.repeated {
            tracker.told(&state, draft.outcome(ruling) == Outcome::Pass);
        }
        let is_apart = draft.is_refused(ruling);
        draft.response.chain =
            Some(v1::ChainState { apart: is_apart, ..chain_state(&place.chain, &state, draft.handed) });
    }
}

/// Of an action that does not count in its chain; what the chain is like is not for its caller.
fn apart(place: &Place, draft: &Draft) -> v1::ChainState {
    v1::ChainState {
        chain_id: place.chain.clone(),
        hop: place.hop,
        step_drift: draft.handed.step_drift,
        instruction_drift: draft.handed.instruction_drift.map(|(drift, _)| drift),
        apart: true,
        ..v1::ChainState::default()
    }
}

/// A request that says where it stands is of that chain; one that carries a registered intent is of the intent's.
pub(crate) fn place(request: &v1::ScoreRequest, anchor: Option<&Anchor>) -> Option<Place> {
    let said = request.chain.clone();
    let own = anchor.and_then(|anchor| anchor.chain.clone());
    if said.is_none() && own.is_none() {
        return None;
    }
    let Place { chain, hop, agent, delegator, instruction } = said.unwrap_or_default().into();
    // Who acts is what the signed token says, where it does.
    let actor = |n: usize| anchor.and_then(|anchor| anchor.actors.get(n).cloned());
    let or = |name: String, n| actor(n).unwrap_or(name);
    let chain = own.unwrap_or(chain);
    (!chain.is_empty()).then(|| Place {
        chain,
        hop,
        agent: or(agent, 0),
        delegator: or(delegator, 1),
        instruction,
    })
}

fn hop<'a>(
    place: &'a Place,
    request: &'a v1::ScoreRequest,
    request_id: &'a str,
    draft: &Draft,
) -> ChainHop<'a> {
    ChainHop {
        hop: place.hop,
        request_id,
        agent: &place.agent,
        delegator: &place.delegator,
        enforcement_point: &request.enforcement_point,
        effect: draft.effect,
        status: convert::known_status(draft.response.status()).unwrap_or(rhumb_drift::Status::NoAnchor),
        verdict: draft.told.verdict,
        drift: draft.response.drift,
        threshold: draft.response.threshold.unwrap_or(1.0),
        step_drift: draft.handed.step_drift,
        instruction_drift: draft.handed.instruction_drift,
    }
}
