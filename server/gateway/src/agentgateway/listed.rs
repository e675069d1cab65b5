//! What servers say of their tools: the merged list as the agent will see it.

use std::collections::BTreeMap;

use rhumb_proto::agentgateway::McpResponse;
use rhumb_proto::json;
use serde_json::Value;

use crate::tools::Described;

/// Tools of one list that are looked at.
const TOOLS: usize = 4096;
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
        let name = tool.get("name").and_then(Value::as_str).filter(|name| name.len() <= NAME_BYTES);
        let Some((server, name)) = name.and_then(|name| unmuxed(name, &response.service_names)) else {
            continue;
        };
        found.entry(server.to_owned()).or_default().push((name.to_owned(), Described::of(&tool)));
    }
    found
}

/// The server and its own name of a tool. With several servers the gateway puts the server's name and `_` before it; a name
/// that could be of two servers is of none, or one could speak for the other.
fn unmuxed<'a>(name: &'a str, servers: &'a [String]) -> Option<(&'a str, &'a str)> {
    if let [server] = servers {
        return Some((server, name));
    }
    let own = |server: &'a String| {
        let name = name.strip_prefix(server.as_str())?.strip_prefix('_')?;
        (!name.is_empty()).then_some((server.as_str(), name))
    };
    let mut found = servers.iter().filter_map(own);
    found.next().filter(|_| found.next().is_none())
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
    fn a_name_of_a_merged_list_is_of_the_one_server_that_it_can_be_of() {
        let result =
            r#"{"tools":[{"name":"bank_eu_send"},{"name":"bank_list"},{"name":"mail_send"},{"name":"x"}]}"#;
        let found = list(&["bank", "bank_eu", "mail"], result);
        assert_eq!(found["bank"][0].0, "list");
        assert_eq!(found["mail"][0].0, "send");
        assert_eq!(found.len(), 2);
        assert_eq!(found["bank"].len(), 1, "bank_eu_send may be of bank, or of bank_eu");
        let single = list(&["bank"], r#"{"tools":[{"name":"bank_list"}]}"#);
        assert_eq!(single["bank"][0].0, "bank_list", "one server: names are its own");
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
