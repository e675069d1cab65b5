//! The statistic: how much better "from some hop on, this chain is off its course" explains the hops than "it never
//! left it".
//!
//! It is Page's CUSUM in its general form, the largest log-likelihood ratio over all hops at which the course may have
//! been left, with one difference: chains have levels of their own. Drifts of one chain's actions are alike, since
//! the request is the same (in the training data chains differ three times as much as hops of one chain), so what a hop
//! is compared with is learned from the hops before it. Both levels are unknown and integrated out:
//!
//! - aligned: `x = m + noise`, `m ~ N(aligned.mean, aligned.between^2)`, noise with `aligned.within`;
//! - drifted, from hop `p` on: `x = d + noise`, `d ~ N(drifted.mean + carry (m - aligned.mean), drifted.between^2)`.
//!
//! Given the sums of `n` hops, the likelihood of a level `N(mu, v)` with noise `s^2` has the closed form
//! `-1/2 [(n-1) ln s^2 + ln(s^2 + n v) + (q - v d^2 / (s^2 + n v)) / s^2]` with `d = sum(x) - n mu` and
//! `q = sum((x - mu)^2)`, so each place costs the same however long the chain is. A fall is no drift: places after which
//! the hops lie lower than before do not count.

use super::parameters::{ChainParameters, Handed};

/// Hops back that a change is looked for; bounds the work of one hop.
pub const LOOK_BACK: usize = 128;

/// What one hop says.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Evidence {
    /// Log-odds of the drift less those of its threshold, cut.
    pub action: f32,
    /// Log-likelihood ratio of the instruction; 0 without one.
    pub instruction: f32,
}

/// Sums over hops.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sums {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Sums {
    /// With one hop more.
    pub fn with(self, evidence: Evidence) -> Self {
        let x = f64::from(evidence.action);
        Self { count: self.count + 1.0, sum: self.sum + x, squares: self.squares + x * x }
    }

    fn without(self, other: Self) -> Self {
        Self {
            count: self.count - other.count,
            sum: self.sum - other.sum,
            squares: self.squares - other.squares,
        }
    }

    /// Log-likelihood, up to what does not depend on the level.
    fn likelihood(self, mean: f64, variance: f64, noise: f64) -> f64 {
        let total = noise + self.count * variance;
        let off = self.sum - self.count * mean;
        let squares = self.squares - 2.0 * mean * self.sum + self.count * mean * mean;
        let fit = (squares - variance * off * off / total) / noise;
        -0.5 * ((self.count - 1.0) * noise.ln() + total.ln() + fit)
    }
}

/// Where the statistic is largest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// Log-likelihood ratio; at least 0.
    pub statistic: f64,
    /// Hops from the last one back to the first that is off the course, both included; 0 where there is none.
    pub back: usize,
}

impl ChainParameters {
    /// What a hop says. `drift` is absent where there is no score, which says nothing.
    pub fn evidence(&self, drift: f64, threshold: f64, instruction: Option<(f64, f64)>) -> Evidence {
        let [low, high] = self.clip;
        let action = (log_odds(drift) - log_odds(threshold)).clamp(low, high) as f32;
        let said = instruction.map(|(drift, threshold)| self.said(drift, threshold));
        Evidence { action, instruction: said.map_or(0.0, |x| self.instruction.ratio(x)) as f32 }
    }

    /// Drift of an instruction, in log-odds from its threshold.
    pub fn said(&self, drift: f64, threshold: f64) -> f64 {
        log_odds(drift) - log_odds(threshold)
    }

    /// The likeliest change, with `all` the sums of all hops and `latest` their evidence from the last one back.
    pub fn change(&self, all: Sums, latest: impl Iterator<Item = Evidence>) -> Change {
        let mut best = Change { statistic: 0.0, back: 0 };
        let (mut after, mut instructions) = (Sums::default(), 0.0);
        for (evidence, back) in latest.take(LOOK_BACK).zip(1..) {
            after = after.with(evidence);
            instructions += f64::from(evidence.instruction);
            let statistic = self.ratio(all.without(after), after) + instructions;
            if statistic > best.statistic {
                best = Change { statistic, back };
            }
        }
        best
    }

    /// Log-likelihood ratio of a change between two runs of hops.
    fn ratio(&self, before: Sums, after: Sums) -> f64 {
        let (aligned, drifted) = (self.aligned, self.drifted);
        let noise = aligned.within * aligned.within;
        // The level of the chain, as far as the hops before the change tell it.
        let precision = 1.0 / (aligned.between * aligned.between) + before.count / noise;
        let level = (aligned.mean / (aligned.between * aligned.between) + before.sum / noise) / precision;
        if after.sum <= level * after.count {
            return f64::NEG_INFINITY;
        }
        let mean = drifted.mean + self.carry * (level - aligned.mean);
        let variance = drifted.between * drifted.between + self.carry * self.carry / precision;
        let off = after.likelihood(mean, variance, drifted.within * drifted.within);
        let on = after.likelihood(level, 1.0 / precision, noise);
        off - on + if before.count < 0.5 { self.first_hop } else { 0.0 }
    }
}

impl Handed {
    /// Weighted and cut log-likelihood ratio; beyond the drifted mean it stays, since more is not less drift.
    fn ratio(&self, x: f64) -> f64 {
        let density = |x: f64, [mean, sd]: [f64; 2]| -0.5 * ((x - mean) / sd).powi(2) - sd.ln();
        let [low, high] = [self.aligned[0], self.drifted[0]];
        let x = x.clamp(low.min(high), high);
        self.weight * (density(x, self.drifted) - density(x, self.aligned)).clamp(-self.most, self.most)
    }
}

/// Probabilities are kept this far from 0 and 1.
const EDGE: f64 = 1e-4;

fn log_odds(p: f64) -> f64 {
    let p = p.clamp(EDGE, 1.0 - EDGE);
    (p / (1.0 - p)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(xs: &[f32]) -> Change {
        let evidence = |x: &f32| Evidence { action: *x, instruction: 0.0 };
        let all = xs.iter().map(evidence).fold(Sums::default(), Sums::with);
        ChainParameters::default().change(all, xs.iter().rev().map(evidence))
    }

    #[test]
    fn the_change_is_where_the_level_rises() {
        assert_eq!(change(&[-3.0, -3.2, -2.8, 1.0, 1.2, 0.9]).back, 3);
        assert_eq!(change(&[-3.0, -3.2, -2.8, -0.5, -0.4, -0.6]).back, 3, "below the threshold too");
        assert_eq!(change(&[-3.0; 8]).statistic, 0.0);
        assert_eq!(change(&[1.0, 1.2, 0.9, -3.0, -3.2]).back, 0, "a fall is no drift");
    }

    #[test]
    fn a_chain_that_was_always_high_has_not_changed() {
        let even = change(&[-0.8; 8]).statistic;
        let risen = change(&[-3.0, -3.0, -3.0, -3.0, -0.8, -0.8, -0.8, -0.8]).statistic;
        assert!(even < risen / 2.0, "{even} {risen}");
    }

    #[test]
    fn small_steps_add_up() {
        let ramp = [-4.0, -4.0, -4.0, -3.4, -2.8, -2.2, -1.6, -1.1, -0.7, -0.3];
        let grown: Vec<f64> = (1..=10).map(|n| change(&ramp[..n]).statistic).collect();
        assert!(grown[8] > ChainParameters::default().threshold && grown[4] < grown[9], "{grown:?}");
    }

    #[test]
    fn instructions_that_leave_the_request_add_to_it() {
        let mut p = ChainParameters::default();
        p.instruction.weight = 0.3;
        let told = |drift| p.evidence(0.1, 0.5, Some((drift, 0.5))).instruction;
        assert!(told(0.001) < 0.0 && told(0.5) > 0.0 && told(0.999) == told(0.9));
        assert_eq!(p.evidence(0.1, 0.5, None).instruction, 0.0);
    }
}
