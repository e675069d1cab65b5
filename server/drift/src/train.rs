//! Fits the head: logistic regression with an L2 penalty, by Newton's method, in the direction of each feature.

use std::collections::BTreeMap;

use ndarray::{Array1, Array2};

use crate::calibration::{Weight, sigmoid};
use crate::features::{FEATURES, Feature, Features};

/// Ordinary actions are not disguised, so no data says what a disguise is worth; this is set by hand.
const DISGUISES: &str = "disguises";
const DISGUISE: Weight = Weight { mean: 0.0, sd: 1.0, weight: 1.5 };

/// In half of the training data drifted calls are made by exchanging an id that stands in the request, so a fit would look
/// at little else; this is set by hand.
const DISPLACED: &str = "displaced";
const DISPLACEMENT: Weight = Weight { mean: 0.0, sd: 1.0, weight: 2.0 };

/// Destinations weigh this much of the mean weight of the fitted features. The training data cannot say: where its
/// destinations are not in the request, its labels are made by exchanging them. Chosen on the development data.
const DESTINATIONS: &str = "destinations";
const DESTINATION_SHARE: f64 = 0.6;

/// One labelled action.
#[derive(Debug, Clone)]
pub struct Example {
    /// What was measured.
    pub features: Features,
    /// Whether it drifted.
    pub drifted: bool,
    /// How much it counts; see [`balance`].
    pub weight: f64,
}

/// Why nothing was fitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrainError {
    /// A class is empty.
    #[error("training needs aligned and drifted examples, got {aligned} and {drifted}")]
    OneClass {
        /// Aligned examples.
        aligned: usize,
        /// Drifted examples.
        drifted: usize,
    },
    /// The system of equations has no solution.
    #[error("training did not converge")]
    Singular,
}

/// Where an example comes from: its family, its label and its kind.
pub type Cell<'a> = (&'a str, bool, &'a str);

/// Weights with mean 1, such that every family and both its labels weigh the same, and every kind within a label: a
/// large family does not outvote a small one, nor an easy kind of drift a hard one.
pub fn balance(cells: &[Cell<'_>]) -> Vec<f64> {
    let mut examples: BTreeMap<Cell<'_>, f64> = BTreeMap::new();
    for cell in cells {
        *examples.entry(*cell).or_default() += 1.0;
    }
    let mut kinds: BTreeMap<(&str, bool), f64> = BTreeMap::new();
    for (family, drifted, _) in examples.keys() {
        *kinds.entry((family, *drifted)).or_default() += 1.0;
    }
    let per_label = cells.len() as f64 / kinds.len().max(1) as f64;
    let weight = |cell: &Cell<'_>| {
        let kinds = kinds.get(&(cell.0, cell.1)).copied().unwrap_or(1.0);
        per_label / kinds / examples.get(cell).copied().unwrap_or(1.0)
    };
    cells.iter().map(weight).collect()
}

/// Fits bias and weights.
///
/// The penalty is strong on purpose: it keeps the weights close to one another, which holds up on families that were
/// never seen, and a last fit of scale and bias alone makes the result a probability again. A feature whose weight would
/// turn against its direction is set to zero and the rest is fitted again. Thresholds are left for the caller, who knows
/// which false-alarm rate is wanted.
///
/// # Errors
/// If a class is empty or the equations have no solution.
pub fn fit(examples: &[Example], l2: f64) -> Result<(f64, BTreeMap<String, Weight>), TrainError> {
    let aligned = examples.iter().filter(|e| !e.drifted).count();
    let drifted = examples.len() - aligned;
    if aligned == 0 || drifted == 0 {
        return Err(TrainError::OneClass { aligned, drifted });
    }
    let scales: Vec<Weight> = (0..FEATURES.len()).map(|i| scale(examples, i)).collect();
    let by_hand = |f: &Feature| [DESTINATIONS, DISGUISES, DISPLACED].contains(&f.name);
    let mut active: Vec<bool> = FEATURES.iter().map(|f| !by_hand(f)).collect();
    loop {
        let x = design(examples, &scales, &active);
        let solution = newton(&x, examples, l2)?;
        let against = FEATURES.iter().zip(solution.iter().skip(1)).map(|(f, w)| f.direction * w < 0.0);
        let worse: Vec<bool> = active.iter().zip(against).map(|(a, bad)| *a && bad).collect();
        if worse.iter().any(|w| *w) {
            active.iter_mut().zip(&worse).for_each(|(a, bad)| *a &= !bad);
            continue;
        }
        let weights = with_destinations(solution.iter().skip(1).copied().collect());
        let x = design(examples, &scales, &vec![true; FEATURES.len()]);
        let (bias, scale) = rescale(&x, &weights, examples)?;
        let weights = FEATURES.iter().zip(&scales).zip(&weights);
        let named = weights.map(|((f, s), w)| {
            (f.name.to_owned(), Weight { weight: if *w != 0.0 { w * scale } else { 0.0 }, ..*s })
        });
        let mut named: BTreeMap<String, Weight> = named.collect();
        named.insert(DISGUISES.to_owned(), DISGUISE);
        named.insert(DISPLACED.to_owned(), DISPLACEMENT);
        return Ok((bias, named));
    }
}

/// Gives the destinations their weight, where the features of arguments have one.
fn with_destinations(mut weights: Array1<f64>) -> Array1<f64> {
    let fitted: Vec<f64> = weights.iter().filter(|w| **w != 0.0).map(|w| w.abs()).collect();
    let mean = fitted.iter().sum::<f64>() / fitted.len().max(1) as f64;
    for (feature, weight) in FEATURES.iter().zip(weights.iter_mut()) {
        if feature.name == DESTINATIONS {
            *weight = feature.direction * DESTINATION_SHARE * mean;
        }
    }
    weights
}

/// Bias and scale of the weighted sum that fit best, without a penalty.
fn rescale(x: &Array2<f64>, weights: &Array1<f64>, examples: &[Example]) -> Result<(f64, f64), TrainError> {
    let sums = x.slice(ndarray::s![.., 1..]).dot(weights);
    let ones = Array1::ones(sums.len());
    let design =
        ndarray::stack(ndarray::Axis(1), &[ones.view(), sums.view()]).map_err(|_| TrainError::Singular)?;
    let solution = newton(&design, examples, 1e-9)?;
    let at = |i: usize| solution.get(i).copied().unwrap_or(0.0);
    Ok((at(0), at(1)))
}

/// Mean and standard deviation of one feature over the aligned examples that have it.
fn scale(examples: &[Example], feature: usize) -> Weight {
    let values = examples.iter().filter(|e| !e.drifted);
    let values: Vec<(f64, f64)> = values
        .filter_map(|e| e.features.values.get(feature).copied().flatten().map(|v| (f64::from(v), e.weight)))
        .collect();
    let total: f64 = values.iter().map(|(_, w)| w).sum();
    let mean = values.iter().map(|(v, w)| v * w).sum::<f64>() / total.max(1e-12);
    let variance = values.iter().map(|(v, w)| w * (v - mean).powi(2)).sum::<f64>() / total.max(1e-12);
    Weight { mean, sd: variance.sqrt().max(1e-3), weight: 0.0 }
}

/// `[examples, 1 + features]`: a column of ones, then the standardised features; inactive ones are zero.
fn design(examples: &[Example], scales: &[Weight], active: &[bool]) -> Array2<f64> {
    Array2::from_shape_fn((examples.len(), 1 + scales.len()), |(row, column)| {
        let Some(feature) = column.checked_sub(1) else { return 1.0 };
        let on = active.get(feature).copied().unwrap_or(false);
        let value = examples.get(row).and_then(|e| e.features.values.get(feature).copied().flatten());
        match (value, scales.get(feature)) {
            (Some(value), Some(scale)) if on => scale.standardize(value),
            _ => 0.0,
        }
    })
}

/// Newton's method on the penalised likelihood; the bias is not penalised.
fn newton(x: &Array2<f64>, examples: &[Example], l2: f64) -> Result<Array1<f64>, TrainError> {
    let y: Array1<f64> = examples.iter().map(|e| f64::from(u8::from(e.drifted))).collect();
    let weight: Array1<f64> = examples.iter().map(|e| e.weight).collect();
    let mut penalty = Array1::from_elem(x.ncols(), l2);
    penalty.first_mut().into_iter().for_each(|p| *p = 1e-9);
    let mut beta = Array1::<f64>::zeros(x.ncols());
    for _ in 0..100 {
        let p = x.dot(&beta).mapv(sigmoid);
        let gradient = x.t().dot(&(&weight * (&y - &p))) - &penalty * &beta;
        let curvature = &weight * &p * p.mapv(|p| 1.0 - p);
        let scaled = x * &curvature.insert_axis(ndarray::Axis(1));
        let hessian = x.t().dot(&scaled) + Array2::from_diag(&penalty);
        let step = solve(hessian, gradient).ok_or(TrainError::Singular)?;
        beta += &step;
        if step.iter().all(|s| s.abs() < 1e-10) {
            return Ok(beta);
        }
    }
    Err(TrainError::Singular)
}

/// Solves `a x = b` for a symmetric positive definite `a` by Gaussian elimination; a dozen unknowns need no library.
fn solve(mut a: Array2<f64>, mut b: Array1<f64>) -> Option<Array1<f64>> {
    let n = b.len();
    for i in 0..n {
        let pivot = *a.get((i, i))?;
        if pivot.abs() < 1e-12 {
            return None;
        }
        let row = a.row(i).to_owned();
        let value = *b.get(i)?;
        for j in i + 1..n {
            let factor = a.get((j, i))? / pivot;
            a.row_mut(j).scaled_add(-factor, &row);
            *b.get_mut(j)? -= factor * value;
        }
    }
    let mut x = Array1::<f64>::zeros(n);
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).filter_map(|j| Some(a.get((i, j))? * x.get(j)?)).sum();
        *x.get_mut(i)? = (b.get(i)? - known) / a.get((i, i))?;
    }
    Some(x)
}

/// The drift at and above which at most `fpr` of the aligned examples fall, by order statistic; `None` of nothing.
pub fn threshold(mut aligned: Vec<f64>, fpr: f64) -> Option<f64> {
    aligned.sort_by(f64::total_cmp);
    let allowed = (fpr * aligned.len() as f64).floor() as usize;
    let at = aligned.len().checked_sub(allowed + 1)?;
    // Just above the largest drift that must still pass.
    aligned.get(at).map(|d| (d + 1e-6).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibration::{Calibration, Head};
    use crate::features::FEATURES;
    use crate::grounding::Grounding;

    fn example(late_mean: f32, verb: f32, drifted: bool) -> Example {
        let mut values = [None; crate::features::COUNT];
        for (name, value) in [("late_mean", late_mean), ("verb", verb)] {
            values[FEATURES.iter().position(|f| f.name == name).unwrap()] = Some(value);
        }
        let grounding = Grounding::default();
        let features = Features { values, similarity: None, weakest: None, unmatched: Vec::new(), grounding };
        Example { features, drifted, weight: 1.0 }
    }

    fn data() -> Vec<Example> {
        // The verb is made to point the wrong way on purpose.
        (0..200)
            .map(|i| {
                let drifted = i % 2 == 0;
                let noise = ((i * 37) % 100) as f32 / 100.0;
                let cosine = if drifted { 0.2 } else { 0.5 } + 0.4 * noise;
                example(cosine, if drifted { 0.5 + 0.1 * noise } else { 0.45 }, drifted)
            })
            .collect()
    }

    #[test]
    fn weights_follow_the_direction_of_the_features() {
        let (_, weights) = fit(&data(), 1.0).unwrap();
        assert!(weights["late_mean"].weight < -0.5);
        assert_eq!(weights["verb"].weight, 0.0);
    }

    #[test]
    fn the_fit_is_at_the_optimum() {
        // Even under a strong penalty: after the last fit the mean predicted probability of a logistic fit equals the share of positives.
        let examples = data();
        let (bias, features) = fit(&examples, 50.0).unwrap();
        let c = Head { bias, features, ..Calibration::neutral("d").call };
        let mean = examples.iter().map(|e| c.drift(&e.features, 0.0).0).sum::<f64>() / examples.len() as f64;
        assert!((mean - 0.5).abs() < 1e-3, "{mean}");
    }

    #[test]
    fn one_class_is_an_error() {
        let aligned: Vec<_> = data().into_iter().filter(|e| !e.drifted).collect();
        assert_eq!(fit(&aligned, 1.0).unwrap_err(), TrainError::OneClass { aligned: 100, drifted: 0 });
    }

    #[test]
    fn families_labels_and_kinds_weigh_the_same() {
        let cells =
            [("a", true, "x"), ("a", true, "x"), ("a", true, "y"), ("a", false, "g"), ("b", true, "x")];
        let w = balance(&cells);
        let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(close(w[0] + w[1], w[2]) && close(w[0] + w[1] + w[2], w[3]) && close(w[3], w[4]));
        assert!(close(w.iter().sum(), 5.0));
    }

    #[test]
    fn a_threshold_lets_at_most_the_asked_share_through() {
        let drifts: Vec<f64> = (0..100).map(|i| f64::from(i) / 100.0).collect();
        let t = threshold(drifts.clone(), 0.05).unwrap();
        assert_eq!(drifts.iter().filter(|d| **d >= t).count(), 5);
        assert_eq!(threshold(vec![], 0.05), None);
    }
}
