//! When each request is due.

use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

/// How arrivals are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Arrivals {
    /// All gaps alike.
    Constant,
    /// Independent callers: gaps are exponential, so that some come in bunches.
    Poisson,
}

/// The times of all arrivals, counted from the start.
#[derive(Debug, Clone)]
pub struct Schedule {
    arrivals: Arrivals,
    /// Per second.
    rate: f64,
    /// Seconds.
    end: f64,
    /// Arrivals so far.
    n: u64,
    /// Seconds; of the next Poisson arrival.
    at: f64,
    random: fastrand::Rng,
}

impl Schedule {
    /// `rate` arrivals a second for `length`; the same seed makes the same Poisson arrivals.
    pub fn new(arrivals: Arrivals, rate: f64, length: Duration, seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        Self { arrivals, rate, end: length.as_secs_f64(), n: 0, at: 0.0, random }
    }

    /// Seconds from the start. Constant arrivals are computed from their number: sums of gaps would drift.
    fn next_at(&mut self) -> f64 {
        let at = match self.arrivals {
            Arrivals::Constant => self.n as f64 / self.rate,
            Arrivals::Poisson => self.at,
        };
        self.n += 1;
        self.at += -(1.0 - self.random.f64()).ln() / self.rate;
        at
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let at = self.next_at();
        (at < self.end).then(|| Duration::from_secs_f64(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(1000);

    #[test]
    fn constant_arrivals_have_no_drift() {
        let times: Vec<_> = Schedule::new(Arrivals::Constant, 300.0, LONG, 1).collect();
        assert_eq!(times.len(), 300_000);
        assert_eq!(times[0], Duration::ZERO);
        assert_eq!(times[299_700], Duration::from_secs(999));
    }

    #[test]
    fn poisson_arrivals_have_the_mean_and_the_spread_of_their_name() {
        let times: Vec<_> =
            Schedule::new(Arrivals::Poisson, 50.0, LONG, 7).map(|t| t.as_secs_f64()).collect();
        let gaps: Vec<_> = times.windows(2).map(|w| w[1] - w[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        // 50,000 gaps: the standard error of the mean is 0.45 %.
        assert!((mean * 50.0 - 1.0).abs() < 0.02, "{mean}");
        // Exponential gaps spread as much as their mean.
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.05, "{variance}");
        assert!(gaps.iter().all(|g| *g >= 0.0));
    }

    #[test]
    fn a_seed_repeats_its_arrivals() {
        let times = |seed| Schedule::new(Arrivals::Poisson, 9.0, LONG, seed).take(50).collect::<Vec<_>>();
        assert_eq!(times(3), times(3));
        assert_ne!(times(3), times(4));
    }
}
