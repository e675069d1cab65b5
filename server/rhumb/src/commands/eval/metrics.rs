//! How well a score tells drifted from aligned actions.

use serde::Serialize;

/// Figures of one score on one set of actions. Positive = drifted; a higher score means more drift.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// Aligned actions.
    pub aligned: usize,
    /// Drifted actions.
    pub drifted: usize,
    /// Probability that a random drifted action scores above a random aligned one; ties count half.
    pub auroc: f64,
    /// Area under precision over recall, by steps.
    pub average_precision: f64,
    /// Share of the drifted actions found while at most 1 % of the aligned ones are.
    pub tpr_at_fpr01: f64,
    /// The same at 5 %.
    pub tpr_at_fpr05: f64,
    /// Mean distance between drift and the share of drifted actions, over 15 equal bins, both labels weighing the same.
    /// Absent where the score is no probability.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ece: Option<f64>,
}

/// Bins of the expected calibration error.
const BINS: usize = 15;

/// Measures pairs of score and label (`true` = drifted). `None` where a label is missing altogether.
pub fn measure(pairs: &[(f64, bool)], is_probability: bool) -> Option<Metrics> {
    let drifted = pairs.iter().filter(|(_, d)| *d).count();
    let aligned = pairs.len() - drifted;
    if drifted == 0 || aligned == 0 {
        return None;
    }
    let curve = curve(pairs);
    Some(Metrics {
        aligned,
        drifted,
        auroc: auroc(&curve),
        average_precision: average_precision(&curve),
        tpr_at_fpr01: tpr_at(&curve, 0.01),
        tpr_at_fpr05: tpr_at(&curve, 0.05),
        ece: is_probability.then(|| ece(pairs)),
    })
}

/// True and false positives at every distinct threshold, from the highest score down; starts with none of both.
fn curve(pairs: &[(f64, bool)]) -> Vec<(f64, f64)> {
    let mut sorted = pairs.to_vec();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut points = vec![(0.0, 0.0)];
    let (mut hits, mut alarms) = (0.0, 0.0);
    for tied in sorted.chunk_by(|a, b| a.0 == b.0) {
        hits += tied.iter().filter(|(_, d)| *d).count() as f64;
        alarms += tied.iter().filter(|(_, d)| !*d).count() as f64;
        points.push((hits, alarms));
    }
    points
}

fn totals(curve: &[(f64, f64)]) -> (f64, f64) {
    curve.last().copied().unwrap_or((0.0, 0.0))
}

fn auroc(curve: &[(f64, f64)]) -> f64 {
    let (hits, alarms) = totals(curve);
    let steps = curve.iter().zip(curve.iter().skip(1));
    steps.map(|(a, b)| (b.1 - a.1) * (a.0 + b.0) / 2.0).sum::<f64>() / (hits * alarms)
}

fn average_precision(curve: &[(f64, f64)]) -> f64 {
    let (hits, _) = totals(curve);
    let steps = curve.iter().zip(curve.iter().skip(1));
    steps.map(|(a, b)| (b.0 - a.0) / hits * b.0 / (b.0 + b.1)).sum()
}

fn tpr_at(curve: &[(f64, f64)], fpr: f64) -> f64 {
    let (hits, alarms) = totals(curve);
    let allowed = curve.iter().filter(|(_, a)| a / alarms <= fpr);
    allowed.map(|(h, _)| h / hits).fold(0.0, f64::max)
}

fn ece(pairs: &[(f64, bool)]) -> f64 {
    let drifted = pairs.iter().filter(|(_, d)| *d).count().max(1) as f64;
    let aligned = (pairs.len() as f64 - drifted).max(1.0);
    let mut bins = [(0.0, 0.0, 0.0); BINS];
    for (score, is_drifted) in pairs {
        let weight = if *is_drifted { 0.5 / drifted } else { 0.5 / aligned };
        let place = ((score * BINS as f64) as usize).min(BINS - 1);
        if let Some(bin) = bins.get_mut(place) {
            bin.0 += weight;
            bin.1 += weight * score;
            bin.2 += if *is_drifted { weight } else { 0.0 };
        }
    }
    bins.iter().map(|(_, score, drifted)| (score - drifted).abs()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(drifted: &[f64], aligned: &[f64]) -> Metrics {
        let pairs: Vec<_> =
            drifted.iter().map(|s| (*s, true)).chain(aligned.iter().map(|s| (*s, false))).collect();
        measure(&pairs, true).unwrap()
    }

    #[test]
    fn a_perfect_and_a_useless_score() {
        let perfect = metrics(&[0.9, 0.8], &[0.1, 0.2]);
        assert_eq!((perfect.auroc, perfect.average_precision, perfect.tpr_at_fpr01), (1.0, 1.0, 1.0));
        let useless = metrics(&[0.5; 4], &[0.5; 4]);
        assert_eq!((useless.auroc, useless.average_precision, useless.tpr_at_fpr05), (0.5, 0.5, 0.0));
    }

    #[test]
    fn figures_worked_out_by_hand() {
        // From the top: drifted, aligned, drifted, aligned.
        let m = metrics(&[0.9, 0.7], &[0.8, 0.1]);
        assert!((m.auroc - 0.75).abs() < 1e-12);
        assert!((m.average_precision - (0.5 + 0.5 * 2.0 / 3.0)).abs() < 1e-12);
        assert_eq!(m.tpr_at_fpr05, 0.5);
    }

    #[test]
    fn calibration_error_is_the_distance_to_the_share() {
        // Half of those at 0.5 drifted: no error. All of those at 1.0 drifted: none. Bins do not mix.
        assert!(metrics(&[0.5], &[0.5]).ece.unwrap() < 1e-12);
        assert!((metrics(&[0.0], &[1.0]).ece.unwrap() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn one_label_alone_is_not_measured() {
        assert_eq!(measure(&[(0.1, true)], true), None);
    }
}
