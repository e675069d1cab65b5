//! What a policy says about one action.

use rhumb_drift::{Decision, Effect, Policy as Verdicts, Status, Verdict};
use rhumb_ledger::intent::config::{MinProvenance, Provenance};
use rhumb_ledger::intent::reason;
use rhumb_proto::v1;
use serde::{Deserialize, Serialize};

use crate::surface::Surface;

/// Whether an enforcement point holds back what the verdict stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It does.
    #[default]
    Enforce,
    /// Everything passes; the verdict stays true to the score.
    Shadow,
}

impl Mode {
    /// By its name in policies; `None` where it is none.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "enforce" => Some(Self::Enforce),
            "shadow" => Some(Self::Shadow),
            _ => None,
        }
    }

    /// Of a message; `None` where it says nothing.
    pub fn of(mode: v1::Mode) -> Option<Self> {
        match mode {
            v1::Mode::Unspecified => None,
            v1::Mode::Enforce => Some(Self::Enforce),
            v1::Mode::Shadow => Some(Self::Shadow),
        }
    }

    /// As a message.
    pub fn message(self) -> v1::Mode {
        match self {
            Self::Enforce => v1::Mode::Enforce,
            Self::Shadow => v1::Mode::Shadow,
        }
    }
}

/// What becomes of an action that has no score, for a reason on Rhumb's side: overload, deadline, a broken encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// An error: the enforcement point's own failure mode decides.
    #[default]
    Point,
    /// It passes, and is recorded.
    Open,
    /// It is stopped, and is recorded.
    Closed,
}

/// What a point that can only let pass or stop does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Lets the action through.
    Pass,
    /// Holds it back.
    Stop,
}

impl Outcome {
    /// As a message.
    pub fn message(self) -> v1::Outcome {
        match self {
            Self::Pass => v1::Outcome::Pass,
            Self::Stop => v1::Outcome::Stop,
        }
    }
}

/// A value for reads, and one for writes and actions of unknown effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ByEffect<T> {
    /// For reads.
    pub read: T,
    /// For the rest.
    pub write: T,
}

impl<T: Copy> ByEffect<T> {
    /// That for an effect.
    pub fn get(self, effect: Effect) -> T {
        if effect == Effect::Read { self.read } else { self.write }
    }
}

/// What a policy says about one action.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ruling {
    /// Verdicts by effect and status.
    pub verdicts: Verdicts,
    /// In place of the calibration's threshold.
    pub threshold: Option<f64>,
    /// Whether the verdict is enforced.
    pub mode: Mode,
    /// Without a score.
    pub on_missing: Missing,
    /// What ABSTAIN means at a point that can only let pass or stop.
    pub on_abstain: ByEffect<Outcome>,
    /// The least trust that an action needs.
    pub min_provenance: ByEffect<Provenance>,
    /// At least this where a tool's description is not the one that was pinned.
    pub changed_tool: Verdict,
    /// At least this for an action that comes again within the window.
    pub replayed: Verdict,
    /// At least this for an action, but no read, with an address that neither request nor trusted context knows.
    pub new_address: Verdict,
    /// Whether the caller saw all of the action.
    #[serde(skip)]
    pub whole: bool,
    /// Names of the rules that matched, in order.
    #[serde(skip)]
    pub rules: Vec<String>,
}

impl Ruling {
    /// What holds at a surface where no policy file says otherwise.
    pub fn base(verdicts: &Verdicts, demanded: MinProvenance, surface: Surface) -> Self {
        let mut ruling = Self {
            verdicts: verdicts.clone(),
            threshold: None,
            mode: Mode::Enforce,
            on_missing: Missing::Point,
            on_abstain: ByEffect { read: Outcome::Pass, write: Outcome::Stop },
            min_provenance: ByEffect { read: demanded.read, write: demanded.write },
            changed_tool: Verdict::Escalate,
            replayed: Verdict::Warn,
            new_address: Verdict::Allow,
            whole: true,
            rules: Vec::new(),
        };
        if surface.is_proxy() {
            // An agent could leave its token out and send words of its own, or a body that we cannot read and its server
            // can.
            ruling.min_provenance.write = demanded.write.max(Provenance::ServerBound);
            ruling.verdicts.unparsable = Verdict::Deny;
        }
        ruling
    }

    /// What becomes of an action with this verdict. The one place where that is decided.
    pub fn outcome(&self, verdict: v1::Verdict, effect: Effect) -> Outcome {
        if self.mode == Mode::Shadow {
            return Outcome::Pass;
        }
        match verdict {
            v1::Verdict::Allow | v1::Verdict::Warn => Outcome::Pass,
            v1::Verdict::Escalate | v1::Verdict::Deny => Outcome::Stop,
            v1::Verdict::Abstain | v1::Verdict::Unspecified => self.on_abstain.get(effect),
        }
    }

    /// What becomes of an action without a score; `None`: the enforcement point decides. What is not trusted enough does not
    /// pass for want of a score.
    pub fn missing(&self, effect: Effect, provenance: Provenance) -> Option<Outcome> {
        match (self.mode, self.on_missing) {
            (Mode::Shadow, _) => Some(Outcome::Pass),
            (_, Missing::Point) => None,
            (_, Missing::Open) if !self.trusts(effect, provenance) => Some(Outcome::Stop),
            (_, Missing::Open) => Some(Outcome::Pass),
            (_, Missing::Closed) => Some(Outcome::Stop),
        }
    }

    /// The verdict. An intent that is not trusted enough for an action of this effect lets nothing pass unseen.
    pub fn judge(
        &self,
        status: Status,
        drift: Option<f64>,
        threshold: f64,
        effect: Effect,
        provenance: Provenance,
    ) -> Decision {
        let decision = self.verdicts.decide(status, drift, threshold, effect);
        if !self.trusts(effect, provenance) && decision.verdict < Verdict::Escalate {
            return Decision { verdict: Verdict::Escalate, reason: reason::PROVENANCE_TOO_LOW };
        }
        decision
    }

    /// Whether an intent of this provenance may carry an action of this effect.
    pub fn trusts(&self, effect: Effect, provenance: Provenance) -> bool {
        provenance >= self.min_provenance.get(effect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ruling(surface: Surface) -> Ruling {
        Ruling::base(&Verdicts::default(), MinProvenance::default(), surface)
    }

    #[test]
    fn only_allow_and_warn_pass_and_abstain_as_the_policy_says() {
        use v1::Verdict::{Abstain, Allow, Deny, Escalate, Unspecified, Warn};
        let ruling = ruling(Surface::Envoy);
        let passes = |verdict, effect| ruling.outcome(verdict, effect) == Outcome::Pass;
        for effect in [Effect::Read, Effect::Write, Effect::Unknown] {
            assert!(passes(Allow, effect) && passes(Warn, effect));
            assert!(!passes(Escalate, effect) && !passes(Deny, effect));
            assert_eq!(passes(Abstain, effect), effect == Effect::Read);
            assert_eq!(passes(Unspecified, effect), effect == Effect::Read);
        }
    }

    #[test]
    fn in_shadow_mode_everything_passes_also_without_a_score() {
        let ruling = Ruling { mode: Mode::Shadow, on_missing: Missing::Closed, ..ruling(Surface::Envoy) };
        assert_eq!(ruling.outcome(v1::Verdict::Deny, Effect::Write), Outcome::Pass);
        assert_eq!(ruling.missing(Effect::Write, Provenance::None), Some(Outcome::Pass));
    }

    #[test]
    fn what_is_not_trusted_enough_does_not_pass_for_want_of_a_score() {
        let open = Ruling { on_missing: Missing::Open, ..ruling(Surface::Envoy) };
        assert_eq!(open.missing(Effect::Write, Provenance::Signed), Some(Outcome::Pass));
        assert_eq!(open.missing(Effect::Write, Provenance::Unverified), Some(Outcome::Stop));
        assert_eq!(ruling(Surface::Envoy).missing(Effect::Write, Provenance::Signed), None);
    }

    #[test]
    fn a_proxy_demands_more_than_a_direct_call() {
        let bare = Provenance::Unverified;
        assert!(ruling(Surface::Score).trusts(Effect::Write, bare));
        assert!(!ruling(Surface::Envoy).trusts(Effect::Write, bare));
        assert!(ruling(Surface::Envoy).trusts(Effect::Read, bare));
        assert_eq!(ruling(Surface::OpenShell).verdicts.unparsable, Verdict::Deny);
    }
}
