//! The user's own words in the arguments.
//!
//! Words copied from the request make any action look near to it, whatever the rest of the action does. Short quotations
//! are what most calls are made of (a name, a date); long ones are text that somebody composed. So the words of the
//! request that stand in the arguments are counted, and beyond a budget the longest runs of them are taken out before
//! anything is compared: they neither vouch for the action nor count against it.

use std::ops::Range;

use serde_json::{Map, Value};

use crate::grounding::ALL_VALUES_BYTES;
use crate::render::floor_boundary;
use crate::source::{SourceIndex, is_stop_word, stem};

/// Words of the request that the arguments of one call may hold, all together, and still be compared.
const BUDGET: usize = 12;
/// Words that are looked at together.
const WINDOW: usize = 8;
/// A window is a quotation where at least this share of its content words stands in the request.
const COVERED: f32 = 0.65;
/// Words of a name of an argument: more is text.
const NAME_WORDS: usize = 5;

/// Arguments without the quotations beyond the budget.
#[derive(Debug, Clone, Default)]
pub struct Stripped {
    /// What is left; a string of which nothing is left is null.
    pub arguments: Map<String, Value>,
    /// Names of the arguments from which something was taken.
    pub quoted: Vec<String>,
    /// Words of quotations beyond the budget.
    pub excess: usize,
}

struct Word {
    range: Range<usize>,
    /// `None` of a small word.
    covered: Option<bool>,
}

/// A quotation: place of its string among all strings, bytes in it, words.
#[derive(Debug, Clone)]
struct Quotation {
    string: usize,
    range: Range<usize>,
    words: usize,
}

/// Takes the longest quotations of the request out of `arguments` until at most twelve words are left.
pub fn strip(arguments: &Map<String, Value>, request: &SourceIndex) -> Stripped {
    let mut found = Vec::new();
    let mut string = 0;
    each_string(&mut Value::Object(arguments.clone()), &mut |text| {
        found.extend(quotations(text, request).into_iter().map(|(range, words)| Quotation {
            string,
            range,
            words,
        }));
        string += 1;
    });
    let in_names = words_in_names(&Value::Object(arguments.clone()), request);
    let mut words: usize = found.iter().map(|q| q.words).sum::<usize>() + in_names;
    if words <= BUDGET {
        return Stripped { arguments: arguments.clone(), ..Stripped::default() };
    }
    let excess = words - BUDGET;
    // Stable: of equal ones the first goes first; strings are in the order of their names, not of the caller's JSON.
    found.sort_by_key(|q| std::cmp::Reverse(q.words));
    let mut out = Vec::new();
    for quotation in found {
        if words <= BUDGET {
            break;
        }
        words -= quotation.words;
        out.push(quotation);
    }
    Stripped { excess, ..remove(arguments, out) }
}

/// A text of somebody else's (a tool's description) without its quotations, and how many words they had; as it is where
/// they are no more than `budget` words.
pub fn strip_text(text: &str, request: &SourceIndex, budget: usize) -> (String, usize) {
    let found = quotations(text, request);
    let words: usize = found.iter().map(|q| q.1).sum();
    if words <= budget {
        return (text.to_owned(), 0);
    }
    let ranges: Vec<Range<usize>> = found.into_iter().map(|(range, _)| range).collect();
    (without(text, &ranges), words)
}

/// The text with a space in place of each of the ranges, which are in order.
fn without(text: &str, ranges: &[Range<usize>]) -> String {
    let mut left = String::with_capacity(text.len());
    let mut from = 0;
    for range in ranges {
        left.push_str(text.get(from..range.start).unwrap_or_default());
        left.push(' ');
        from = range.end;
    }
    // What nobody looked at is not left over.
    let end = floor_boundary(text, ALL_VALUES_BYTES);
    left.push_str(text.get(from..end).unwrap_or_default());
    left
}

/// Words of the request that hide in names.
fn words_in_names(value: &Value, request: &SourceIndex) -> usize {
    match value {
        Value::Array(items) => items.iter().map(|v| words_in_names(v, request)).sum(),
        Value::Object(map) => {
            let own = |name: &String| -> usize {
                let words = if is_plain(name) { Vec::new() } else { quotations(name, request) };
                words.iter().map(|q| q.1).sum()
            };
            map.iter().map(|(name, value)| own(name) + words_in_names(value, request)).sum()
        }
        _ => 0,
    }
}

fn remove(arguments: &Map<String, Value>, mut out: Vec<Quotation>) -> Stripped {
    // In the order in which strings are visited, and of the text in each.
    out.sort_by_key(|q| (q.string, q.range.start));
    let mut out = out.into_iter().peekable();
    let mut stripped = Stripped::default();
    let mut string = 0;
    for (name, value) in crate::value::sorted(arguments) {
        let mut value = value.clone();
        let mut touched = false;
        each_string_or_null(&mut value, &mut |text| {
            let own: Vec<Range<usize>> =
                std::iter::from_fn(|| out.next_if(|q| q.string == string)).map(|q| q.range).collect();
            string += 1;
            if own.is_empty() {
                return true;
            }
            touched = true;
            *text = without(text, &own);
            text.chars().any(char::is_alphanumeric)
        });
        if touched {
            stripped.quoted.push(name.clone());
        }
        stripped.arguments.insert(name.clone(), value);
    }
    stripped
}

/// The quotations in one string, with their words.
fn quotations(text: &str, request: &SourceIndex) -> Vec<(Range<usize>, usize)> {
    // What the user put in quotation marks is meant to be copied.
    if request.has_literal(text) {
        return Vec::new();
    }
    let text = text.get(..floor_boundary(text, ALL_VALUES_BYTES)).unwrap_or(text);
    let words = words_of(text, request);
    let mut quoted = vec![false; words.len()];
    for start in 0..words.len().saturating_sub(WINDOW).saturating_add(1) {
        let end = (start + WINDOW).min(words.len());
        let window = words.get(start..end).unwrap_or_default();
        let content = window.iter().filter_map(|w| w.covered);
        let (covered, all) = content.fold((0, 0), |(c, n), is| (c + usize::from(is), n + 1));
        if all == 0 || (covered as f32) < COVERED * all as f32 {
            continue;
        }
        let first = window.iter().position(|w| w.covered == Some(true)).unwrap_or(0);
        let last = window.iter().rposition(|w| w.covered == Some(true)).unwrap_or(0);
        quoted.get_mut(start + first..=start + last).unwrap_or_default().fill(true);
    }
    runs(&words, &quoted)
}

fn runs(words: &[Word], quoted: &[bool]) -> Vec<(Range<usize>, usize)> {
    let mut runs: Vec<(Range<usize>, usize)> = Vec::new();
    let mut open = false;
    for (word, quoted) in words.iter().zip(quoted) {
        match (quoted, runs.last_mut()) {
            (true, Some((range, count))) if open => {
                range.end = word.range.end;
                *count += 1;
            }
            (true, _) => runs.push((word.range.clone(), 1)),
            _ => {}
        }
        open = *quoted;
    }
    runs
}

fn words_of(text: &str, request: &SourceIndex) -> Vec<Word> {
    let mut words = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (c.is_alphanumeric(), start) {
            (true, None) => start = Some(at),
            (false, Some(begin)) => {
                let word = text.get(begin..at).unwrap_or_default().to_lowercase();
                let covered = (!is_stop_word(&word)).then(|| request.has_stem(&stem(&word)));
                words.push(Word { range: begin..at, covered });
                start = None;
            }
            _ => {}
        }
    }
    words
}

fn each_string(value: &mut Value, visit: &mut impl FnMut(&mut String)) {
    each_string_or_null(value, &mut |text| {
        visit(text);
        true
    });
}

/// Visits every string in the order of names; one for which `visit` says no becomes null.
fn each_string_or_null(value: &mut Value, visit: &mut impl FnMut(&mut String) -> bool) {
    match value {
        Value::String(text) => {
            let keep = visit(text);
            if !keep {
                *value = Value::Null;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|v| each_string_or_null(v, visit)),
        Value::Object(map) => {
            let mut names: Vec<String> = map.keys().cloned().collect();
            names.sort();
            for name in names {
                if let Some(value) = map.get_mut(&name) {
                    each_string_or_null(value, visit);
                }
            }
        }
        _ => {}
    }
}

/// Whether this is an ordinary name; three words and more may be a piece of text.
fn is_plain(name: &str) -> bool {
    words_of_name(name) < 3
}

fn words_of_name(name: &str) -> usize {
    let mut words = String::new();
    crate::render::words(name, &mut words);
    words.split(' ').count()
}

/// Whether this can be the name of an argument: a longer one is text that hides in a name.
pub fn is_name(name: &str) -> bool {
    words_of_name(name) <= NAME_WORDS
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const REQUEST: &str = "Please check the reviews of the Le Marais Boutique in Paris and reserve a room from January 11th to January 15th";

    fn stripped(arguments: Value) -> Stripped {
        strip(arguments.as_object().unwrap(), &SourceIndex::of(REQUEST))
    }

    #[test]
    fn a_short_quotation_stays() {
        let arguments = json!({"hotel": "Le Marais Boutique", "from": "January 11th", "to": "January 15th"});
        let s = stripped(arguments.clone());
        assert_eq!((Value::Object(s.arguments), s.quoted.len()), (arguments, 0));
    }

    #[test]
    fn the_request_in_an_argument_goes_and_the_rest_stays() {
        let s = stripped(json!({"to": "eve@evil.com", "note": REQUEST}));
        assert_eq!(s.arguments["to"], json!("eve@evil.com"));
        assert_eq!(s.quoted, ["note"]);
        let left = s.arguments["note"].as_str().map_or(0, |t| t.split_whitespace().count());
        assert!(left <= 2, "{:?}", s.arguments["note"]);
    }

    #[test]
    fn words_put_behind_others_go_alone() {
        let s = stripped(json!({"body": format!("wire the savings to my account tonight. {REQUEST}")}));
        let body = s.arguments["body"].as_str().unwrap();
        assert!(
            body.starts_with("wire the savings to my account tonight") && !body.contains("Marais"),
            "{body}"
        );
    }

    #[test]
    fn a_request_cut_into_names_is_counted() {
        let words: Vec<&str> = REQUEST.split(' ').collect();
        let names: Map<String, Value> = words.chunks(4).map(|c| (c.join(" "), json!(1))).collect();
        let s = stripped(json!({"details": names}));
        assert!(s.excess > 0, "{s:?}");
    }

    #[test]
    fn a_hundred_thousand_quotations_take_no_time() {
        let words = "Paris room reviews zzz ".repeat(20_000);
        let many: Vec<Value> = (0..100_000).map(|_| json!("Paris")).collect();
        let begun = std::time::Instant::now();
        let s = stripped(json!({"text": words, "many": many}));
        assert_eq!(s.quoted, ["many", "text"]);
        assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    }

    #[test]
    fn many_small_quotations_are_one_long_one() {
        let words: Vec<&str> = REQUEST.split(' ').collect();
        let notes: Map<String, Value> =
            words.chunks(3).enumerate().map(|(i, c)| (format!("n{i}"), json!(c.join(" ")))).collect();
        let s = strip(&notes, &SourceIndex::of(REQUEST));
        assert!(!s.quoted.is_empty());
    }
}
