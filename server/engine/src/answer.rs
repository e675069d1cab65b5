//! What goes in and what comes out.

use std::time::Duration;

use rhumb_drift::{Action, ContextItem, Decision, Evidence, Features, Intent, Status};

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
    /// Waiting for the encoder, summed over the texts of the request.
    pub queue: Duration,
    /// In the encoder's batches, summed likewise.
    pub encode: Duration,
    /// Features, calibration, policy.
    pub drift: Duration,
    /// Whether the intent's vectors were at hand.
    pub intent_cached: bool,
    /// Whether the action's vectors were at hand.
    pub action_cached: bool,
}
