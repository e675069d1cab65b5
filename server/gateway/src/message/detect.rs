//! What a request is.
//!
//! Where the operator says nothing (`auto`), the body decides, and the agent writes the body. So a request counts as calls
//! only if it is nothing but calls: a POST without a query, its body no more than the members of JSON-RPC, on a path that no
//! rule of the operator's knows. A `DELETE /v1/accounts/4711` with the body of a `ping` stays a DELETE. A POST without a
//! query to an unknown path cannot be told from MCP by anything that an agent could not write as well: the routes of other
//! services are to be declared, as `http` or by their rules.

use serde_json::Value;

use super::json::{Document, Entry};
use super::{Broken, HttpMessage, Kind, Reading, Seen, What, a2a, http, mcp, rpc};

/// Members of a call.
const MEMBERS: [&str; 4] = ["jsonrpc", "id", "method", "params"];

pub(super) fn read(seen: &Seen<'_>, kind: Kind) -> Reading {
    match kind {
        Kind::Http => http::reading(seen, None),
        Kind::Mcp => mcp(seen),
        Kind::A2a => a2a(seen, seen.body.parsed()),
        Kind::Auto => auto(seen),
    }
}

fn mcp(seen: &Seen<'_>) -> Reading {
    let what = |broken| Reading::of(Kind::Mcp, What::Broken(broken));
    match mcp::without_body(seen) {
        Some(Ok(passed)) => Reading::of(Kind::Mcp, What::Pass(passed)),
        Some(Err(broken)) => what(broken),
        None if !seen.body.content.allows_json() => {
            what(Broken::unparsable("the body is said to be no JSON in UTF-8"))
        }
        None => match seen.body.document() {
            Ok(document) => rpc::reading(seen, Kind::Mcp, document),
            Err(broken) => what(broken),
        },
    }
}

/// The HTTP binding of A2A has no JSON-RPC. Its requests other than sending are requests like any.
fn a2a(seen: &Seen<'_>, document: Option<Result<Document, Broken>>) -> Reading {
    match document {
        Some(Ok(document)) if is_rpc(&document) => rpc::reading(seen, Kind::A2a, document),
        Some(Ok(document)) if a2a::is_send_path(seen.message) => a2a::reading(seen, document),
        Some(Err(broken)) if seen.body.content.allows_json() => Reading::of(Kind::A2a, What::Broken(broken)),
        document => http::reading(seen, document),
    }
}

fn auto(seen: &Seen<'_>) -> Reading {
    let is_a2a = seen.message.headers.has("a2a-version");
    match seen.body.parsed().map(|document| document.and_then(Document::checked)) {
        Some(Err(broken)) if seen.body.content.allows_json() => {
            Reading::of(unread(seen.message, Kind::Auto), What::Broken(broken))
        }
        Some(Ok(document)) if is_calls(seen, &document) => {
            let is_send = document.root.entries().iter().any(|e| method(e).is_some_and(a2a::is_send));
            rpc::reading(seen, if is_a2a || is_send { Kind::A2a } else { Kind::Mcp }, document)
        }
        Some(Ok(document)) if is_a2a && a2a::is_send_path(seen.message) => a2a::reading(seen, document),
        document => http::reading(seen, document),
    }
}

fn is_rpc(document: &Document) -> bool {
    document.root.entries().iter().any(|entry| entry.value.get("jsonrpc").is_some())
}

/// Whether a request is calls and nothing else: what only another reader would see would not be scored.
fn is_calls(seen: &Seen<'_>, document: &Document) -> bool {
    let message = seen.message;
    let is_bare =
        message.method == "POST" && !message.path.contains('?') && !http::is_known(message, seen.rules);
    let entries = document.root.entries();
    is_bare
        && !entries.is_empty()
        && entries.iter().all(|entry| method(entry).is_some() && has_no_more(entry))
}

/// The method of a call.
fn method(entry: &Entry) -> Option<&str> {
    let is_rpc = entry.value.get("jsonrpc").and_then(Value::as_str) == Some("2.0");
    entry.value.get("method").and_then(Value::as_str).filter(|_| is_rpc)
}

fn has_no_more(entry: &Entry) -> bool {
    entry.value.as_object().is_some_and(|object| object.keys().all(|key| MEMBERS.contains(&key.as_str())))
}

/// The kind of a request whose body cannot be read. Where it may have been a call, it counts as one: what an operator says
/// of unreadable calls is the stricter word.
pub(super) fn unread(message: &HttpMessage<'_>, kind: Kind) -> Kind {
    const TRACES: [&str; 4] = ["mcp-method", "mcp-name", "mcp-session-id", "mcp-protocol-version"];
    let headers = message.headers;
    let may_be_json = super::body::Content::of(headers.one("content-type").unwrap_or_default()).allows_json();
    let may_call = may_be_json && message.method == "POST";
    match kind {
        Kind::Auto if headers.has("a2a-version") => Kind::A2a,
        Kind::Auto if may_call || TRACES.iter().any(|name| headers.has(name)) => Kind::Mcp,
        kind => without_body(kind),
    }
}

/// The kind of a request that says nothing.
pub(super) fn without_body(kind: Kind) -> Kind {
    if kind == Kind::Auto { Kind::Http } else { kind }
}
