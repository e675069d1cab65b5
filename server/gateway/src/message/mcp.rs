//! Calls of the Model Context Protocol.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rhumb_drift::Effect;
use serde_json::{Map, Value};

use super::carried::Carried;
use super::rpc::Read;
use super::{Asked, Broken, Headers, Passed, Seen, What, path};

pub(super) const CALL: &str = "tools/call";
pub(super) const READ: &str = "resources/read";
pub(super) const PROMPT: &str = "prompts/get";
/// Methods that do not act, besides those that end in `/list`.
const HARMLESS: [&str; 9] = [
    "initialize",
    "ping",
    "server/discover",
    "completion/complete",
    "logging/setLevel",
    "resources/subscribe",
    "resources/unsubscribe",
    "tasks/get",
    "tasks/result",
];

pub(super) fn is_harmless(method: &str) -> bool {
    HARMLESS.contains(&method) || method.ends_with("/list") || method == "tasks/cancel"
}

/// What a request on an MCP route is that has no body; `None` where it has one. Rules about methods come after the body:
/// some servers read the body of any method.
pub(super) fn without_body(seen: &Seen<'_>) -> Option<Result<Passed, Broken>> {
    let headers = seen.message.headers;
    if !seen.body.bytes.is_empty() {
        return None;
    }
    Some(match seen.message.method {
        "GET" if headers.lists("accept", "text/event-stream") => Ok(Passed::EventStream),
        "DELETE" if headers.has("mcp-session-id") => Ok(Passed::SessionEnd),
        "OPTIONS" => Ok(Passed::Options),
        "HEAD" => Ok(Passed::Head),
        // Its client says so: nothing is missing.
        "GET" | "DELETE" => Ok(Passed::EmptyBody),
        _ if headers.has("content-length") => Ok(Passed::EmptyBody),
        _ => Err(Broken::truncated("no body came, and nobody said that there is none")),
    })
}

/// `tools/call`.
pub(super) fn call(seen: &Seen<'_>, params: Option<Value>) -> Read {
    let (mut params, carried) = parameters(params)?;
    let tool = match params.remove("name") {
        Some(Value::String(name)) if !name.trim().is_empty() => name,
        _ => return Err(Broken::unparsable("`params.name` is no name")),
    };
    let arguments = match params.remove("arguments") {
        None => Map::new(),
        Some(Value::Object(arguments)) => arguments,
        Some(_) => return Err(Broken::unparsable("`params.arguments` is no object")),
    };
    // Answers to a server's questions, the state of a request, a task: the server gets them, so they are scored.
    let text = if params.is_empty() { String::new() } else { Value::Object(params).to_string() };
    let asked = Asked { server: path::server(seen.message.host), tool, arguments, text, ..Asked::default() };
    Ok((What::Action(Box::new(asked)), carried))
}

/// `resources/read` and `prompts/get`.
pub(super) fn reads(seen: &Seen<'_>, method: &str, params: Option<Value>) -> Read {
    let (arguments, carried) = parameters(params)?;
    let named = if method == READ { "uri" } else { "name" };
    if !arguments.get(named).is_some_and(Value::is_string) {
        return Err(Broken::unparsable(format!("`params.{named}` is no string")));
    }
    let asked = Asked {
        server: path::server(seen.message.host),
        tool: method.to_owned(),
        arguments,
        effect: Effect::Read,
        ..Asked::default()
    };
    Ok((What::Action(Box::new(asked)), carried))
}

/// Parameters without `_meta`, and what that carries.
fn parameters(params: Option<Value>) -> Result<(Map<String, Value>, Carried), Broken> {
    let Some(Value::Object(mut params)) = params else {
        return Err(Broken::unparsable("`params` is no object"));
    };
    let carried = match params.remove("_meta") {
        None => Carried::default(),
        Some(Value::Object(meta)) => Carried::of_meta(&meta),
        Some(_) => return Err(Broken::unparsable("`params._meta` is no object")),
    };
    Ok((params, carried))
}

/// A server may route by the headers, so they must tell what the body tells. `method` is `None` for a response.
pub(super) fn check_headers(
    headers: &Headers,
    method: Option<&str>,
    params: Option<&Value>,
) -> Result<(), Broken> {
    if !headers.get_all("mcp-method").all(|value| Some(value.trim()) == method) {
        return Err(Broken::mismatch("mcp-method"));
    }
    let members: &[&str] = match method {
        Some(CALL | PROMPT) => &["name"],
        Some(READ) => &["uri"],
        // What the headers of other methods name is not settled.
        _ => &["name", "uri", "taskId"],
    };
    let is_named = |value: &str| {
        let named = members.iter().filter_map(|member| params?.get(member)?.as_str());
        plain(value.trim()).is_some_and(|value| named.into_iter().any(|name| name == value))
    };
    if !headers.get_all("mcp-name").all(is_named) {
        return Err(Broken::mismatch("mcp-name"));
    }
    Ok(())
}

/// A header's value: names that are no visible ASCII come as `=?base64?...?=`.
fn plain(value: &str) -> Option<String> {
    match value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok(),
        None => Some(value.to_owned()),
    }
}
