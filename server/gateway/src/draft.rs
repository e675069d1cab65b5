//! An answer on its way: scored, or why it is not; what the policy makes of it.

use rhumb_drift::{Decision as Told, Effect, Intent, Verdict};
use rhumb_engine::{Answer, Call, ScoreInput};
use rhumb_ledger::intent::carriers::{Anchor, NoAnchor};
use rhumb_ledger::intent::config::Provenance;
use rhumb_ledger::intent::reason;
use rhumb_proto::v1;

use crate::convert::{self, Unscored};
use crate::decide::{Decider, now_ms};
use crate::errors::GatewayError;
use crate::handed::{HandedDown, handed_down};
use crate::policy::{Mode, Outcome, Ruling};

/// An answer that is not placed in its chain, or not recorded, yet.
pub(crate) struct Draft {
    pub response: v1::ScoreResponse,
    pub effect: Effect,
    pub told: Told,
    pub handed: HandedDown,
}

impl Draft {
    /// The tool says something else of itself than what was pinned.
    pub(crate) fn tool_changed(&mut self, ruling: &Ruling, digest: &str) {
        let finding = format!("{}:{digest}", reason::TOOL_CHANGED);
        self.at_least(ruling.changed_tool, reason::TOOL_CHANGED, finding, ruling);
    }

    /// The same action came before, for the same intent, of the same chain.
    pub(crate) fn replayed(&mut self, ruling: &Ruling) {
        self.at_least(ruling.replayed, reason::ACTION_REPLAYED, reason::ACTION_REPLAYED.to_owned(), ruling);
    }

    /// Something goes to an address that neither the request nor trusted context knows. What it is compared with says little
    /// of that: all words around the address may fit.
    fn addressed(&mut self, arguments: &[String], ruling: &Ruling) {
        if self.effect == Effect::Read || ruling.new_address == Verdict::Allow || arguments.is_empty() {
            return;
        }
        let finding = format!("{}:arguments.{}", reason::NEW_ADDRESS, arguments.join(", arguments."));
        self.at_least(ruling.new_address, reason::NEW_ADDRESS, finding, ruling);
    }

    fn at_least(&mut self, floor: Verdict, reason: &'static str, finding: String, ruling: &Ruling) {
        self.response.evidence.get_or_insert_default().findings.push(finding);
        let raised = match self.told.verdict {
            // It says least, but may stop what WARN would let pass.
            Verdict::Abstain => {
                let passes = ruling.on_abstain.get(self.effect) == Outcome::Pass;
                floor >= Verdict::Escalate || (floor == Verdict::Warn && passes)
            }
            verdict => verdict < floor,
        };
        if raised {
            self.told = Told { verdict: floor, reason };
            self.response.verdict = convert::verdict(floor).into();
            self.response.reason_code = reason.to_owned();
        }
    }

    /// Whether the intent was refused, or is trusted less than is demanded.
    pub(crate) fn is_refused(&self, ruling: &Ruling) -> bool {
        self.response.status() == v1::Status::NoAnchor || !self.is_trusted(ruling)
    }

    fn is_trusted(&self, ruling: &Ruling) -> bool {
        ruling.trusts(self.effect, known_provenance(self.response.provenance()))
    }

    /// What the policy makes of the verdict.
    pub(crate) fn outcome(&self, ruling: &Ruling) -> Outcome {
        match ruling.mode == Mode::Enforce && !self.is_trusted(ruling) {
            // Also where there is no anchor at all, and ABSTAIN would pass.
            true => Outcome::Stop,
            false => ruling.outcome(self.response.verdict(), self.effect),
        }
    }

    /// Says what the policy makes of the verdict.
    pub(crate) fn ruled(&mut self, ruling: &Ruling, policy: &str) {
        let outcome = self.outcome(ruling);
        let response = &mut self.response;
        response.outcome = outcome.message().into();
        response.mode = ruling.mode.message().into();
        response.policy = policy.to_owned();
        response.rules.clone_from(&ruling.rules);
    }
}

impl Decider {
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
        let new_addresses = std::mem::take(&mut answer.evidence.new_addresses);
        let mut response = convert::response(request.request_id.clone(), answer, &self.engine);
        if has_anchor {
            response.provenance = provenance(anchor.provenance).into();
            response.intent = reference(&anchor);
        }
        let mut draft = Draft { response, effect, told, handed };
        draft.addressed(&new_addresses, ruling);
        Ok(draft)
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
}

/// The policy's verdict in place of the engine's own.
fn rule(answer: &mut Answer, anchor: &Anchor, effect: Effect, ruling: &Ruling) {
    answer.threshold = ruling.threshold.unwrap_or(answer.threshold);
    if !ruling.whole && answer.drift.is_some() {
        answer.status = rhumb_drift::Status::Truncated;
    }
    answer.decision = ruling.judge(answer.status, answer.drift, answer.threshold, effect, anchor.provenance);
}

fn provenance(provenance: Provenance) -> v1::Provenance {
    match provenance {
        Provenance::None => v1::Provenance::None,
        Provenance::Unverified => v1::Provenance::Unverified,
        Provenance::ServerBound => v1::Provenance::ServerBound,
        Provenance::Signed => v1::Provenance::Signed,
    }
}

pub(crate) fn known_provenance(provenance: v1::Provenance) -> Provenance {
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
