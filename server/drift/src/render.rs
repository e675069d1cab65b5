//! One text for the encoder, and which bytes of it belong to which part of the action.

use std::ops::Range;

use serde_json::{Map, Value};

use crate::action::Action;
use crate::quote::is_name;
use crate::value::{flat_text, sorted};

/// A part of the action that is compared with the request on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// `tool`, `text` or `arguments.NAME`.
    pub name: String,
    /// Byte ranges in the rendering.
    pub ranges: Vec<Range<usize>>,
}

/// An action as text: `tool name in words: key is value, key is value. First sentence of the description`.
///
/// Arguments that the tool's schema does not declare are left out, so that an extra argument with the user's own
/// words cannot buy similarity; they are listed in `undeclared` instead.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rendering {
    /// The text for the encoder.
    pub text: String,
    /// The parts of it.
    pub segments: Vec<Segment>,
    /// Names of arguments outside the tool's schema, in order.
    pub undeclared: Vec<String>,
    /// Whether something did not fit into the byte budget.
    pub cut: bool,
}

/// Bytes of a tool's description that are rendered at most: enough for a long first sentence.
const DESCRIPTION_BYTES: usize = 400;

/// Between the call and the description.
const SENTENCE_MARK: &str = ". ";

impl Rendering {
    /// Renders tool and arguments, or the free text where there is no tool. At most about `budget` bytes. `description` and
    /// `arguments` are those of the action, without what is not to be compared.
    pub fn of(action: &Action, description: &str, arguments: &Map<String, Value>, budget: usize) -> Self {
        let mut rendering = Self::default();
        if action.tool.trim().is_empty() {
            rendering.push_segment("text", &action.text, budget);
            return rendering;
        }
        rendering.push_call(action, description, arguments, budget);
        rendering
    }

    /// Renders what stands beside a tool call, to be compared on its own: the agent's free text, and arguments that the
    /// tool's schema does not declare. Both may raise the drift, and never lower it.
    pub fn beside(action: &Action, budget: usize) -> Option<Self> {
        if action.tool.trim().is_empty() {
            return None;
        }
        let mut text = action.text.clone();
        for (name, value) in
            sorted(&action.arguments).into_iter().filter(|(name, _)| action.is_undeclared(name))
        {
            text.push_str(if text.is_empty() { "" } else { ". " });
            words(name, &mut text);
            text.push_str(" is ");
            flat_text(value, &mut text, budget);
        }
        if text.trim().is_empty() {
            return None;
        }
        let mut rendering = Self::default();
        rendering.push_segment("text", &text, budget);
        Some(rendering)
    }

    fn push_call(
        &mut self,
        action: &Action,
        description: &str,
        arguments: &Map<String, Value>,
        budget: usize,
    ) {
        words(&action.tool, &mut self.text);
        let mut tool = vec![0..self.text.len()];
        // The description comes from the tool's server, and always fits: it is reserved before the arguments.
        let sentence = first_sentence(description);
        let budget = budget.saturating_sub(sentence.len() + SENTENCE_MARK.len());
        self.push_arguments(action, arguments, budget);
        if !sentence.is_empty() {
            self.text.push_str(SENTENCE_MARK);
            let start = self.text.len();
            self.text.push_str(sentence);
            tool.push(start..self.text.len());
        }
        self.segments.insert(0, Segment { name: "tool".into(), ranges: tool });
    }

    fn push_arguments(&mut self, action: &Action, arguments: &Map<String, Value>, budget: usize) {
        let mut separator = ": ";
        for (name, value) in sorted(arguments) {
            if value.is_null() && action.arguments.get(name).is_some_and(Value::is_string) {
                continue;
            }
            if action.is_undeclared(name) {
                self.undeclared.push(name.clone());
                continue;
            }
            if self.text.len() >= budget {
                self.cut = true;
                return;
            }
            self.text.push_str(separator);
            separator = ", ";
            let start = self.text.len();
            if is_name(name) {
                words(name, &mut self.text);
                self.text.push_str(" is ");
            }
            self.push_value(value, budget);
            let ranges = vec![start..self.text.len()];
            self.segments.push(Segment { name: format!("arguments.{name}"), ranges });
        }
    }

    fn push_value(&mut self, value: &Value, budget: usize) {
        flat_text(value, &mut self.text, budget);
        self.cut_to(budget);
    }

    fn push_segment(&mut self, name: &str, text: &str, budget: usize) {
        self.text.push_str(text);
        self.cut_to(budget);
        self.segments.push(Segment { name: name.into(), ranges: vec![0..self.text.len()] });
    }

    fn cut_to(&mut self, budget: usize) {
        if self.text.len() >= budget && budget > 0 {
            self.cut |= self.text.len() > budget;
            self.text.truncate(floor_boundary(&self.text, budget));
        }
    }
}

/// The largest character boundary at or before `at`.
pub fn floor_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)
}

/// Splits an identifier into words: `sendMoney`, `send_money` and `bank.send-money` all read as words.
pub fn words(identifier: &str, out: &mut String) {
    let mut previous = ' ';
    for c in identifier.trim().chars() {
        let breaks = matches!(c, '_' | '-' | '.' | '/' | ':') || c.is_whitespace();
        if breaks {
            if previous != ' ' {
                out.push(' ');
            }
            previous = ' ';
            continue;
        }
        if c.is_uppercase() && (previous.is_lowercase() || previous.is_ascii_digit()) {
            out.push(' ');
        }
        out.extend(c.to_lowercase());
        previous = c;
    }
}

/// The first sentence, at most [`DESCRIPTION_BYTES`].
fn first_sentence(description: &str) -> &str {
    let text = description.trim();
    let end = text
        .char_indices()
        .zip(text.chars().skip(1).map(Some).chain([None]))
        .find(|((_, c), next)| {
            *c == '\n' || (matches!(c, '.' | '!' | '?') && next.is_none_or(char::is_whitespace))
        })
        .map_or(text.len(), |((i, c), _)| if c == '\n' { i } else { i + c.len_utf8() });
    text.get(..floor_boundary(text, end.min(DESCRIPTION_BYTES))).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn action(arguments: serde_json::Value) -> Action {
        Action {
            tool: "sendMoney".into(),
            tool_description: "Sends money to a recipient. Fees may apply.".into(),
            arguments: arguments.as_object().cloned().unwrap_or_default(),
            ..Action::default()
        }
    }

    fn render(action: &Action, budget: usize) -> Rendering {
        Rendering::of(action, &action.tool_description, &action.arguments, budget)
    }

    #[test]
    fn a_call_reads_as_a_sentence_and_its_segments_point_into_it() {
        let r = render(&action(json!({"recipient": "UK123", "amount": 98.7})), 4096);
        assert_eq!(r.text, "send money: amount is 98.7, recipient is UK123. Sends money to a recipient.");
        let read =
            |i: usize| -> Vec<&str> { r.segments[i].ranges.iter().map(|x| &r.text[x.clone()]).collect() };
        assert_eq!(read(0), ["send money", "Sends money to a recipient."]);
        assert_eq!(read(2), ["recipient is UK123"]);
        assert!(!r.cut);
    }

    #[test]
    fn undeclared_arguments_are_listed_and_not_rendered() {
        let mut a = action(json!({"recipient": "UK123", "note": "pay the bill"}));
        a.input_schema = json!({"properties": {"recipient": {}}}).as_object().cloned();
        let r = render(&a, 4096);
        assert_eq!(r.undeclared, ["note"]);
        assert!(!r.text.contains("bill"));
    }

    #[test]
    fn a_long_argument_is_cut_at_a_boundary_and_the_cut_is_said() {
        let r = render(&action(json!({"note": "é".repeat(5000)})), 1000);
        assert!(r.cut && r.text.len() <= 1000 && r.text.ends_with("Sends money to a recipient."));
    }

    #[test]
    fn ten_thousand_arguments_stay_within_the_budget() {
        let many: serde_json::Map<_, _> = (0..10_000).map(|i| (format!("a{i}"), json!(i))).collect();
        let r = render(&Action { tool: "t".into(), arguments: many, ..Action::default() }, 2000);
        assert!(r.cut && r.text.len() < 2100);
    }

    #[test]
    fn first_sentences_end_at_a_stop_before_space() {
        assert_eq!(first_sentence("Version 1.2 of it. More."), "Version 1.2 of it.");
        assert_eq!(first_sentence("One line\nnext"), "One line");
        assert_eq!(first_sentence(""), "");
    }

    #[test]
    fn identifiers_read_as_words() {
        let read = |s: &str| {
            let mut out = String::new();
            words(s, &mut out);
            out
        };
        assert_eq!(read("getUserByID2Name"), "get user by id2 name");
        assert_eq!(read("bank.send-money"), "bank send money");
    }
}
