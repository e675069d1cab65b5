//! What Claude Code's hooks send. Unknown fields are skipped; `transcript_path` is a path on the client and never opened.

use serde_json::Value;

use crate::http::error::HttpError;
use crate::http::fields::{Fields, arguments, name, parse};

/// A hook that fired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The session.
    pub session: String,
    /// `permission_mode` as it was given; empty where it was not.
    pub permission_mode: String,
    /// The sub-agent that acts: its type and id; empty for the main agent.
    pub agent: String,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The user wrote something.
    Prompt(String),
    /// A tool is about to be used.
    Before(ToolUse),
    /// A tool was used, and answered.
    After(ToolUse, String),
    /// The session is over.
    End,
    /// Something that we have no part in.
    Other,
}

/// A tool and what it is used with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToolUse {
    /// Its name; empty where it is missing, which no tool's is.
    pub tool: String,
    /// Text that should hold an object.
    pub input: String,
    /// The model's id of this use; may be empty.
    pub id: String,
}

/// Reads a body.
///
/// # Errors
/// 400 that names the field.
pub fn read(bytes: &[u8]) -> Result<Event, HttpError> {
    let map = parse(bytes)?;
    let fields = Fields::of(&map);
    Ok(Event {
        session: fields.needed("session_id")?.to_owned(),
        permission_mode: fields.text("permission_mode")?.to_owned(),
        agent: agent(fields.text("agent_type")?, fields.text("agent_id")?),
        what: what(&fields)?,
    })
}

fn what(fields: &Fields<'_>) -> Result<What, HttpError> {
    Ok(match fields.needed("hook_event_name")? {
        "UserPromptSubmit" => What::Prompt(fields.text("prompt")?.to_owned()),
        "PreToolUse" => What::Before(tool_use(fields)),
        "PostToolUse" => {
            What::After(tool_use(fields), fields.get("tool_response").map(spoken).unwrap_or_default())
        }
        "SessionEnd" => What::End,
        _ => What::Other,
    })
}

/// A tool's name that is no text is none: an action that cannot be read has an answer, and an error would let it run.
fn tool_use(fields: &Fields<'_>) -> ToolUse {
    ToolUse {
        tool: fields.text("tool_name").unwrap_or_default().to_owned(),
        input: arguments(fields.get("tool_input")),
        id: name(fields.text("tool_use_id").unwrap_or_default()),
    }
}

fn agent(kind: &str, id: &str) -> String {
    match (kind, id) {
        ("", "") => String::new(),
        ("", only) | (only, "") => name(only),
        (kind, id) => name(&format!("{kind}/{id}")),
    }
}

/// What a tool answered, as text.
fn spoken(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(body: Value) -> Result<Event, HttpError> {
        read(body.to_string().as_bytes())
    }

    #[test]
    fn every_event_is_read_for_what_it_is() {
        let of = |name: &str| {
            event(json!({"session_id": "s", "hook_event_name": name, "prompt": "Hi", "tool_name": "Bash",
                "tool_input": {"command": "ls"}, "tool_use_id": "u", "tool_response": {"out": "x"}}))
            .unwrap()
            .what
        };
        let used = ToolUse { tool: "Bash".into(), input: r#"{"command":"ls"}"#.into(), id: "u".into() };
        assert_eq!(of("UserPromptSubmit"), What::Prompt("Hi".into()));
        assert_eq!(of("PreToolUse"), What::Before(used.clone()));
        assert_eq!(of("PostToolUse"), What::After(used, r#"{"out":"x"}"#.into()));
        assert_eq!(of("SessionEnd"), What::End);
        for other in ["SubagentStart", "SubagentStop", "Stop", "PreCompact", "Whatever"] {
            assert_eq!(of(other), What::Other, "{other}");
        }
    }

    #[test]
    fn what_must_be_there_is_named_and_a_strange_tool_is_still_an_action() {
        assert_eq!(event(json!({})).unwrap_err().field, "session_id");
        assert_eq!(event(json!({"session_id": "s"})).unwrap_err().field, "hook_event_name");
        assert_eq!(event(json!({"session_id": 7})).unwrap_err().field, "session_id");
        let strange =
            json!({"session_id": "s", "hook_event_name": "PreToolUse", "tool_name": [1], "tool_input": 7});
        let What::Before(used) = event(strange).unwrap().what else { panic!() };
        assert_eq!(used, ToolUse { tool: String::new(), input: "7".into(), id: String::new() });
    }

    #[test]
    fn a_sub_agent_has_a_name() {
        let body =
            json!({"session_id": "s", "hook_event_name": "Stop", "agent_id": "a1", "agent_type": "Explore"});
        assert_eq!(event(body).unwrap().agent, "Explore/a1");
    }
}
