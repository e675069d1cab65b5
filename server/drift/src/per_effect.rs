//! Thresholds by effect: each effect's own where its sample carries one, else that of all effects together.

use std::collections::BTreeMap;

use crate::action::Effect;
use crate::binomial::rate_interval;
use crate::conformal::{Estimate, estimate};
use crate::thresholds::{EFFECTS, Threshold};

/// What is asked of thresholds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wanted {
    /// Share of the aligned actions that may reach the threshold, between 0 and 1.
    pub target_fpr: f64,
    /// Confidence of intervals, between 0 and 1.
    pub confidence: f64,
}

/// With fewer aligned actions there are no thresholds at all.
pub const FEWEST: usize = 20;
/// With fewer actions an effect has no threshold of its own.
const FEWEST_OF_AN_EFFECT: usize = 10;

/// Thresholds for the drifts of aligned actions. `None` of fewer than [`FEWEST`].
///
/// An effect has a threshold of its own where the largest drift of its samples is not expected to be reached more than
/// twice as often as asked, `(n + 1) * target >= 1/2`. An effect without any sample has the lowest of all thresholds: nobody
/// has said that such actions are in order here.
pub fn by_effect(drifts: &[(Effect, f64)], wanted: Wanted) -> Option<BTreeMap<Effect, Threshold>> {
    if drifts.len() < FEWEST {
        return None;
    }
    let of = |effect| drifts.iter().filter(move |(e, _)| *e == effect).map(|(_, drift)| *drift);
    let make = |sample: Vec<f64>| estimate(sample, wanted.target_fpr, wanted.confidence);
    let pool = make(drifts.iter().map(|(_, drift)| *drift).collect())?;
    let mut all = BTreeMap::new();
    for effect in EFFECTS {
        let own: Vec<f64> = of(effect).collect();
        let carries = own.len() == drifts.len() || carries_its_own(own.len(), wanted.target_fpr);
        let estimate = if carries { make(own.clone()) } else { None };
        all.insert(effect, threshold(&own, estimate, &pool, drifts.len(), wanted));
    }
    let lowest = all.values().map(|t| t.threshold).fold(pool.threshold, f64::min);
    all.values_mut().filter(|t| t.samples == 0).for_each(|t| t.threshold = lowest);
    Some(all)
}

fn carries_its_own(samples: usize, target: f64) -> bool {
    samples >= FEWEST_OF_AN_EFFECT && (samples + 1) as f64 * target >= 0.5
}

fn threshold(
    own: &[f64],
    estimate: Option<Estimate>,
    pool: &Estimate,
    all: usize,
    wanted: Wanted,
) -> Threshold {
    let used = estimate.unwrap_or(*pool);
    let alarms = own.iter().filter(|d| **d >= used.threshold).count();
    Threshold {
        threshold: used.threshold,
        interval: if own.is_empty() { [0.0, 1.0] } else { used.interval },
        samples: own.len(),
        pooled: estimate.is_none(),
        expected_fpr: estimate.map(|e| e.expected_fpr),
        fpr_interval: rate_interval(alarms, own.len(), wanted.confidence),
        note: match estimate {
            None => Some(pooled_note(own.len(), all, pool.expected_fpr)),
            Some(estimate) => own_note(own.len(), &estimate, wanted),
        },
    }
}

fn pooled_note(own: usize, all: usize, expected: f64) -> String {
    match own {
        0 => "no sample: the lowest of all thresholds".to_owned(),
        _ => format!(
            "{own} samples are too few: the threshold that {} of all {all} actions reach on average",
            percent(expected)
        ),
    }
}

fn own_note(own: usize, estimate: &Estimate, wanted: Wanted) -> Option<String> {
    let (target, expected) = (percent(wanted.target_fpr), percent(estimate.expected_fpr));
    // The number from which on a threshold within the sample is rare enough.
    let needed = (1.0 / wanted.target_fpr - 1.0).ceil() as usize;
    if own < needed {
        return Some(format!(
            "above every drift of the sample, which {expected} reach on average; {target} needs {needed} samples"
        ));
    }
    if expected != target {
        return Some(format!("equal drifts: no threshold comes nearer to {target} than {expected}"));
    }
    let bounded = estimate.interval[1] < 1.0;
    (!bounded)
        .then(|| format!("too few samples for an upper bound at {} confidence", percent(wanted.confidence)))
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Wanted = Wanted { target_fpr: 0.05, confidence: 0.9 };

    /// So many actions with drifts spread evenly below `most`.
    fn spread(effect: Effect, n: u32, most: f64) -> Vec<(Effect, f64)> {
        (1..=n).map(|i| (effect, most * f64::from(i) / f64::from(n + 1))).collect()
    }

    #[test]
    fn every_effect_with_enough_samples_has_its_own_threshold() {
        let drifts = [spread(Effect::Read, 30, 0.5), spread(Effect::Write, 20, 0.9)].concat();
        let all = by_effect(&drifts, WANTED).unwrap();
        let (read, write) = (&all[&Effect::Read], &all[&Effect::Write]);
        assert_eq!((read.samples, read.pooled, write.samples, write.pooled), (30, false, 20, false));
        assert!(read.threshold < 0.5 && write.threshold > 0.8, "{all:?}");
        assert_eq!(read.expected_fpr.map(|e| (e * 1e9).round()), Some(5e7));
        assert!(read.note.as_ref().is_some_and(|n| n.contains("upper bound")), "{read:?}");
    }

    #[test]
    fn too_few_of_an_effect_share_the_threshold_of_all() {
        let drifts = [spread(Effect::Read, 45, 0.9), spread(Effect::Write, 5, 0.2)].concat();
        let all = by_effect(&drifts, WANTED).unwrap();
        let write = &all[&Effect::Write];
        let pool = estimate(drifts.iter().map(|d| d.1).collect(), 0.05, 0.9).unwrap();
        assert_eq!((write.threshold, write.samples, write.pooled), (pool.threshold, 5, true));
        assert_eq!((write.expected_fpr, write.fpr_interval[0]), (None, 0.0));
        assert!(write.note.as_ref().is_some_and(|n| n.contains("5 samples are too few")), "{write:?}");
    }

    #[test]
    fn an_effect_that_was_never_seen_has_the_lowest_threshold() {
        let drifts = [spread(Effect::Read, 30, 0.5), spread(Effect::Write, 20, 0.9)].concat();
        let all = by_effect(&drifts, WANTED).unwrap();
        let unknown = &all[&Effect::Unknown];
        assert_eq!(unknown.threshold, all[&Effect::Read].threshold);
        assert_eq!((unknown.samples, unknown.pooled, unknown.interval), (0, true, [0.0, 1.0]));
        assert_eq!(unknown.fpr_interval, [0.0, 1.0]);
    }

    #[test]
    fn a_sample_too_small_for_the_rate_says_what_it_gives() {
        let wanted = Wanted { target_fpr: 0.01, ..WANTED };
        let all = by_effect(&spread(Effect::Write, 50, 0.9), wanted).unwrap();
        let write = &all[&Effect::Write];
        assert!(
            write.note.as_ref().is_some_and(|n| n.contains("2.0 %") && n.contains("99 samples")),
            "{write:?}"
        );
        assert_eq!(write.interval[1], 1.0);
        assert_eq!(by_effect(&spread(Effect::Write, 19, 0.9), WANTED), None);
    }
}
