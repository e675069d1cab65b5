//! From the drifts of aligned actions to a threshold with a wanted false-alarm rate, and how far to trust it.
//!
//! A false alarm is an aligned action whose drift is *at or above* the threshold. With `n` drifts in order,
//! `x_1 <= ... <= x_n`, a threshold just above `x_k` raises `(n + 1 - k) / (n + 1)` of future aligned actions on average,
//! whatever their distribution (split conformal prediction; Vovk et al., 2005). For 50 actions and 5 % that leaves the
//! choice between 3.9 % and 5.9 %, so the threshold lies between two neighbours, in log-odds, at the place where the mean
//! is the wanted one if the tail falls exponentially: with `m = n - k` drifts above, the gap to the next one is
//! exponential with rate `m`, so a share `g` of it gives `(m + 1) / (n + 1) * m / (m + g)`. Whatever the tail, the mean
//! stays between those two neighbours.
//!
//! Equal drifts leave no gap to choose a place in. Then the threshold is on the side of them whose rate is the nearer.

use crate::binomial::binomial;
use crate::calibration::sigmoid;

/// A threshold of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The drift at and above which there is an alarm.
    pub threshold: f64,
    /// Two drifts of the sample between which the threshold of the whole distribution lies with the wanted confidence,
    /// whatever the distribution. An end is 0 or 1 where the sample is too small to bound it.
    pub interval: [f64; 2],
    /// Mean false-alarm rate on actions like those of the sample.
    pub expected_fpr: f64,
}

/// A place for the threshold, and the rate that it gives.
type Place = (f64, f64);

/// How far above the largest drift of a sample a threshold lies that no drift of it reaches.
const ABOVE: f64 = 1e-6;
/// Log-odds of 0 and 1 are taken for this far away.
const MOST_LOG_ODDS: f64 = 40.0;

/// The threshold that `target` of future aligned actions reach on average, from the drifts of `n` of them.
///
/// Where `(n + 1) * target < 1` no threshold within the sample is rare enough: it is just above the largest drift, and
/// `expected_fpr` says what that gives. `None` of an empty sample. `target` and `confidence` are between 0 and 1.
pub fn estimate(mut drifts: Vec<f64>, target: f64, confidence: f64) -> Option<Estimate> {
    drifts.sort_by(f64::total_cmp);
    let n = drifts.len();
    let wanted = (n + 1) as f64 * target;
    // At least one drift stays below, so that there is one to measure from.
    let above = (wanted.ceil() as usize).saturating_sub(1).min(n.checked_sub(1)?);
    let rank = n - above;
    let lower = *drifts.get(rank - 1)?;
    let (threshold, expected_fpr) = match drifts.get(rank) {
        Some(&upper) if lower < upper => {
            let share = (above as f64 * ((above + 1) as f64 / wanted - 1.0)).clamp(0.0, 1.0);
            (between(lower, upper, share), rate(n, above, share))
        }
        None if lower < 1.0 => above_all(lower, n),
        _ => beside(&drifts, lower, target),
    };
    let [low, high] = interval(&drifts, above, target, confidence);
    Some(Estimate { threshold, interval: [low.min(threshold), high.max(threshold)], expected_fpr })
}

/// Mean false-alarm rate of a threshold that lies a share of the gap above the drift that `above` of `n` exceed.
fn rate(n: usize, above: usize, share: f64) -> f64 {
    let shrunk = if above == 0 { 1.0 } else { above as f64 / (above as f64 + share) };
    (above + 1) as f64 / (n + 1) as f64 * shrunk
}

/// The drift a share of the way, in log-odds: above `lower`, and at most `upper`.
fn between(lower: f64, upper: f64, share: f64) -> f64 {
    let (from, to) = (log_odds(lower), log_odds(upper));
    sigmoid(from + (to - from) * share).max(lower.next_up()).min(upper)
}

fn log_odds(p: f64) -> f64 {
    (p / (1.0 - p)).ln().clamp(-MOST_LOG_ODDS, MOST_LOG_ODDS)
}

fn above_all(largest: f64, n: usize) -> Place {
    ((largest + ABOVE).min(1.0), rate(n, 0, 0.0))
}

/// At or above several equal drifts, whichever comes nearer to the target; above, if both are as near.
fn beside(drifts: &[f64], tied: f64, target: f64) -> Place {
    let n = drifts.len();
    let reach = drifts.iter().filter(|d| **d >= tied).count();
    let at = (tied, reach as f64 / (n + 1) as f64);
    let exceed = drifts.iter().filter(|d| **d > tied).count();
    let above = match drifts.iter().find(|d| **d > tied) {
        Some(&next) => (between(tied, next, 0.5), rate(n, exceed, 0.5)),
        None if tied < 1.0 => above_all(tied, n),
        // Nothing is above a drift of 1.
        None => return at,
    };
    if (above.1 - target).abs() <= (at.1 - target).abs() { above } else { at }
}

/// The order-statistic interval of the quantile that a share `target` exceeds.
///
/// Of `n` drifts, `J ~ Binomial(n, target)` exceed the quantile; where `lo <= J <= hi`, it lies between `x_(n-hi)` and
/// `x_(n-lo+1)`. A `J` of 0 or `n` leaves an end open, so such windows are taken only where no other holds the confidence.
fn interval(drifts: &[f64], above: usize, target: f64, confidence: f64) -> [f64; 2] {
    let n = drifts.len();
    let chances = binomial(n, target);
    let closed = window(&chances, above, [above.min(1), above.max(n - 1)], confidence);
    let (lo, hi) = closed.or_else(|| window(&chances, above, [0, n], confidence)).unwrap_or((0, n));
    let low = (n - hi).checked_sub(1).and_then(|i| drifts.get(i));
    let high = drifts.get(n - lo);
    [low.copied().unwrap_or(0.0), high.copied().unwrap_or(1.0)]
}

/// Grows from `start` within `bounds`, on the more probable side first, until it holds the confidence.
fn window(chances: &[f64], start: usize, bounds: [usize; 2], confidence: f64) -> Option<(usize, usize)> {
    let chance = |j: usize| chances.get(j).copied().unwrap_or(0.0);
    let (mut lo, mut hi, mut held) = (start, start, chance(start));
    while held < confidence {
        let down = (lo > bounds[0]).then(|| chance(lo - 1));
        let up = (hi < bounds[1]).then(|| chance(hi + 1));
        match (down, up) {
            (Some(p), None) => (lo, held) = (lo - 1, held + p),
            (Some(p), Some(other)) if p >= other => (lo, held) = (lo - 1, held + p),
            (_, Some(p)) => (hi, held) = (hi + 1, held + p),
            (None, None) => return None,
        }
    }
    Some((lo, hi))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranks(n: u32) -> Vec<f64> {
        (1..=n).map(|i| f64::from(i) / f64::from(n + 1)).collect()
    }

    fn alarms(drifts: &[f64], threshold: f64) -> usize {
        drifts.iter().filter(|d| **d >= threshold).count()
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn a_whole_rank_is_just_above_its_drift() {
        let drifts = ranks(39);
        let e = estimate(drifts.clone(), 0.05, 0.9).unwrap();
        assert_eq!(e.threshold, drifts[37].next_up());
        assert!(alarms(&drifts, e.threshold) == 1 && close(e.expected_fpr, 0.05));
    }

    #[test]
    fn between_ranks_the_place_gives_the_wanted_mean() {
        let drifts = ranks(50);
        let e = estimate(drifts.clone(), 0.05, 0.9).unwrap();
        let share = 2.0 * (3.0 / 2.55 - 1.0);
        let place = log_odds(drifts[47]) * (1.0 - share) + log_odds(drifts[48]) * share;
        assert!(close(e.threshold, sigmoid(place)) && close(e.expected_fpr, 0.05));
        assert_eq!(alarms(&drifts, e.threshold), 2);
    }

    #[test]
    fn the_order_of_the_sample_does_not_matter() {
        let mut backwards = ranks(50);
        backwards.reverse();
        assert_eq!(estimate(backwards, 0.05, 0.9), estimate(ranks(50), 0.05, 0.9));
    }

    #[test]
    fn the_interval_is_one_of_drifts_that_were_seen() {
        let drifts = ranks(50);
        let e = estimate(drifts.clone(), 0.05, 0.9).unwrap();
        // P(1 <= Binomial(50, 0.05) <= 6) = 0.911; without the 6 it is 0.885.
        assert_eq!(e.interval, [drifts[43], drifts[49]]);
        assert!(e.interval[0] <= e.threshold && e.threshold <= e.interval[1]);
    }

    #[test]
    fn a_sample_too_small_says_so() {
        let drifts = ranks(10);
        let e = estimate(drifts.clone(), 0.05, 0.9).unwrap();
        assert_eq!(alarms(&drifts, e.threshold), 0);
        assert!(e.threshold - drifts[9] < 1e-5 && e.interval[1] == 1.0);
        assert!(close(e.expected_fpr, 1.0 / 11.0));
        let one = estimate(vec![0.3], 0.05, 0.9).unwrap();
        // That 95 % of all actions drift less than the only one seen has a chance of 5 %.
        assert!(one.interval == [0.3, 1.0] && close(one.expected_fpr, 0.5));
        assert_eq!(estimate(vec![], 0.05, 0.9), None);
    }

    #[test]
    fn high_rates_are_within_the_sample_too() {
        let e = estimate(ranks(3), 0.99, 0.9).unwrap();
        assert!(e.threshold > 0.25 && e.threshold <= 0.5 && e.interval[0] == 0.0, "{e:?}");
    }

    #[test]
    fn ties_fall_on_the_side_that_is_nearer() {
        let mut few: Vec<f64> = ranks(46).iter().map(|d| d * 0.5).collect();
        few.extend([0.9; 4]);
        // 4 of 51 alarms at the tie, none above it.
        let at = estimate(few, 0.05, 0.9).unwrap();
        assert_eq!(at.threshold, 0.9);
        let mut many: Vec<f64> = ranks(30).iter().map(|d| d * 0.5).collect();
        many.extend([0.9; 19]);
        many.push(0.95);
        // 20 of 51 at the tie, one above it.
        let above = estimate(many.clone(), 0.05, 0.9).unwrap();
        assert_eq!(alarms(&many, above.threshold), 1);
        assert!(above.threshold > 0.9 && above.threshold < 0.95 && above.expected_fpr < 0.05);
    }

    #[test]
    fn nothing_is_above_a_drift_of_one() {
        let mut drifts = ranks(40);
        drifts.extend([1.0; 10]);
        let e = estimate(drifts, 0.05, 0.9).unwrap();
        assert!(e.threshold == 1.0 && close(e.expected_fpr, 10.0 / 51.0));
        let all = estimate(vec![1.0; 50], 0.05, 0.9).unwrap();
        assert!(all.threshold == 1.0 && close(all.expected_fpr, 50.0 / 51.0));
        let none = estimate(vec![0.0; 50], 0.05, 0.9).unwrap();
        assert!(none.threshold > 0.0 && none.threshold < 0.01);
    }

    /// Numbers in (0, 1) that are the same in every run (xorshift64*).
    struct Draws(u64);

    impl Draws {
        fn next(&mut self) -> f64 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            ((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
        }
    }

    /// Mean false-alarm rate, and how often the interval held the true threshold, where `quantile` makes drifts of shares.
    fn simulate(n: usize, target: f64, quantile: impl Fn(f64) -> f64) -> (f64, f64) {
        let (mut draws, runs) = (Draws(11), 4000);
        let (mut rates, mut held) = (0.0, 0.0);
        for _ in 0..runs {
            let sample: Vec<f64> = (0..n).map(|_| quantile(draws.next())).collect();
            let e = estimate(sample, target, 0.9).unwrap();
            rates += 1.0
                - (0..40)
                    .fold((0.0, 1.0), |(low, high), _| {
                        let middle = 0.5 * (low + high);
                        if quantile(middle) < e.threshold { (middle, high) } else { (low, middle) }
                    })
                    .0;
            let truth = quantile(1.0 - target);
            held += f64::from(u8::from(e.interval[0] <= truth && truth <= e.interval[1]));
        }
        (rates / f64::from(runs), held / f64::from(runs))
    }

    #[test]
    fn the_mean_rate_is_the_wanted_one_and_the_interval_holds() {
        let exponential = |share: f64| sigmoid(-(-share).ln_1p());
        for n in [20, 50, 100, 200] {
            let (mean, held) = simulate(n, 0.05, exponential);
            assert!((mean - 0.05).abs() < 0.002 && held > 0.89, "{n}: {mean} {held}");
            // A tail of another shape moves it little.
            let (mean, held) = simulate(n, 0.05, |share| 0.9 * share);
            assert!((mean - 0.05).abs() < 0.004 && held > 0.89, "{n}: {mean} {held}");
        }
    }
}
