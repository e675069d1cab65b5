//! The readers of LiteLLM's and Claude Code's bodies.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use fastrand::Rng;
use rhumb_gateway::convert;
use rhumb_gateway::http::claude::read::{self as claude, What};
use rhumb_gateway::http::error::HttpError;
use rhumb_gateway::http::litellm::read as litellm;

const LITELLM_KEYS: [&str; 24] = [
    "input_type",
    "litellm_call_id",
    "litellm_trace_id",
    "structured_messages",
    "texts",
    "tools",
    "tool_calls",
    "request_data",
    "request_headers",
    "txn-token",
    "role",
    "content",
    "tool_call_id",
    "function",
    "name",
    "description",
    "parameters",
    "arguments",
    "input",
    "id",
    "type",
    "text",
    "user_api_key_hash",
    "additional_provider_specific_params",
];
const CLAUDE_KEYS: [&str; 12] = [
    "session_id",
    "hook_event_name",
    "tool_name",
    "tool_input",
    "tool_use_id",
    "tool_response",
    "prompt",
    "agent_id",
    "agent_type",
    "permission_mode",
    "url",
    "transcript_path",
];
const SCALARS: [&str; 20] = [
    "null",
    "true",
    "-1",
    "9007199254740993",
    "1e308",
    "\"\"",
    "\"request\"",
    "\"response\"",
    "\"user\"",
    "\"tool\"",
    "\"assistant\"",
    "\"text\"",
    "\"tool_result\"",
    "\"[present]\"",
    "\"PreToolUse\"",
    "\"UserPromptSubmit\"",
    "\"mcp__bank__send\"",
    "\"{\\\"a\\\":1}\"",
    "\"\\ud83d\\ude00\"",
    "\"\\u0000\"",
];

fn object(rng: &mut Rng, keys: &[&str], depth: usize, first: &str) -> String {
    let member = |rng: &mut Rng| {
        let key = rng.choice(keys).copied().unwrap_or_default();
        format!("\"{key}\":{}", value(rng, keys, depth.saturating_sub(1)))
    };
    let members: Vec<_> = (0..rng.usize(0..6)).map(|_| member(rng)).collect();
    let comma = if first.is_empty() || members.is_empty() { "" } else { "," };
    format!("{{{first}{comma}{}}}", members.join(","))
}

fn value(rng: &mut Rng, keys: &[&str], depth: usize) -> String {
    match rng.u8(0..5) {
        0 | 1 if depth > 0 => object(rng, keys, depth, ""),
        2 | 3 if depth > 0 => {
            let items: Vec<_> = (0..rng.usize(0..4)).map(|_| value(rng, keys, depth - 1)).collect();
            format!("[{}]", items.join(","))
        }
        _ => rng.choice(SCALARS).unwrap_or_default().to_owned(),
    }
}

/// A body for LiteLLM's door, most of them past the first look.
pub fn litellm_body(rng: &mut Rng) -> Vec<u8> {
    let side = if rng.bool() { "request" } else { "response" };
    let first = if rng.u8(0..8) == 0 { String::new() } else { format!("\"input_type\":\"{side}\"") };
    object(rng, LITELLM_KEYS.get(1..).unwrap_or_default(), 6, &first).into_bytes()
}

/// A body for Claude Code's door, likewise.
pub fn claude_body(rng: &mut Rng) -> Vec<u8> {
    let event =
        rng.choice(["PreToolUse", "PostToolUse", "UserPromptSubmit", "SessionEnd"]).unwrap_or_default();
    let first = format!("\"session_id\":\"s\",\"hook_event_name\":\"{event}\"");
    let first = if rng.u8(0..8) == 0 { String::new() } else { first };
    object(rng, CLAUDE_KEYS.get(2..).unwrap_or_default(), 5, &first).into_bytes()
}

fn refused(error: &HttpError) -> u64 {
    assert!(error.status.is_client_error(), "{error:?}");
    assert!(error.message.len() <= 1000 && error.field.len() <= 400, "a long complaint");
    let mut hasher = DefaultHasher::new();
    error.message.chars().filter(|c| !c.is_ascii_digit()).for_each(|c| c.hash(&mut hasher));
    hasher.finish()
}

/// What is read fits into a request: names are bounded, hidden headers are no tokens, context is untrusted.
pub fn litellm(bytes: &[u8]) -> u64 {
    let read = match litellm::read(bytes) {
        Ok(read) => read,
        Err(error) => return refused(&error),
    };
    let mut hasher = DefaultHasher::new();
    (read.tools.len().min(4), read.tokens.len().min(3), read.texts.len().min(3)).hash(&mut hasher);
    assert!(read.tokens.iter().all(|(_, token)| token != "[present]" && !token.is_empty()), "a hidden token");
    assert!(read.principal.len() <= 256 && read.agent.len() <= 256, "a long name");
    for call in &read.tool_calls {
        assert!(call.id.len() <= 256, "a long id");
        convert::action(call.action(read.tools.first())).is_ok().hash(&mut hasher);
    }
    if let Some(history) = &read.history {
        let context = history.context(512);
        assert!(
            context.iter().all(|item| !item.trusted && item.source.len() <= 256),
            "trusted, or a long name"
        );
        assert!(
            context.iter().map(|item| item.text.len()).sum::<usize>() <= 512,
            "more context than asked for"
        );
        (history.asked.len().min(4), context.len().min(4)).hash(&mut hasher);
    }
    hasher.finish()
}

/// Likewise for a hook.
pub fn claude(bytes: &[u8]) -> u64 {
    let event = match claude::read(bytes) {
        Ok(event) => event,
        Err(error) => return refused(&error),
    };
    let mut hasher = DefaultHasher::new();
    assert!(!event.session.is_empty() && event.agent.len() <= 256, "no session, or a long name");
    std::mem::discriminant(&event.what).hash(&mut hasher);
    if let What::Before(used) | What::After(used, _) = &event.what {
        let action = used.action();
        assert!(used.id.len() <= 256, "a long id");
        (action.effect, action.server.len().min(12)).hash(&mut hasher);
        convert::action(action).is_ok().hash(&mut hasher);
    }
    hasher.finish()
}
