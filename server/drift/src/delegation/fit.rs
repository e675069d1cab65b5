//! Fits the weights: logistic regression with an L2 penalty, by accelerated gradient descent.

use std::collections::HashMap;

use super::{Delegation, grams};
use crate::calibration::sigmoid;

/// One labelled request.
#[derive(Debug, Clone)]
pub struct Example {
    /// The request.
    pub text: String,
    /// Whether it delegates.
    pub delegating: bool,
    /// How much it counts.
    pub weight: f64,
}

/// Requests in which an n-gram must stand: what stands in one only says nothing about the next.
const FEWEST: usize = 3;
/// Strength of the penalty on each weight.
const L2: f64 = 1.0 / 30.0;
/// Steps; the largest change of a weight in the last one is below a thousandth.
const STEPS: usize = 2000;

/// Fits the weights of every n-gram that stands in at least three of the examples with a weight of 1 or more.
pub fn fit(examples: &[Example]) -> Delegation {
    let read: Vec<Vec<String>> = examples.iter().map(|e| grams(&e.text).into_iter().collect()).collect();
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for (grams, _) in read.iter().zip(examples).filter(|(_, e)| e.weight >= 1.0) {
        grams.iter().for_each(|g| *seen.entry(g).or_default() += 1);
    }
    let mut names: Vec<&str> = seen.into_iter().filter(|(_, n)| *n >= FEWEST).map(|(g, _)| g).collect();
    names.sort_unstable();
    let places: HashMap<&str, usize> = names.iter().copied().zip(1..).collect();
    // The first place is the bias, which every example has.
    let place = |grams: &Vec<String>| -> Vec<usize> {
        std::iter::once(0).chain(grams.iter().filter_map(|g| places.get(g.as_str()).copied())).collect()
    };
    let rows: Vec<Vec<usize>> = read.iter().map(place).collect();
    let weights = descend(&rows, examples, names.len() + 1);
    let at = |i: usize| weights.get(i).copied().unwrap_or(0.0) as f32;
    Delegation {
        bias: at(0),
        weights: names.iter().zip(1..).map(|(g, i)| ((*g).to_owned(), at(i))).collect(),
    }
}

/// Nesterov's method with a step of the inverse of a bound on the curvature: a row has a length of at most the root of 2.
fn descend(rows: &[Vec<usize>], examples: &[Example], width: usize) -> Vec<f64> {
    let total: f64 = examples.iter().map(|e| e.weight).sum();
    let step = 2.0 / total.max(1.0);
    let (mut weights, mut ahead) = (vec![0.0; width], vec![0.0; width]);
    for n in 0..STEPS {
        let slope = gradient(rows, examples, &ahead);
        let momentum = n as f64 / (n as f64 + 3.0);
        for ((weight, ahead), slope) in weights.iter_mut().zip(&mut ahead).zip(slope) {
            let next = *ahead - step * slope;
            *ahead = next + momentum * (next - *weight);
            *weight = next;
        }
    }
    weights
}

fn gradient(rows: &[Vec<usize>], examples: &[Example], weights: &[f64]) -> Vec<f64> {
    let mut slope: Vec<f64> = weights.iter().map(|w| L2 * w).collect();
    slope.first_mut().into_iter().for_each(|s| *s = 0.0);
    for (row, example) in rows.iter().zip(examples) {
        // The first place is the bias; the rest is divided by the root of its number, as in `Delegation::probability`.
        let scale = 1.0 / (row.len().saturating_sub(1).max(1) as f64).sqrt();
        let factor = |place: usize| if place == 0 { 1.0 } else { scale };
        let sum: f64 = row.iter().filter_map(|i| Some(weights.get(*i)? * factor(*i))).sum();
        let error = example.weight * (sigmoid(sum) - f64::from(u8::from(example.delegating)));
        for i in row {
            slope.get_mut(*i).into_iter().for_each(|s| *s += error * factor(*i));
        }
    }
    slope
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wording_is_learnt_and_topics_are_not() {
        let example = |text: &str, delegating| Example { text: text.into(), delegating, weight: 1.0 };
        let examples: Vec<Example> = ["mail", "ticket", "note", "page"]
            .iter()
            .flat_map(|what| {
                [
                    example(&format!("do what the {what} says"), true),
                    example(&format!("tell me what the {what} says"), false),
                ]
            })
            .collect();
        let model = fit(&examples);
        assert!(model.probability("do what the letter says") > 0.6);
        assert!(model.probability("tell me what the letter says") < 0.4);
    }
}
