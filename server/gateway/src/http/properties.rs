//! No body makes a reader panic, and what a reader lets in fits into a request.

use proptest::prelude::*;
use rhumb_proto::v1::{ScoreBatchRequest, ScoreRequest};
use serde_json::{Map, Value, json};

use super::claude::read::What;
use super::{claude, litellm, score};
use crate::convert;

/// Names that the readers look for.
const KEYS: [&str; 40] = [
    "input_type",
    "litellm_call_id",
    "litellm_trace_id",
    "structured_messages",
    "texts",
    "tools",
    "tool_calls",
    "request_data",
    "request_headers",
    "additional_provider_specific_params",
    "role",
    "content",
    "tool_call_id",
    "function",
    "name",
    "description",
    "parameters",
    "arguments",
    "id",
    "type",
    "text",
    "txn-token",
    "policy",
    "mode",
    "session_id",
    "hook_event_name",
    "tool_name",
    "tool_input",
    "tool_use_id",
    "prompt",
    "tool_response",
    "agent_id",
    "agent_type",
    "permission_mode",
    "requestId",
    "intent",
    "action",
    "context",
    "requests",
    "chain",
];
/// Words that mean something to them.
const WORDS: [&str; 16] = [
    "request",
    "response",
    "user",
    "tool",
    "assistant",
    "text",
    "tool_result",
    "[present]",
    "PreToolUse",
    "PostToolUse",
    "UserPromptSubmit",
    "SessionEnd",
    "mcp__bank__send",
    "{\"a\":1}",
    "WRITE",
    "",
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![3 => prop::sample::select(&WORDS[..]).prop_map(str::to_owned), 1 => ".{0,24}"]
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, |inner| {
        let key = prop_oneof![5 => prop::sample::select(&KEYS[..]).prop_map(str::to_owned), 1 => ".{0,8}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..8).prop_map(|map| Value::Object(Map::from_iter(map))),
        ]
    })
}

/// An object that gets past the first look of a reader.
fn with(value: Value, more: Value) -> Vec<u8> {
    let mut map = value.as_object().cloned().unwrap_or_default();
    map.extend(more.as_object().cloned().unwrap_or_default());
    Value::Object(map).to_string().into_bytes()
}

/// What a reader may do with anything: read it or say why not, with a field or a message that is short.
fn all(bytes: &[u8]) {
    let errors = [
        litellm::read::read(bytes).err(),
        claude::read::read(bytes).err(),
        score::read::<ScoreRequest>(bytes).err(),
        score::read::<ScoreBatchRequest>(bytes).err(),
    ];
    for error in errors.into_iter().flatten() {
        assert!(error.status.is_client_error() && error.message.len() <= 1000 && error.field.len() <= 400);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        all(&bytes);
    }

    #[test]
    fn no_json_makes_a_reader_panic(value in json_value()) {
        all(value.to_string().as_bytes());
    }

    #[test]
    fn no_broken_json_makes_a_reader_panic(value in json_value(), cut in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = value.to_string().into_bytes();
        let at = cut.index(bytes.len());
        bytes[at] = byte;
        all(&bytes);
        bytes.truncate(at);
        all(&bytes);
    }

    #[test]
    fn a_guardrail_call_that_is_read_makes_actions_that_can_be_converted(value in json_value(), side in 0..2) {
        let side = if side == 0 { "request" } else { "response" };
        let Ok(guarded) = litellm::read::read(&with(value, json!({"input_type": side}))) else { return Ok(()) };
        for call in &guarded.tool_calls {
            // An error is an answer; a panic is none.
            let _ = convert::action(call.action(guarded.tools.first()));
        }
        prop_assert!(guarded.tokens.iter().all(|(_, token)| token != "[present]" && !token.is_empty()));
        let context = guarded.history.map(|history| history.context(64)).unwrap_or_default();
        prop_assert!(context.iter().map(|item| item.text.len()).sum::<usize>() <= 64);
        prop_assert!(context.iter().all(|item| !item.trusted && item.source.len() <= 256));
    }

    #[test]
    fn a_hook_that_is_read_makes_an_action_that_can_be_converted(value in json_value()) {
        let event = json!({"session_id": "s", "hook_event_name": "PreToolUse"});
        let Ok(event) = claude::read::read(&with(value, event)) else { return Ok(()) };
        let What::Before(used) = &event.what else { panic!("{event:?}") };
        let _ = convert::action(used.action());
        prop_assert!(used.id.len() <= 256 && event.agent.len() <= 256);
    }
}
