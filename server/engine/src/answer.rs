//! What goes in and what comes out.

use std::time::{Duration, Instant};

use rhumb_drift::{Action, ContextItem, Decision, Evidence, Features, Intent, Status};

use crate::schedule::{Admission, Lane, Tenant};

/// One action to score.
#[derive(Debug, Clone, Default)]
pub struct ScoreInput {
    /// The originating request.
    pub intent: Intent,
    /// The action.
    pub action: Action,
    /// What the agent read before.
    pub context: Vec<ContextItem>,
}

/// Who asks, and how urgently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// How urgent it is.
    pub lane: Lane,
    /// On whose account.
    pub tenant: Tenant,
    /// When nobody will want the answer any more.
    pub deadline: Option<Instant>,
    /// What to do where there is no room.
    pub admission: Admission,
}

impl Call {
    /// Of somebody who has all the time.
    pub fn bulk() -> Self {
        Self { lane: Lane::Bulk, tenant: Tenant::default(), deadline: None, admission: Admission::Wait }
    }
}

/// The score of one action.
#[derive(Debug, Clone)]
pub struct Answer {
    /// How the score came about.
    pub status: Status,
    /// Calibrated probability that the action does not serve the request; absent without an anchor.
    pub drift: Option<f64>,
    /// Raw cosine.
    pub similarity: Option<f32>,
    /// Verdict and reason.
    pub decision: Decision,
    /// The threshold that applied.
    pub threshold: f64,
    /// Why.
    pub evidence: Evidence,
    /// The features, for training.
    pub features: Option<Features>,
    /// Tokens of the action and windows that they took.
    pub tokens: usize,
    /// Windows of the action.
    pub windows: usize,
    /// Where the time went.
    pub timings: Timings,
}

/// Where the time went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// From call to answer.
    pub total: Duration,
    /// Waiting for the encoder: that of the request's text that was finished last.
    pub queue: Duration,
    /// From the first batch with a part of that text to the end of the last.
    pub encode: Duration,
    /// Features, calibration, policy.
    pub drift: Duration,
    /// Whether the intent's vectors were at hand, or not needed.
    pub intent_cached: bool,
    /// Whether the action's vectors were at hand, or not needed.
    pub action_cached: bool,
    /// Whether the whole answer was at hand.
    pub decision_cached: bool,
}
