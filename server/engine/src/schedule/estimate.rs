//! How fast an encoder is, from what it did.
//!
//! A batch of `n` tokens is taken to last `overhead + n / rate`. Both come from decayed sums over the batches that were
//! computed, each weighted by its tokens: large batches say more about the rate, and noise of tiny ones is loud.

use std::time::{Duration, Instant};

use super::lane::{Lane, PerLane};

/// What an observation still counts after the next one.
const DECAY: f64 = 0.97;
/// Lengths of batches must differ at least so much (variance over squared mean) to tell overhead from rate.
const LEAST_SPREAD: f64 = 0.02;
/// Share of a batch's time that may be overhead where a larger batch would have less of it.
const FAIR_OVERHEAD: f64 = 0.1;
/// Over how many seconds the load of a lane is remembered.
const LOAD_SECONDS: f64 = 1.0;

/// Tokens per second and fixed overhead.
#[derive(Debug, Clone)]
pub struct Estimate {
    /// Sums of weight, tokens, seconds, tokens², tokens × seconds; every one weighted by tokens.
    sums: [f64; 5],
    rate: f64,
    overhead: f64,
    measured: bool,
}

impl Estimate {
    /// Before anything was measured.
    pub fn assumed(tokens_per_s: f64) -> Self {
        Self { sums: [0.0; 5], rate: tokens_per_s.max(1.0), overhead: 0.0, measured: false }
    }

    /// Adds a batch.
    pub fn observe(&mut self, tokens: usize, took: Duration) {
        if tokens == 0 {
            return;
        }
        let (n, t) = (tokens as f64, took.as_secs_f64().max(1e-9));
        let new = [n, n * n, n * t, n * n * n, n * n * t];
        self.sums.iter_mut().zip(new).for_each(|(sum, new)| *sum = *sum * DECAY + new);
        self.fit();
        self.measured = true;
    }

    /// Weighted least squares, kept within what makes sense: no negative overhead, no more of it than time was spent.
    fn fit(&mut self) {
        let [w, sn, st, snn, snt] = self.sums;
        let (mean_n, mean_t) = (sn / w, st / w);
        let (variance, covariance) = (snn / w - mean_n * mean_n, snt / w - mean_n * mean_t);
        if variance > LEAST_SPREAD * mean_n * mean_n {
            let slope = (covariance / variance).clamp(0.0, mean_t / mean_n);
            self.overhead = mean_t - slope * mean_n;
        }
        self.overhead = self.overhead.clamp(0.0, 0.9 * mean_t);
        self.rate = mean_n / (mean_t - self.overhead).max(1e-9);
    }

    /// Tokens per second, overhead aside.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// What a batch costs however small it is.
    pub fn overhead(&self) -> Duration {
        Duration::from_secs_f64(self.overhead)
    }

    /// Whether the figures were measured rather than assumed.
    pub fn is_measured(&self) -> bool {
        self.measured
    }

    /// Time for one batch of `tokens`.
    pub fn batch(&self, tokens: usize) -> Duration {
        Duration::from_secs_f64(self.overhead + tokens as f64 / self.rate)
    }

    /// Time for `tokens` in batches of `size`.
    pub fn batches(&self, tokens: usize, size: usize) -> Duration {
        let batches = tokens.div_ceil(size.max(1)) as f64;
        Duration::from_secs_f64(batches * self.overhead + tokens as f64 / self.rate)
    }

    /// Tokens of a batch that is mostly work: with more, throughput hardly rises.
    pub fn worthwhile(&self) -> usize {
        ((1.0 / FAIR_OVERHEAD - 1.0) * self.overhead * self.rate) as usize
    }

    /// Tokens of a batch that lasts `ms`; at least those of half the time, however large the overhead.
    pub fn tokens_in(&self, ms: f64) -> usize {
        let seconds = ms / 1e3;
        ((seconds - self.overhead).max(seconds / 2.0) * self.rate) as usize
    }
}

/// Which share of the encoders' time each lane took of late.
#[derive(Debug, Clone, Default)]
pub struct Loads {
    busy: PerLane<f64>,
    watched: f64,
    last: Option<Instant>,
}

impl Loads {
    /// Adds a batch that ended at `now` and took this much of the time of all encoders.
    pub fn add(&mut self, now: Instant, took: Duration, tokens: &PerLane<usize>) {
        self.decay_to(now);
        let all: usize = Lane::ALL.iter().map(|lane| *tokens.of(*lane)).sum();
        for lane in Lane::ALL {
            *self.busy.of_mut(lane) += took.as_secs_f64() * *tokens.of(lane) as f64 / all.max(1) as f64;
        }
    }

    fn decay_to(&mut self, now: Instant) {
        let passed = self.last.map_or(LOAD_SECONDS, |last| now.saturating_duration_since(last).as_secs_f64());
        self.last = Some(now);
        let left = (-passed / LOAD_SECONDS).exp();
        self.watched = self.watched * left + passed.min(LOAD_SECONDS);
        Lane::ALL.iter().for_each(|lane| *self.busy.of_mut(*lane) *= left);
    }

    /// Share of the time that lanes above `lane` take, in `0..=1`.
    pub fn above(&self, lane: Lane, now: Instant) -> f64 {
        let Some(last) = self.last else { return 0.0 };
        let passed = now.saturating_duration_since(last).as_secs_f64();
        let left = (-passed / LOAD_SECONDS).exp();
        let busy: f64 = lane.above().map(|lane| *self.busy.of(lane)).sum();
        (busy * left / (self.watched * left + passed.min(LOAD_SECONDS)).max(1e-9)).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: f64) -> Duration {
        Duration::from_secs_f64(n / 1e3)
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 0.02 * b
    }

    #[test]
    fn rate_and_overhead_are_told_apart() {
        let mut estimate = Estimate::assumed(1.0);
        for n in [10, 400, 50, 200, 30, 800, 100].into_iter().cycle().take(100) {
            estimate.observe(n, ms(0.5 + n as f64 / 20.0));
        }
        assert!(
            near(estimate.rate(), 20_000.0) && near(estimate.overhead().as_secs_f64(), 0.0005),
            "{estimate:?}"
        );
        // 90 tokens last 4.5 ms, and half a millisecond is overhead.
        assert!(near(estimate.worthwhile() as f64, 90.0), "{}", estimate.worthwhile());
    }

    #[test]
    fn batches_of_one_size_give_a_rate_and_a_change_is_followed() {
        let mut estimate = Estimate::assumed(1.0);
        (0..50).for_each(|_| estimate.observe(100, ms(10.0)));
        assert!(near(estimate.rate(), 10_000.0), "{estimate:?}");
        (0..300).for_each(|_| estimate.observe(100, ms(40.0)));
        assert!(near(estimate.rate(), 2_500.0), "{estimate:?}");
    }

    #[test]
    fn one_slow_tiny_batch_hardly_counts() {
        let mut estimate = Estimate::assumed(1.0);
        (0..50).for_each(|_| estimate.observe(1000, ms(50.0)));
        let before = estimate.batch(1000);
        estimate.observe(5, ms(30.0));
        assert!(near(estimate.batch(1000).as_secs_f64(), before.as_secs_f64()), "{estimate:?}");
    }

    #[test]
    fn a_load_is_seen_and_forgotten() {
        let (mut loads, start) = (Loads::default(), Instant::now());
        let tokens = PerLane { enforcement: 10, interactive: 0, bulk: 10 };
        for i in 1..=400 {
            loads.add(start + ms(10.0) * i, ms(10.0), &tokens);
        }
        let end = start + ms(4000.0);
        assert!((loads.above(Lane::Bulk, end) - 0.5).abs() < 0.05, "{}", loads.above(Lane::Bulk, end));
        assert!(loads.above(Lane::Enforcement, end) == 0.0);
        assert!(loads.above(Lane::Bulk, end + ms(5000.0)) < 0.02);
    }
}
