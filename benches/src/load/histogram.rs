//! Durations and their quantiles.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Microseconds; what took longer counts as this.
const MOST_US: u64 = 600_000_000;
/// Significant digits that a quantile keeps.
const DIGITS: u8 = 3;

/// Durations between 1 us and ten minutes, within 0.1 %.
#[derive(Debug, Clone)]
pub struct Durations(Option<Histogram<u64>>);

/// Quantiles in milliseconds; all 0 where nothing was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Quantiles {
    /// Samples.
    pub count: u64,
    /// Mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90 % took at most this.
    pub p90: f64,
    /// 99 % took at most this.
    pub p99: f64,
    /// 99.9 % took at most this.
    #[serde(rename = "p99.9")]
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

impl Default for Durations {
    fn default() -> Self {
        // The bounds are constants that the constructor accepts, which a test checks.
        Self(Histogram::new_with_bounds(1, MOST_US, DIGITS).ok())
    }
}

impl Durations {
    /// Counts one.
    pub fn add(&mut self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(MOST_US);
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(us.clamp(1, MOST_US));
        }
    }

    /// The quantiles.
    pub fn quantiles(&self) -> Quantiles {
        let Some(histogram) = self.0.as_ref().filter(|h| !h.is_empty()) else { return Quantiles::default() };
        let ms = |us: u64| us as f64 / 1000.0;
        let at = |q: f64| ms(histogram.value_at_quantile(q));
        Quantiles {
            count: histogram.len(),
            mean: histogram.mean() / 1000.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: ms(histogram.max()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(durations: impl IntoIterator<Item = Duration>) -> Quantiles {
        let mut all = Durations::default();
        durations.into_iter().for_each(|d| all.add(d));
        all.quantiles()
    }

    #[test]
    fn quantiles_are_within_a_thousandth() {
        let summary = of((1..=10_000).map(Duration::from_micros));
        let close = |a: f64, b: f64| (a / b - 1.0).abs() < 0.001;
        assert_eq!(summary.count, 10_000);
        assert!(close(summary.p50, 5.0) && close(summary.p90, 9.0), "{summary:?}");
        assert!(close(summary.p99, 9.9) && close(summary.p999, 9.99), "{summary:?}");
        assert!(close(summary.max, 10.0) && close(summary.mean, 5.0005), "{summary:?}");
    }

    #[test]
    fn nothing_is_lost_at_the_ends_of_the_range() {
        let summary = of([Duration::ZERO, Duration::from_secs(3600)]);
        assert_eq!(summary.count, 2);
        assert!(summary.max > 599_000.0, "{summary:?}");
    }

    #[test]
    fn no_samples_make_no_figures() {
        assert_eq!(of([]), Quantiles::default());
    }
}
