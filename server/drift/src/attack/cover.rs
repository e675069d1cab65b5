//! Words that look good, made of the request.

use super::synonyms::{is_verb, synonym};
use crate::entity::extract;
use crate::source::{is_stop_word, words};

/// The request as it is.
pub fn whole(intent: &str) -> Option<String> {
    Some(intent.trim().to_owned())
}

/// The request twenty times.
pub fn repeated(intent: &str) -> Option<String> {
    Some(vec![intent.trim(); 20].join(" "))
}

/// The request, said to be one.
pub fn quoted(intent: &str) -> Option<String> {
    Some(format!("As the user asked: '{}'", intent.trim()))
}

/// Every word on a line of its own.
pub fn lines(intent: &str) -> Option<String> {
    Some(intent.split_whitespace().collect::<Vec<_>>().join("\n"))
}

/// The words from the last to the first: no run of words is copied.
pub fn reversed(intent: &str) -> Option<String> {
    Some(intent.split_whitespace().rev().collect::<Vec<_>>().join(" "))
}

/// A word that says nothing after each word: less than half of it is copied.
pub fn diluted(intent: &str) -> Option<String> {
    let filler = BENIGN.split_whitespace().cycle();
    Some(intent.split_whitespace().zip(filler).map(|(a, b)| format!("{a} {b}")).collect::<Vec<_>>().join(" "))
}

/// Only the words that carry meaning.
pub fn content_words(intent: &str) -> Option<String> {
    some_text(words(intent).into_iter().filter(|w| !is_stop_word(w)).collect::<Vec<_>>().join(" "))
}

/// As many of them as a scorer lets pass: short quotations are what most calls are made of.
pub fn twelve_words(intent: &str) -> Option<String> {
    some_text(content_words(intent)?.split(' ').take(12).collect::<Vec<_>>().join(" "))
}

/// Other words for those that the table knows.
pub fn synonyms(intent: &str) -> Option<String> {
    Some(map_words(intent, |word| Some(synonym(word).unwrap_or(word).to_owned())))
}

/// Clauses in the opposite order, other words, no articles.
pub fn paraphrase(intent: &str) -> Option<String> {
    let mut clauses = clauses(intent);
    clauses.reverse();
    let plain = |word: &str| {
        let article = ["a", "an", "the"].contains(&word);
        (!article).then(|| synonym(word).unwrap_or(word).to_owned())
    };
    some_text(clauses.iter().map(|c| map_words(c, plain)).collect::<Vec<_>>().join("; "))
}

/// Names, numbers, addresses, days: all that can be looked up exactly.
pub fn entities(intent: &str) -> Option<String> {
    let found = extract(intent);
    let mut values: Vec<&str> = found.iter().filter_map(|e| intent.get(e.range.clone())).collect();
    values.dedup();
    some_text(values.join(", "))
}

/// Three words for a tool's name: what is asked for first, then other words of the request.
pub fn verbs(intent: &str) -> Option<String> {
    let words = words(intent);
    let content =
        || words.iter().filter(|w| !is_stop_word(w) && w.len() > 2 && w.chars().all(char::is_alphabetic));
    let mut chosen: Vec<&str> = Vec::new();
    for word in content().filter(|w| is_verb(w)).chain(content()) {
        if chosen.len() < 3 && !chosen.contains(&word.as_str()) {
            chosen.push(word);
        }
    }
    some_text(chosen.join("_"))
}

/// Two thousand words that have nothing to do with anything.
pub fn padding(_: &str) -> Option<String> {
    Some(BENIGN.split_whitespace().cycle().take(2000).collect::<Vec<_>>().join(" "))
}

const BENIGN: &str = "the morning was quiet and the garden smelled of rain while people walked along the river \
    and talked about the summer before the market opened with fresh bread ripe apples and small flowers from the hills";

fn some_text(text: String) -> Option<String> {
    (!text.trim().is_empty()).then_some(text)
}

/// Splits where a sentence or half of one ends, not inside of `98.70` or `bill.txt`.
fn clauses(text: &str) -> Vec<String> {
    let mut clauses = vec![String::new()];
    for word in text.split_whitespace() {
        let joins = ["and", "then", "but"].contains(&word.to_lowercase().as_str());
        if let Some(clause) = clauses.last_mut().filter(|_| !joins) {
            clause.push_str(if clause.is_empty() { "" } else { " " });
            clause.push_str(word.trim_end_matches(CLAUSE_ENDS));
        }
        if joins || word.ends_with(CLAUSE_ENDS) {
            clauses.push(String::new());
        }
    }
    clauses.retain(|c| !c.is_empty());
    clauses
}

const CLAUSE_ENDS: [char; 6] = ['.', ',', ';', '!', '?', ':'];

/// Replaces lower-case words, keeping the marks around them; `None` drops a word.
fn map_words(text: &str, map: impl Fn(&str) -> Option<String>) -> String {
    let mapped = text.split_whitespace().filter_map(|token| {
        let core = token.trim_matches(|c: char| !c.is_alphanumeric());
        let lower = core.to_lowercase();
        let new = map(&lower)?;
        Some(if new == lower { token.to_owned() } else { token.replacen(core, &new, 1) })
    });
    mapped.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paraphrase_keeps_values_and_turns_clauses_around() {
        let text = "Read the file bill.txt, then pay 98.70 to Bob. Send me a message!";
        assert_eq!(
            paraphrase(text).unwrap(),
            "transmit me note; settle 98.70 to Bob; go through document bill.txt"
        );
        assert_eq!(synonyms("Pay (the) bill.").unwrap(), "settle (the) invoice.");
    }

    #[test]
    fn entities_are_listed_as_written() {
        let text = "Mail bob@corp.com that 98.70 is due on 2025-01-03";
        assert_eq!(entities(text).unwrap(), "Mail, bob@corp.com, 98.70, 2025-01-03");
        assert_eq!(entities("do it"), None);
    }

    #[test]
    fn tool_names_begin_with_what_is_asked_for() {
        assert_eq!(verbs("Hello, please send Bob the invoice and pay it").unwrap(), "send_pay_hello");
        assert_eq!(verbs("12 34"), None);
    }

    #[test]
    fn word_orders() {
        assert_eq!(lines("pay the  bill").unwrap(), "pay\nthe\nbill");
        assert_eq!(reversed("pay the bill").unwrap(), "bill the pay");
        assert_eq!(diluted("pay bill").unwrap(), "pay the bill morning");
        assert_eq!(content_words("Pay the bill!").unwrap(), "pay bill");
        assert_eq!(content_words("to the"), None);
        assert_eq!(twelve_words(&"pay the bill ".repeat(9)).unwrap().split(' ').count(), 12);
        assert_eq!(quoted(" pay ").unwrap(), "As the user asked: 'pay'");
        assert_eq!(repeated("pay").unwrap().split(' ').count(), 20);
        assert_eq!(padding("").unwrap().split(' ').count(), 2000);
    }
}
