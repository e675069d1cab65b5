//! Messages between agents, of the versions 0.x and 1.0.

use serde_json::{Map, Value};

use super::carried::Carried;
use super::json::Document;
use super::rpc::{self, Read};
use super::{Asked, Broken, HttpMessage, Item, Kind, Reading, RpcId, Seen, What, path};

/// The tool that sending counts as.
const SEND: &str = "a2a.send";
/// Members of a part that holds a text, or data, and nothing else.
const PLAIN: [&str; 6] = ["kind", "type", "text", "data", "mediaType", "mimeType"];
/// Members of `configuration` that say how to answer, not what to do.
const MANNERS: [&str; 5] =
    ["acceptedOutputModes", "accepted_output_modes", "blocking", "returnImmediately", "historyLength"];

pub(super) fn is_send(method: &str) -> bool {
    matches!(method, "SendMessage" | "SendStreamingMessage" | "message/send" | "message/stream")
}

/// Methods that look at tasks or end them. Where to send news of a task is not among them: that sends words elsewhere.
pub(super) fn is_harmless(method: &str) -> bool {
    const METHODS: [&str; 8] = [
        "tasks/resubscribe",
        "agent/getAuthenticatedExtendedCard",
        "GetTask",
        "ListTasks",
        "CancelTask",
        "SubscribeToTask",
        "GetExtendedAgentCard",
        "GetAuthenticatedExtendedCard",
    ];
    METHODS.contains(&method)
}

/// Whether the HTTP binding sends a message here.
pub(super) fn is_send_path(message: &HttpMessage<'_>) -> bool {
    let path = message.path.split('?').next().unwrap_or_default();
    message.method == "POST" && (path.ends_with("/message:send") || path.ends_with("/message:stream"))
}

/// A message of the HTTP binding: the body is what JSON-RPC has as parameters.
pub(super) fn reading(seen: &Seen<'_>, document: Document) -> Reading {
    let read = document.checked().and_then(|document| send(seen, Some(document.root.into_value())));
    match read {
        Ok((what, carried)) => {
            Reading::items(Kind::A2a, false, vec![Item { id: RpcId::Absent, what, carried }])
        }
        Err(broken) => Reading::of(Kind::A2a, What::Broken(broken)),
    }
}

/// `SendMessage` and its like.
pub(super) fn send(seen: &Seen<'_>, params: Option<Value>) -> Read {
    let Some(Value::Object(mut params)) = params else {
        return Err(Broken::unparsable("`params` is no object"));
    };
    let Some(Value::Object(mut message)) = params.remove("message") else {
        return Err(Broken::unparsable("`params.message` is no object"));
    };
    rpc::refuse_lookalikes(&message)?;
    let Some(Value::Array(parts)) = message.remove("parts") else {
        return Err(Broken::unparsable("`params.message.parts` is no list"));
    };
    let parts: Vec<_> = parts.iter().map(part).collect();
    let texts: Vec<_> = parts.iter().map(|(text, _)| text.as_str()).collect();
    let carried = Carried::of_message(&message);
    let asked = Asked {
        server: path::server(seen.message.host),
        tool: SEND.to_owned(),
        text: texts.join("\n"),
        arguments: arguments(params, message),
        partial: parts.iter().any(|(_, is_file)| *is_file).then_some("the content of a file is not read"),
        ..Asked::default()
    };
    Ok((What::Action(Box::new(asked)), carried))
}

/// What a part says, and whether it has content that nobody reads.
fn part(part: &Value) -> (String, bool) {
    let Some(object) = part.as_object() else { return (part.to_string(), false) };
    let is_plain = object.keys().all(|key| PLAIN.contains(&key.as_str()));
    match (object.get("text"), object.get("data")) {
        (Some(Value::String(text)), None) if is_plain => (text.clone(), false),
        (None, Some(data)) if is_plain => (data.to_string(), false),
        _ => {
            let mut shown = object.clone();
            let is_file = ["raw", "url", "file"].iter().any(|key| object.contains_key(*key));
            shown.remove("raw");
            if let Some(Value::Object(file)) = shown.get_mut("file") {
                file.remove("bytes");
            }
            (Value::Object(shown).to_string(), is_file)
        }
    }
}

/// What goes with a message and may change what it does: where news of the task is sent, what extensions read.
fn arguments(mut params: Map<String, Value>, mut message: Map<String, Value>) -> Map<String, Value> {
    if let Some(Value::Object(configuration)) = params.get_mut("configuration") {
        configuration.retain(|key, _| !MANNERS.contains(&key.as_str()));
    }
    let mut arguments = Map::new();
    let ids = ["role", "kind", "messageId", "message_id", "contextId", "context_id", "taskId", "task_id"];
    message.retain(|key, _| !ids.contains(&key.as_str()));
    let all = params.into_iter().chain(message);
    for (name, mut value) in all {
        if let Value::Object(members) = &mut value {
            members.retain(|key, _| !Carried::is_carrier(key));
        }
        let is_empty =
            value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty);
        if is_empty || value.is_null() {
            continue;
        }
        // Both may have metadata.
        let name = if arguments.contains_key(&name) { format!("message.{name}") } else { name };
        arguments.insert(name, value);
    }
    arguments
}
