//! Fits what ordinary chains look like, on chains made of training data.
//!
//! The mean of aligned chains and the instructions are moments. The rest is the best point of a grid: for each point the
//! threshold is the lowest that at most the wanted share of the steady chains and of the walking ones reaches, and the point is the better the more slow drifts are caught before their end
//! and the more first drifted hops are named exactly, each family weighing the same.

use rhumb_drift::chain::{ChainParameters, Handed, Level};

use super::build::{Form, STEPS};
use super::detect::track;
use super::scored::ScoredChain;

/// Chains of families that were never seen differ more among themselves than those of the training data: this many
/// times more. The one number here that was chosen with a look at the development data (with the fitted spread, chains of
/// agent security bench, all of whose aligned drifts are high, raise alarms for that alone).
const WIDER: f64 = 1.6;
/// Ranges that evidence may be cut to.
const CLIPS: [[f64; 2]; 2] = [[-4.0, 3.0], [-6.0, 5.0]];
/// The hops whose instructions count: the first ones still are the request.
const LATE: std::ops::Range<usize> = 4..9;

/// The best parameters, with how good they are: shares of slow drifts caught and of first hops named, summed.
pub fn fit(chains: &[ScoredChain], target: f64) -> Option<(ChainParameters, f64)> {
    let starts = CLIPS.iter().filter_map(|clip| moments(chains, *clip));
    let points = starts.flat_map(|start| grid(&start)).filter_map(|point| {
        let fitted = with_threshold(point, chains, target)?;
        let good = goodness(&fitted, chains);
        Some((fitted, good))
    });
    points.reduce(|best, next| if next.1 > best.1 { next } else { best })
}

fn moments(chains: &[ScoredChain], clip: [f64; 2]) -> Option<ChainParameters> {
    let of = |form: Form| chains.iter().filter(move |c| c.form == form);
    let start = ChainParameters { clip, ..ChainParameters::default() };
    let level = |chain: &ScoredChain| {
        let xs: Vec<f64> =
            chain.hops.iter().map(|h| f64::from(start.evidence(h.drift, h.threshold, None).action)).collect();
        mean_sd(&xs).map(|m| m[0])
    };
    let levels: Vec<f64> = of(Form::Steady).chain(of(Form::Walk)).filter_map(level).collect();
    let [mean, between] = mean_sd(&levels)?;
    let instructions = |form: Form| {
        let late = of(form).flat_map(|c| c.hops.get(LATE).unwrap_or_default());
        let xs: Vec<f64> =
            late.filter_map(|h| Some(start.said(h.instruction_drift?, h.instruction_threshold?))).collect();
        mean_sd(&xs)
    };
    Some(ChainParameters {
        aligned: Level { mean, between: between * WIDER, ..start.aligned },
        instruction: Handed {
            aligned: instructions(Form::Walk)?,
            drifted: instructions(Form::Slow)?,
            ..start.instruction
        },
        ..start
    })
}

fn mean_sd(xs: &[f64]) -> Option<[f64; 2]> {
    let count = xs.len() as f64;
    let mean = xs.iter().sum::<f64>() / count;
    let sd = (xs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count).sqrt();
    (xs.len() > 1 && sd > 0.0).then_some([mean, sd])
}

fn grid(start: &ChainParameters) -> Vec<ChainParameters> {
    let mut points = Vec::new();
    for within in [0.7, 0.9, 1.1] {
        for mean in [0.0, 0.5, 1.0] {
            for between in [1.2, 1.6, 2.0] {
                for carry in [0.0, 0.3, 0.6] {
                    for weight in [0.0, 0.3] {
                        points.push(ChainParameters {
                            aligned: Level { within, ..start.aligned },
                            drifted: Level { mean, between, within },
                            carry,
                            instruction: Handed { weight, ..start.instruction },
                            ..start.clone()
                        });
                    }
                }
            }
        }
    }
    points
}

fn with_threshold(point: ChainParameters, chains: &[ScoredChain], target: f64) -> Option<ChainParameters> {
    let silent = ChainParameters { threshold: f64::MAX, ..point };
    let thresholds = [Form::Steady, Form::Walk].into_iter().filter_map(|form| {
        let group = chains.iter().filter(|c| c.form == form);
        lowest(group.map(|c| peak(&track(&silent, c).statistic)).collect(), target)
    });
    let threshold = thresholds.reduce(f64::max)?.max(0.1);
    Some(ChainParameters { threshold, ..silent })
}

/// The largest value.
pub fn peak(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

/// Just above the value that all but `share` of the values stay at or below.
pub fn lowest(mut values: Vec<f64>, share: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let allowed = (values.len() as f64 * share) as usize;
    let place = values.len().checked_sub(allowed + 1)?;
    values.get(place).map(|v| v + 1e-6)
}

fn goodness(parameters: &ChainParameters, chains: &[ScoredChain]) -> f64 {
    let mut families: Vec<&str> = chains.iter().map(|c| c.family.as_str()).collect();
    families.sort_unstable();
    families.dedup();
    let of_family = |family: &&str| {
        let share = |form: Form| {
            let own = chains.iter().filter(|c| c.family == *family && c.form == form);
            let good: Vec<bool> = own.map(|c| is_good(parameters, c)).collect();
            good.iter().filter(|g| **g).count() as f64 / good.len().max(1) as f64
        };
        share(Form::Slow) + share(Form::Abrupt)
    };
    families.iter().map(of_family).sum::<f64>() / families.len().max(1) as f64
}

fn is_good(parameters: &ChainParameters, chain: &ScoredChain) -> bool {
    let found = track(parameters, chain);
    match chain.form {
        Form::Slow => found.gathered.is_some_and(|hop| hop < STEPS),
        _ => found.named == chain.first_drifted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_threshold_lets_as_many_through_as_it_may() {
        let values: Vec<f64> = (0..100u8).map(f64::from).collect();
        let threshold = lowest(values.clone(), 0.05).unwrap();
        assert_eq!(values.iter().filter(|v| **v >= threshold).count(), 5);
        assert_eq!(lowest(Vec::new(), 0.05), None);
    }
}
