//! The way of one action: find its intent, check its limits, score it, place it in its chain, record the decision.
//!
//! Every caller comes this way, the gRPC services and the command line alike. A decision is recorded before it is told; one
//! that cannot be recorded is not told.

use std::sync::Arc;

use rhumb_drift::chain::ChainHop;
use rhumb_drift::{ChainTracker, Decision as Told, Effect, InputError, Intent, Verdict};
use rhumb_engine::{Answer, Call, Engine, EngineError, ScoreInput};
use rhumb_ledger::intent::carriers::{Anchor, NoAnchor};
use rhumb_ledger::intent::config::{IntentConfig, Provenance};
use rhumb_ledger::intent::reason;
use rhumb_ledger::intent::registry::Registry;
use rhumb_ledger::{Decision, Keys, Ledger, LedgerError, Stored};
use rhumb_proto::v1;
use tokio::sync::watch;
use ulid::Ulid;

use crate::anchor::carriers;
use crate::caller::Caller;
use crate::convert::{self, Unread, Unscored};
use crate::errors::{self, GatewayError};
use crate::handed::{HandedDown, chain_state, handed_down};
use crate::live::{self, Live};
use crate::policy::{Mode, Outcome, Policies, PolicyHandle, Ruling, Subject};
use crate::record::{self, Asked, Written};
use crate::tools::Tools;

/// A request of a chain that comes again within this time gets the recorded answer.
const RETRY_MS: u64 = 10 * 60 * 1000;
/// Bytes of an agent's, a chain's or an enforcement point's name.
const NAME_BYTES: usize = 256;

/// What decides, as soon as there is one, and `None` again when the server drains.
pub type DeciderWatch = watch::Receiver<Option<Decider>>;

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
    /// What the operator says about actions.
    pub policy: PolicyHandle,
    /// What tools say of themselves.
    pub tools: Tools,
}

impl Site {
    /// A site that keeps nothing on disk: intents and chains live as long as it does.
    ///
    /// # Errors
    /// If the system has no randomness or no thread.
    pub fn in_memory(
        config: IntentConfig,
        policy: PolicyHandle,
        chain_megabytes: u64,
    ) -> Result<Self, LedgerError> {
        let keys = Arc::new(Keys::ephemeral()?);
        let ledger = Ledger::in_memory(Arc::clone(&keys))?;
        Self::new(ledger, config, keys, policy, chain_megabytes)
    }

    /// A site on a ledger.
    ///
    /// # Errors
    /// If the configuration of the intents cannot be used.
    pub fn new(
        ledger: Ledger,
        config: IntentConfig,
        keys: Arc<Keys>,
        policy: PolicyHandle,
        chain_megabytes: u64,
    ) -> Result<Self, LedgerError> {
        let live = Live::new(chain_megabytes, ledger.clone());
        Ok(Self { registry: Registry::new(config, keys)?, ledger, live, policy, tools: Tools::default() })
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
    pub fn alone(engine: Engine, policy: PolicyHandle) -> Result<Self, LedgerError> {
        const CHAIN_MEGABYTES: u64 = 64;
        let site = Site::in_memory(IntentConfig::default(), policy, CHAIN_MEGABYTES)?;
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
        let policies = self.site.policy.now();
        self.site.tools.describe(&mut request, caller.tenant.as_str());
        say_effect(&policies, &mut request, caller);
        let input = self.input(&request)?;
        let chain_id = request.chain.as_ref().map(|chain| chain.chain_id.clone()).unwrap_or_default();
        let anchor = self.anchor(&mut request.intent, &request.bindings, &chain_id, caller)?;
        let place = place(&request, anchor.as_ref().ok());
        // A proxy may know the agent, though nothing names a chain.
        if place.is_none() && request.chain.is_some() && !caller.surface.is_proxy() {
            return Err(InputError::new("chain.chainId", "is missing, and no token names a chain").into());
        }
        let written = Written::of(&request);
        let trust = anchor.as_ref().map_or(Provenance::None, |anchor| anchor.provenance);
        let ruling = ruling(&policies, &request, caller, input.action.effect, trust);
        if ruling.pin_tools {
            self.see_described(&request, caller).await?;
        }
        let changed = self.changed_tool(&policies, &request, caller.tenant.as_str())?;
        if let (Some(place), Ok(anchor)) = (&place, &anchor)
            && changed.is_none()
            && anchor.constraints.check(&input.action, now_ms()).is_ok()
            && let Some(earlier) = self.answered(&request, &written, place, anchor, policies.id(), caller)?
        {
            return Ok(earlier);
        }
        let instruction = place.as_ref().map(|place| place.instruction.as_str()).unwrap_or_default();
        let mut draft = self.draft(&request, input, anchor, instruction, call, &ruling).await?;
        if let Some(digest) = changed {
            draft.tool_changed(ruling.changed_tool, &digest);
        }
        if let Some(place) = &place {
            self.join(place, &request, &written.key(), caller, &mut draft, &ruling).await?;
        }
        draft.ruled(&ruling, policies.id());
        // Where this fails, the action stays in its chain: it was asked for, though nobody was told.
        self.record(&written, caller, place.as_ref(), &mut draft).await?;
        Ok(draft.response)
    }

    /// Decides about one action that an enforcement point holds back until it is answered: what cannot be read has an answer
    /// too, and what has no score for a reason on our side is recorded, and answered where the policy says how.
    ///
    /// # Errors
    /// No score, and the policy leaves it to the enforcement point; a ledger that cannot record it.
    pub async fn hold(
        &self,
        request: v1::ScoreRequest,
        caller: &Caller,
        call: &Call,
    ) -> Result<v1::ScoreResponse, GatewayError> {
        match self.decide(request.clone(), caller, call).await {
            Err(GatewayError::Engine(EngineError::Input(e))) => {
                self.unread(request, &Unread::unparsable(e.to_string()), caller).await
            }
            Err(e @ GatewayError::Engine(_)) => self.without_score(request, e, caller).await,
            decided => decided,
        }
    }

    /// Records the answer to a request that could not be read, or not whole.
    ///
    /// # Errors
    /// If the ledger cannot record it.
    pub async fn unread(
        &self,
        request: v1::ScoreRequest,
        why: &Unread,
        caller: &Caller,
    ) -> Result<v1::ScoreResponse, GatewayError> {
        let (policies, ruling) = self.blind(&request, caller);
        let told = Told { verdict: why.verdict.unwrap_or(ruling.verdicts.unparsable), reason: why.reason };
        let response = convert::unread(request.request_id.clone(), why, told, Some(&self.engine));
        self.tell(request, response, told, caller, &ruling, policies.id()).await
    }

    /// Records that there is no score, and answers where the policy says how.
    async fn without_score(
        &self,
        request: v1::ScoreRequest,
        error: GatewayError,
        caller: &Caller,
    ) -> Result<v1::ScoreResponse, GatewayError> {
        let (policies, ruling) = self.blind(&request, caller);
        let told = Told { verdict: Verdict::Abstain, reason: errors::reason(&error) };
        let response = convert::failed(request.request_id.clone(), told.reason, &self.engine);
        let mut response = self.tell(request, response, told, caller, &ruling, policies.id()).await?;
        let outcome = ruling.missing().ok_or(error)?;
        response.outcome = outcome.message().into();
        Ok(response)
    }

    /// The ruling about an action of which nothing but its names is known.
    fn blind(&self, request: &v1::ScoreRequest, caller: &Caller) -> (Arc<Policies>, Ruling) {
        let policies = self.site.policy.now();
        let said = request.action.as_ref().and_then(|action| convert::effect(action.effect).ok());
        let ruling = ruling(&policies, request, caller, said.unwrap_or_default(), Provenance::None);
        (policies, ruling)
    }

    /// Records an answer that no anchor and no chain has a part in.
    async fn tell(
        &self,
        mut request: v1::ScoreRequest,
        response: v1::ScoreResponse,
        told: Told,
        caller: &Caller,
        ruling: &Ruling,
        policy: &str,
    ) -> Result<v1::ScoreResponse, GatewayError> {
        if let Some(intent) = &mut request.intent {
            intent.token.clear();
        }
        let mut draft = Draft { response, effect: Effect::Unknown, told, handed: HandedDown::default() };
        draft.ruled(ruling, policy);
        if draft.response.status() == v1::Status::Failed {
            // In the record stands what became of it, as far as that is known here.
            let outcome = ruling.missing().map_or(v1::Outcome::Unspecified, Outcome::message);
            draft.response.outcome = outcome.into();
        }
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
        at_most("policyId", &request.policy_id)?;
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
        policy: &str,
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
                && d.response.get("policy").and_then(|id| id.as_str()) == Some(policy)
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
        ruling: &Ruling,
    ) -> Result<Draft, GatewayError> {
        let anchor = match anchor {
            Ok(anchor) => anchor,
            Err(why) => return Ok(self.without_anchor(request, &input, &why, ruling)),
        };
        if let Err(breach) = anchor.constraints.check(&input.action, now_ms()) {
            return Ok(self.limited(request, &input, &anchor, breach.reason, &breach.detail));
        }
        input.intent = Intent { text: anchor.text.clone(), principal: anchor.principal.clone() };
        let effect = input.action.effect;
        let scored = self.engine.score(input.clone(), call);
        let (answer, handed) = futures::join!(scored, handed_down(&self.engine, &input, instruction, call));
        let (mut answer, handed) = (answer?, handed?);
        rule(&mut answer, &anchor, effect, ruling);
        let told = answer.decision;
        let has_anchor = answer.status != rhumb_drift::Status::NoAnchor;
        let mut response = convert::response(request.request_id.clone(), answer, &self.engine);
        if has_anchor {
            response.provenance = provenance(anchor.provenance).into();
            response.intent = reference(&anchor);
        }
        Ok(Draft { response, effect, told, handed })
    }

    fn without_anchor(
        &self,
        request: &v1::ScoreRequest,
        input: &ScoreInput,
        why: &NoAnchor,
        ruling: &Ruling,
    ) -> Draft {
        let policy = &ruling.verdicts;
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
        ruling: &Ruling,
    ) -> Result<(), GatewayError> {
        let (live, tenant) = (&self.site.live, caller.tenant.as_str());
        let parameters = self.engine.chain_parameters();
        let chain = live.chain(parameters, tenant, &place.chain).await?;
        self.place_in(&mut live::lock(&chain), place, request, key, draft, ruling);
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

impl Draft {
    /// The tool says something else of itself than what was pinned.
    fn tool_changed(&mut self, floor: Verdict, digest: &str) {
        if let Some(evidence) = &mut self.response.evidence {
            evidence.findings.push(format!("tool_changed:{digest}"));
        }
        if self.told.verdict < floor {
            self.told = Told { verdict: floor, reason: reason::TOOL_CHANGED };
            self.response.verdict = convert::verdict(floor).into();
            self.response.reason_code = reason::TOOL_CHANGED.to_owned();
        }
    }

    /// Says what the policy makes of the verdict.
    pub(crate) fn ruled(&mut self, ruling: &Ruling, policy: &str) {
        let response = &mut self.response;
        let trust = known_provenance(response.provenance());
        let enforced = ruling.mode == Mode::Enforce;
        let outcome = match enforced && !ruling.trusts(self.effect, trust) {
            // Also where there is no anchor at all, and ABSTAIN would pass.
            true => Outcome::Stop,
            false => ruling.outcome(response.verdict(), self.effect),
        };
        response.outcome = outcome.message().into();
        response.mode = ruling.mode.message().into();
        response.policy = policy.to_owned();
        response.rules.clone_from(&ruling.rules);
    }
}

/// What the operator says of a tool's effect comes before what the caller says.
pub(crate) fn say_effect(policies: &Policies, request: &mut v1::ScoreRequest, caller: &Caller) {
    let Some(action) = &mut request.action else { return };
    if let Some(effect) = policies.effect(caller.tenant.as_str(), &action.server, &action.tool) {
        action.effect = convert::effect_message(effect).into();
    }
}

/// What the policy says about an action; the request may ask for a mode, and demand more.
pub(crate) fn ruling(
    policies: &Policies,
    request: &v1::ScoreRequest,
    caller: &Caller,
    effect: Effect,
    provenance: Provenance,
) -> Ruling {
    let names = request.action.as_ref().map(|action| (action.server.as_str(), action.tool.as_str()));
    let (server, tool) = names.unwrap_or_default();
    let (surface, tenant, policy) = (caller.surface, caller.tenant.as_str(), request.policy_id.as_str());
    let mut ruling = policies.ruling(&Subject { surface, tenant, policy, server, tool, effect, provenance });
    ruling.mode = Mode::of(request.mode()).unwrap_or(ruling.mode);
    ruling.whole = caller.sees_whole;
    let demanded = known_provenance(request.min_provenance());
    ruling.min_provenance.read = ruling.min_provenance.read.max(demanded);
    ruling.min_provenance.write = ruling.min_provenance.write.max(demanded);
    ruling
}

/// The policy's verdict in place of the engine's own.
fn rule(answer: &mut Answer, anchor: &Anchor, effect: Effect, ruling: &Ruling) {
    answer.threshold = ruling.threshold.unwrap_or(answer.threshold);
    if !ruling.whole && answer.drift.is_some() {
        answer.status = rhumb_drift::Status::Truncated;
    }
    answer.decision = ruling.judge(answer.status, answer.drift, answer.threshold, effect, anchor.provenance);
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

fn known_provenance(provenance: v1::Provenance) -> Provenance {
    match provenance {
        v1::Provenance::Unspecified | v1::Provenance::None => Provenance::None,
        v1::Provenance::Unverified => Provenance::Unverified,
        v1::Provenance::ServerBound => Provenance::ServerBound,
        v1::Provenance::Signed => Provenance::Signed,
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
