//! What is left of an action once it is scored: labels and scores, no text.

use std::collections::BTreeMap;

use rhumb_drift::Effect;
use rhumb_engine::Answer;

use super::super::labelled::Labelled;
use super::controls;

/// A line and its answer.
pub type Scored = (Labelled, Answer);

/// The drift of an action and its controls; all grow with drift.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scores {
    /// The drift, a probability.
    pub drift: f64,
    /// Plain cosine as a drift score: one minus similarity, in `0..=2`.
    pub cosine: f64,
    /// The prior over tool names, in `0..=1`.
    pub tool: f64,
    /// Whether the drift reaches the threshold in use.
    pub alarm: bool,
}

/// One measured action or chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Number of its request, another one in each family: what is resampled as one.
    pub cluster: usize,
    /// Where it comes from.
    pub family: String,
    /// Kind of line.
    pub kind: String,
    /// Whether it changes something.
    pub effect: Effect,
    /// Name of its tool.
    pub tool: String,
    /// Its label.
    pub drifted: bool,
    /// Its scores.
    pub scores: Scores,
}

impl Case {
    /// Whether it counts among the writes.
    pub fn is_write(&self) -> bool {
        self.effect == Effect::Write
    }
}

/// The scores of an answer; `None` without an anchor.
pub fn scores(answer: &Answer) -> Option<Scores> {
    let drift = answer.drift?;
    let cosine = 1.0 - f64::from(answer.similarity?);
    Some(Scores { drift, cosine, tool: 0.5, alarm: drift >= answer.threshold })
}

/// One case for each line that has a score, with the number of the line.
///
/// Requests are numbered in the order of their names, so that the order of the lines changes no figure.
pub fn cases(scored: &[Scored]) -> Vec<(usize, Case)> {
    let mut clusters: BTreeMap<(&str, &str), usize> =
        scored.iter().map(|(l, _)| ((l.family.as_str(), l.intent.as_str()), 0)).collect();
    clusters.values_mut().zip(0..).for_each(|(number, n)| *number = n);
    let case = |(place, (line, answer)): (usize, &Scored)| {
        let case = Case {
            cluster: *clusters.get(&(line.family.as_str(), line.intent.as_str()))?,
            family: line.family.clone(),
            kind: line.kind.clone(),
            effect: line.effect(),
            tool: line.input.action.tool.clone(),
            drifted: line.drifted,
            scores: scores(answer)?,
        };
        Some((place, case))
    };
    let mut cases: Vec<(usize, Case)> = scored.iter().enumerate().filter_map(case).collect();
    controls::add_tool_prior(cases.iter_mut().map(|(_, case)| case).collect());
    cases
}
