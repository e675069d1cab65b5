//! One action against one request: features, drift, evidence.

use std::ops::Range;

use crate::bank::Bank;
use crate::calibration::{Calibration, Contributions};
use crate::delegation::DELEGATING;
use crate::features::{Features, Measured, measure};
use crate::grounding::ValueGrade;
use crate::policy::Status;
use crate::prepare::IntentText;
use crate::vectors::TextVectors;

/// The originating request, ready for comparison; made once and cached.
#[derive(Debug, Clone, Default)]
pub struct IntentIndex {
    /// Its text.
    pub text: IntentText,
    /// Its vectors.
    pub vectors: TextVectors,
    /// How near it is to ordinary actions that have nothing to do with it; see [`Bank`].
    pub near_actions: f32,
    /// How much each token of each window says; see [`Rarity`](crate::rarity::Rarity).
    pub weights: Vec<Vec<f32>>,
    /// Whether the end of a very long request has no vectors.
    pub truncated: bool,
}

impl IntentIndex {
    /// Puts text and vectors together.
    pub fn new(text: IntentText, vectors: TextVectors, truncated: bool, bank: &Bank) -> Self {
        let near = vectors.windows().iter().map(|w| bank.near_actions(&w.pooled)).max_by(f32::total_cmp);
        let weights = bank.rarity.of_tokens(&text.text, vectors.windows());
        Self { text, vectors, near_actions: near.unwrap_or(0.0), weights, truncated }
    }

    /// Bytes held, roughly.
    pub fn bytes(&self) -> usize {
        let weights: usize = self.weights.iter().map(|window| size_of_val(window.as_slice())).sum();
        self.vectors.bytes() + self.text.bytes() + weights
    }
}

/// Clauses shorter than this many words are joined to the one before.
const CLAUSE_WORDS: usize = 3;

/// Splits at the ends of sentences, at commas and at the word "and".
pub(crate) fn clauses(text: &str) -> Vec<Range<usize>> {
    let mut clauses: Vec<Range<usize>> = Vec::new();
    let mut start = 0;
    for end in ends(text).into_iter().chain([text.len()]) {
        let words = text.get(start..end).map_or(0, |t| t.split_whitespace().count());
        let is_short = |r: &Range<usize>| {
            text.get(r.clone()).is_some_and(|t| t.split_whitespace().count() < CLAUSE_WORDS)
        };
        match clauses.last_mut() {
            // Also a short one at the very beginning ("Hi,") is no clause of its own.
            Some(last) if words < CLAUSE_WORDS || is_short(last) => last.end = end,
            _ => clauses.push(start..end),
        }
        start = end;
    }
    clauses
}

fn ends(text: &str) -> Vec<usize> {
    let followed_by_space =
        |at: usize| text.get(at..).and_then(|t| t.chars().next()).is_none_or(char::is_whitespace);
    let marks = text.match_indices(['.', '!', '?', ';', ',', '\n']).map(|(i, m)| i + m.len());
    let mut ends: Vec<usize> =
        marks.filter(|&e| followed_by_space(e) || text.get(..e).is_some_and(|t| t.ends_with('\n'))).collect();
    ends.extend(text.match_indices(" and ").map(|(i, _)| i + 1));
    ends.sort_unstable();
    ends.retain(|&e| e < text.len());
    ends
}

/// What the score is made of, and what a person may want to see of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evidence {
    /// Values, the most telling first.
    pub values: Vec<ValueGrade>,
    /// The segment with the least counterpart, and its mean best cosine.
    pub weakest: Option<(String, f32)>,
    /// Words of the action without a counterpart in the request, the farthest first.
    pub unmatched: Vec<String>,
    /// Probability that the request hands over what is to be done.
    pub delegating: f32,
    /// Feature, value, log-odds added.
    pub contributions: Contributions,
    /// What stood out: disguises, quotations that were removed, undeclared arguments, text that was left out.
    pub findings: Vec<String>,
    /// Arguments with an address that neither the request nor trusted context knows.
    pub new_addresses: Vec<String>,
}

/// A drift with its evidence.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// Calibrated probability that the action does not serve the request.
    pub drift: f64,
    /// The threshold of the head that scored.
    pub threshold: f64,
    /// Raw cosine of the pooled vectors.
    pub similarity: Option<f32>,
    /// SCORED, DELEGATED, TRUNCATED or DEGRADED.
    pub status: Status,
    /// Why.
    pub evidence: Evidence,
    /// The features, for training.
    pub features: Features,
}

/// Scores one action.
///
/// `side` is the agent's own free text beside a tool call, as an action of its own: it may raise the drift, never lower
/// it. `cut` says whether a rendering lost something to its budget.
pub fn score(calibration: &Calibration, main: Measured<'_>, side: Option<Measured<'_>>, cut: bool) -> Scored {
    let features = measure(main);
    let effect = main.prepared.action.effect;
    let delegating = main.intent.text.delegating;
    let head = calibration.head(&features);
    let (mut drift, mut contributions) = head.drift(&features, delegating);
    let threshold = head.threshold(effect);
    let (mut weakest, mut unmatched) = (features.weakest.clone(), features.unmatched.clone());
    let mut findings = main.prepared.findings.clone();
    let side_degraded = side.map(|side| side.vectors.is_degraded());
    if let Some(side) = side {
        let measured = measure(side);
        let side_head = calibration.head(&measured);
        let (side_drift, side_contributions) = side_head.drift(&measured, delegating);
        // Each head has its own threshold: what reaches that of its own must reach that of the answer.
        let side_alarm = side_drift >= side_head.threshold(effect);
        let side_drift =
            if side_alarm { side_drift.max(threshold) } else { side_drift.min(threshold - f64::EPSILON) };
        if side_drift > drift {
            findings.push("side_text_raised_drift".to_owned());
            (drift, contributions) = (side_drift, side_contributions);
            (weakest, unmatched) = (measured.weakest, measured.unmatched);
        }
    }
    let left_out = features.grounding.left_out;
    if main.intent.truncated {
        findings.push("intent_truncated".to_owned());
    }
    let degraded = [Some(main.intent.vectors.is_degraded()), Some(main.vectors.is_degraded()), side_degraded];
    let degraded = degraded.contains(&Some(true));
    if degraded {
        findings.push("cheaper_path".to_owned());
    }
    if left_out > 0 {
        findings.push(format!("values_left_out:{left_out}"));
    }
    let mut values = features.grounding.values.clone();
    // Stable: values of equal concern stay in the order of the arguments.
    values.sort_by(|a, b| b.concern.total_cmp(&a.concern));
    Scored {
        drift,
        threshold,
        similarity: features.similarity,
        status: status(cut || left_out > 0 || main.intent.truncated, delegating, degraded),
        evidence: Evidence {
            values,
            weakest,
            unmatched,
            delegating,
            contributions,
            findings,
            new_addresses: features.grounding.new_addresses.clone(),
        },
        features,
    }
}

/// What was not seen whole comes first: nothing makes up for it. The policy asks what was not seen, and what was handed over,
/// and not who computed; that is among the findings too.
fn status(truncated: bool, delegating: f32, degraded: bool) -> Status {
    if truncated {
        Status::Truncated
    } else if delegating >= DELEGATING {
        Status::Delegated
    } else if degraded {
        Status::Degraded
    } else {
        Status::Scored
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Action;
    use crate::calibration::tests::calibration;
    use crate::prepare::Prepared;
    use crate::source::SourceIndex;
    use crate::vectors::Window;

    fn vectors(x: f32, y: f32) -> TextVectors {
        let window = Window { pooled: vec![x, y], tokens: vec![x, y], offsets: vec![0..1] };
        TextVectors::new(2, vec![window])
    }

    #[test]
    fn clauses_split_at_sentences_and_at_and() {
        let text = "Check the reviews, and book a room for two. Thanks a lot! Pay v1.2 now";
        let read: Vec<&str> = clauses(text).into_iter().map(|r| &text[r]).collect();
        assert_eq!(
            read,
            ["Check the reviews, ", "and book a room for two.", " Thanks a lot!", " Pay v1.2 now"]
        );
    }

    #[test]
    fn a_greeting_is_no_clause() {
        assert_eq!(clauses("Hi, pay my rent today").len(), 1);
    }

    /// Beside no context.
    fn measured<'a>(
        prepared: &'a Prepared,
        vectors: &'a TextVectors,
        intent: &'a IntentIndex,
        bank: &'a Bank,
        none: &'a SourceIndex,
    ) -> Measured<'a> {
        Measured { prepared, vectors, intent, bank, trusted: none, untrusted: none }
    }

    #[test]
    fn text_of_the_agent_raises_drift_and_never_lowers_it() {
        let bank = Bank::default();
        let intent = IntentIndex::new(IntentText::of("x"), vectors(1.0, 0.0), false, &bank);
        let action = Action { tool: "t".into(), ..Action::default() };
        let prepared = Prepared::of(&action, &intent.text, 100);
        let none = SourceIndex::default();
        let near = vectors(1.0, 0.1);
        let far = vectors(0.0, 1.0);
        let measured = |vectors| measured(&prepared, vectors, &intent, &bank, &none);
        let of = |main, side| score(&calibration(), measured(main), side, false).drift;
        assert_eq!(of(&far, Some(measured(&near))), of(&far, None));
        assert!(of(&near, Some(measured(&far))) > of(&near, None));
    }

    #[test]
    fn one_cheaper_vector_makes_the_answer_a_degraded_one() {
        let bank = Bank::default();
        let none = SourceIndex::default();
        let action = Action { tool: "t".into(), ..Action::default() };
        for which in 0..4 {
            let vectors = |own: usize| vectors(1.0, 0.1).degraded(own == which);
            let intent = IntentIndex::new(IntentText::of("x"), vectors(0), false, &bank);
            let prepared = Prepared::of(&action, &intent.text, 100);
            let (main, side) = (vectors(1), vectors(2));
            let measured = |vectors| measured(&prepared, vectors, &intent, &bank, &none);
            let scored = score(&calibration(), measured(&main), Some(measured(&side)), false);
            let told = scored.evidence.findings.contains(&"cheaper_path".to_owned());
            assert_eq!((scored.status == Status::Degraded, told), (which < 3, which < 3));
        }
    }

    #[test]
    fn what_was_cut_comes_before_what_was_delegated() {
        assert_eq!(status(true, 1.0, true), Status::Truncated);
        assert_eq!(status(false, 1.0, true), Status::Delegated);
        assert_eq!(status(false, 0.3, true), Status::Degraded);
        assert_eq!(status(false, 0.3, false), Status::Scored);
    }
}
