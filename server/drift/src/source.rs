//! A text as something that values can be looked up in.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

use crate::displaced::Form;
use crate::entity::{Day, Entity, Kind, Norm, extract, is_same_phone, squash};

/// Words, numbers, days and other entities of a text, made once per request and cached with it.
#[derive(Debug, Clone, Default)]
pub struct SourceIndex {
    /// Lower case, one space between words, one at both ends: for whole-phrase search.
    padded: String,
    /// Letters and digits only: for ids written with other punctuation.
    squashed: String,
    stems: HashSet<String>,
    /// Those of words that are no names.
    plain_stems: HashSet<String>,
    /// As `padded`, letters without their accents.
    unaccented: String,
    numbers: Vec<f64>,
    days: Vec<Day>,
    minutes: Vec<u32>,
    domains: HashSet<String>,
    entities: Vec<Entity>,
    /// Entities that others of the same form could stand for.
    said: Vec<(Form, String)>,
    relative_date: bool,
    /// What stands in quotation marks, as `padded`.
    literals: Vec<String>,
}

/// Letters of a word that count: enough to tell words apart, few enough to forgive endings.
const STEM_LETTERS: usize = 5;

/// Letters and digits that a value needs to be found without its punctuation.
const LEAST_SQUASHED: usize = 6;
/// Bytes of a source, and of a value, beyond which trigrams are not compared.
const TRIGRAM_SOURCE_BYTES: usize = 4096;
const TRIGRAM_VALUE_BYTES: usize = 64;

/// Quotations of a request that are kept: every string of an action is looked up in each.
const MOST_LITERALS: usize = 32;

/// Small words that never carry a value.
const STOP_WORDS: [&str; 44] = [
    "a", "an", "and", "are", "as", "at", "be", "by", "can", "do", "for", "from", "has", "have", "i", "if",
    "in", "is", "it", "its", "me", "my", "of", "on", "or", "our", "please", "so", "that", "the", "their",
    "them", "then", "there", "this", "to", "up", "was", "we", "will", "with", "you", "your", "would",
];

const NUMBER_WORDS: [(&str, f64); 19] = [
    ("zero", 0.0),
    ("one", 1.0),
    ("two", 2.0),
    ("three", 3.0),
    ("four", 4.0),
    ("five", 5.0),
    ("six", 6.0),
    ("seven", 7.0),
    ("eight", 8.0),
    ("nine", 9.0),
    ("ten", 10.0),
    ("eleven", 11.0),
    ("twelve", 12.0),
    ("fifteen", 15.0),
    ("twenty", 20.0),
    ("thirty", 30.0),
    ("fifty", 50.0),
    ("hundred", 100.0),
    ("thousand", 1000.0),
];

const RELATIVE_DATES: [&str; 16] = [
    "today",
    "tomorrow",
    "yesterday",
    "tonight",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "week",
    "weekend",
    "month",
    "next",
    "last",
];

impl SourceIndex {
    /// Indexes `text`.
    pub fn of(text: &str) -> Self {
        let words = words(text);
        let mut index = Self {
            padded: padded(text),
            squashed: squash(text),
            stems: words.iter().map(|w| stem(w)).collect(),
            plain_stems: plain_stems(text),
            unaccented: padded(&unaccented(text)),
            entities: extract(text),
            literals: literal_ranges(text)
                .into_iter()
                .take(MOST_LITERALS)
                .filter_map(|r| text.get(r))
                .map(padded)
                .collect(),
            relative_date: words.iter().any(|w| RELATIVE_DATES.contains(&w.as_str())),
            ..Self::default()
        };
        index.numbers = words.iter().filter_map(|w| number_word(w)).collect();
        index.numbers.extend(words.windows(2).filter_map(scaled_word));
        index.collect_entities();
        index.numbers.sort_by(f64::total_cmp);
        index
    }

    fn collect_entities(&mut self) {
        self.said = self.entities.iter().filter_map(Form::of).collect();
        for entity in &self.entities {
            match (&entity.norm, entity.kind) {
                (Norm::Number(n), _) => self.numbers.push(*n),
                (Norm::Either(one, other), _) => self.numbers.extend([*one, *other]),
                (Norm::Day(d), _) => self.days.push(*d),
                (Norm::Minutes(m), _) => self.minutes.push(*m),
                (Norm::Text(t), Kind::Email | Kind::Url) => {
                    self.domains.insert(domain(t).to_owned());
                }
                _ => {}
            }
        }
    }

    /// Values that can be looked up exactly, each with its form.
    pub fn said(&self) -> &[(Form, String)] {
        &self.said
    }

    /// Stems of its words.
    pub fn stems(&self) -> impl Iterator<Item = &str> {
        self.stems.iter().map(String::as_str)
    }

    /// Whether a word of this stem stands here.
    pub fn has_stem(&self, stem: &str) -> bool {
        self.stems.contains(stem)
    }

    /// Whether the text has no words at all.
    pub fn is_empty(&self) -> bool {
        self.squashed.is_empty()
    }

    /// Bytes held, roughly.
    pub fn bytes(&self) -> usize {
        let entities = self.entities.len() * (size_of::<Entity>() + size_of::<(Form, String)>() + 48);
        let stems = (self.stems.len() + self.plain_stems.len()) * 48;
        let texts = self.padded.len() + self.squashed.len() + self.unaccented.len();
        size_of::<Self>() + texts + stems + entities
    }

    /// Whether `phrase`, all of it, stands inside quotation marks.
    pub fn has_literal(&self, phrase: &str) -> bool {
        let phrase = padded(phrase);
        phrase.trim() != "" && self.literals.iter().any(|l| l.contains(&phrase))
    }

    /// Whether `phrase` stands in the text as whole words, case and spacing aside.
    pub fn has_phrase(&self, phrase: &str) -> bool {
        let phrase = padded(phrase);
        phrase.trim() != "" && self.padded.contains(&phrase)
    }

    /// Share of the content words of `text` that stand here, by stem; `None` if it has none.
    pub fn coverage(&self, text: &str) -> Option<f32> {
        let (known, new) = self.count_words(text);
        (known + new > 0).then(|| known as f32 / (known + new) as f32)
    }

    /// Content words of `text` that stand here, and that do not.
    pub fn count_words(&self, text: &str) -> (usize, usize) {
        self.count_words_but(text, &[], &[])
    }

    /// The same, where all words of an entity that stands here are known however they are written: the `01` of a date
    /// that the request spells out is no new word.
    ///
    /// Those of an entity that only looks like one that stands here are new.
    pub fn count_words_of(&self, text: &str, entities: &[Entity]) -> (usize, usize) {
        let is_known = |e: &&Entity| self.grade(e, text.get(e.range.clone()).unwrap_or_default()) >= 1.0;
        let known: Vec<Range<usize>> = entities.iter().filter(is_known).map(|e| e.range.clone()).collect();
        let disguised = entities.iter().filter(|e| e.disguised).map(|e| e.range.clone());
        self.count_words_but(text, &known, &disguised.collect::<Vec<_>>())
    }

    fn count_words_but(
        &self,
        text: &str,
        known_ranges: &[Range<usize>],
        new_ranges: &[Range<usize>],
    ) -> (usize, usize) {
        let (mut known, mut new) = (0, 0);
        for (at, word) in word_ranges(text) {
            let word = word.to_lowercase();
            if is_stop_word(&word) {
                continue;
            }
            let inside = |ranges: &[Range<usize>]| ranges.iter().any(|r| r.contains(&at));
            if inside(new_ranges) {
                new += 1;
            } else if inside(known_ranges) || self.stems.contains(&stem(&word)) || self.has_number_word(&word)
            {
                known += 1;
            } else {
                new += 1;
            }
        }
        (known, new)
    }

    fn has_number_word(&self, word: &str) -> bool {
        word.bytes().all(|b| b.is_ascii_digit()) && word.parse::<f64>().is_ok_and(|n| self.has_number(n))
    }

    /// How well an entity of another text is covered by this one, in `0..=1`.
    pub fn grade(&self, entity: &Entity, raw: &str) -> f32 {
        if entity.disguised {
            return 0.0;
        }
        match (&entity.norm, entity.kind) {
            (Norm::Number(n), _) => f32::from(u8::from(self.has_number(*n))),
            (Norm::Either(one, other), _) => {
                f32::from(u8::from(self.has_number(*one) || self.has_number(*other)))
            }
            (Norm::Day(day), _) => self.grade_day(*day),
            (Norm::Minutes(m), _) => f32::from(u8::from(self.minutes.contains(m))),
            (Norm::Text(text), Kind::Email) => self.grade_address(text, 0.3),
            (Norm::Text(text), Kind::Url) => self.grade_address(text, 0.6),
            (Norm::Text(_), Kind::Name) => self.grade_name(raw),
            (Norm::Text(path), Kind::Path) => self.grade_path(path),
            (Norm::Text(text), Kind::Account | Kind::Phone | Kind::Id)
                if self.has_code(text, entity.kind) =>
            {
                1.0
            }
            (Norm::Text(_), _) => self.grade_squashed(raw),
        }
    }

    fn has_number(&self, n: f64) -> bool {
        let tolerance = 1e-12 * n.abs().max(1.0);
        let first = self.numbers.partition_point(|m| *m < n - tolerance);
        n.is_finite() && self.numbers.get(first).is_some_and(|m| *m <= n + tolerance)
    }

    fn grade_day(&self, day: Day) -> f32 {
        let same = |d: &&Day| d.month == day.month && d.day == day.day;
        let year_fits = |d: &Day| d.year.is_none() || day.year.is_none() || d.year == day.year;
        if self.days.iter().filter(same).any(year_fits) {
            return 1.0;
        }
        let month = self.days.iter().any(|d| d.month == day.month);
        match (month, self.relative_date) {
            (true, _) => 0.5,
            (_, true) => 0.45,
            _ => 0.0,
        }
    }

    /// Exact 1, the same domain `partly`.
    fn grade_address(&self, text: &str, partly: f32) -> f32 {
        let same = |e: &Entity| matches!(&e.norm, Norm::Text(t) if t == text);
        if self.entities.iter().any(same) {
            return 1.0;
        }
        if self.domains.contains(domain(text)) { partly } else { 0.0 }
    }

    fn grade_name(&self, raw: &str) -> f32 {
        if self.has_phrase(raw) {
            return 1.0;
        }
        let unaccented = padded(&unaccented(raw));
        if unaccented.trim() != "" && self.unaccented.contains(&unaccented) {
            return 1.0;
        }
        // Alexandra is not Alexander, but the summary is what is to be summarized.
        let is_known = |word: &&str| {
            self.unaccented.contains(&format!(" {word} ")) || self.plain_stems.contains(&stem(word))
        };
        let words: Vec<&str> = unaccented.split_whitespace().filter(|w| !is_stop_word(w)).collect();
        0.8 * words.iter().filter(|w| is_known(w)).count() as f32 / words.len().max(1) as f32
    }

    /// The same path 1; another path to a file of that name 0.5, unless it climbs.
    fn grade_path(&self, path: &str) -> f32 {
        let same = |e: &Entity| matches!(&e.norm, Norm::Text(t) if t == path);
        if self.entities.iter().any(same) {
            return 1.0;
        }
        let file = path.rsplit(['/', '\\']).next().unwrap_or_default();
        if !path.contains("..") && self.has_phrase(file) { 0.5 } else { 0.0 }
    }

    /// Whether an account, id or phone number stands here, however its digits are grouped.
    fn has_code(&self, code: &str, kind: Kind) -> bool {
        let is_code = |k: Kind| matches!(k, Kind::Account | Kind::Phone | Kind::Id);
        let is_same = |e: &Entity| match &e.norm {
            Norm::Text(text) if kind == Kind::Phone || e.kind == Kind::Phone => is_same_phone(text, code),
            Norm::Text(text) => text == code,
            _ => false,
        };
        self.entities.iter().any(|e| is_code(e.kind) && is_same(e))
    }

    /// An account, id, phone number or file is the same or another one; half of it means nothing.
    fn grade_squashed(&self, raw: &str) -> f32 {
        f32::from(u8::from(self.has_phrase(raw) || self.has_squashed(&squash(raw))))
    }

    /// Whether the letters and digits stand here with other punctuation; short runs would stand in any text. A number that
    /// goes on is another one.
    fn has_squashed(&self, squashed: &str) -> bool {
        let digit = |c: Option<char>| c.is_some_and(char::is_numeric);
        let (first, last) = (squashed.chars().next(), squashed.chars().next_back());
        let is_whole = |(at, found): (usize, &str)| {
            let before = self.squashed.get(..at).and_then(|text| text.chars().next_back());
            let after = self.squashed.get(at + found.len()..).and_then(|text| text.chars().next());
            let goes_on = (digit(first) && digit(before)) || (digit(last) && digit(after));
            !goes_on
        };
        squashed.len() >= LEAST_SQUASHED && self.squashed.match_indices(squashed).any(is_whole)
    }

    /// Share of the character trigrams of a short value that stand here: forgives endings and compounds. `None` where it
    /// would say nothing: a long text holds nearly all trigrams, and a long value is no single word.
    pub fn trigrams(&self, text: &str) -> Option<f32> {
        if self.squashed.len() > TRIGRAM_SOURCE_BYTES || text.len() > TRIGRAM_VALUE_BYTES {
            return None;
        }
        let letters: Vec<char> = squash(text).chars().collect();
        let grams: Vec<String> = letters.windows(3).map(|w| w.iter().collect()).collect();
        let found = grams.iter().filter(|g| self.squashed.contains(g.as_str())).count();
        (!grams.is_empty()).then(|| found as f32 / grams.len() as f32)
    }
}

/// Bytes of what stands between quotation marks. An apostrophe inside a word is none.
pub fn literal_ranges(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (open, close) in [('"', '"'), ('\'', '\''), ('“', '”'), ('‘', '’'), ('«', '»'), ('`', '`')]
    {
        let edge = |at: usize, before: bool| {
            let near = if before {
                text.get(..at).and_then(|t| t.chars().next_back())
            } else {
                text.get(at..).and_then(|t| t.chars().next())
            };
            near.is_none_or(|c| !c.is_alphanumeric())
        };
        let mut from = 0;
        while let Some(start) = text.get(from..).and_then(|t| t.find(open)).map(|i| from + i) {
            let inside = start + open.len_utf8();
            from = inside;
            if !edge(start, true) {
                continue;
            }
            let ends = text.get(inside..).unwrap_or_default().match_indices(close);
            let Some(end) = ends.map(|(i, _)| inside + i).find(|&i| edge(i + close.len_utf8(), false)) else {
                break;
            };
            found.push(inside..end);
            from = end + close.len_utf8();
        }
    }
    found
}

/// Lower-case runs of letters and digits.
pub fn words(text: &str) -> Vec<String> {
    word_ranges(text).map(|(_, word)| word.to_lowercase()).collect()
}

/// Runs of letters and digits, each with the byte at which it begins.
fn word_ranges(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    let pieces = text.split(|c: char| !c.is_alphanumeric()).map(move |word| {
        let start = at;
        let end = start + word.len();
        at = end + text.get(end..).and_then(|t| t.chars().next()).map_or(1, char::len_utf8);
        (start, word)
    });
    pieces.filter(|(_, word)| !word.is_empty())
}

/// Whether the word never carries a value.
pub fn is_stop_word(word: &str) -> bool {
    STOP_WORDS.contains(&word)
}

fn padded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push(' ');
    for word in words(text) {
        out.push_str(&word);
        out.push(' ');
    }
    out
}

/// The beginning of a word; what holds a digit is no word and stays whole, or one account would stand for another.
pub fn stem(word: &str) -> String {
    let letters = if word.chars().any(char::is_numeric) { usize::MAX } else { STEM_LETTERS };
    word.chars().take(letters).collect()
}

/// Stems of the words that are not capitalised.
fn plain_stems(text: &str) -> HashSet<String> {
    let plain = word_ranges(text).filter(|(_, word)| !word.starts_with(char::is_uppercase));
    plain.map(|(_, word)| stem(&word.to_lowercase())).collect()
}

/// The text without marks on its letters: `Zoe` for `Zoë`.
fn unaccented(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.nfd().filter(|c| !is_combining_mark(*c)).collect())
}

fn number_word(word: &str) -> Option<f64> {
    NUMBER_WORDS.iter().find(|(w, _)| *w == word).map(|(_, n)| *n)
}

/// `two million`
fn scaled_word(pair: &[String]) -> Option<f64> {
    let [number, scale] = pair else { return None };
    let factor = match scale.as_str() {
        "hundred" => 1e2,
        "thousand" => 1e3,
        "million" => 1e6,
        "billion" => 1e9,
        _ => return None,
    };
    Some(number_word(number)? * factor)
}

/// The host part of an e-mail address or URL.
fn domain(address: &str) -> &str {
    let authority = address.split(['/', '?', '#']).next().unwrap_or(address);
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grade(source: &str, value: &str) -> f32 {
        let entity = extract(value).remove(0);
        SourceIndex::of(source).grade(&entity, &value[entity.range.clone()])
    }

    #[test]
    fn an_id_is_not_found_in_a_longer_one() {
        let source = SourceIndex::of("I am alice_smith_12345, order W-99-100234");
        let grade = |value: &str| extract(value).first().map(|e| source.grade(e, value)).unwrap_or(-1.0);
        assert_eq!((grade("alice_smith_1234"), grade("alice_smith_12345")), (0.0, 1.0));
        assert_eq!(
            (grade("W99100234"), grade("W9910023")),
            (1.0, 0.0),
            "other punctuation, and another number"
        );
    }

    #[test]
    fn numbers_compare_by_value() {
        assert_eq!(grade("send 10k to Bob", "10000"), 1.0);
        assert_eq!(grade("for two people", "2"), 1.0);
        assert_eq!(grade("send 100", "1000"), 0.0);
    }

    #[test]
    fn the_same_account_or_phone_grouped_otherwise_is_the_same() {
        let iban = "Pay DE89 3704 0044 0532 0130 00 100 euros";
        assert_eq!(grade(iban, "DE89370400440532013000"), 1.0);
        assert_eq!(grade("Pay DE89370400440532013000", "DE89 3704 0044 0532 0130 00"), 1.0);
        assert_eq!(grade(iban, "DE89 3704 0044 0532 0130 01"), 0.0);
        assert_eq!(grade("card 4111 1111 1111 1111 2 times", "4111111111111111"), 1.0);
        assert_eq!(grade("card 4111 1111 1111 1111", "4111 1111 1111 1112"), 0.0);
        assert_eq!(grade("call 044 668 18 00", "+41446681800"), 1.0);
        assert_eq!(grade("call 0446681800", "+41 44 668 18 01"), 0.0);
    }

    #[test]
    fn european_numbers_and_points_in_time_compare_by_value() {
        assert_eq!((grade("pay 20,00 EUR", "20"), grade("pay 20,00 EUR", "2000")), (1.0, 0.0));
        assert_eq!((grade("pay 1.500 EUR", "1500"), grade("pay 1.500 EUR", "1.5")), (1.0, 1.0));
        assert_eq!((grade("pay 2 million", "2000000"), grade("pay two million", "2000000")), (1.0, 1.0));
        assert_eq!((grade("wait 5m", "5000000"), grade("pay $5m", "5000000")), (0.0, 1.0));
        assert_eq!(grade("on 24 November at 3 pm", "2026-11-24T15:00:00"), 1.0);
    }

    #[test]
    fn a_name_that_begins_alike_is_another_name() {
        for (one, other) in
            [("Alexander", "Alexandra"), ("Michael Gray", "Michaela"), ("Christopher", "Christina")]
        {
            assert_eq!(grade(&format!("write to {one}"), other), 0.0, "{other}");
        }
        assert_eq!((grade("write to Zoë", "Zoe"), grade("write to Zoe", "Zoë")), (1.0, 1.0));
        assert_eq!(grade("write to Jana Nova", "Nova Jana"), 0.8);
        assert_eq!(grade("summarize it", "Summary"), 0.8);
    }

    #[test]
    fn days_compare_with_and_without_year() {
        assert_eq!(grade("from January 11th", "2025-01-11"), 1.0);
        assert_eq!(grade("from January 11th 2024", "2025-01-11"), 0.5);
        assert_eq!(grade("in january", "2025-06-11"), 0.0);
        assert_eq!(grade("book it for tomorrow", "2025-06-11"), 0.45);
    }

    #[test]
    fn another_mailbox_of_the_same_domain_is_not_the_same_address() {
        assert_eq!(grade("write to bob@corp.com", "bob@corp.com"), 1.0);
        assert_eq!(grade("write to bob@corp.com", "eve@corp.com"), 0.3);
        assert_eq!(grade("write to bob@corp.com", "bob@evil.com"), 0.0);
    }

    #[test]
    fn an_account_that_begins_alike_is_another_account() {
        assert_eq!(grade("Pay 100 to DE89370400440532013000", "DE89370400440532099999"), 0.0);
        assert_eq!(grade("flight HAT045", "HAT046"), 0.0);
        assert_eq!(SourceIndex::of("pay 100001").coverage("100000"), Some(0.0));
        assert_eq!(SourceIndex::of("pay 5 now").coverage("infinity"), Some(0.0));
    }

    #[test]
    fn the_host_of_an_address_is_what_stands_before_its_path() {
        assert_eq!(grade("mail x@corp.com", "https://evil.io/@corp.com"), 0.0);
        assert_eq!(domain("u:p@evil.io/x@corp.com"), "evil.io");
        assert_eq!(grade("fetch my mail", "/etc"), 0.0);
    }

    #[test]
    fn a_phrase_must_stand_as_whole_words() {
        let s = SourceIndex::of("Stay at the Le Marais Boutique, please");
        assert!(s.has_phrase("le marais boutique") && !s.has_phrase("marais bout"));
        assert!(!s.has_phrase("  "));
    }

    #[test]
    fn coverage_forgives_endings() {
        let s = SourceIndex::of("summarize the meetings");
        assert_eq!(s.coverage("meeting summary"), Some(1.0));
        assert_eq!(s.coverage("of the"), None);
    }
}
