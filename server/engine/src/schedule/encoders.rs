//! The encoders: how fast each of them is, and until when it is busy.
//!
//! Each one is measured by itself, while the others work: what they take from each other, on one GPU for example, is in the
//! figures. What is foreseen is foreseen for all that are there.

use std::time::{Duration, Instant};

use super::estimate::Estimate;

/// What loading an encoder takes, roughly.
const LOADING: Duration = Duration::from_millis(500);

/// What an encoder is busy with.
#[derive(Debug, Clone, Copy)]
struct Busy {
    since: Instant,
    tokens: usize,
}

#[derive(Debug, Clone)]
struct One {
    estimate: Estimate,
    busy: Option<Busy>,
    live: bool,
}

impl One {
    /// Time until it can take a batch.
    fn free_in(&self, now: Instant) -> Duration {
        self.busy.map_or(Duration::ZERO, |busy| {
            (busy.since + self.estimate.batch(busy.tokens)).saturating_duration_since(now)
        })
    }
}

/// All encoders, by number. One that is gone keeps its number.
#[derive(Debug)]
pub(super) struct Encoders(Vec<One>);

impl Encoders {
    /// So many, of which nothing is known yet.
    pub fn new(count: usize, assumed_tokens_per_s: f64) -> Self {
        let estimate = Estimate::assumed(assumed_tokens_per_s);
        Self(vec![One { estimate, busy: None, live: true }; count])
    }

    fn live(&self) -> impl Iterator<Item = &One> {
        self.0.iter().filter(|one| one.live)
    }

    /// Encoders that are left.
    pub fn count(&self) -> usize {
        self.live().count()
    }

    /// The speed of one; `None` if it is gone.
    pub fn speed(&self, encoder: usize) -> Option<&Estimate> {
        self.0.get(encoder).filter(|one| one.live).map(|one| &one.estimate)
    }

    /// The same, to add to.
    pub fn speed_mut(&mut self, encoder: usize) -> Option<&mut Estimate> {
        self.0.get_mut(encoder).filter(|one| one.live).map(|one| &mut one.estimate)
    }

    /// The speeds of all that are left.
    pub fn speeds(&self) -> impl Iterator<Item = &Estimate> {
        self.live().map(|one| &one.estimate)
    }

    /// A batch of `tokens` begins.
    pub fn begin(&mut self, encoder: usize, tokens: usize, now: Instant) {
        if let Some(one) = self.0.get_mut(encoder) {
            one.busy = Some(Busy { since: now, tokens });
        }
    }

    /// It is over.
    pub fn end(&mut self, encoder: usize) {
        if let Some(one) = self.0.get_mut(encoder) {
            one.busy = None;
        }
    }

    /// Whether no batch is under way.
    pub fn are_idle(&self) -> bool {
        self.0.iter().all(|one| one.busy.is_none())
    }

    /// An encoder is gone, and what it was busy with; false if it was before.
    pub fn lose(&mut self, encoder: usize) -> bool {
        let Some(one) = self.0.get_mut(encoder).filter(|one| one.live) else { return false };
        (one.live, one.busy) = (false, None);
        true
    }

    /// Another takes the place of an encoder, and its batch. Of the new one nothing is known, and it has to be loaded.
    pub fn replace(&mut self, encoder: usize, assumed_tokens_per_s: f64, now: Instant) {
        if let Some(one) = self.0.get_mut(encoder) {
            one.estimate = Estimate::assumed(assumed_tokens_per_s);
            one.busy = one.busy.map(|busy| Busy { since: now + LOADING, ..busy });
        }
    }

    /// Time until all batches that are under way are done.
    pub fn all_free_in(&self, now: Instant) -> Duration {
        self.live().map(|one| one.free_in(now)).max().unwrap_or_default()
    }

    /// Time for one batch of `tokens`, whichever encoder takes it.
    pub fn batch(&self, tokens: usize) -> Duration {
        self.speeds().map(|speed| speed.batch(tokens)).max().unwrap_or_default()
    }

    /// Time for `tokens` that all begin at once, in batches of which `size` tells the length.
    pub fn together(&self, tokens: usize, size: impl Fn(&Estimate) -> usize) -> Duration {
        let done_in_a_second = |speed: &Estimate| 1.0 / seconds(speed.batches(tokens, size(speed)));
        Duration::from_secs_f64(1.0 / self.speeds().map(done_in_a_second).sum::<f64>().max(1e-9))
    }

    /// Time until `tokens` are computed, in batches of which `size` tells the length, where each encoder has `share` of its
    /// time for them.
    ///
    /// What comes before the last batch is everybody's: each encoder takes of it from when it is free. The last batch is
    /// one encoder's, and that may be the slowest.
    pub fn until(
        &self,
        tokens: usize,
        size: impl Fn(&Estimate) -> usize,
        share: f64,
        now: Instant,
    ) -> Duration {
        let last = self.speeds().map(|speed| size(speed).min(tokens)).min().unwrap_or_default();
        let work = |speed: &Estimate, n: usize| speed.batches(n, size(speed)).div_f64(share);
        let own = self.speeds().map(|speed| work(speed, last)).max().unwrap_or_default();
        let begins = match tokens - last {
            0 => self.live().map(|one| one.free_in(now)).min().unwrap_or_default(),
            before => self.level(|one| (one.free_in(now), work(&one.estimate, before))),
        };
        begins + own
    }

    /// When work is done that an encoder alone would do in `work`, from when it is free: the second and the first of what
    /// `of` tells. The share that is done by `t` is the sum of `(t - free) / work` over those that are free by then, which
    /// is convex: Newton's method, from a time at which all is done, comes down to where it is 1 in a step for each.
    fn level(&self, of: impl Fn(&One) -> (Duration, Duration)) -> Duration {
        let mut at = self.live().map(of_sum(&of)).max().unwrap_or_default();
        for _ in 0..self.0.len() {
            let (mut sum, mut slope) = (1.0, 0.0);
            for (free, work) in self.live().map(&of).filter(|(free, _)| *free < at) {
                sum += free.as_secs_f64() / seconds(work);
                slope += 1.0 / seconds(work);
            }
            let next = Duration::try_from_secs_f64(sum / slope).unwrap_or(at);
            if next >= at {
                break;
            }
            at = next;
        }
        at
    }
}

fn of_sum<T>(of: &impl Fn(T) -> (Duration, Duration)) -> impl Fn(T) -> Duration {
    move |one| {
        let (free, work) = of(one);
        free + work
    }
}

/// More than nothing: it is divided by.
fn seconds(time: Duration) -> f64 {
    time.as_secs_f64().max(1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// A token takes so many milliseconds.
    fn encoders(ms_per_token: &[u64]) -> Encoders {
        let mut all = Encoders::new(ms_per_token.len(), 1.0);
        for (i, per_token) in ms_per_token.iter().enumerate() {
            (0..2).for_each(|_| all.speed_mut(i).unwrap().observe(10, ms(10 * per_token)));
        }
        all
    }

    fn near(a: Duration, b: Duration) {
        assert!(a.abs_diff(b) < Duration::from_micros(10), "{a:?} {b:?}");
    }

    #[test]
    fn one_encoder_does_one_thing_after_the_other() {
        let (mut one, now) = (encoders(&[1]), Instant::now());
        near(one.until(25, |_| 10, 1.0, now), ms(25));
        near(one.until(25, |_| 10, 0.5, now), ms(50));
        one.begin(0, 30, now);
        near(one.until(25, |_| 10, 1.0, now + ms(10)), ms(20 + 25));
        near(one.until(5, |_| 10, 1.0, now + ms(70)), ms(5));
        near(one.together(40, |_| 10), ms(40));
    }

    #[test]
    fn two_share_what_waits_and_not_a_batch() {
        let (mut two, now) = (encoders(&[1, 1]), Instant::now());
        near(two.until(10, |_| 10, 1.0, now), ms(10));
        near(two.until(50, |_| 10, 1.0, now), ms(20 + 10));
        two.begin(0, 100, now);
        near(two.until(10, |_| 10, 1.0, now), ms(10));
        near(two.until(30, |_| 10, 1.0, now), ms(20 + 10));
        two.begin(1, 6, now);
        near(two.until(10, |_| 10, 1.0, now), ms(6 + 10));
        // The second has done 94 when the first is free.
        near(two.until(10 + 114, |_| 10, 1.0, now), ms(100 + 10 + 10));
        near(two.together(40, |_| 10), ms(20));
        two.lose(1);
        near(two.until(10, |_| 10, 1.0, now), ms(110));
        assert_eq!(two.count(), 1);
    }

    #[test]
    fn a_slow_one_takes_its_share_and_may_get_the_last_batch() {
        let (both, now) = (encoders(&[1, 4]), Instant::now());
        near(both.until(110, |_| 10, 1.0, now), ms(80 + 40));
        near(both.batch(10), ms(40));
    }

    #[test]
    fn without_encoders_nothing_is_foreseen_and_nothing_breaks() {
        let mut none = encoders(&[1]);
        none.lose(0);
        assert_eq!(none.until(100, |_| 10, 1.0, Instant::now()), Duration::ZERO);
        assert!(none.speed(0).is_none() && none.speed(7).is_none() && none.are_idle());
    }
}
