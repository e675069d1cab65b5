//! The way of one action: find its intent, check its limits, score it, place it in its chain, record the decision.
//!
//! Every caller comes this way, the gRPC services and the command line alike. A decision is recorded before it is told; one
//! that cannot be recorded is not told.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use rhumb_drift::{Decision as Told, Effect, InputError, Intent, Verdict};
use rhumb_engine::{Call, Engine, EngineError, ScoreInput};
use rhumb_ledger::intent::action::action_digest;
use rhumb_ledger::intent::carriers::{Anchor, Carriers, NoAnchor};
use rhumb_ledger::intent::config::{IntentConfig, Provenance};
use rhumb_ledger::intent::reason;
use rhumb_ledger::{Decision, LedgerError, Stored};
use rhumb_proto::v1;
use tokio::sync::watch;
use ulid::Ulid;

use crate::anchor::carriers;
use crate::caller::Caller;
use crate::convert::{self, Unread};
use crate::draft::{Draft, known_provenance};
use crate::errors::{self, GatewayError};
use crate::flights::Turn;
use crate::handed::HandedDown;
use crate::place::{Place, place as place_of};
use crate::policy::{Mode, Outcome, Policies, PolicyHandle, Ruling, Subject};
use crate::record::{self, Asked, Written};
use crate::replays::Seen;
use crate::site::Site;

/// A request of a chain that comes again within this time gets the recorded answer.
const RETRY_MS: u64 = 10 * 60 * 1000;
/// What a record may take, once there is nothing left to compute.
const RECORDED: Duration = Duration::from_millis(20);
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

/// All that is known of an action before it is scored, and needed also where no score comes of it.
struct Prepared {
    request: v1::ScoreRequest,
    policies: Arc<Policies>,
    effect: Effect,
    ruling: Ruling,
    /// What becomes of it without a score; `None`: the enforcement point decides.
    missing: Option<Outcome>,
}

/// What is compared, and where it belongs.
struct Compared {
    input: ScoreInput,
    /// What the anchor was found by.
    carriers: Carriers,
    anchor: Result<Anchor, NoAnchor>,
    place: Option<Place>,
}

/// What the caller can mend.
fn is_input(error: &GatewayError) -> bool {
    matches!(error, GatewayError::Engine(EngineError::Input(_)))
}

/// A held action waits for the disk no longer than for the score.
async fn within<T>(
    call: &Call,
    judged: impl Future<Output = Result<T, GatewayError>>,
) -> Result<T, GatewayError> {
    let Some(deadline) = call.deadline else { return judged.await };
    let late = |_| Err(GatewayError::Engine(EngineError::Deadline));
    tokio::time::timeout_at((deadline + RECORDED).into(), judged).await.unwrap_or_else(late)
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
        request: v1::ScoreRequest,
        caller: &Caller,
        call: &Call,
    ) -> Result<v1::ScoreResponse, GatewayError> {
        let (prepared, compared) = self.prepare(request, caller)?;
        match self.judge(&prepared, compared, caller, call).await {
            // Where the caller itself holds the action back, an error is all that it needs.
            Err(error) if !is_input(&error) && prepared.missing.is_some() => {
                self.without_score(prepared, error, caller).await
            }
            judged => judged,
        }
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
        let (prepared, compared) = match self.prepare(request.clone(), caller) {
            Ok(prepared) => prepared,
            Err(GatewayError::Engine(EngineError::Input(e))) => {
                return self.refuse_unread(request, &Unread::unparsable(e.to_string()), caller).await;
            }
            Err(error) => return Err(error),
        };
        match within(call, self.judge(&prepared, compared, caller, call)).await {
            Err(GatewayError::Engine(EngineError::Input(e))) => {
                self.refuse_unread(request, &Unread::unparsable(e.to_string()), caller).await
            }
            Err(error) => self.without_score(prepared, error, caller).await,
            judged => judged,
        }
    }

    /// All that is known before anything is scored.
    fn prepare(
        &self,
        mut request: v1::ScoreRequest,
        caller: &Caller,
    ) -> Result<(Prepared, Compared), GatewayError> {
        Self::check_names(&request)?;
        self.check_intent(request.intent.as_ref())?;
        let policies = self.site.policy.now();
        self.complete(&policies, &mut request, caller);
        let input = self.input(&request)?;
        let chain_id = request.chain.as_ref().map(|chain| chain.chain_id.clone()).unwrap_or_default();
        let carriers = carriers(&mut request.intent, &request.bindings, &chain_id, caller)?;
        let anchor = self.anchor(&carriers)?;
        let place = place_of(&request, anchor.as_ref().ok());
        // A proxy may know the agent, though nothing names a chain.
        // Where the token that would name it is no good, that is the answer.
        let is_missing = place.is_none() && request.chain.is_some();
        if is_missing && !is_refused(&anchor) && !caller.surface.is_proxy() {
            return Err(InputError::new("chain.chainId", "is missing, and no token names a chain").into());
        }
        let trust = trust(&anchor);
        let effect = input.action.effect;
        let ruling = ruling(&policies, &request, caller, effect, trust);
        let missing = ruling.missing(effect, trust);
        let prepared = Prepared { request, policies, effect, ruling, missing };
        Ok((prepared, Compared { input, carriers, anchor, place }))
    }

    /// What tools say of themselves, and what the operator says of them, which comes last.
    pub(crate) fn complete(&self, policies: &Policies, request: &mut v1::ScoreRequest, caller: &Caller) {
        let tenant = caller.tenant.as_str();
        self.site.tools.describe(request, tenant, policies.trusts_hints());
        let Some(action) = &mut request.action else { return };
        if let Some(effect) = policies.effect(tenant, &action.server, &action.tool) {
            action.effect = convert::effect_message(effect).into();
        }
    }

    /// Scores, places and records what was prepared, or finds that this was done before.
    async fn judge(
        &self,
        prepared: &Prepared,
        compared: Compared,
        caller: &Caller,
        call: &Call,
    ) -> Result<v1::ScoreResponse, GatewayError> {
        let Prepared { request, policies, effect, .. } = prepared;
        let Compared { input, carriers, mut anchor, mut place } = compared;
        let renewed;
        let mut ruling = &prepared.ruling;
        let written = Written::of(request);
        let turn = self.turn(&written, place.as_ref(), caller, call).await?;
        if turn.as_ref().is_some_and(|turn| turn.waited) {
            // What was good before may have been ended since, or moved to another version.
            anchor = self.anchor(&carriers)?;
            place = place_of(request, anchor.as_ref().ok());
            renewed = self::ruling(policies, request, caller, *effect, trust(&anchor));
            ruling = &renewed;
        }
        let changed = self.changed_tool(policies, request, caller.tenant.as_str())?;
        // A proxy lets each action through that passes: each is a decision of its own, whatever its id, which the agent
        // may have chosen.
        if let (Some(place), Ok(anchor)) = (&place, &anchor)
            && changed.is_none()
            && !caller.surface.is_proxy()
            && anchor.constraints.check(&input.action, now_ms()).is_ok()
            && let Some(earlier) = self.answered(request, &written, place, anchor, policies.id(), caller)?
        {
            return Ok(earlier);
        }
        let instruction = place.as_ref().map(|place| place.instruction.as_str()).unwrap_or_default();
        let seen = self.see(&input, place.as_ref(), &anchor, caller);
        let mut draft = self.draft(request, input, anchor, instruction, call, ruling).await?;
        if let Some(digest) = changed {
            draft.tool_changed(ruling, &digest);
        }
        if seen.as_ref().is_some_and(|seen| seen.again) {
            draft.replayed(ruling);
        }
        if let Some(place) = &place {
            self.join(place, request, &written.key(), caller, &mut draft, ruling).await?;
        }
        draft.ruled(ruling, policies.id());
        // Where this fails, the action stays in its chain: it was asked for, though nobody was told.
        self.record_in_turn(&written, caller, place.as_ref(), &mut draft, turn).await?;
        seen.into_iter().for_each(Seen::keep);
        Ok(draft.response)
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
        let (request, mut draft) = self.unread_draft(request, why, caller);
        self.tell(request, &mut draft, caller).await?;
        Ok(draft.response)
    }

    /// The same for an enforcement point that waits: what stops is told in any case, also where the ledger is slow or cannot
    /// record it. To a point that forgives errors one would be a pass.
    ///
    /// # Errors
    /// If it passes, and cannot be recorded in time.
    pub async fn refuse_unread(
        &self,
        request: v1::ScoreRequest,
        why: &Unread,
        caller: &Caller,
    ) -> Result<v1::ScoreResponse, GatewayError> {
        let (request, mut draft) = self.unread_draft(request, why, caller);
        let recorded = self.told_in_time(request, &mut draft, caller).await;
        match recorded {
            Err(error) if draft.response.outcome() != v1::Outcome::Stop => Err(error),
            _ => Ok(draft.response),
        }
    }

    fn unread_draft(
        &self,
        mut request: v1::ScoreRequest,
        why: &Unread,
        caller: &Caller,
    ) -> (v1::ScoreRequest, Draft) {
        let policies = self.site.policy.now();
        self.complete(&policies, &mut request, caller);
        let said = request.action.as_ref().and_then(|action| convert::effect(action.effect).ok());
        let ruling = ruling(&policies, &request, caller, said.unwrap_or_default(), Provenance::None);
        let told = Told { verdict: why.verdict.unwrap_or(ruling.verdicts.unparsable), reason: why.reason };
        let response = convert::unread(request.request_id.clone(), why, told, Some(&self.engine));
        let mut draft = Draft { response, effect: Effect::Unknown, told, handed: HandedDown::default() };
        draft.ruled(&ruling, policies.id());
        (request, draft)
    }

    /// Records that there is no score, and answers where the policy says how. To stop needs no record; to pass does.
    async fn without_score(
        &self,
        prepared: Prepared,
        error: GatewayError,
        caller: &Caller,
    ) -> Result<v1::ScoreResponse, GatewayError> {
        let Prepared { request, policies, effect, ruling, missing: outcome } = prepared;
        let told = Told { verdict: Verdict::Abstain, reason: errors::reason(&error) };
        let response = convert::failed(request.request_id.clone(), told.reason, &self.engine);
        let mut draft = Draft { response, effect, told, handed: HandedDown::default() };
        draft.ruled(&ruling, policies.id());
        draft.response.outcome = outcome.map_or(v1::Outcome::Unspecified, Outcome::message).into();
        let is_recorded = self.told_in_time(request, &mut draft, caller).await.is_ok();
        match outcome {
            Some(Outcome::Stop) => Ok(draft.response),
            Some(Outcome::Pass) if is_recorded => Ok(draft.response),
            _ => Err(error),
        }
    }

    /// Records an answer, but does not wait for long: what waits for the disk then is written all the same.
    async fn told_in_time(
        &self,
        request: v1::ScoreRequest,
        draft: &mut Draft,
        caller: &Caller,
    ) -> Result<(), GatewayError> {
        match tokio::time::timeout(RECORDED, self.tell(request, draft, caller)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                // Nobody finds a decision that is not there.
                draft.response.decision_id.clear();
                Err(error)
            }
            Err(_) => Err(GatewayError::Engine(EngineError::Deadline)),
        }
    }

    /// Records an answer that no anchor and no chain has a part in.
    async fn tell(
        &self,
        mut request: v1::ScoreRequest,
        draft: &mut Draft,
        caller: &Caller,
    ) -> Result<(), GatewayError> {
        if let Some(intent) = &mut request.intent {
            intent.token.clear();
        }
        self.record(&Written::of(&request), caller, None, draft).await
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

    /// The intent that a request leads to as things are now, or why there is none.
    pub(crate) fn anchor(&self, carriers: &Carriers) -> Result<Result<Anchor, NoAnchor>, GatewayError> {
        let site = &self.site;
        let open = |version: &rhumb_ledger::IntentVersion| site.ledger.text_of(version);
        let found = site.ledger.read(|tables| site.registry.lookup(tables, carriers, now_ms(), &open))?;
        Ok(found.anchor)
    }

    /// Takes note of an action of a chain, which may have come before of late.
    fn see(
        &self,
        input: &ScoreInput,
        place: Option<&Place>,
        anchor: &Result<Anchor, NoAnchor>,
        caller: &Caller,
    ) -> Option<Seen> {
        let (Some(place), Ok(anchor)) = (place, anchor) else { return None };
        if !self.site.replays.is_on() {
            return None;
        }
        // How the intent was carried is the caller's to choose, and tells nothing apart.
        let action = action_digest(&input.action);
        self.site.replays.see([caller.tenant.as_str(), &place.chain, &action, &anchor.digest])
    }

    /// Waits for the same request where that is being answered, so that it is found recorded, and is one hop.
    async fn turn(
        &self,
        written: &Written<'_>,
        place: Option<&Place>,
        caller: &Caller,
        call: &Call,
    ) -> Result<Option<Turn>, GatewayError> {
        let again = !caller.surface.is_proxy() && self.keeps(written.request_id());
        let Some(place) = place.filter(|_| again) else { return Ok(None) };
        // The digest in it takes the whole request, so only where there is something to wait for.
        let key = written.key();
        self.turn_of(&[caller.tenant.as_str(), caller.name(), &place.chain, &key], call).await
    }

    /// Waits for whoever works on what `parts` name. Without a turn, because too many wait, it is decided about as one more.
    pub(crate) async fn turn_of(&self, parts: &[&str], call: &Call) -> Result<Option<Turn>, GatewayError> {
        let turn = self.site.flights.turn(parts);
        match call.deadline {
            Some(deadline) => {
                let late = |_| EngineError::Deadline.into();
                tokio::time::timeout_at(deadline.into(), turn).await.map_err(late)
            }
            None => Ok(turn.await),
        }
    }

    /// Whether a request of this id can be found again.
    fn keeps(&self, request_id: &str) -> bool {
        !request_id.is_empty() && self.site.ledger.is_kept()
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
        if !self.keeps(&request.request_id) {
            return Ok(None);
        }
        let earlier = self.site.ledger.by_request(Some(caller.tenant.as_str()), &request.request_id)?;
        let earlier = earlier.filter(|stored| self.stands(stored, written, place, anchor, policy, caller));
        earlier.map(|stored| record::response(&stored.value)).transpose()
    }

    /// Whether a recorded decision is about this very request, and what it was decided on is still so. The same caller
    /// asks: a reference that was ended, or that is not given this time, has no part in an earlier answer.
    pub(crate) fn stands(
        &self,
        stored: &Stored<Decision>,
        written: &Written<'_>,
        place: &Place,
        anchor: &Anchor,
        policy: &str,
        caller: &Caller,
    ) -> bool {
        let d = &stored.value;
        let said = |field: &str| d.response.get(field).and_then(|id| id.as_str());
        is_recent(stored.time_ms)
            && d.request_digest == written.digest()
            && d.chain.as_ref().is_some_and(|c| c.id == place.chain)
            && d.intent == anchor.intent
            // Another issuer's intent has no id here.
            && d.response.pointer("/intent/digest").is_none_or(|digest| *digest == anchor.digest)
            && d.provenance == anchor.provenance.name()
            && d.caller == caller.name()
            && said("calibrationId") == Some(self.engine.calibration_id())
            && said("policy") == Some(policy)
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

    /// As [`Decider::record`]. Whoever waits for this turn finds the answer even where its first caller has left: what the
    /// ledger has begun to write it writes, so the turn ends with that.
    async fn record_in_turn(
        &self,
        written: &Written<'_>,
        caller: &Caller,
        place: Option<&Place>,
        draft: &mut Draft,
        turn: Option<Turn>,
    ) -> Result<(), GatewayError> {
        let Some(turn) = turn else { return self.record(written, caller, place, draft).await };
        let Some(decision) = self.decision(written, caller, place, draft)? else { return Ok(()) };
        self.record_whole(vec![decision], move || drop(turn)).await
    }

    /// Records decisions, all or none, and does what comes `then`, also where the caller has left meanwhile.
    pub(crate) async fn record_whole(
        &self,
        decisions: Vec<Decision>,
        then: impl FnOnce() + Send + 'static,
    ) -> Result<(), GatewayError> {
        let ledger = self.site.ledger.clone();
        let recorded = tokio::spawn(async move {
            let recorded = ledger.record_all(decisions).await;
            then();
            recorded
        });
        recorded.await.map_err(GatewayError::broken)??;
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

/// Whether what was recorded then may still be the answer to a request that comes again.
pub(crate) fn is_recent(time_ms: u64) -> bool {
    now_ms().saturating_sub(time_ms) <= RETRY_MS
}

/// Whether something led to an intent that cannot be used; not where nothing did.
fn is_refused(anchor: &Result<Anchor, NoAnchor>) -> bool {
    anchor.as_ref().is_err_and(|why| why.reason != reason::INTENT_MISSING)
}

/// How far an intent can be trusted.
pub(crate) fn trust(anchor: &Result<Anchor, NoAnchor>) -> Provenance {
    anchor.as_ref().map_or(Provenance::None, |anchor| anchor.provenance)
}

/// What the policy says about an action; the request may ask for a mode, and demand more.
pub fn ruling(
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
