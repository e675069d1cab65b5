//! From a drift to a verdict.
//!
//! A read that drifted is told (WARN); a write that drifted goes to a human (ESCALATE), and one that drifted far is
//! stopped (DENY). What could not be seen whole is never simply allowed, and what has no anchor is never judged.

use serde::{Deserialize, Serialize};

use crate::action::Effect;

/// What the enforcement point should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    /// Let it pass.
    Allow,
    /// Let it pass and tell somebody.
    Warn,
    /// Ask a human.
    Escalate,
    /// Stop it.
    Deny,
    /// Rhumb cannot say.
    Abstain,
}

/// How the score came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// All of the action was scored.
    Scored,
    /// Part of the action lies beyond the budget.
    Truncated,
    /// The request hands over what is to be done, so its own text says little about the action.
    Delegated,
    /// Nothing to compare with.
    NoAnchor,
    /// The input could not be read.
    Unparsable,
    /// A limit of the intent forbids it.
    Limited,
    /// All of it was scored, and a cheaper path than the ordinary one took part: the CPU where the GPU is lost. The score is
    /// as good as any, so the policy makes no difference.
    Degraded,
}

/// Verdicts by effect and status. The threshold itself comes from the calibration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// For reads at and above the threshold.
    pub read: Verdict,
    /// For writes, and actions of unknown effect, at and above the threshold.
    pub write: Verdict,
    /// For writes and actions of unknown effect at and above `far`.
    pub write_far: Verdict,
    /// The drift from which a write counts as far off.
    pub far: f64,
    /// At least this for a write that could not be seen whole.
    pub truncated_write: Verdict,
    /// At least this for a read that could not be seen whole.
    pub truncated_read: Verdict,
    /// At least this for a write of a request that hands over what is to be done.
    pub delegated_write: Verdict,
    /// At least this for a read of such a request.
    pub delegated_read: Verdict,
    /// At least this for a read of a chain whose gathered drift has reached its threshold, though the read's own has not.
    pub chain_read: Verdict,
    /// The same for a write, or an action of unknown effect.
    pub chain_write: Verdict,
    /// Where there is no originating request.
    pub no_anchor: Verdict,
    /// Where a token, or what it leads to, is forged, tampered with, expired or revoked.
    pub intent_refused: Verdict,
    /// Where the input could not be read.
    pub unparsable: Verdict,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            read: Verdict::Warn,
            write: Verdict::Escalate,
            write_far: Verdict::Deny,
            far: 0.95,
            truncated_write: Verdict::Escalate,
            truncated_read: Verdict::Warn,
            delegated_write: Verdict::Warn,
            delegated_read: Verdict::Allow,
            chain_read: Verdict::Warn,
            chain_write: Verdict::Escalate,
            no_anchor: Verdict::Abstain,
            intent_refused: Verdict::Deny,
            unparsable: Verdict::Abstain,
        }
    }
}

/// A verdict and its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// What to do.
    pub verdict: Verdict,
    /// Why, `[a-z][a-z0-9_]*`.
    pub reason: &'static str,
}

impl Policy {
    /// Checks the numbers.
    ///
    /// # Errors
    /// Says which key is out of range.
    pub fn check(&self) -> Result<(), String> {
        if !(0.0..=1.0).contains(&self.far) {
            return Err("far: needs a number from 0 to 1".to_owned());
        }
        let never_allowed = [
            ("truncated_read", self.truncated_read),
            ("truncated_write", self.truncated_write),
            ("no_anchor", self.no_anchor),
            ("intent_refused", self.intent_refused),
            ("unparsable", self.unparsable),
        ];
        match never_allowed.iter().find(|(_, verdict)| *verdict == Verdict::Allow) {
            Some((key, _)) => {
                Err(format!("{key}: what was not seen whole cannot be ALLOW; WARN lets it pass"))
            }
            None => Ok(()),
        }
    }

    /// Decides. `drift` is absent where there is no score.
    pub fn decide(&self, status: Status, drift: Option<f64>, threshold: f64, effect: Effect) -> Decision {
        match (status, drift) {
            (Status::NoAnchor, _) => Decision { verdict: self.no_anchor, reason: "intent_missing" },
            (Status::Limited, _) => Decision { verdict: Verdict::Deny, reason: "constraint" },
            (Status::Unparsable, _) | (_, None) => {
                Decision { verdict: self.unparsable, reason: "action_unparsable" }
            }
            (Status::Truncated, Some(drift)) => {
                let floor = if effect == Effect::Read { self.truncated_read } else { self.truncated_write };
                at_least(self.by_drift(drift, threshold, effect), floor, "action_truncated")
            }
            (Status::Delegated, Some(drift)) => {
                let floor = if effect == Effect::Read { self.delegated_read } else { self.delegated_write };
                at_least(self.by_drift(drift, threshold, effect), floor, "intent_delegated")
            }
            (Status::Scored | Status::Degraded, Some(drift)) => self.by_drift(drift, threshold, effect),
        }
    }

    /// Raises the verdict of an action in a chain that has drifted as a whole; see
    /// [`ChainState::raised`](crate::chain::ChainState::raised). A verdict that says more stays as it is.
    pub fn in_drifted_chain(&self, decision: Decision, effect: Effect) -> Decision {
        let floor = if effect == Effect::Read { self.chain_read } else { self.chain_write };
        at_least(decision, floor, "chain_drift")
    }

    fn by_drift(&self, drift: f64, threshold: f64, effect: Effect) -> Decision {
        let verdict = match effect {
            _ if drift < threshold => return Decision { verdict: Verdict::Allow, reason: "aligned" },
            Effect::Read => self.read,
            Effect::Write | Effect::Unknown if drift >= self.far.max(threshold) => self.write_far,
            Effect::Write | Effect::Unknown => self.write,
        };
        Decision { verdict, reason: "intent_drift" }
    }
}

fn at_least(decision: Decision, floor: Verdict, reason: &'static str) -> Decision {
    if decision.verdict >= floor { decision } else { Decision { verdict: floor, reason } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: Status, drift: f64, effect: Effect) -> (Verdict, &'static str) {
        let d = Policy::default().decide(status, Some(drift), 0.5, effect);
        (d.verdict, d.reason)
    }

    #[test]
    fn drift_at_the_threshold_is_an_alarm() {
        assert_eq!(verdict(Status::Scored, 0.499, Effect::Write), (Verdict::Allow, "aligned"));
        assert_eq!(verdict(Status::Scored, 0.5, Effect::Write), (Verdict::Escalate, "intent_drift"));
        assert_eq!(verdict(Status::Scored, 0.5, Effect::Read), (Verdict::Warn, "intent_drift"));
        assert_eq!(verdict(Status::Scored, 0.96, Effect::Unknown), (Verdict::Deny, "intent_drift"));
    }

    #[test]
    fn who_computed_makes_no_difference() {
        for (drift, effect) in [(0.499, Effect::Write), (0.5, Effect::Write), (0.96, Effect::Read)] {
            assert_eq!(verdict(Status::Degraded, drift, effect), verdict(Status::Scored, drift, effect));
        }
    }

    #[test]
    fn what_was_not_seen_whole_is_never_simply_allowed() {
        assert_eq!(verdict(Status::Truncated, 0.0, Effect::Write), (Verdict::Escalate, "action_truncated"));
        assert_eq!(verdict(Status::Truncated, 0.0, Effect::Read), (Verdict::Warn, "action_truncated"));
        assert_eq!(verdict(Status::Truncated, 0.99, Effect::Write).0, Verdict::Deny);
    }

    #[test]
    fn a_write_of_a_delegating_request_is_told() {
        assert_eq!(verdict(Status::Delegated, 0.0, Effect::Write), (Verdict::Warn, "intent_delegated"));
        assert_eq!(verdict(Status::Delegated, 0.0, Effect::Read), (Verdict::Allow, "aligned"));
        assert_eq!(verdict(Status::Delegated, 0.6, Effect::Write), (Verdict::Escalate, "intent_drift"));
    }

    #[test]
    fn a_chain_that_drifted_as_a_whole_raises_the_verdict_and_never_lowers_it() {
        let policy = Policy::default();
        let aligned = Decision { verdict: Verdict::Allow, reason: "aligned" };
        let raised = |decision, effect| {
            let d = policy.in_drifted_chain(decision, effect);
            (d.verdict, d.reason)
        };
        assert_eq!(raised(aligned, Effect::Read), (Verdict::Warn, "chain_drift"));
        assert_eq!(raised(aligned, Effect::Unknown), (Verdict::Escalate, "chain_drift"));
        let stopped = Decision { verdict: Verdict::Deny, reason: "intent_drift" };
        assert_eq!(raised(stopped, Effect::Write), (Verdict::Deny, "intent_drift"));
    }

    #[test]
    fn without_a_score_there_is_no_judgement() {
        let p = Policy::default();
        assert_eq!(p.decide(Status::NoAnchor, None, 0.5, Effect::Write).verdict, Verdict::Abstain);
        assert_eq!(p.decide(Status::Scored, None, 0.5, Effect::Write).verdict, Verdict::Abstain);
    }
}
