//! Chat messages: what the user asked for, and what tools answered.

use std::collections::HashMap;

use rhumb_proto::v1;
use serde_json::Value;

use crate::http::config::Which;
use crate::http::fields::{name, text_of};

/// Messages that are looked at, the latest.
const MESSAGES: usize = 4096;

/// What was said before a model call.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    /// The user's messages, the oldest first.
    pub asked: Vec<String>,
    /// What tools answered, the oldest first: written by nobody that can be trusted.
    pub results: Vec<(String, String)>,
}

impl History {
    /// Of messages in OpenAI's form; parts of a provider's form are understood too.
    pub fn of(messages: &[Value]) -> Self {
        let (mut history, mut called) = (Self::default(), HashMap::new());
        for message in messages.get(messages.len().saturating_sub(MESSAGES)..).unwrap_or_default() {
            history.add(message, &mut called);
        }
        history
    }

    fn add<'a>(&mut self, message: &'a Value, called: &mut HashMap<&'a str, &'a str>) {
        for call in message.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
            let function = call.get("function").unwrap_or(call);
            called.insert(text_of(call, "id"), text_of(function, "name"));
        }
        let content = message.get("content").unwrap_or(&Value::Null);
        match text_of(message, "role") {
            "user" => {
                self.results_in(content, called);
                let text = plain(content);
                // What nothing can be compared with is no request: tool results in the user's name, pictures.
                if rhumb_drift::action::is_anchor(&text) {
                    self.asked.push(text);
                }
            }
            "tool" | "function" => {
                let known = called.get(text_of(message, "tool_call_id")).copied();
                self.result(known.unwrap_or_else(|| text_of(message, "name")), plain(content));
            }
            _ => {}
        }
    }

    fn results_in(&mut self, content: &Value, called: &HashMap<&str, &str>) {
        for part in content.as_array().into_iter().flatten() {
            if text_of(part, "type") == "tool_result" {
                let known = called.get(text_of(part, "tool_use_id")).copied().unwrap_or_default();
                self.result(known, plain(part.get("content").unwrap_or(&Value::Null)));
            }
        }
    }

    fn result(&mut self, tool: &str, text: String) {
        if !text.is_empty() {
            let source = if tool.is_empty() { "tool".to_owned() } else { name(tool) };
            self.results.push((source, text));
        }
    }

    /// Which of the user's messages the actions are compared with. `seen` is the one that counted in this conversation
    /// before: nothing older than it counts, and where it is gone the history was cut behind it.
    pub fn intent(&self, which: Which, seen: Option<&str>) -> Option<&str> {
        let seen = self.asked.iter().find(|text| seen == Some(text.as_str()));
        match which {
            Which::First => seen.or(self.asked.first()),
            Which::Latest => self.asked.last(),
        }
        .map(String::as_str)
    }

    /// What tools answered as context, the latest first to be kept, at most so many bytes.
    pub fn context(&self, most: usize) -> Vec<v1::ContextItem> {
        untrusted(self.results.iter().rev().map(|(source, text)| (source.as_str(), text.as_str())), most)
    }
}

/// Context that vouches for nothing: items from the latest on, as many as fit, in their order.
pub fn untrusted<'a>(
    latest_first: impl Iterator<Item = (&'a str, &'a str)>,
    most: usize,
) -> Vec<v1::ContextItem> {
    /// Items of one action.
    const ITEMS: usize = 64;
    let mut left = most;
    let mut kept = Vec::new();
    for (source, text) in latest_first.take(ITEMS) {
        let end = rhumb_drift::render::floor_boundary(text, left);
        let text = text.get(..end).unwrap_or_default().to_owned();
        if text.is_empty() {
            break;
        }
        left -= text.len();
        kept.push(v1::ContextItem { source: source.to_owned(), text, trusted: false });
    }
    kept.reverse();
    kept
}

/// The text of a message's content: a text, or the text parts of a list.
fn plain(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let text = |part: &Value| match (part, text_of(part, "type")) {
                (Value::String(text), _) => Some(text.clone()),
                (_, "text" | "input_text") => Some(text_of(part, "text").to_owned()),
                _ => None,
            };
            parts.iter().filter_map(text).collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn conversation() -> History {
        let messages = json!([
            {"role": "system", "content": "You help."},
            {"role": "user", "content": "Pay the bill"},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "c1", "function": {"name": "read_file", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "98.70 to UK12"},
            {"role": "user", "content": [{"type": "text", "text": "And thank Ana"}, {"type": "image_url"}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "done"}]},
        ]);
        History::of(messages.as_array().unwrap())
    }

    #[test]
    fn requests_and_results_are_told_apart() {
        let history = conversation();
        assert_eq!(history.asked, ["Pay the bill", "And thank Ana"]);
        let result = |text: &str| ("read_file".to_owned(), text.to_owned());
        assert_eq!(history.results, [result("98.70 to UK12"), result("done")]);
    }

    #[test]
    fn the_first_request_stays_until_the_history_is_cut_behind_it() {
        let mut history = conversation();
        assert_eq!(history.intent(Which::First, None), Some("Pay the bill"));
        assert_eq!(history.intent(Which::First, Some("And thank Ana")), Some("And thank Ana"));
        assert_eq!(history.intent(Which::Latest, Some("Pay the bill")), Some("And thank Ana"));
        history.asked.remove(0);
        assert_eq!(history.intent(Which::First, Some("Pay the bill")), Some("And thank Ana"));
        assert_eq!(History::default().intent(Which::First, Some("x")), None);
    }

    #[test]
    fn context_is_cut_from_the_oldest_on_and_never_trusted() {
        let context = conversation().context(6);
        let texts: Vec<_> = context.iter().map(|item| item.text.as_str()).collect();
        assert_eq!(texts, ["98", "done"]);
        assert!(context.iter().all(|item| !item.trusted));
    }
}
