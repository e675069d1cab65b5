//! A request as an action of its own.

use rhumb_drift::Effect;
use serde_json::{Map, Value, json};

use super::json::Document;
use super::path::{Path, server};
use super::query::{Secrets, pairs};
use super::route::{Found, Route};
use super::{Asked, Broken, Checked, HttpMessage, Kind, Passed, Reading, Seen, What, multipart};

/// Headers by which some servers take another method than that of the request.
const OVERRIDES: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];
const UNREAD_TYPE: &str = "a body of this type is not read";
const UNREAD_FILE: &str = "the content of a file is not read";

/// Reads a request as an action. `document` is its body as JSON, if it was read already.
pub(super) fn reading(seen: &Seen<'_>, document: Option<Result<Document, Broken>>) -> Reading {
    let (path, query) = divided(seen.message);
    let path = Path::of(path);
    let found = seen.rules.find(&server(seen.message.host), seen.message.method, &path);
    if let Found::Exact(route, _) = &found
        && !route.is_scored
    {
        return Reading::of(Kind::Http, What::Pass(Passed::Rule));
    }
    let mut secrets = Secrets::new(&seen.rules.secrets);
    let what = match Content::read(seen, document) {
        Err(broken) => What::Broken(broken),
        Ok(content) => What::Action(Box::new(asked(seen, &path, query, content, found, &mut secrets))),
    };
    Reading { dropped: secrets.dropped, ..Reading::of(Kind::Http, what) }
}

/// Whether a rule of the operator's or a document knows this request.
pub(super) fn is_known(message: &HttpMessage<'_>, rules: &Checked) -> bool {
    let path = Path::of(divided(message).0);
    !matches!(rules.find(&server(message.host), message.method, &path), Found::None)
}

fn divided<'a>(message: &HttpMessage<'a>) -> (&'a str, &'a str) {
    message.path.split_once('?').unwrap_or((message.path, ""))
}

fn asked(
    seen: &Seen<'_>,
    path: &Path,
    query: &str,
    mut content: Content,
    found: Found<'_>,
    secrets: &mut Secrets<'_>,
) -> Asked {
    let message = seen.message;
    let is_call = seen.body.content.is_grpc() && path.segments.len() == 2;
    // The names of services and methods look like values: they are long and have digits.
    let by_rule = || if is_call { (path.text(), Map::new()) } else { path.template() };
    let like = if let Found::Like(route) = &found { Some(*route) } else { None };
    let (tool, places, route) = match found {
        Found::Exact(route, places) => (route.tool(message.method), places, Some(route)),
        Found::Like(_) | Found::None => {
            let (template, places) = by_rule();
            (format!("{} {template}", message.method), places, None)
        }
    };
    if let Some(route) = route {
        content.keep(route);
    }
    let mut arguments = arguments(places, pairs(query), content.value);
    arguments.values_mut().for_each(|value| secrets.drop_from(value));
    Asked {
        server: server(message.host),
        tool,
        tool_description: route.or(like).map(|route| route.description.clone()).unwrap_or_default(),
        arguments,
        text: String::new(),
        effect: effect(message, route, like),
        partial: content.partial,
    }
}

fn arguments(
    places: Map<String, Value>,
    query: Map<String, Value>,
    body: Option<Value>,
) -> Map<String, Value> {
    let mut arguments = Map::new();
    for (name, values) in [("path", places), ("query", query)] {
        if !values.is_empty() {
            arguments.insert(name.to_owned(), Value::Object(values));
        }
    }
    arguments.extend(body.map(|body| ("body".to_owned(), body)));
    arguments
}

/// A route that the path only resembles can make a write of a read, never the other way round.
fn effect(message: &HttpMessage<'_>, route: Option<&Route>, like: Option<&Route>) -> Effect {
    let is_overridden = OVERRIDES.iter().any(|name| message.headers.has(name));
    let by_method = match message.method {
        "GET" | "HEAD" | "OPTIONS" if is_overridden => Effect::Unknown,
        "GET" | "HEAD" | "OPTIONS" => Effect::Read,
        _ => Effect::Write,
    };
    match (route.and_then(|route| route.effect), like.and_then(|like| like.effect)) {
        (Some(Effect::Read), _) if is_overridden => Effect::Unknown,
        (Some(effect), _) => effect,
        (None, Some(Effect::Write)) => Effect::Write,
        (None, Some(Effect::Unknown)) if by_method == Effect::Read => Effect::Unknown,
        _ => by_method,
    }
}

/// The body as a part of the action.
struct Content {
    value: Option<Value>,
    partial: Option<&'static str>,
}

impl Content {
    fn whole(value: Value) -> Self {
        Self { value: Some(value), partial: None }
    }

    fn read(seen: &Seen<'_>, document: Option<Result<Document, Broken>>) -> Result<Self, Broken> {
        let (bytes, said) = (&seen.body.bytes, &seen.body.content);
        let is_text = said.is_json() || said.essence == "application/x-www-form-urlencoded";
        if is_text && !said.is_utf8 {
            return Err(Broken::unparsable("the body is said to be in another encoding than UTF-8"));
        }
        match document.or_else(|| seen.body.parsed()) {
            _ if said.is_grpc() => Ok(Self::unread(seen)),
            _ if bytes.is_empty() => Ok(Self { value: None, partial: None }),
            Some(document) if said.allows_json() => Ok(Self::whole(document?.checked()?.root.into_value())),
            _ if is_text => {
                let text =
                    std::str::from_utf8(bytes).map_err(|_| Broken::unparsable("the form is not UTF-8"))?;
                Ok(Self::whole(Value::Object(pairs(text))))
            }
            _ if said.essence == "multipart/form-data" => {
                let form = multipart::read(bytes, said.boundary.as_deref().unwrap_or_default())?;
                let partial = form.has_file.then_some(UNREAD_FILE);
                Ok(Self { value: Some(Value::Object(form.fields)), partial })
            }
            _ => Ok(Self::unread(seen)),
        }
    }

    fn unread(seen: &Seen<'_>) -> Self {
        let value = json!({"contentType": seen.body.content.essence, "bytes": seen.message.body.len()});
        Self { value: Some(value), partial: Some(UNREAD_TYPE) }
    }

    /// Keeps the fields that the route counts as the action.
    fn keep(&mut self, route: &Route) {
        if let (Some(fields), Some(Value::Object(body)), None) = (&route.body, &mut self.value, self.partial)
        {
            body.retain(|field, _| fields.contains(field));
        }
    }
}
