//! One action of a chain: as it comes in, as it is kept, and what is known after it.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::change::Evidence;
use crate::action::Effect;
use crate::policy::{Status, Verdict};

/// An action of a chain, scored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChainHop<'a> {
    /// Place in the chain, from 1; 0: after the last one so far.
    pub hop: u32,
    /// Names the request; one that came before changes nothing. Empty: a request of its own.
    pub request_id: &'a str,
    /// Who acts.
    pub agent: &'a str,
    /// Who delegated to it.
    pub delegator: &'a str,
    /// Who asked whether it may.
    pub enforcement_point: &'a str,
    /// What it does to the world.
    pub effect: Effect,
    /// How its score came about.
    pub status: Status,
    /// What the enforcement point is told by the action alone.
    pub verdict: Verdict,
    /// Drift from the request; absent without a score.
    pub drift: Option<f64>,
    /// The threshold of its effect.
    pub threshold: f64,
    /// Drift from the instruction of the delegating hop.
    pub step_drift: Option<f64>,
    /// Drift of that instruction from the request, and its threshold.
    pub instruction_drift: Option<(f64, f64)>,
}

/// What is kept of it: 56 bytes, and names.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Kept {
    /// Begins the digest of the request id; zero: none.
    pub key: [u8; 16],
    pub drift: f64,
    pub hop: u32,
    /// Orders actions of the same hop.
    pub arrival: u32,
    pub evidence: Evidence,
    pub step_drift: f32,
    pub agent: u16,
    pub delegator: u16,
    pub point: u16,
    pub flags: Flags,
}

/// What is yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Flags {
    /// Has a score.
    pub scored: bool,
    /// The score reached its threshold.
    pub alarm: bool,
    /// The enforcement point was told ALLOW or WARN.
    pub passed: bool,
}

/// How a first drifted hop was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FoundBy {
    /// Its own drift reached its threshold.
    Threshold,
    /// Its own drift did not reach its threshold, but from there on drift explains the chain best.
    Cumulative,
}

impl FoundBy {
    /// What the wire names so.
    pub fn of(name: &str) -> Option<Self> {
        [Self::Threshold, Self::Cumulative].into_iter().find(|found| found.as_str() == name)
    }

    /// As the wire has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Threshold => "threshold",
            Self::Cumulative => "cumulative",
        }
    }
}

/// What is known of a chain after one action.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChainState {
    /// The action's place.
    pub hop: u32,
    /// How many actions of the chain came before it.
    pub arrival: u32,
    /// Whether its request came before; nothing was changed.
    pub repeated: bool,
    /// Drift that has gathered up to this action; at least 0, log-odds.
    pub cumulative_drift: f64,
    /// From this on the chain has drifted as a whole.
    pub cumulative_threshold: f64,
    /// The gathered drift has reached its threshold, this action added to it, and its own drift has not reached its
    /// threshold: what the policy may raise the verdict for. An action that leads back to the course is not held up for
    /// those before it.
    pub raised: bool,
    /// The first hop that drifted, of all that came so far.
    pub first_drifted_hop: Option<u32>,
    /// How it was found.
    pub found_by: Option<FoundBy>,
    /// Actions so far.
    pub actions: u32,
}

/// Where a chain left its course. Names live as long as the tracker.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FirstDrifted<'a> {
    /// The hop.
    pub hop: u32,
    /// How it was found.
    pub found_by: FoundBy,
    /// Who acted.
    pub agent: &'a str,
    /// Who had delegated.
    pub delegator: &'a str,
    /// The first enforcement point from there on that was told ALLOW or WARN, and the hop at which that was.
    pub passed_by: Option<(&'a str, u32)>,
}

/// What is known of a chain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChainSummary<'a> {
    /// Where it left its course.
    pub first_drifted: Option<FirstDrifted<'a>>,
    /// Drift that has gathered at its end.
    pub cumulative_drift: f64,
    /// From this on the chain has drifted as a whole.
    pub cumulative_threshold: f64,
    /// The largest drift of any hop.
    pub max_drift: Option<f64>,
    /// Actions.
    pub actions: u32,
}

/// The key of a request id. 128 bits: an agent that chooses its ids cannot make two of them meet.
pub(super) fn key(request_id: &str) -> [u8; 16] {
    let mut key = [0; 16];
    if !request_id.is_empty() {
        key.iter_mut().zip(Sha256::digest(request_id.as_bytes())).for_each(|(k, d)| *k = d);
    }
    key
}
