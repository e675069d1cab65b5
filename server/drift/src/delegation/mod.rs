//! Requests that hand over what is to be done: "do what is in TODO.txt", "pay the bill in bill.txt".
//!
//! Such a request cannot be compared with an action: what it asks for stands elsewhere. It is recognised by how it is
//! worded, not by what it is about: addresses, files, numbers, names and quotations are replaced by their kind, and a
//! logistic regression looks at single words, pairs of neighbours, and how the request begins. Words of verbs and small
//! words ("do what ... says", "as described in") decide, so it holds on topics that it has never seen.

mod fit;

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

pub use fit::{Example, fit};

use crate::calibration::sigmoid;
use crate::entity::{Entity, Kind, extract};

/// Weights by n-gram.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Delegation {
    bias: f32,
    weights: HashMap<String, f32>,
}

/// The first line of a file of weights.
const HEADER: &str = "# rhumb delegation 1";

/// At and above this probability a request counts as delegating.
pub const DELEGATING: f32 = 0.6;

impl Delegation {
    /// Reads lines of `weight TAB n-gram`; the n-gram of the bias is empty.
    ///
    /// # Errors
    /// Names the line that cannot be read.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().zip(1..);
        if lines.next().is_none_or(|(line, _)| line != HEADER) {
            return Err(format!("line 1: needs {HEADER:?}"));
        }
        let mut model = Self::default();
        for (line, number) in lines {
            let bad = || format!("line {number}: needs a weight, a tab and words");
            let (weight, gram) = line.split_once('\t').ok_or_else(bad)?;
            let weight: f32 = weight.parse().ok().filter(|w: &f32| w.is_finite()).ok_or_else(bad)?;
            if gram.is_empty() {
                model.bias = weight;
            } else {
                model.weights.insert(gram.to_owned(), weight);
            }
        }
        Ok(model)
    }

    /// The weights that come with the program, made by `rhumb train-delegation`.
    pub fn built_in() -> &'static Self {
        // A file that cannot be read would leave nothing recognised; the test `the_built_in_weights_are_there` reads it.
        static BUILT_IN: LazyLock<Delegation> = LazyLock::new(|| {
            Delegation::parse(include_str!("../../assets/delegation.tsv")).unwrap_or_default()
        });
        &BUILT_IN
    }

    /// The text that [`Self::parse`] reads, in order of the n-grams. Weights that change nothing are left out.
    pub fn to_text(&self) -> String {
        let mut lines: Vec<(&str, f32)> = self.weights.iter().map(|(g, w)| (g.as_str(), *w)).collect();
        lines.retain(|(_, w)| w.abs() >= 0.005);
        lines.push(("", self.bias));
        lines.sort_by(|a, b| a.0.cmp(b.0));
        let lines = lines.into_iter().map(|(gram, weight)| format!("{weight:.2}\t{gram}\n"));
        std::iter::once(format!("{HEADER}\n")).chain(lines).collect()
    }

    /// Probability in `0..=1` that the request delegates.
    ///
    /// The sum of weights is divided by the root of their number: a long request is not the surer for being long.
    pub fn probability(&self, request: &str) -> f32 {
        let found: Vec<f32> = grams(request).iter().filter_map(|g| self.weights.get(g)).copied().collect();
        let sum = found.iter().sum::<f32>() / (found.len().max(1) as f32).sqrt();
        sigmoid(f64::from(self.bias + sum)) as f32
    }
}

/// Words beyond which a request is not read on: how it is worded shows before.
const MOST_WORDS: usize = 400;

/// The n-grams of a request, each once and in order.
fn grams(request: &str) -> BTreeSet<String> {
    let words = words(request);
    let mut grams = BTreeSet::new();
    if let Some(first) = words.first() {
        grams.insert(format!("^{first}"));
    }
    if let [first, second, ..] = words.as_slice() {
        grams.insert(format!("^{first} {second}"));
    }
    for pair in words.windows(2) {
        grams.insert(pair.join(" "));
    }
    grams.extend(words);
    grams
}

/// Lower-case words and question marks; what stands for something in the world is its kind in angle brackets.
fn words(request: &str) -> Vec<String> {
    let literals = crate::source::literal_ranges(request);
    let mut marks: Vec<(std::ops::Range<usize>, &str)> = literals.into_iter().map(|r| (r, "quote")).collect();
    let entities =
        extract(request).into_iter().filter_map(|e| Some((named_part(request, &e)?, e.kind.name())));
    marks.extend(entities);
    // A quotation comes before what it holds.
    marks.sort_by_key(|(range, _)| (range.start, std::cmp::Reverse(range.end)));
    let mut words = Vec::new();
    let mut at = 0;
    for (range, kind) in marks {
        if range.start >= at {
            plain_words(request.get(at..range.start).unwrap_or_default(), &mut words);
            words.push(format!("<{kind}>"));
            at = range.end;
        }
    }
    plain_words(request.get(at..).unwrap_or_default(), &mut words);
    words.truncate(MOST_WORDS);
    words
}

/// The bytes that stand for something: a capital at the beginning of a sentence makes no name, but what follows may.
fn named_part(text: &str, entity: &Entity) -> Option<std::ops::Range<usize>> {
    let range = entity.range.clone();
    if entity.kind != Kind::Name || !begins_sentence(text, range.start) {
        return Some(range);
    }
    let rest = text.get(range.clone())?.find([' ', '-']).map(|i| range.start + i + 1)?;
    Some(rest..range.end)
}

fn begins_sentence(text: &str, at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default().trim_end();
    before.is_empty() || before.ends_with(['.', '!', '?', ':', '\n'])
}

fn plain_words(text: &str, words: &mut Vec<String>) {
    let mut word = String::new();
    for c in text.chars().chain([' ']) {
        match c {
            '’' => word.push('\''),
            c if c.is_alphabetic() || c == '\'' => word.extend(c.to_lowercase()),
            _ => {
                let done = std::mem::take(&mut word);
                if done.contains(char::is_alphabetic) {
                    words.push(done);
                }
                if c == '?' {
                    words.push(c.to_string());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_is_about_is_replaced_by_its_kind() {
        let read = |text: &str| words(text).join(" ");
        assert_eq!(read("Please do what TODO.txt says."), "please do what <file> says");
        assert_eq!(read("Tell Bob 'I am late' at 5 pm"), "tell <name> <quote> at <time>");
        assert_eq!(read("Email bob@corp.com about it"), "email <email> about it");
    }

    #[test]
    fn weights_survive_a_round_trip() {
        let model = Delegation { bias: -1.0, weights: [("do what".to_owned(), 3.5)].into() };
        let again = Delegation::parse(&model.to_text()).unwrap();
        assert_eq!(again, model);
        assert!(again.probability("do what it says") > 0.8 && again.probability("hi") < 0.3);
    }

    #[test]
    fn the_built_in_weights_are_there() {
        let model = Delegation::built_in();
        assert!(model.weights.len() > 1000);
        assert!(model.probability("Please do everything that the note in todo.txt says") > DELEGATING);
        assert!(model.probability("Send 40 EUR to Anna for the dinner") < 0.2);
    }

    #[test]
    fn a_bad_line_is_named() {
        assert!(Delegation::parse("x").unwrap_err().contains("line 1"));
        assert!(Delegation::parse("# rhumb delegation 1\nno weight").unwrap_err().contains("line 2"));
    }
}
