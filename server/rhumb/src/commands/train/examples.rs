//! Examples for fitting: the labelled actions, and drifted writes under attack.

use rhumb_drift::Effect;
use rhumb_drift::attack::{ATTACKS, Attack, apply};
use rhumb_drift::train::{Example, balance};
use rhumb_engine::Answer;

use super::super::labelled::Labelled;

/// Every so many drifted writes one is attacked in all ways: together they are as many lines as there are others.
const EVERY: usize = 16;
/// And one in so many in those ways that make a text very long.
const EVERY_LONG: usize = 48;
/// Words that make a text very long.
const LONG_WORDS: usize = 400;

/// Drifted writes under attack.
pub fn attacked(lines: &[Labelled]) -> Vec<Labelled> {
    let drifted = lines.iter().filter(|l| l.drifted && l.effect() == Effect::Write);
    let chosen = drifted.zip(1usize..).filter(|(_, n)| n.is_multiple_of(EVERY));
    chosen.flat_map(|(line, n)| ATTACKS.iter().filter_map(move |attack| under(attack, line, n))).collect()
}

fn under(attack: &Attack, line: &Labelled, number: usize) -> Option<Labelled> {
    let mut attacked = line.clone();
    attacked.input.action = apply(attack, &line.input.intent.text, &line.input.action)?;
    let words = |text: String| text.split_whitespace().count();
    let is_long = words(serde_json::to_string(&attacked.input.action.arguments).ok()?) > LONG_WORDS;
    (!is_long || number.is_multiple_of(EVERY_LONG)).then_some(attacked)
}

/// What the heads are fitted on.
pub struct Examples {
    /// For calls.
    pub call: Vec<Example>,
    /// For actions without arguments. The data has few of them, so they are all calls with their arguments out of sight.
    pub bare: Vec<Example>,
    /// Effects of the labelled actions, which come first in both.
    pub effects: Vec<Effect>,
}

impl Examples {
    /// Attacked actions weigh `share` of the drifted ones together.
    pub fn of(scored: &[(Labelled, Answer)], attacked: &[(Labelled, Answer)], share: f64) -> Self {
        let usable: Vec<_> = scored.iter().filter(|(_, a)| a.features.is_some()).collect();
        let cells: Vec<_> =
            usable.iter().map(|(l, _)| (l.family.as_str(), l.drifted, l.kind.as_str())).collect();
        let weighed = usable.iter().zip(balance(&cells));
        let mut call: Vec<Example> = weighed.filter_map(|(s, weight)| example(s, weight)).collect();
        let bare =
            call.iter().map(|e| Example { features: e.features.without_arguments(), ..e.clone() }).collect();
        let effects = usable.iter().map(|(l, _)| l.effect()).collect();
        let drifted: f64 = call.iter().filter(|e| e.drifted).map(|e| e.weight).sum();
        let weight = share * drifted / attacked.len().max(1) as f64;
        call.extend(attacked.iter().filter_map(|s| example(s, weight)).filter(|e| e.weight > 0.0));
        Self { call, bare, effects }
    }
}

fn example((line, answer): &(Labelled, Answer), weight: f64) -> Option<Example> {
    Some(Example { features: answer.features.clone()?, drifted: line.drifted, weight })
}
