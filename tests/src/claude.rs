//! Bodies as Claude Code's hooks send them.

use serde_json::{Value, json};

/// What stands in every event.
pub fn event(session: &str, name: &str) -> Value {
    json!({
        "session_id": session, "hook_event_name": name, "transcript_path": "/nowhere/transcript.jsonl", "cwd": "/work",
        "permission_mode": "default",
    })
}

/// The user writes.
pub fn prompt(session: &str, text: &str) -> Value {
    let mut body = event(session, "UserPromptSubmit");
    body["prompt"] = text.into();
    body
}

/// A tool is about to be used.
pub fn tool_use(session: &str, id: &str, tool: &str) -> Value {
    let mut body = event(session, "PreToolUse");
    body["tool_name"] = tool.into();
    body["tool_input"] =
        json!({"account": "UK12345678901234567890", "amount": 98.7, "reference": "electricity bill"});
    body["tool_use_id"] = id.into();
    body
}

/// `allow`, `ask`, `deny`, or nothing.
pub fn decision(body: &Value) -> &str {
    let output = &body["hookSpecificOutput"];
    if output.is_object() {
        assert_eq!(output["hookEventName"], "PreToolUse");
        assert!(!output["permissionDecisionReason"].as_str().unwrap().is_empty());
    }
    output["permissionDecision"].as_str().unwrap_or_default()
}
