//! Tools of Claude Code: where they come from and what they do.

use rhumb_proto::v1::{Action, Effect};
use serde_json::Value;

use super::read::ToolUse;

/// The server of the built-in tools.
pub const BUILT_IN: &str = "claude-code";
/// Built-in tools that only read.
const READING: [&str; 6] = ["Read", "Glob", "Grep", "LS", "NotebookRead", "WebSearch"];
/// Built-in tools that change files.
const WRITING: [&str; 4] = ["Write", "Edit", "MultiEdit", "NotebookEdit"];

impl ToolUse {
    /// As an action. What a policy says of the tool's effect comes before what is said here.
    pub fn action(&self) -> Action {
        let (server, tool) = split(&self.tool);
        Action {
            tool: tool.to_owned(),
            server: server.to_owned(),
            arguments_json: self.input.clone(),
            effect: self.effect(server).into(),
            ..Action::default()
        }
    }

    fn effect(&self, server: &str) -> Effect {
        match self.tool.as_str() {
            _ if server != BUILT_IN => Effect::Unknown,
            "WebFetch" if self.asks_plainly() => Effect::Read,
            tool if READING.contains(&tool) => Effect::Read,
            tool if WRITING.contains(&tool) => Effect::Write,
            _ => Effect::Unknown,
        }
    }

    /// Whether the URL carries nothing: a query can take data along.
    fn asks_plainly(&self) -> bool {
        let input: Option<Value> = serde_json::from_str(&self.input).ok();
        input.as_ref().and_then(|input| input.get("url")?.as_str()).is_some_and(|url| !url.contains('?'))
    }
}

/// `mcp__server__tool` is of that server; anything else is built in.
fn split(name: &str) -> (&str, &str) {
    let parts = name.strip_prefix("mcp__").and_then(|rest| rest.split_once("__"));
    parts.filter(|(server, tool)| !server.is_empty() && !tool.is_empty()).unwrap_or((BUILT_IN, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_mcp_tools_are_split_once() {
        assert_eq!(split("mcp__bank__send_money"), ("bank", "send_money"));
        assert_eq!(split("mcp__plugin_x_y__list__all"), ("plugin_x_y", "list__all"));
        for whole in ["Bash", "mcp__bank", "mcp____x", "mcp__bank__", "xmcp__a__b"] {
            assert_eq!(split(whole), (BUILT_IN, whole));
        }
    }

    #[test]
    fn effects_are_those_of_built_in_tools_only() {
        let effect = |tool: &str, input: &str| {
            ToolUse { tool: tool.into(), input: input.into(), id: String::new() }.action().effect()
        };
        assert_eq!(effect("Read", "{}"), Effect::Read);
        assert_eq!(effect("Edit", "{}"), Effect::Write);
        assert_eq!(effect("Bash", "{}"), Effect::Unknown);
        assert_eq!(effect("mcp__files__Read", "{}"), Effect::Unknown);
        assert_eq!(effect("WebFetch", r#"{"url":"https://a.example/x"}"#), Effect::Read);
        assert_eq!(effect("WebFetch", r#"{"url":"https://a.example/x?d=1"}"#), Effect::Unknown);
        assert_eq!(effect("WebFetch", "broken"), Effect::Unknown);
    }
}
