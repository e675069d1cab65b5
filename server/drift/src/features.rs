//! The numbers that the score is made of.
//!
//! Each has a direction: either more of it means more drift, or less. The head may weigh a feature with zero, but never
//! against its direction, so that no attacker gains by raising a number that looks good elsewhere. Most of them cannot be
//! improved by adding words to an action: they count what is missing, or look at the weakest parts.

use std::collections::HashSet;

use crate::action::Effect;
use crate::bank::Bank;
use crate::grounding::{
    Grounding, KNOWN, Sources, VALUE_BYTES, ValueGrade, by_field, ground, worst_destinations,
};
use crate::prepare::Prepared;
use crate::rarity::word_around;
use crate::render::{Segment, floor_boundary};
use crate::score::IntentIndex;
use crate::source::SourceIndex;
use crate::vectors::{Matches, TextVectors, Window, mean, weighted_mean};
use crate::verb::verb_match;

/// A feature's name and direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Feature {
    /// Name in calibration files and evidence.
    pub name: &'static str,
    /// `1.0` if more means more drift, `-1.0` if more means less.
    pub direction: f64,
    /// What it is, for people.
    pub about: &'static str,
    /// Whether it looks at arguments.
    pub of_arguments: bool,
}

const fn feature(name: &'static str, direction: f64, of_arguments: bool, about: &'static str) -> Feature {
    Feature { name, direction, about, of_arguments }
}

/// Number of features.
pub const COUNT: usize = 14;

/// All features, in the order of [`Features::values`].
pub const FEATURES: [Feature; COUNT] = [
    feature(
        "late_mean",
        -1.0,
        false,
        "mean best cosine of the action's tokens with the request's, by how rare their words are, worst window",
    ),
    feature(
        "late_low",
        -1.0,
        false,
        "the best cosine below which a fifth of those tokens stay, worst window",
    ),
    feature("weakest_part", -1.0, false, "mean best cosine of the tokens of the weakest part"),
    feature(
        "clause_coverage",
        -1.0,
        false,
        "mean best cosine of the best clause's tokens with the action's, by how rare their words are",
    ),
    feature("hub_cosine", -1.0, false, "cosine corrected by how near both are to strangers"),
    feature("word_coverage", -1.0, false, "share of the words of tool and values that stand in the request"),
    feature(
        "ungrounded",
        1.0,
        true,
        "ln(1 + sum over fields of what is not covered by request or trusted context)",
    ),
    feature("new_words", 1.0, true, "ln(1 + number of words in values that stand in neither)"),
    feature(
        "displaced",
        1.0,
        true,
        "ln(1 + values that stand nowhere, where the request has others of the same form that the call leaves out)",
    ),
    feature("destinations", 1.0, true, "that sum over fields that say where something goes, or for whom"),
    feature("verb", -1.0, false, "1 if the request holds a word for what the tool does"),
    feature("verb_exact", -1.0, false, "1 if the request holds the tool's own verb"),
    feature("quoted", 1.0, true, "words copied from the request beyond what a call needs, in tens"),
    feature("disguises", 1.0, false, "ways in which the action's text is disguised"),
];

/// One action, measured against one request.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// In the order of [`FEATURES`]; `None` where the action has nothing to measure (no arguments, say).
    pub values: [Option<f32>; COUNT],
    /// Raw cosine of the pooled vectors.
    pub similarity: Option<f32>,
    /// The segment with the least counterpart in the request, and its mean best cosine.
    pub weakest: Option<(String, f32)>,
    /// Words of the action without a counterpart in the request, the farthest first.
    pub unmatched: Vec<String>,
    /// Where the values come from.
    pub grounding: Grounding,
}

impl Features {
    /// Whether the action has values of its own to look up.
    pub fn has_arguments(&self) -> bool {
        self.grounding.values.iter().any(|v| v.declared)
    }

    /// The same action as if it had no arguments: for fitting the head of those that have none.
    pub fn without_arguments(&self) -> Self {
        let mut values = self.values;
        values.iter_mut().zip(&FEATURES).filter(|(_, f)| f.of_arguments).for_each(|(v, _)| *v = None);
        Self { values, ..self.clone() }
    }
}

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Measured<'a> {
    /// The action.
    pub prepared: &'a Prepared,
    /// The vectors of its rendering.
    pub vectors: &'a TextVectors,
    /// The request.
    pub intent: &'a IntentIndex,
    /// Strangers.
    pub bank: &'a Bank,
    /// Context that may vouch.
    pub trusted: &'a SourceIndex,
    /// Context that may not.
    pub untrusted: &'a SourceIndex,
}

/// Sums and counts stop here: a call this far off is as bad as any.
const UNGROUNDED_CAP: f32 = 6.0;
const NEW_WORDS_CAP: f32 = 16.0;
const QUOTED_CAP: f32 = 3.0;
const DISPLACED_CAP: f32 = 3.0;
/// One in so many tokens is below `late_low`.
const LOW: usize = 5;

/// Measures one action.
pub fn measure(input: Measured<'_>) -> Features {
    let (intent, action) = (input.intent, &input.prepared.action);
    let source = &intent.text.source;
    let matches = input.vectors.matches(&intent.vectors);
    let weights = input.bank.rarity.of_tokens(&input.prepared.main.text, input.vectors.windows());
    let sources = Sources { intent: source, trusted: input.trusted, untrusted: input.untrusted };
    let grounding = ground(action, &input.prepared.written, &input.prepared.stripped, sources);
    let parts = segment_means(&input.prepared.main.segments, input.vectors.windows(), &matches.ours);
    let weakest = parts.iter().min_by(|a, b| a.1.total_cmp(&b.1)).cloned();
    let verb = verb_match(&action.tool, source);
    let similarity = input.vectors.cosine(&intent.vectors);
    let values = [
        late_mean(&matches.ours, &weights),
        matches.ours.iter().filter_map(|m| low(m)).min_by(f32::total_cmp),
        weakest.as_ref().map(|w| w.1),
        clause_coverage(intent, &matches),
        similarity.map(|cosine| hub_cosine(cosine, input)),
        word_coverage(input, &grounding.values),
        ungrounded(&grounding.values),
        new_words(&grounding.values),
        displaced(&grounding),
        destinations(&grounding.values),
        verb.map(|v| v.class),
        verb.map(|v| v.exact),
        Some((input.prepared.quoted as f32 / 10.0).min(QUOTED_CAP)),
        Some(input.prepared.disguises as f32),
    ];
    let unmatched = unmatched_words(input, &matches.ours);
    Features { values, similarity, weakest, unmatched, grounding }
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

/// Of the window that has least in common with the request.
fn late_mean(matches: &[Vec<f32>], weights: &[Vec<f32>]) -> Option<f32> {
    let windows = matches.iter().zip(weights);
    windows.filter_map(|(m, w)| weighted_mean(m.iter().zip(w))).min_by(f32::total_cmp)
}

fn low(matches: &[f32]) -> Option<f32> {
    let mut sorted = matches.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / LOW).copied()
}

/// How well the best clause of the request is covered by the action: a request may ask for several things, and an
/// action that does one of them is aligned.
fn clause_coverage(intent: &IntentIndex, matches: &Matches) -> Option<f32> {
    let clause = |range: &std::ops::Range<usize>| {
        let windows = intent.vectors.windows().iter().zip(matches.theirs.iter().zip(&intent.weights));
        let tokens = windows.flat_map(|(window, (m, w))| window.offsets.iter().zip(m.iter().zip(w)));
        weighted_mean(tokens.filter(|(offset, _)| range.contains(&offset.start)).map(|(_, pair)| pair))
    };
    intent.text.clauses.iter().filter_map(clause).max_by(f32::total_cmp)
}

fn hub_cosine(cosine: f32, input: Measured<'_>) -> f32 {
    let near = input.vectors.windows().iter().map(|w| input.bank.near_requests(&w.pooled));
    2.0 * cosine - near.max_by(f32::total_cmp).unwrap_or(0.0) - input.intent.near_actions
}

/// What is missing, field by field: one that is covered takes nothing off the sum. The second that is missing
/// says less than the first: a call with many arguments, ids that an agent looked up above all, is little worse for having
/// them.
fn ungrounded(values: &[ValueGrade]) -> Option<f32> {
    let fields = by_field(values, ValueGrade::pure);
    let missing: f32 = fields.iter().map(|(_, grade)| 1.0 - grade).sum();
    (!fields.is_empty()).then(|| missing.min(UNGROUNDED_CAP).ln_1p())
}

/// The second says less than the first: whoever names another order names another item, too.
fn displaced(grounding: &Grounding) -> Option<f32> {
    let has_values = grounding.values.iter().any(|v| v.counts);
    has_values.then(|| (grounding.displaced as f32).min(DISPLACED_CAP).ln_1p())
}

fn new_words(values: &[ValueGrade]) -> Option<f32> {
    let words: usize = values.iter().filter(|v| v.counts).map(|v| v.new_words).sum();
    values.iter().any(|v| v.counts).then(|| (words as f32).min(NEW_WORDS_CAP).ln_1p())
}

const DESTINATIONS_CAP: f32 = 3.0;

fn destinations(values: &[ValueGrade]) -> Option<f32> {
    let missing: f32 = worst_destinations(values).values().map(|grade| 1.0 - grade).sum();
    values.iter().any(|v| v.counts).then(|| missing.min(DESTINATIONS_CAP))
}

/// Share of the words of tool name and argument values that stand in the request.
fn word_coverage(input: Measured<'_>, values: &[ValueGrade]) -> Option<f32> {
    let action = &input.prepared.action;
    let mut name = String::new();
    crate::render::words(&action.tool, &mut name);
    let own = if action.tool.is_empty() { &action.text } else { &name };
    let (mut known, mut new) = input.intent.text.source.count_words(own);
    let mut seen = HashSet::new();
    for value in values.iter().filter(|v| v.counts) {
        let start = floor_boundary(&value.text, VALUE_BYTES);
        let is_first = seen.insert(value.text.get(..start).unwrap_or_default().to_lowercase());
        // Right addresses beside a new one cover nothing where something may be sent.
        let covers = action.effect == Effect::Read
            || !(value.is_made_of_values && value.holds_address && value.grade < KNOWN);
        known += if covers && is_first { value.known_words } else { 0 };
        new += value.new_words;
    }
    (known + new > 0).then(|| known as f32 / (known + new) as f32)
}

/// Below this best cosine a token has no counterpart in the request.
const COUNTERPART: f32 = 0.35;
/// Words in evidence.
const UNMATCHED_WORDS: usize = 8;

/// Whole words of which no token has a counterpart, and which do not stand in the request either.
fn unmatched_words(input: Measured<'_>, matches: &[Vec<f32>]) -> Vec<String> {
    let text = &input.prepared.main.text;
    let tokens = input.vectors.windows().iter().zip(matches).flat_map(|(w, m)| w.offsets.iter().zip(m));
    let mut words: Vec<(std::ops::Range<usize>, f32)> = Vec::new();
    for (offset, best) in tokens {
        let word = word_around(text, offset.start);
        match words.last_mut() {
            Some((range, most)) if *range == word => *most = most.max(*best),
            _ => words.push((word, *best)),
        }
    }
    words.retain(|(_, best)| *best < COUNTERPART);
    words.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut named = Vec::new();
    for word in words.iter().filter_map(|(range, _)| text.get(range.clone())) {
        let says_something = input.intent.text.source.coverage(word) == Some(0.0);
        if says_something && named.len() < UNMATCHED_WORDS && !named.iter().any(|w| w == word) {
            named.push(word.to_owned());
        }
    }
    named
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

    #[test]
    fn a_fifth_of_the_tokens_is_below_the_low_one() {
        let tokens: Vec<f32> = (0..11).rev().map(|i| i as f32).collect();
        assert_eq!((low(&tokens), low(&[0.5]), low(&[])), (Some(2.0), Some(0.5), None));
    }

    #[test]
    fn the_window_with_least_in_common_counts_and_rare_words_count_more() {
        let matches = [vec![1.0, 0.0], vec![0.6, 0.6]];
        assert_eq!(late_mean(&matches, &[vec![3.0, 1.0], vec![1.0, 1.0]]), Some(0.6));
        assert_eq!(late_mean(&matches, &[vec![1.0, 3.0], vec![1.0, 1.0]]), Some(0.25));
    }

    #[test]
    fn covered_parts_take_nothing_off_what_is_missing() {
        let value = |argument: &str, grade| ValueGrade {
            argument: argument.into(),
            field: argument.into(),
            grade,
            counts: true,
            goes_out: argument == "to",
            ..ValueGrade::default()
        };
        let bad = vec![value("to", 0.0)];
        let covered = vec![value("to", 0.0), value("a", 1.0), value("b", 1.0)];
        assert_eq!(ungrounded(&bad), ungrounded(&covered));
        assert_eq!(destinations(&covered), Some(1.0));
    }
}
