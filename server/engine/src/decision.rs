//! Answers kept by everything that they depend on.
//!
//! Model, calibration and policy are those of the engine, which holds the cache; the rest of what a score depends on is in
//! the request and goes into the key. Principal is not: nothing of an answer depends on it.

use std::io::Write as _;

use rhumb_drift::{Action, Effect, Evidence};
use sha2::{Digest as _, Sha256};

use crate::answer::{Answer, ScoreInput};
use crate::cache::Key;

/// The key of a request. Texts are written with their length before them and JSON ends by itself, so that no two requests
/// are written alike. `None` if it cannot be written.
pub fn key(input: &ScoreInput) -> Option<Key> {
    let mut digest = Sha256::new();
    text(&mut digest, &input.intent.text);
    action(&mut digest, &input.action)?;
    digest.update((input.context.len() as u64).to_le_bytes());
    for item in &input.context {
        text(&mut digest, &item.source);
        text(&mut digest, &item.text);
        digest.update([u8::from(item.trusted)]);
    }
    Some(digest.finalize().into())
}

fn action(digest: &mut Sha256, action: &Action) -> Option<()> {
    // A field that is added to an action is an error here until it is in the key.
    let Action { tool, tool_description, server, arguments, input_schema, text: free, effect } = action;
    [tool, tool_description, server, free].into_iter().for_each(|field| text(digest, field));
    digest.update([match effect {
        Effect::Unknown => 0,
        Effect::Read => 1,
        Effect::Write => 2,
    }]);
    serde_json::to_writer(&mut *digest, arguments).ok()?;
    match input_schema {
        None => digest.update([0]),
        Some(schema) => {
            digest.update([1]);
            serde_json::to_writer(&mut *digest, schema).ok()?;
        }
    }
    digest.flush().ok()
}

fn text(digest: &mut Sha256, text: &str) {
    digest.update((text.len() as u64).to_le_bytes());
    digest.update(text.as_bytes());
}

/// Bytes that an answer holds, roughly.
pub fn bytes(answer: &Answer) -> usize {
    let Evidence { values, weakest, unmatched, contributions, findings, new_addresses, delegating: _ } =
        &answer.evidence;
    let words = |words: &[String]| words.iter().map(|w| w.len() + size_of::<String>()).sum::<usize>();
    let values: usize = values.iter().map(|v| size_of_val(v) + v.path.len() + v.text.len()).sum();
    // Features hold values and words of their own, much like those of the evidence.
    let features = answer.features.as_ref().map_or(0, |features| size_of_val(features) + values);
    let contributions = size_of_val(contributions.as_slice());
    let weakest = weakest.as_ref().map_or(0, |(name, _)| name.len());
    let told = words(findings) + 2 * words(new_addresses);
    size_of::<Answer>() + values + weakest + 2 * words(unmatched) + contributions + told + features
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhumb_drift::{ContextItem, Intent};
    use serde_json::json;

    fn input() -> ScoreInput {
        let object = |value: serde_json::Value| value.as_object().cloned().unwrap();
        ScoreInput {
            intent: Intent { text: "pay bob".into(), principal: "jo".into() },
            action: Action {
                tool: "pay".into(),
                tool_description: "pays".into(),
                server: "bank".into(),
                arguments: object(json!({"to": "bob", "sum": 1})),
                input_schema: Some(object(json!({}))),
                text: "now".into(),
                effect: Effect::Write,
            },
            context: vec![
                ContextItem { source: "mail".into(), text: "a".into(), trusted: true },
                ContextItem { source: "web".into(), text: "b".into(), trusted: false },
            ],
        }
    }

    #[test]
    fn everything_that_a_score_depends_on_is_in_the_key() {
        let changes: Vec<fn(&mut ScoreInput)> = vec![
            |i| i.intent.text.push('!'),
            |i| i.action.tool.push('!'),
            |i| i.action.tool_description.push('!'),
            |i| i.action.server.push('!'),
            |i| i.action.text.push('!'),
            |i| i.action.effect = Effect::Read,
            |i| i.action.effect = Effect::Unknown,
            |i| i.action.input_schema = None,
            |i| i.action.arguments = json!({"to": "bob", "sum": 1.0}).as_object().cloned().unwrap(),
            |i| i.action.arguments = json!({"to": "bob", "sum": "1"}).as_object().cloned().unwrap(),
            |i| i.action.arguments = json!({"to": {"bob": 0}, "sum": 1}).as_object().cloned().unwrap(),
            |i| i.context[0].trusted = false,
            |i| i.context[0].text = "ab".into(),
            |i| i.context.swap(0, 1),
            |i| i.context.truncate(1),
            // What moves from one field to the next is another request.
            |i| (i.action.tool, i.action.tool_description) = ("payp".into(), "ays".into()),
            |i| (i.context[0].source, i.context[0].text) = ("mai".into(), "la".into()),
        ];
        let mut keys = vec![key(&input()).unwrap()];
        for change in changes {
            let mut other = input();
            change(&mut other);
            keys.push(key(&other).unwrap());
        }
        let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
        assert_eq!(key(&input()), key(&input()));
    }

    #[test]
    fn for_whom_it_is_done_changes_no_score() {
        let mut other = input();
        other.intent.principal = "ana".into();
        assert_eq!(key(&other), key(&input()));
    }
}
