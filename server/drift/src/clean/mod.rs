//! Text cleaning, in one place: what a reader cannot see, or sees as something else, must not change a score.
//!
//! Request, action and context go through the same steps: text that runs backwards is turned round, tag characters are read
//! as the ASCII that they stand for, characters without a glyph go, compatibility forms fold (NFKC), letters of other
//! alphabets that pass for Latin become Latin, spaced-out letters are joined, encoded runs are decoded. What was found is
//! evidence; ways to write that only hide something ([`Found::is_disguise`]) also raise the drift of an action.

mod confusable;
mod encoded;
mod fold;
mod spaced;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::action::Action;

/// What cleaning found in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Found {
    /// Characters without a glyph were removed, tag characters read, or reversed text turned round.
    Invisible,
    /// Compatibility forms (full width, ligatures, letters in mathematical alphabets) were folded.
    Compatibility,
    /// Letters of another alphabet stood for Latin ones.
    Confusable,
    /// Letters were spaced out.
    Spaced,
    /// Readable text was encoded (base64, hexadecimal, percent, HTML entities, escapes).
    Encoded,
}

impl Found {
    /// The name in evidence.
    pub fn name(self) -> &'static str {
        match self {
            Self::Invisible => "invisible_characters",
            Self::Compatibility => "compatibility_forms",
            Self::Confusable => "confusable_letters",
            Self::Spaced => "spaced_letters",
            Self::Encoded => "encoded_text",
        }
    }

    /// Whether nobody writes so but to hide something. Full-width forms are ordinary in some languages.
    pub fn is_disguise(self) -> bool {
        self != Self::Compatibility
    }
}

/// A text after cleaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleaned<'a> {
    /// The text to score.
    pub text: Cow<'a, str>,
    /// What was found, each once.
    pub found: Vec<Found>,
}

/// A change of a text; borrowed where there is none.
type Step = fn(&str) -> Cow<'_, str>;

/// Decoded text is cleaned in its turn, this often.
const ROUNDS: usize = 3;

/// Cleans one text; borrows where nothing changes.
pub fn clean(text: &str) -> Cleaned<'_> {
    let mut cleaned = clean_once(text);
    for _ in 1..ROUNDS {
        if !cleaned.found.contains(&Found::Encoded) {
            break;
        }
        let again = clean_once(&cleaned.text);
        if again.found.is_empty() {
            break;
        }
        let mut found = cleaned.found;
        found.extend(again.found);
        found.sort_unstable();
        found.dedup();
        cleaned = Cleaned { text: Cow::Owned(again.text.into_owned()), found };
    }
    cleaned
}

fn clean_once(text: &str) -> Cleaned<'_> {
    let folded = fold::fold(text);
    let mut found = Vec::new();
    if folded.invisible {
        found.push(Found::Invisible);
    }
    if folded.compatibility {
        found.push(Found::Compatibility);
    }
    let mut text = folded.text;
    let steps: [(Found, Step); 3] = [
        (Found::Confusable, confusable::to_latin),
        (Found::Spaced, spaced::join),
        (Found::Encoded, encoded::decode),
    ];
    for (what, step) in steps {
        if let Cow::Owned(changed) = step(&text) {
            found.push(what);
            text = Cow::Owned(changed);
        }
    }
    Cleaned { text, found }
}

/// What was found, and where.
pub type Finding = (Found, String);

/// Findings for people, for example `invisible_characters:arguments.to`.
pub fn named(findings: &[Finding]) -> impl Iterator<Item = String> {
    findings.iter().map(|(found, place)| format!("{}:{place}", found.name()))
}

/// Findings that are noted: looking for doubles among them must stay cheap.
const MOST_FINDINGS: usize = 64;

/// Cleans one text; what was found is noted once for each place.
pub fn clean_at(text: &str, place: &str, findings: &mut Vec<Finding>) -> String {
    let cleaned = clean(text);
    for found in cleaned.found {
        let finding = (found, place.to_owned());
        // The first of a kind is always noted: a flood of one kind must not hide another.
        let is_new_kind = findings.iter().all(|(kind, _)| *kind != found);
        if is_new_kind || (findings.len() < MOST_FINDINGS && !findings.contains(&finding)) {
            findings.push(finding);
        }
    }
    cleaned.text.into_owned()
}

/// Values that were not written as they are read: what a value reads as, and how it was written.
///
/// A tool gets a value as it was written: an address with a Cyrillic letter in it leads elsewhere than the one that it
/// looks like. Where two values read alike, one of the disguised ones stands for both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written(BTreeMap<String, String>);

impl Written {
    /// How the value that reads `text` was written; `None` where it was written so.
    pub fn of(&self, text: &str) -> Option<&str> {
        self.0.get(text).map(String::as_str)
    }

    /// Without the values that stand in `original` as they were written: whoever asks may write so.
    pub fn but_of(mut self, original: &str) -> Self {
        self.0.retain(|_, written| !original.contains(written.as_str()));
        self
    }

    fn note(&mut self, cleaned: &str, written: &str) {
        if cleaned != written {
            self.0.insert(cleaned.to_owned(), written.to_owned());
        }
    }
}

/// What cleaning an action brings to light.
#[derive(Debug, Clone, Default)]
pub struct Notes {
    /// What was found, and where.
    pub found: Vec<Finding>,
    /// Values, and nested names, of the arguments that were not written as they are read.
    pub written: Written,
}

/// Cleans all texts of `action`.
pub fn clean_action(action: &Action, notes: &mut Notes) -> Action {
    Action {
        tool: clean_at(&action.tool, "tool", &mut notes.found),
        tool_description: clean_at(&action.tool_description, "tool_description", &mut notes.found),
        server: action.server.clone(),
        arguments: clean_map(&action.arguments, None, notes),
        // Names of the schema are cleaned like those of the arguments, or a cleaned name would be undeclared.
        input_schema: action
            .input_schema
            .as_ref()
            .map(|s| clean_map(s, Some("schema"), &mut Notes::default())),
        text: clean_at(&action.text, "text", &mut notes.found),
        effect: action.effect,
    }
}

/// Two names that become one are both kept, the later one as it was written: a hidden character in a name must not make
/// an argument disappear. `place` is that of the object; none for the arguments themselves, whose entries are places of
/// their own.
fn clean_map(map: &Map<String, Value>, place: Option<&str>, notes: &mut Notes) -> Map<String, Value> {
    let mut cleaned = Map::new();
    for (name, value) in map {
        let own = place.is_none().then(|| format!("arguments.{name}"));
        let place = place.or(own.as_deref()).unwrap_or_default();
        let folded = clean_noted(name, place, notes);
        let value = clean_value(value, place, notes);
        let taken = cleaned.contains_key(&folded) || (folded != *name && map.contains_key(&folded));
        cleaned.insert(if taken { name.clone() } else { folded }, value);
    }
    cleaned
}

/// Depth is bounded by the check of the action, which comes first.
fn clean_value(value: &Value, place: &str, notes: &mut Notes) -> Value {
    match value {
        Value::String(text) => Value::String(clean_noted(text, place, notes)),
        Value::Array(items) => items.iter().map(|v| clean_value(v, place, notes)).collect(),
        Value::Object(map) => Value::Object(clean_map(map, Some(place), notes)),
        other => other.clone(),
    }
}

fn clean_noted(text: &str, place: &str, notes: &mut Notes) -> String {
    let cleaned = clean_at(text, place, &mut notes.found);
    notes.written.note(&cleaned, text);
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn names_that_become_one_name_are_both_kept() {
        for arguments in [json!({"to": 1, "t\u{200b}o": 2}), json!({"t\u{200b}o": 1, "t\u{2060}o": 2})] {
            let action = Action {
                tool: "t".into(),
                arguments: arguments.as_object().cloned().unwrap(),
                ..Action::default()
            };
            assert_eq!(clean_action(&action, &mut Notes::default()).arguments.len(), 2);
        }
    }

    #[test]
    fn hidden_characters_are_removed_everywhere_and_told_once_for_each_argument() {
        let arguments = json!({"to": ["a\u{200b}b", "c\u{200b}d"], "n": 1}).as_object().cloned().unwrap();
        let action = Action { tool: "se\u{2060}nd".into(), arguments, ..Action::default() };
        let mut notes = Notes::default();
        let cleaned = clean_action(&action, &mut notes);
        assert_eq!((cleaned.tool.as_str(), &cleaned.arguments["to"]), ("send", &json!(["ab", "cd"])));
        let expected = ["tool", "arguments.to"].map(|p| (Found::Invisible, p.to_owned()));
        assert_eq!(notes.found, expected);
        assert_eq!((notes.written.of("ab"), notes.written.of("b")), (Some("a\u{200b}b"), None));
    }

    #[test]
    fn disguises_are_read_and_named() {
        let cases = [
            ("s\u{200b}end", "send", Found::Invisible),
            ("\u{202e}moc.live\u{202c}", "evil.com", Found::Invisible),
            ("раypal", "paypal", Found::Confusable),
            ("e v i l . c o m", "evil.com", Found::Spaced),
            ("ZXZlQGV2aWwuY29t", "eve@evil.com", Found::Encoded),
            ("ｓｅｎｄ", "send", Found::Compatibility),
        ];
        for (text, expected, found) in cases {
            let cleaned = clean(text);
            assert_eq!((cleaned.text.as_ref(), cleaned.found), (expected, vec![found]));
        }
    }

    #[test]
    fn what_is_encoded_twice_or_disguised_inside_is_read() {
        assert_eq!(clean("WlhabFFHVjJhV3d1WTI5dA==").text, "eve@evil.com");
        assert_eq!(clean("%D1%80%D0%B0%79pal").text, "paypal");
    }

    #[test]
    fn a_flood_of_one_finding_does_not_hide_another() {
        let mut findings = Vec::new();
        for i in 0..100 {
            clean_at("ｆ", &format!("a{i}"), &mut findings);
        }
        clean_at("e\u{200b}ve", "to", &mut findings);
        assert!(findings.contains(&(Found::Invisible, "to".to_owned())));
    }

    proptest! {
        #[test]
        fn any_text_can_be_cleaned(text in "\\PC{0,80}") {
            clean(&text);
        }

        #[test]
        fn plain_words_stay(text in "[a-z]{2,9}( [a-z]{2,9}){0,8}") {
            prop_assert_eq!(clean(&text).text, text.as_str());
        }
    }
}
