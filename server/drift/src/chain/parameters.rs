//! What a chain's statistic needs to know of ordinary chains; fitted by `rhumb train-chains`.

use serde::{Deserialize, Serialize};

use crate::calibration::CalibrationError;

/// How the evidence of chains is distributed, in log-odds from the threshold of an action's effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChainParameters {
    /// Hops before a change.
    pub aligned: Level,
    /// Hops after it.
    pub drifted: Level,
    /// How much of what is peculiar to a chain before a change remains after it, in `0..=1`.
    pub carry: f64,
    /// Log-odds that a chain was off its course from its first hop on, against any other hop: at most 0.
    pub first_hop: f64,
    /// What instructions say.
    pub instruction: Handed,
    /// Evidence of a hop is cut to this range.
    pub clip: [f64; 2],
    /// The statistic from which on a chain as a whole has drifted.
    pub threshold: f64,
}

/// A normal distribution of levels, and of hops around the level of their chain.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// Mean over chains.
    pub mean: f64,
    /// Standard deviation of the chains' own means.
    pub between: f64,
    /// Standard deviation of hops within a chain.
    pub within: f64,
}

/// The drift of handed-down instructions from the request.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handed {
    /// How much it counts beside the actions, in `0..=1`.
    pub weight: f64,
    /// Mean and standard deviation in chains that keep their course.
    pub aligned: [f64; 2],
    /// The same in chains that lose it.
    pub drifted: [f64; 2],
    /// One hop adds or takes at most this.
    pub most: f64,
}

impl Default for ChainParameters {
    /// Those of the built-in calibration, rounded; for heads that were fitted without chains.
    fn default() -> Self {
        Self {
            aligned: Level { mean: -2.58, between: 1.63, within: 0.9 },
            drifted: Level { mean: 0.0, between: 1.2, within: 0.9 },
            carry: 0.6,
            first_hop: -4.0,
            instruction: Handed { weight: 0.0, aligned: [-4.2, 1.3], drifted: [-2.7, 2.2], most: 1.5 },
            clip: [-4.0, 3.0],
            threshold: 4.42,
        }
    }
}

impl ChainParameters {
    /// Checks the numbers.
    ///
    /// # Errors
    /// Names the field that cannot be used.
    pub fn check(&self) -> Result<(), CalibrationError> {
        let Handed { weight, aligned: [mean, sd], drifted: [drifted_mean, drifted_sd], most } =
            self.instruction;
        let spread =
            |level: &Level| level.mean.is_finite() && positive(level.between) && positive(level.within);
        let checks = [
            ("aligned", spread(&self.aligned)),
            ("drifted", spread(&self.drifted)),
            ("carry", (0.0..=1.0).contains(&self.carry)),
            ("firstHop", self.first_hop <= 0.0),
            ("instruction", (0.0..=1.0).contains(&weight) && positive(most)),
            ("instruction.aligned", mean.is_finite() && positive(sd)),
            ("instruction.drifted", drifted_mean.is_finite() && positive(drifted_sd)),
            ("clip", matches!(self.clip, [low, high] if low.is_finite() && high.is_finite() && low < high)),
            ("threshold", positive(self.threshold)),
        ];
        match checks.iter().find(|(_, good)| !good) {
            Some((field, _)) => Err(CalibrationError::Field {
                field: format!("chain.{field}"),
                problem: "is out of range".to_owned(),
            }),
            None => Ok(()),
        }
    }
}

fn positive(number: f64) -> bool {
    number.is_finite() && number > 0.0
}
