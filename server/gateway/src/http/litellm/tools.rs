//! Tools that a model is offered, and calls that it proposes. Nothing in them is guaranteed: what is missing is empty.

use rhumb_proto::v1;
use serde_json::{Map, Value};

use crate::http::fields::{arguments, name, text_of};

/// A tool as the model is offered it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it says of itself.
    pub description: String,
    /// JSON schema of its arguments.
    pub schema: Option<Map<String, Value>>,
}

/// Tools in OpenAI's form, or a provider's: `{function: {...}}` or the function itself.
pub fn tools(items: &[Value]) -> Vec<Tool> {
    items.iter().map(Tool::of).filter(|tool| !tool.name.is_empty()).collect()
}

impl Tool {
    fn of(item: &Value) -> Self {
        let function = item.get("function").unwrap_or(item);
        let schemas = ["parameters", "input_schema", "inputSchema"];
        let schema = schemas.iter().find_map(|key| function.get(key)?.as_object());
        Self {
            name: text_of(function, "name").to_owned(),
            description: text_of(function, "description").to_owned(),
            schema: schema.cloned(),
        }
    }

    /// Bytes that it takes, roughly.
    pub fn bytes(&self) -> usize {
        let schema = self.schema.as_ref().map_or(0, |map| map.values().map(weight).sum());
        self.name.len() + self.description.len() + schema
    }

    /// Every description in it, its own first.
    pub fn descriptions(&self) -> Vec<&str> {
        let mut found = vec![self.description.as_str()];
        self.schema.iter().flat_map(|map| map.values()).for_each(|value| described(value, &mut found));
        found
    }
}

/// Depth is bounded by the reader of the body.
fn described<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("description").and_then(Value::as_str));
            map.values().for_each(|value| described(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| described(value, found)),
        _ => {}
    }
}

fn weight(value: &Value) -> usize {
    const NODE: usize = 48;
    NODE + match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(map) => map.iter().map(|(key, value)| key.len() + weight(value)).sum(),
        _ => 0,
    }
}

/// A call that a model proposes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToolCall {
    /// The model's id of it; may be empty.
    pub id: String,
    /// The tool.
    pub tool: String,
    /// Its arguments, text that should hold an object.
    pub arguments: String,
}

impl ToolCall {
    /// In OpenAI's form, or a provider's.
    pub fn of(item: &Value) -> Self {
        let function = item.get("function").unwrap_or(item);
        let given = ["arguments", "input"].iter().find_map(|key| function.get(key));
        Self {
            id: name(text_of(item, "id")),
            tool: text_of(function, "name").to_owned(),
            arguments: arguments(given),
        }
    }

    /// As an action; what the tool says of itself is that of the request.
    pub fn action(&self, tool: Option<&Tool>) -> v1::Action {
        let schema = tool.and_then(|tool| tool.schema.clone());
        v1::Action {
            tool: self.tool.clone(),
            tool_description: tool.map(|tool| tool.description.clone()).unwrap_or_default(),
            arguments_json: self.arguments.clone(),
            // What is no schema is none: it is the server's word, and the action is not worse for it.
            input_schema: schema.and_then(|map| serde_json::from_value(Value::Object(map)).ok()),
            ..v1::Action::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tools_are_read_in_both_forms() {
        let open = json!({"type": "function", "function": {"name": "a", "description": "d", "parameters": {"type": "object"}}});
        let other = json!({"name": "b", "input_schema": {"properties": {"x": {"description": "deep"}}}});
        let tools = tools(&[open, other, json!({"type": "web_search"}), json!(7)]);
        assert_eq!(tools.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(tools[1].descriptions(), ["", "deep"]);
        let action = ToolCall { tool: "a".into(), ..ToolCall::default() }.action(tools.first());
        assert_eq!((action.tool_description.as_str(), action.input_schema.is_some()), ("d", true));
    }

    #[test]
    fn a_call_keeps_its_arguments_as_they_were_written() {
        let call = ToolCall::of(
            &json!({"id": "c1", "function": {"name": "t", "arguments": "{\"n\": 12345678901234567890}"}}),
        );
        assert_eq!(call.arguments, "{\"n\": 12345678901234567890}");
        assert_eq!(ToolCall::of(&json!("x")), ToolCall::default());
    }
}
