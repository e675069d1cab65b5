//! How rare words are: that a name of the action has a counterpart in the request says more than that "the" has one.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::source::{stem, words};
use crate::vectors::Window;

/// In how many texts the commonest words stand, by stem. Without any every word weighs the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rarity {
    /// Texts that were counted.
    texts: u32,
    /// Those in which a word stands that is not among the commonest, on average.
    rest: u32,
    /// Those in which the commonest stand.
    common: BTreeMap<String, u32>,
}

/// Stems that are kept: the rest are rare, all of them, and the file stays small.
const COMMON: usize = 1024;

impl Rarity {
    /// Counts the words of `texts`.
    pub fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let (mut counts, mut all) = (BTreeMap::<String, u32>::new(), 0);
        for text in texts {
            let stems: BTreeSet<String> = words(text).iter().map(|word| stem(word)).collect();
            stems.into_iter().for_each(|stem| *counts.entry(stem).or_default() += 1);
            all += 1;
        }
        let mut sorted: Vec<(String, u32)> = counts.into_iter().collect();
        // Stable: words that are as common stay in the order of the alphabet.
        sorted.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        let rare = sorted.split_off(sorted.len().min(COMMON));
        let sum: u32 = rare.iter().map(|(_, n)| n).sum();
        let rest = sum / u32::try_from(rare.len().max(1)).unwrap_or(u32::MAX);
        Self { texts: all, rest, common: sorted.into_iter().collect() }
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.texts == 0
    }

    /// How much a word says, in nats: the logarithm of one over the share of texts that hold it.
    fn weight(&self, word: &str) -> f32 {
        let n = self.common.get(&stem(&word.to_lowercase())).unwrap_or(&self.rest);
        ((f64::from(self.texts) + 1.0) / (f64::from(*n) + 1.0)).ln().max(0.0) as f32
    }

    /// The weight of each token of `windows`, whose offsets are places in `text`: that of its word. Punctuation says nothing.
    pub fn of_tokens(&self, text: &str, windows: &[Window]) -> Vec<Vec<f32>> {
        windows.iter().map(|window| self.of_window(text, window)).collect()
    }

    fn of_window(&self, text: &str, window: &Window) -> Vec<f32> {
        if self.is_empty() {
            return vec![1.0; window.offsets.len()];
        }
        let mut last = (0..0, 0.0);
        let mut weights = Vec::with_capacity(window.offsets.len());
        for offset in &window.offsets {
            let range = word_around(text, offset.start);
            if range.is_empty() {
                weights.push(0.0);
                continue;
            }
            // A word of several tokens is looked up once.
            if range != last.0 {
                let weight = text.get(range.clone()).map_or(0.0, |word| self.weight(word));
                last = (range, weight);
            }
            weights.push(last.1);
        }
        weights
    }
}

/// The letters and digits around a place; nothing if there is none at it.
pub(crate) fn word_around(text: &str, at: usize) -> Range<usize> {
    let (before, after) = (text.get(..at).unwrap_or_default(), text.get(at..).unwrap_or_default());
    let length = after.find(|c: char| !c.is_alphanumeric()).unwrap_or(after.len());
    if length == 0 {
        return at..at;
    }
    let start = before
        .rfind(|c: char| !c.is_alphanumeric())
        .map_or(0, |i| i + before.get(i..).and_then(|t| t.chars().next()).map_or(1, char::len_utf8));
    start..at + length
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(offsets: &[Range<usize>]) -> Window {
        Window { offsets: offsets.to_vec(), ..Window::default() }
    }

    #[test]
    fn a_word_is_found_around_a_place_and_punctuation_is_none() {
        let text = "pay évidence-x, now";
        let at = text.find("dence").unwrap();
        assert_eq!(&text[word_around(text, at)], "évidence");
        assert!(word_around(text, text.find(',').unwrap()).is_empty());
        assert!(word_around(text, text.len()).is_empty());
    }

    #[test]
    fn rare_words_weigh_more_and_punctuation_nothing() {
        let rarity = Rarity::of(["pay the rent", "pay the bill", "pay, pay the fine"]);
        let text = "Pay the zebra.";
        let weights = rarity.of_tokens(text, &[window(&[0..3, 4..7, 8..11, 11..13, 13..14])]);
        let [ref all] = weights[..] else { panic!("{weights:?}") };
        assert!(all[0] == all[1] && all[1] < all[2], "{all:?}");
        assert_eq!((all[2], all[4]), (all[3], 0.0), "{all:?}");
    }

    #[test]
    fn without_counts_all_weigh_the_same() {
        let weights = Rarity::default().of_tokens("a, b", &[window(&[0..1, 1..2, 3..4])]);
        assert_eq!(weights, [vec![1.0; 3]]);
    }

    #[test]
    fn a_word_that_is_said_twice_in_a_text_counts_once() {
        let rarity = Rarity::of(["no no no", "yes"]);
        assert_eq!(rarity.weight("no"), rarity.weight("Yes"));
    }

    #[test]
    fn only_the_commonest_are_kept_and_the_rest_have_their_mean() {
        let many: Vec<String> = (0..COMMON + 10).map(|i| format!("common w{i}x")).collect();
        let rarity = Rarity::of(many.iter().map(String::as_str));
        assert_eq!((rarity.common.len(), rarity.rest), (COMMON, 1));
        assert!(rarity.weight("common") < 0.01 && rarity.weight("unseen") == rarity.weight("w3x"));
    }
}
