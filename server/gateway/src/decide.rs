//! The way of one action: find its intent, check its limits, score it, place it in its chain, record the decision.
//!
//! Every caller comes this way, the gRPC services and the command line alike. A decision is recorded before it is told; one
//! that cannot be recorded is not told.

use std::sync::Arc;

use rhumb_drift::chain::ChainHop;
use rhumb_drift::{ChainTracker, Decision as Told, Effect, InputError, Intent, Verdict};
use rhumb_engine::{Answer, Call, Engine, ScoreInput};
use rhumb_ledger::intent::carriers::{Anchor, NoAnchor};
use rhumb_ledger::intent::config::{IntentConfig, Provenance};
use rhumb_ledger::intent::reason;
use rhumb_ledger::intent::registry::Registry;
use rhumb_ledger::{Decision, Keys, Ledger, LedgerError, Stored};
use rhumb_proto::v1;
use ulid::Ulid;

use crate::anchor::carriers;
use crate::caller::Caller;
use crate::convert::{self, Unscored};
use crate::errors::GatewayError;
use crate::handed::{HandedDown, chain_state, handed_down};
use crate::live::{self, Live};
use crate::record::{self, Asked, Written};

/// A request of a chain that comes again within this time gets the recorded answer.
const RETRY_MS: u64 = 10 * 60 * 1000;
/// Bytes of an agent's, a chain's or an enforcement point's name.
const NAME_BYTES: usize = 256;

/// Decides about actions. Cheap to clone.
#[derive(Clone)]
pub struct Decider {
    /// Scores.
    pub engine: Engine,
    site: Arc<Site>,
}

/// What a decision depends on besides the engine.
pub struct Site {
    /// Intents and decisions.
    pub ledger: Ledger,
    /// Decides about intents.
    pub registry: Registry,
    /// Chains that are under way.
    pub live: Live,
}

impl Site {
    /// A site that keeps nothing on disk: intents and chains live as long as it does.
    ///
    /// # Errors
    /// If the system has no randomness or no thread.
    pub fn in_memory(config: IntentConfig, chain_megabytes: u64) -> Result<Self, LedgerError> {
        let keys = Arc::new(Keys::ephemeral()?);
        let ledger = Ledger::in_memory(Arc::clone(&keys))?;
        Self::new(ledger, config, keys, chain_megabytes)
    }

    /// A site on a ledger.
    ///
    /// # Errors
    /// If the configuration of the intents cannot be used.
    pub fn new(
        ledger: Ledger,
        config: IntentConfig,
        keys: Arc<Keys>,
        chain_megabytes: u64,
    ) -> Result<Self, LedgerError> {
        let live = Live::new(chain_megabytes, ledger.clone());
        Ok(Self { registry: Registry::new(config, keys)?, ledger, live })
    }
}

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

/// An answer that is not placed in its chain, or not recorded, yet.
pub(crate) struct Draft {
    pub response: v1::ScoreResponse,
    effect: Effect,
    told: Told,
    handed: HandedDown,
}

impl Decider {
    /// Decides with an engine and all that a site keeps.
    pub fn new(engine: Engine, site: Arc<Site>) -> Self {
        Self { engine, site }
    }

    /// Decides by itself: nothing is recorded, and what is registered lives as long as this.
    ///
    /// # Errors
    /// If the system has no randomness or no thread.
    pub fn alone(engine: Engine) -> Result<Self, LedgerError> {
        const CHAIN_MEGABYTES: u64 = 64;
        let site = Site::in_memory(IntentConfig::default(), CHAIN_MEGABYTES)?;
        Ok(Self::new(engine, Arc::new(site)))
    }

    /// What a decision depends on besides the engine.
    pub fn site(&self) -> &Arc<Site> {
        &self.site
    }

    /// Decides about one action.
    ///
    /// # Errors
    /// Input that cannot be used, an engine that cannot score it in time, a ledger that cannot record it.
    pub async fn decide(
        &self,
        mut request: v1::ScoreRequest,
        caller: &Caller,
        call: &Call,
    ) -> Result<v1::ScoreResponse, GatewayError> {
        Self::check_names(&request)?;
        self.check_intent(request.intent.as_ref())?;
        let input = self.input(&request)?;
        let chain_id = request.chain.as_ref().map(|chain| chain.chain_id.clone()).unwrap_or_default();
        let anchor = self.anchor(&mut request.intent, &request.bindings, &chain_id, caller)?;
        let place = place(&request, anchor.as_ref().ok());
        if place.is_none() && request.chain.is_some() {
            return Err(InputError::new("chain.chainId", "is missing, and no token names a chain").into());
        }
        let written = Written::of(&request);
        if let (Some(place), Ok(anchor)) = (&place, &anchor)
            && anchor.constraints.check(&input.action, now_ms()).is_ok()
            && let Some(earlier) = self.answered(&request, &written, place, anchor, caller)?
        {
            return Ok(earlier);
        }
        let instruction = place.as_ref().map(|place| place.instruction.as_str()).unwrap_or_default();
        let mut draft = self.draft(&request, input, anchor, instruction, call).await?;
        if let Some(place) = &place {
            self.join(place, &request, &written.key(), caller, &mut draft).await?;
        }
        // Where this fails, the action stays in its chain: it was asked for, though nobody was told.
        self.record(&written, caller, place.as_ref(), &mut draft).await?;
        Ok(draft.response)
    }

    /// Records the answer to a request that could not be read.
    ///
    /// # Errors
    /// If the ledger cannot record it.
    pub async fn unparsable(
        &self,
        mut request: v1::ScoreRequest,
        detail: String,
        caller: &Caller,
    ) -> Result<v1::ScoreResponse, GatewayError> {
        if let Some(intent) = &mut request.intent {
            intent.token.clear();
        }
        let response = convert::unparsable(request.request_id.clone(), detail, Some(&self.engine));
        let told = Told { verdict: Verdict::Abstain, reason: "action_unparsable" };
        let mut draft = Draft { response, effect: Effect::Unknown, told, handed: HandedDown::default() };
        self.record(&Written::of(&request), caller, None, &mut draft).await?;
        Ok(draft.response)
    }

    /// The action and its context as checked types.
    pub(crate) fn input(&self, request: &v1::ScoreRequest) -> Result<ScoreInput, InputError> {
        let input = convert::input(request.clone())?;
        input.action.check(self.engine.limits())?;
        Ok(input)
    }

    /// Refuses an intent that is too long.
    pub(crate) fn check_intent(&self, intent: Option<&v1::Intent>) -> Result<(), InputError> {
        let Some(intent) = intent else { return Ok(()) };
        Intent { text: intent.text.clone(), principal: intent.principal.clone() }.check(self.engine.limits())
    }

    /// Refuses names that are too long to be repeated in answers and records.
    pub(crate) fn check_names(request: &v1::ScoreRequest) -> Result<(), InputError> {
        convert::check_request_id(&request.request_id)?;
        at_most("enforcementPoint", &request.enforcement_point)?;
        let Some(chain) = &request.chain else { return Ok(()) };
        at_most("chain.chainId", &chain.chain_id)?;
        at_most("chain.agent", &chain.agent)?;
        at_most("chain.delegator", &chain.delegator)
    }

    /// The intent that a request names, or why there is none.
    pub(crate) fn anchor(
        &self,
        intent: &mut Option<v1::Intent>,
        bindings: &[v1::Binding],
        chain_id: &str,
        caller: &Caller,
    ) -> Result<Result<Anchor, NoAnchor>, GatewayError> {
        let carriers = carriers(intent, bindings, chain_id, caller)?;
        let site = &self.site;
        let open = |version: &rhumb_ledger::IntentVersion| site.ledger.text_of(version);
        let found = site.ledger.read(|tables| site.registry.lookup(tables, &carriers, now_ms(), &open))?;
        Ok(found.anchor)
    }

    /// The recorded answer, where this request was answered before as part of its chain.
    fn answered(
        &self,
        request: &v1::ScoreRequest,
        written: &Written<'_>,
        place: &Place,
        anchor: &Anchor,
        caller: &Caller,
    ) -> Result<Option<v1::ScoreResponse>, GatewayError> {
        if request.request_id.is_empty() || !self.site.ledger.is_kept() {
            return Ok(None);
        }
        let earlier = self.site.ledger.by_request(Some(caller.tenant.as_str()), &request.request_id)?;
        let recent = |time_ms: u64| now_ms().saturating_sub(time_ms) <= RETRY_MS;
        let same = |stored: &Stored<Decision>| {
            let d = &stored.value;
            recent(stored.time_ms)
                && d.request_digest == written.digest()
                && d.chain.as_ref().is_some_and(|c| c.id == place.chain)
                // What it was decided on is still so, and the same caller asks: a reference that was ended, or that
                // is not given this time, has no part in an earlier answer.
                && d.intent == anchor.intent
                && d.provenance == anchor.provenance.name()
                && d.caller == caller.name()
                && d.response.get("calibrationId").and_then(|id| id.as_str()) == Some(self.engine.calibration_id())
        };
        let earlier = earlier.filter(same);
        earlier.map(|stored| record::response(&stored.value)).transpose()
    }

    /// Scores the action, or says why it is not scored.
    pub(crate) async fn draft(
        &self,
        request: &v1::ScoreRequest,
        mut input: ScoreInput,
        anchor: Result<Anchor, NoAnchor>,
        instruction: &str,
        call: &Call,
    ) -> Result<Draft, GatewayError> {
        let anchor = match anchor {
            Ok(anchor) => anchor,
            Err(why) => return Ok(self.without_anchor(request, &input, &why)),
        };
        if let Err(breach) = anchor.constraints.check(&input.action, now_ms()) {
            return Ok(self.limited(request, &input, &anchor, breach.reason, &breach.detail));
        }
        input.intent = Intent { text: anchor.text.clone(), principal: anchor.principal.clone() };
        let effect = input.action.effect;
        let scored = self.engine.score(input.clone(), call);
        let (answer, handed) = futures::join!(scored, handed_down(&self.engine, &input, instruction, call));
        let (mut answer, handed) = (answer?, handed?);
        self.trust(&mut answer, &anchor, effect);
        let told = answer.decision;
        let has_anchor = answer.status != rhumb_drift::Status::NoAnchor;
        let mut response = convert::response(request.request_id.clone(), answer, &self.engine);
        if has_anchor {
            response.provenance = provenance(anchor.provenance).into();
            response.intent = reference(&anchor);
        }
        Ok(Draft { response, effect, told, handed })
    }

    /// An intent that is not trusted enough for an action of this effect lets nothing pass unseen.
    fn trust(&self, answer: &mut Answer, anchor: &Anchor, effect: Effect) {
        let demanded = self.site.registry.config().min_provenance;
        if !demanded.is_met(effect, anchor.provenance) && answer.decision.verdict < Verdict::Escalate {
            answer.decision = Told { verdict: Verdict::Escalate, reason: reason::PROVENANCE_TOO_LOW };
        }
    }

    fn without_anchor(&self, request: &v1::ScoreRequest, input: &ScoreInput, why: &NoAnchor) -> Draft {
        let policy = self.engine.policy();
        // Nothing to compare with is one thing; something that was tampered with, forged or ended is another.
        let verdict = match why.reason {
            reason::INTENT_MISSING | reason::INTENT_TEXT_UNAVAILABLE => policy.no_anchor,
            _ => policy.intent_refused,
        };
        let told = Told { verdict, reason: why.reason };
        self.unscored(request, input, v1::Status::NoAnchor, told, &why.detail)
    }

    fn limited(
        &self,
        request: &v1::ScoreRequest,
        input: &ScoreInput,
        anchor: &Anchor,
        reason: &'static str,
        detail: &str,
    ) -> Draft {
        let told = Told { verdict: Verdict::Deny, reason };
        let mut draft = self.unscored(request, input, v1::Status::Limited, told, detail);
        draft.response.provenance = provenance(anchor.provenance).into();
        draft.response.intent = reference(anchor);
        draft
    }

    fn unscored(
        &self,
        request: &v1::ScoreRequest,
        input: &ScoreInput,
        status: v1::Status,
        told: Told,
        detail: &str,
    ) -> Draft {
        let effect = input.action.effect;
        let why = Unscored { status, verdict: told.verdict, reason: told.reason, detail, effect };
        let mut response = convert::unscored(request.request_id.clone(), why, &self.engine);
        response.provenance = v1::Provenance::None.into();
        Draft { response, effect, told, handed: HandedDown::default() }
    }

    /// Takes the action into its chain, which may raise its verdict.
    async fn join(
        &self,
        place: &Place,
        request: &v1::ScoreRequest,
        key: &str,
        caller: &Caller,
        draft: &mut Draft,
    ) -> Result<(), GatewayError> {
        let (live, tenant) = (&self.site.live, caller.tenant.as_str());
        let parameters = self.engine.chain_parameters();
        let chain = live.chain(parameters, tenant, &place.chain).await?;
        self.place_in(&mut live::lock(&chain), place, request, key, draft);
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
    ) {
        let state = tracker.insert(self.engine.chain_parameters(), hop(place, request, request_id, draft));
        if state.raised {
            let raised = self.engine.policy().in_drifted_chain(draft.told, draft.effect);
            draft.response.verdict = convert::verdict(raised.verdict).into();
            draft.response.reason_code = raised.reason.to_owned();
        }
        if !state.repeated {
            tracker.told(&state, convert::known_verdict(draft.response.verdict()));
        }
        draft.response.chain = Some(chain_state(&place.chain, &state, draft.handed));
    }

    /// Records the answer, if there is a ledger; only then it may be told.
    pub(crate) async fn record(
        &self,
        written: &Written<'_>,
        caller: &Caller,
        place: Option<&Place>,
        draft: &mut Draft,
    ) -> Result<(), GatewayError> {
        if let Some(decision) = self.decision(written, caller, place, draft)? {
            self.site.ledger.record(decision).await?;
        }
        Ok(())
    }

    /// The answer as it is to be recorded, if there is a ledger.
    pub(crate) fn decision(
        &self,
        written: &Written<'_>,
        caller: &Caller,
        place: Option<&Place>,
        draft: &mut Draft,
    ) -> Result<Option<Decision>, GatewayError> {
        if !self.site.ledger.is_kept() {
            return Ok(None);
        }
        draft.response.decision_id = Ulid::generate().to_string();
        let names = place.map(|place| (place.agent.as_str(), place.delegator.as_str()));
        let (agent, delegator) = names.unwrap_or_default();
        let asked = Asked {
            written,
            tenant: caller.tenant.as_str(),
            caller: caller.name(),
            agent,
            delegator,
            instruction_threshold: draft.handed.instruction_drift.map(|(_, threshold)| threshold),
        };
        record::decision(asked, &draft.response).map(Some)
    }
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Refuses a name that is too long.
pub(crate) fn at_most(field: &str, name: &str) -> Result<(), InputError> {
    if name.len() > NAME_BYTES {
        return Err(InputError::new(field, format!("more than {NAME_BYTES} bytes")));
    }
    Ok(())
}

/// A request that says where it stands is of that chain; one that carries a registered intent is of the intent's.
fn place(request: &v1::ScoreRequest, anchor: Option<&Anchor>) -> Option<Place> {
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

fn provenance(provenance: Provenance) -> v1::Provenance {
    match provenance {
        Provenance::None => v1::Provenance::None,
        Provenance::Unverified => v1::Provenance::Unverified,
        Provenance::ServerBound => v1::Provenance::ServerBound,
        Provenance::Signed => v1::Provenance::Signed,
    }
}

/// The intent, where it is more than a text in the request.
fn reference(anchor: &Anchor) -> Option<v1::IntentReference> {
    if anchor.intent.is_none() && anchor.provenance < Provenance::ServerBound {
        return None;
    }
    let (intent_id, version) = anchor.intent.as_ref().map(|i| (i.id.clone(), i.version)).unwrap_or_default();
    let (digest, principal) = (anchor.digest.clone(), anchor.principal.clone());
    Some(v1::IntentReference { intent_id, version, digest, principal })
}
