//! The server's memory over time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinHandle;

use super::process::rss;
use super::record::Recorder;

/// Growth from the second fifth of a run to its last that still counts as flat, in percent: an allocator keeps some.
const FLAT_PERCENT: f64 = 5.0;
/// Samples below which fifths mean nothing.
const FEWEST: usize = 10;

/// One look at the process.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    /// Seconds since the measurement began.
    pub seconds: f64,
    /// Calls answered until then.
    pub answered: u64,
    /// Resident bytes.
    pub rss_bytes: u64,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// Resident bytes when the measurement began.
    pub first_bytes: u64,
    /// Resident bytes at its end.
    pub last_bytes: u64,
    /// The most that was seen.
    pub max_bytes: u64,
    /// Last over first, in percent of the first.
    pub growth_percent: f64,
    /// Slope of the least-squares line.
    pub bytes_per_thousand_calls: f64,
    /// Median of the last fifth over median of the second fifth, in percent; absent below ten samples.
    pub late_growth_percent: Option<f64>,
    /// Whether that is below 5 %.
    pub flat: Option<bool>,
    /// All samples.
    pub samples: Vec<Sample>,
}

/// Samples until it is finished.
#[derive(Debug)]
pub struct Sampler(JoinHandle<()>, Arc<Mutex<Vec<Sample>>>);

impl Sampler {
    /// Looks at the process every `interval`, from `begin` on.
    pub fn start(pid: u32, interval: Duration, begin: Instant, recorder: Arc<Recorder>) -> Self {
        let samples = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&samples);
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval_at(begin.into(), interval);
            loop {
                ticks.tick().await;
                let Some(rss_bytes) = rss(pid) else { return };
                let seconds = begin.elapsed().as_secs_f64();
                let sample = Sample { seconds, answered: recorder.answered(), rss_bytes };
                into.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
            }
        });
        Self(task, samples)
    }

    /// Stops; `None` if the process was never seen.
    pub fn finish(self) -> Option<Memory> {
        self.0.abort();
        let samples = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        Memory::of(samples.clone())
    }
}

impl Memory {
    /// The summary; `None` without samples.
    pub fn of(samples: Vec<Sample>) -> Option<Self> {
        let (first, last) = (samples.first()?.rss_bytes, samples.last()?.rss_bytes);
        let points = samples.iter().map(|s| (s.answered as f64 / 1000.0, s.rss_bytes as f64));
        let late = late_growth(&samples);
        Some(Self {
            first_bytes: first,
            last_bytes: last,
            max_bytes: samples.iter().map(|s| s.rss_bytes).max()?,
            growth_percent: growth(first, last),
            bytes_per_thousand_calls: slope(&points.collect::<Vec<_>>()),
            late_growth_percent: late,
            flat: late.map(|g| g < FLAT_PERCENT),
            samples,
        })
    }
}

fn growth(from: u64, to: u64) -> f64 {
    100.0 * (to as f64 / (from.max(1)) as f64 - 1.0)
}

/// By then the caches of a long enough run are full, and what still grows is a leak.
fn late_growth(samples: &[Sample]) -> Option<f64> {
    let n = samples.len();
    let second = samples.get(n / 5..2 * n / 5)?;
    let last = samples.get(4 * n / 5..)?;
    (n >= FEWEST).then(|| growth(median(second), median(last)))
}

fn median(samples: &[Sample]) -> u64 {
    let mut bytes: Vec<_> = samples.iter().map(|s| s.rss_bytes).collect();
    bytes.sort_unstable();
    bytes.get(bytes.len() / 2).copied().unwrap_or(0)
}

/// Slope of the least-squares line through `(x, y)`; 0 where all x are alike.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let above: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let below: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
    if below > 0.0 { above / below } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(bytes: impl IntoIterator<Item = u64>) -> Vec<Sample> {
        let sample = |(i, rss_bytes)| Sample { seconds: i as f64, answered: i as u64 * 500, rss_bytes };
        bytes.into_iter().enumerate().map(sample).collect()
    }

    #[test]
    fn the_slope_is_that_of_the_line() {
        let memory = Memory::of(samples((0..20).map(|i| 1_000_000 + i * 4096))).unwrap();
        assert!((memory.bytes_per_thousand_calls - 8192.0).abs() < 1e-6, "{memory:?}");
        assert_eq!((memory.first_bytes, memory.last_bytes), (1_000_000, 1_000_000 + 19 * 4096));
        assert_eq!(slope(&[(1.0, 5.0), (1.0, 9.0)]), 0.0);
    }

    #[test]
    fn a_cache_that_fills_is_flat_and_a_leak_is_not() {
        let filling = (0..100u64).map(|i| 50_000_000 + i.min(15) * 2_000_000);
        assert_eq!(Memory::of(samples(filling)).unwrap().flat, Some(true));
        let leaking = (0..100u64).map(|i| 50_000_000 + i * 200_000);
        assert_eq!(Memory::of(samples(leaking)).unwrap().flat, Some(false));
    }

    #[test]
    fn few_samples_give_no_verdict() {
        assert_eq!(Memory::of(samples([1, 2, 3])).unwrap().flat, None);
        assert_eq!(Memory::of(Vec::new()), None);
    }
}
