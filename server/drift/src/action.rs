//! What comes in: the originating request, an action, and what the agent read before.

use serde_json::{Map, Value};

/// Whether an action changes the outside world.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Effect {
    /// Not known; treated like a write where that is the safer side.
    #[default]
    Unknown,
    /// Reads only.
    Read,
    /// Changes something.
    Write,
}

/// The originating human request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Intent {
    /// The request as the human wrote it; empty means that there is no anchor.
    pub text: String,
    /// The accountable human or service.
    pub principal: String,
}

/// What an agent is about to do.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Action {
    /// Tool name, for example `send_money`.
    pub tool: String,
    /// What the tool says of itself.
    pub tool_description: String,
    /// The server that offers the tool.
    pub server: String,
    /// Arguments by name.
    pub arguments: Map<String, Value>,
    /// The tool's JSON schema, if the caller gave it.
    pub input_schema: Option<Map<String, Value>>,
    /// Free text, written by the agent: it may raise drift, never lower it.
    pub text: String,
    /// Whether the action changes the outside world.
    pub effect: Effect,
}

/// Something that the agent read before the action.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContextItem {
    /// Where it came from, for example a tool's name.
    pub source: String,
    /// The text.
    pub text: String,
    /// Whether the caller vouches for it.
    pub trusted: bool,
}

/// A field of the input that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct InputError {
    /// The field in JSON spelling, for example `action.arguments`.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

impl InputError {
    /// An error of `field`.
    ///
    /// Both are cut: they may repeat names of the input, and go into headers.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        let cut = |mut text: String| {
            text.truncate(crate::render::floor_boundary(&text, 400));
            text
        };
        Self { field: cut(field.into()), problem: cut(problem.into()) }
    }
}

/// What one request may carry. Beyond these it is refused; what is long but within them is scored in windows.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Levels of nesting in the arguments.
    pub depth: usize,
    /// Bytes of the originating request.
    pub intent_bytes: usize,
    /// Bytes of tool name, server name and request id.
    pub name_bytes: usize,
    /// Items of context.
    pub context_items: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // 32 levels are what a protobuf decoder with its limit of 100 takes of nested structs.
        Self { depth: 32, intent_bytes: 64 * 1024, name_bytes: 1024, context_items: 1024 }
    }
}

/// Whether a request of this text is anything to compare with: it has a letter or a digit.
pub fn is_anchor(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric)
}

impl Intent {
    /// Checks the limits; an empty text is no error but a missing anchor.
    ///
    /// # Errors
    /// Names `intent.text` or `intent.principal` if it is too long.
    pub fn check(&self, limits: &Limits) -> Result<(), InputError> {
        at_most("intent.text", self.text.len(), limits.intent_bytes)?;
        at_most("intent.principal", self.principal.len(), limits.name_bytes)
    }
}

impl Action {
    /// Checks shape and limits.
    ///
    /// # Errors
    /// Names the field: nothing to score, a name that is too long, nesting that is too deep.
    pub fn check(&self, limits: &Limits) -> Result<(), InputError> {
        if self.tool.trim().is_empty() && self.text.trim().is_empty() {
            return Err(InputError::new("action", "needs a tool or a text"));
        }
        at_most("action.tool", self.tool.len(), limits.name_bytes)?;
        at_most("action.server", self.server.len(), limits.name_bytes)?;
        at_most_deep("action.arguments", &self.arguments, limits.depth)?;
        self.input_schema
            .as_ref()
            .map_or(Ok(()), |schema| at_most_deep("action.inputSchema", schema, limits.depth))
    }

    /// Whether the tool's schema forbids an argument of this name. Without a schema nothing is forbidden.
    pub fn is_undeclared(&self, name: &str) -> bool {
        let Some(properties) = self.input_schema.as_ref().and_then(|s| s.get("properties")) else {
            return false;
        };
        properties.as_object().is_some_and(|p| !p.contains_key(name))
    }
}

/// Refuses more than `limit` context items.
///
/// # Errors
/// Names `context`.
pub fn check_context(context: &[ContextItem], limits: &Limits) -> Result<(), InputError> {
    if context.len() > limits.context_items {
        let problem = format!("{} items, at most {} are taken", context.len(), limits.context_items);
        return Err(InputError::new("context", problem));
    }
    Ok(())
}

fn at_most(field: &str, bytes: usize, limit: usize) -> Result<(), InputError> {
    if bytes > limit {
        return Err(InputError::new(field, format!("{bytes} bytes, at most {limit} are taken")));
    }
    Ok(())
}

fn at_most_deep(field: &str, map: &Map<String, Value>, limit: usize) -> Result<(), InputError> {
    if map.values().any(|v| deeper_than(v, limit.saturating_sub(1))) {
        return Err(InputError::new(field, format!("nested more than {limit} levels deep")));
    }
    Ok(())
}

/// Whether `value` holds containers nested more than `levels` deep.
fn deeper_than(value: &Value, levels: usize) -> bool {
    let mut open: Vec<(&Value, usize)> = vec![(value, 0)];
    while let Some((value, depth)) = open.pop() {
        let depth = match value {
            Value::Array(_) | Value::Object(_) => depth + 1,
            _ => continue,
        };
        if depth > levels {
            return true;
        }
        match value {
            Value::Array(items) => open.extend(items.iter().map(|v| (v, depth))),
            Value::Object(map) => open.extend(map.values().map(|v| (v, depth))),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn nested(levels: usize) -> Map<String, Value> {
        let mut value = json!(1);
        for _ in 1..levels {
            value = json!([value]);
        }
        Map::from_iter([("a".to_owned(), value)])
    }

    #[test]
    fn nesting_counts_the_arguments_object_as_one_level() {
        let limits = Limits { depth: 4, ..Limits::default() };
        let action = |levels| Action { tool: "t".into(), arguments: nested(levels), ..Action::default() };
        assert!(action(4).check(&limits).is_ok());
        assert_eq!(action(5).check(&limits).unwrap_err().field, "action.arguments");
    }

    #[test]
    fn an_action_without_tool_and_text_is_refused() {
        assert_eq!(Action::default().check(&Limits::default()).unwrap_err().field, "action");
    }

    #[test]
    fn punctuation_is_no_anchor() {
        for text in ["", "  \n", "?!", "\u{200b}"] {
            assert!(!is_anchor(text), "{text:?}");
        }
    }

    #[test]
    fn only_a_schema_with_properties_can_leave_an_argument_undeclared() {
        let schema = |v: Value| v.as_object().cloned();
        let mut action = Action { tool: "t".into(), ..Action::default() };
        assert!(!action.is_undeclared("note"));
        action.input_schema = schema(json!({"type": "object"}));
        assert!(!action.is_undeclared("note"));
        action.input_schema = schema(json!({"properties": {"to": {}}}));
        assert!(action.is_undeclared("note") && !action.is_undeclared("to"));
    }
}
