//! What servers say of their tools: the merged list as the agent will see it.

use std::collections::BTreeMap;

use rhumb_drift::Effect;
use rhumb_proto::agentgateway::McpResponse;
use rhumb_proto::json;
use serde_json::Value;

use crate::tools::Described;

/// Tools of one list that are looked at.
const TOOLS: usize = 10_000;
/// Bytes of a name; one that is longer is no tool that anybody calls.
const NAME_BYTES: usize = 1024;

/// Tools by server. A list that cannot be read is none: it goes on to the agent all the same, and its tools stay unknown.
pub(super) fn tools(response: &McpResponse) -> BTreeMap<String, Vec<(String, Described)>> {
    let mut found: BTreeMap<String, Vec<(String, Described)>> = BTreeMap::new();
    let text = std::str::from_utf8(&response.mcp_response).ok();
    let parsed = text.and_then(|text| json::parse_value(text).ok());
    let Some(Value::Array(tools)) = parsed.and_then(|mut result| result.get_mut("tools").map(Value::take))
    else {
        tracing::warn!(servers = response.service_names.len(), "a list of tools could not be read");
        return found;
    };
    for tool in tools.into_iter().take(TOOLS) {
        let Some(name) = tool.get("name").and_then(Value::as_str).filter(|name| name.len() <= NAME_BYTES)
        else {
            continue;
        };
        let Some((server, name)) = unmuxed(name, &response.service_names) else { continue };
        found.entry(server.to_owned()).or_default().push((name.to_owned(), described(&tool)));
    }
    found
}

/// The server and its own name of a tool. With several servers the gateway puts the server's name and `_` before it.
fn unmuxed<'a>(name: &'a str, servers: &'a [String]) -> Option<(&'a str, &'a str)> {
    if let [server] = servers {
        return Some((server, name));
    }
    let own =
        |server: &'a String| Some((server.as_str(), name.strip_prefix(server.as_str())?.strip_prefix('_')?));
    servers.iter().filter_map(own).max_by_key(|(server, _)| server.len())
}

fn described(tool: &Value) -> Described {
    let hint =
        |name: &str| tool.get("annotations").and_then(|hints| hints.get(name)).and_then(Value::as_bool);
    let effect = match (hint("readOnlyHint"), hint("destructiveHint")) {
        // Both at once is no hint.
        (Some(true), Some(true)) => Effect::Unknown,
        (Some(true), _) => Effect::Read,
        (Some(false), _) | (None, Some(true)) => Effect::Write,
        (None, _) => Effect::Unknown,
    };
    Described {
        description: tool.get("description").and_then(Value::as_str).unwrap_or_default().to_owned(),
        schema: tool.get("inputSchema").and_then(Value::as_object).cloned(),
        effect,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(servers: &[&str], result: &str) -> BTreeMap<String, Vec<(String, Described)>> {
        tools(&McpResponse {
            service_names: servers.iter().map(|s| (*s).to_owned()).collect(),
            mcp_response: result.as_bytes().to_vec(),
            ..McpResponse::default()
        })
    }

    #[test]
    fn names_of_a_merged_list_are_taken_apart_by_the_longest_server() {
        let result =
            r#"{"tools":[{"name":"bank_eu_send","description":"a"},{"name":"bank_list"},{"name":"other"}]}"#;
        let found = list(&["bank", "bank_eu"], result);
        assert_eq!(found["bank_eu"][0].0, "send");
        assert_eq!(found["bank"][0].0, "list");
        assert_eq!(found.len(), 2);
        let single = list(&["bank"], r#"{"tools":[{"name":"bank_list"}]}"#);
        assert_eq!(single["bank"][0].0, "bank_list", "one server: names are its own");
    }

    #[test]
    fn hints_say_what_a_tool_does_unless_they_contradict() {
        let effect = |hints: &str| {
            let result = format!(r#"{{"tools":[{{"name":"t","annotations":{hints}}}]}}"#);
            list(&["s"], &result)["s"][0].1.effect
        };
        assert_eq!(effect(r#"{"readOnlyHint":true}"#), Effect::Read);
        assert_eq!(effect(r#"{"readOnlyHint":false}"#), Effect::Write);
        assert_eq!(effect(r#"{"destructiveHint":true}"#), Effect::Write);
        assert_eq!(effect(r#"{"readOnlyHint":true,"destructiveHint":true}"#), Effect::Unknown);
        assert_eq!(effect(r#"{"readOnlyHint":"true"}"#), Effect::Unknown);
        assert_eq!(effect("{}"), Effect::Unknown);
    }

    #[test]
    fn a_list_that_cannot_be_read_is_none() {
        for result in
            ["", "{", "[]", r#"{"tools":7}"#, r#"{"tools":[7,{"name":3}]}"#, r#"{"tools":[],"tools":[]}"#]
        {
            assert!(list(&["s"], result).is_empty(), "{result}");
        }
    }
}
