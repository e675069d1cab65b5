//! The numbers that the score is made of.
//!
//! Each has a direction: either more of it means more drift, or less. The head may weigh a feature with zero, but never
//! against its direction, so that no attacker gains by raising a number that looks good elsewhere.

use crate::action::Action;
use crate::grounding::{Grounding, Sources, ground};
use crate::render::Segment;
use crate::score::IntentIndex;
use crate::source::SourceIndex;
use crate::vectors::{TextVectors, Window, mean, quantile};

/// A feature's name and direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Feature {
    /// Name in calibration files and evidence.
    pub name: &'static str,
    /// `1.0` if more means more drift, `-1.0` if more means less.
    pub direction: f64,
}

const fn down(name: &'static str) -> Feature {
    Feature { name, direction: -1.0 }
}

/// All features, in the order of [`Features::values`].
pub const FEATURES: [Feature; 9] = [
    down("cosine"),
    down("late_mean"),
    down("late_p20"),
    down("clause_coverage"),
    down("weakest_argument"),
    down("grounding"),
    Feature { name: "missing_entities", direction: 1.0 },
    down("recall"),
    down("word_coverage"),
];

/// One action, measured against one request.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// In the order of [`FEATURES`]; `None` where the action has nothing to measure (no arguments, say).
    pub values: [Option<f32>; 9],
    /// The segment with the least counterpart in the request, and its mean best cosine.
    pub weakest: Option<(String, f32)>,
    /// Where the values come from.
    pub grounding: Grounding,
}

impl Features {
    /// Whether the action has values of its own to look up.
    pub fn has_arguments(&self) -> bool {
        self.values.get(GROUNDING).copied().flatten().is_some()
    }

    /// The same action as if it had no arguments: for fitting the head of those that have none.
    pub fn without_arguments(&self) -> Self {
        let keep = |(value, feature): (Option<f32>, &Feature)| {
            value.filter(|_| !OF_ARGUMENTS.contains(&feature.name))
        };
        let mut values = self.values;
        values.iter_mut().zip(&FEATURES).for_each(|(v, f)| *v = keep((*v, f)));
        Self { values, ..self.clone() }
    }
}

/// Place of the feature that every call with arguments has.
const GROUNDING: usize = 5;
/// Features that look at arguments.
const OF_ARGUMENTS: [&str; 4] = ["weakest_argument", "grounding", "missing_entities", "recall"];

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Measured<'a> {
    /// The action.
    pub action: &'a Action,
    /// Its rendering's vectors.
    pub vectors: &'a TextVectors,
    /// Its rendering's segments.
    pub segments: &'a [Segment],
    /// The request.
    pub intent: &'a IntentIndex,
    /// Context that may vouch.
    pub trusted: &'a SourceIndex,
    /// Context that may not.
    pub untrusted: &'a SourceIndex,
}

/// Measures one action.
pub fn measure(input: Measured<'_>) -> Features {
    let intent = input.intent;
    let matches = input.vectors.best_matches(&intent.vectors);
    let sources = Sources { intent: &intent.source, trusted: input.trusted, untrusted: input.untrusted };
    let grounding = ground(input.action, sources);
    let segments = segment_means(input.segments, input.vectors.windows(), &matches);
    let weakest = segments.iter().min_by(|a, b| a.1.total_cmp(&b.1)).cloned();
    let arguments = segments.iter().filter(|(name, _)| name.starts_with("arguments."));
    let values = [
        input.vectors.cosine(&intent.vectors),
        worst_window(&matches, mean),
        worst_window(&matches, |m| quantile(m, 0.2)),
        clause_coverage(intent, input.vectors),
        arguments.map(|(_, s)| *s).min_by(f32::total_cmp),
        grounding.mean,
        (!grounding.values.is_empty()).then_some(grounding.missing),
        grounding.recall,
        word_coverage(input.action, &intent.source),
    ];
    Features { values, weakest, grounding }
}

/// The lowest of a statistic over the windows that have tokens: the worst window counts.
fn worst_window(matches: &[Vec<f32>], statistic: impl Fn(&[f32]) -> Option<f32>) -> Option<f32> {
    matches.iter().filter_map(|m| statistic(m)).min_by(f32::total_cmp)
}

/// Mean best cosine of each segment's tokens.
fn segment_means(segments: &[Segment], windows: &[Window], matches: &[Vec<f32>]) -> Vec<(String, f32)> {
    let mean_of = |segment: &Segment| {
        let tokens = windows.iter().zip(matches).flat_map(|(w, m)| w.offsets.iter().zip(m));
        let inside = |at: usize| segment.ranges.iter().any(|r| r.contains(&at));
        let values: Vec<f32> = tokens.filter(|(o, _)| inside(o.start)).map(|(_, s)| *s).collect();
        mean(&values).map(|m| (segment.name.clone(), m))
    };
    segments.iter().filter_map(mean_of).collect()
}

/// How well the best clause of the request is covered by the action: a request may ask for several things, and an
/// action that does one of them is aligned.
fn clause_coverage(intent: &IntentIndex, action: &TextVectors) -> Option<f32> {
    let matches = intent.vectors.best_matches(action);
    let clause = |range: &std::ops::Range<usize>| {
        let tokens = intent.vectors.windows().iter().zip(&matches).flat_map(|(w, m)| w.offsets.iter().zip(m));
        let values: Vec<f32> = tokens.filter(|(o, _)| range.contains(&o.start)).map(|(_, s)| *s).collect();
        mean(&values)
    };
    intent.clauses.iter().filter_map(clause).max_by(f32::total_cmp)
}

/// Bytes of one argument whose words are looked up: no argument may crowd out the others.
const ARGUMENT_BYTES: usize = 2048;

/// Share of the words of tool name and argument values that stand in the request.
fn word_coverage(action: &Action, intent: &SourceIndex) -> Option<f32> {
    let mut text = String::new();
    crate::render::words(&action.tool, &mut text);
    if action.tool.is_empty() {
        text.push_str(&action.text);
    }
    for (name, value) in crate::value::sorted(&action.arguments) {
        if !action.is_undeclared(name) {
            text.push(' ');
            let end = text.len() + ARGUMENT_BYTES;
            crate::value::flat_text(value, &mut text, end);
            text.truncate(crate::render::floor_boundary(&text, end));
        }
    }
    text.truncate(crate::render::floor_boundary(&text, crate::grounding::ALL_VALUES_BYTES));
    intent.coverage(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = FEATURES.iter().map(|f| f.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FEATURES.len());
    }

    #[test]
    fn grounding_stands_where_its_place_says() {
        assert_eq!(FEATURES[GROUNDING].name, "grounding");
        assert!(OF_ARGUMENTS.iter().all(|name| FEATURES.iter().any(|f| f.name == *name)));
    }

    #[test]
    fn a_segment_takes_only_its_own_tokens() {
        let segments = [
            Segment { name: "tool".into(), ranges: vec![0..4, 10..14] },
            Segment { name: "arguments.a".into(), ranges: vec![4..10] },
        ];
        let window = Window { offsets: vec![0..4, 5..9, 10..14], ..Window::default() };
        let means = segment_means(&segments, &[window], &[vec![0.2, 0.9, 0.4]]);
        assert!((means[0].1 - 0.3).abs() < 1e-6);
        assert_eq!(means[1], ("arguments.a".to_owned(), 0.9));
    }
}
