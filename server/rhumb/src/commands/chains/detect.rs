//! What the tracker, and what simpler detectors, make of a scored chain.

use rhumb_drift::chain::{ChainHop, ChainParameters, ChainTracker};
use rhumb_drift::{Status, Verdict};

use super::scored::{HopScores, ScoredChain};

/// What was found in one chain.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The statistic after each hop.
    pub statistic: Vec<f64>,
    /// The first hop, from 1, at which the gathered drift had reached its threshold.
    pub gathered: Option<usize>,
    /// The first hop whose own drift reached its threshold.
    pub own: Option<usize>,
    /// The first drifted hop, named at the end of the chain.
    pub named: Option<usize>,
    /// The hop at which drift explains the chain best, whether there was an alarm or not.
    pub likeliest: Option<usize>,
}

impl Found {
    /// The first alarm of either kind.
    pub fn alarm(&self) -> Option<usize> {
        self.gathered.into_iter().chain(self.own).min()
    }
}

/// The shipped detector.
pub fn track(parameters: &ChainParameters, chain: &ScoredChain) -> Found {
    let mut tracker = ChainTracker::default();
    let mut found = Found::default();
    for (hop, number) in chain.hops.iter().zip(1usize..) {
        let state = tracker.insert(parameters, as_hop(hop));
        found.statistic.push(state.cumulative_drift);
        if state.cumulative_drift >= parameters.threshold {
            found.gathered = found.gathered.or(Some(number));
        }
        if hop.drift >= hop.threshold {
            found.own = found.own.or(Some(number));
        }
    }
    let first = tracker.summary(parameters).first_drifted;
    found.named = first.map(|f| f.hop as usize);
    found.likeliest = tracker.likeliest().map(|hop| hop as usize);
    found
}

fn as_hop(hop: &HopScores) -> ChainHop<'_> {
    ChainHop {
        hop: 0,
        request_id: "",
        agent: "",
        delegator: "",
        enforcement_point: "",
        effect: hop.effect,
        status: Status::Scored,
        verdict: Verdict::Allow,
        drift: Some(hop.drift),
        threshold: hop.threshold,
        step_drift: hop.step_drift,
        instruction_drift: hop.instruction_drift.zip(hop.instruction_threshold),
    }
}

/// A simpler detector: a statistic after each hop.
pub struct Baseline {
    /// Its name.
    pub name: &'static str,
    /// The statistic.
    pub statistic: fn(&ScoredChain) -> Vec<f64>,
}

/// What the detector is compared with. All see the same scores.
pub const BASELINES: [Baseline; 4] = [
    Baseline { name: "highest drift of any hop", statistic: highest },
    Baseline { name: "CUSUM without a level of the chain's own", statistic: cusum },
    Baseline { name: "drift from the instruction alone", statistic: step },
    Baseline { name: "cosine with the hop before alone", statistic: before },
];

fn log_odds(p: f64) -> f64 {
    let p = p.clamp(1e-4, 1.0 - 1e-4);
    (p / (1.0 - p)).ln()
}

fn excess(hop: &HopScores) -> f64 {
    log_odds(hop.drift) - log_odds(hop.threshold)
}

fn running_max(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let step = |max: &mut f64, value: f64| {
        *max = max.max(value);
        Some(*max)
    };
    values.scan(f64::NEG_INFINITY, step).collect()
}

fn highest(chain: &ScoredChain) -> Vec<f64> {
    running_max(chain.hops.iter().map(excess))
}

/// Allows a log-odds of one below the threshold.
fn cusum(chain: &ScoredChain) -> Vec<f64> {
    let step = |sum: &mut f64, x: f64| {
        *sum = (*sum + x.clamp(-4.0, 4.0) + 1.0).max(0.0);
        Some(*sum)
    };
    chain.hops.iter().map(excess).scan(0.0, step).collect()
}

fn step(chain: &ScoredChain) -> Vec<f64> {
    running_max(chain.hops.iter().map(|h| h.step_drift.unwrap_or(0.0)))
}

fn before(chain: &ScoredChain) -> Vec<f64> {
    running_max(chain.hops.iter().map(|h| 1.0 - h.cosine_before.unwrap_or(1.0)))
}
