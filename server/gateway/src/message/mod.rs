//! From one HTTP request, as an enforcement point saw it, to what is to be scored.
//!
//! Pure functions: no clock, no network, no state. An agent writes every byte that is read here, and another parser,
//! that of the tool's server, reads the same bytes afterwards. What the two might read differently is therefore no
//! action but [`Broken`]: a body that is cut, a key that stands twice, a header that tells another story than the body.
//!
//! The way of one request: is the body whole, what is it ([`Kind`]), and then either the calls of a
//! JSON-RPC body or the request itself as an action. What an operator says about reading is in [`Rules`]. Nothing that
//! an agent adds or leaves out makes a call unscored: the kinds of request that pass without a score need either a route
//! that the operator declared MCP, or a method that cannot act.

mod a2a;
mod body;
mod carried;
mod detect;
mod headers;
mod http;
mod json;
mod mcp;
mod multipart;
mod openapi;
mod path;
mod query;
mod route;
mod rpc;
mod rules;
mod template;
#[cfg(test)]
mod tests;

use std::str::FromStr;

use rhumb_drift::{Effect, Status};
use rhumb_ledger::intent::reason;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use carried::Carried;
pub use headers::Headers;
pub use path::server;
pub use route::Checked;
pub use rpc::RpcId;
pub use rules::{HttpRule, McpRules, OnUnknown, OpenApiRule, Rules, Scoring};

use body::Body;

/// Characters of a name of the agent's that a detail repeats.
const NAME_CHARS: usize = 64;

/// One HTTP request.
#[derive(Debug, Clone, Copy)]
pub struct HttpMessage<'a> {
    /// For example `POST`.
    pub method: &'a str,
    /// For example `https`.
    pub scheme: &'a str,
    /// The host, maybe with a port.
    pub host: &'a str,
    /// The path with the query.
    pub path: &'a str,
    /// The header lines.
    pub headers: &'a Headers,
    /// What came of the body.
    pub body: &'a [u8],
    /// The most bytes of a body that the enforcement point hands on, where that is known: a body of exactly this many
    /// bytes whose length nobody announced counts as cut.
    pub buffer_limit: Option<usize>,
}

/// What a request is, or is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Found out from the request.
    #[default]
    Auto,
    /// Model Context Protocol.
    Mcp,
    /// Agent to agent.
    A2a,
    /// Any other HTTP.
    Http,
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "mcp" => Ok(Self::Mcp),
            "a2a" => Ok(Self::A2a),
            "http" => Ok(Self::Http),
            _ => Err("is none of auto, mcp, a2a, http".to_owned()),
        }
    }
}

/// What a request turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// What it was; never [`Kind::Auto`].
    pub kind: Kind,
    /// Whether the body was a JSON-RPC batch that could be taken apart: its answer is an array. A batch that is empty,
    /// too long or unreadable is one broken item and gets one answer, as JSON-RPC asks.
    pub is_batch: bool,
    /// At least one.
    pub items: Vec<Item>,
    /// What the whole message carries.
    pub carried: Carried,
    /// Names of the keys that were dropped because they name secrets; each once, cut, a bounded number.
    pub dropped: Vec<String>,
}

/// One call.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// What its answer must repeat.
    pub id: RpcId,
    /// What is to be done with it.
    pub what: What,
    /// What this call alone carries.
    pub carried: Carried,
}

impl Item {
    fn new(id: RpcId, what: What) -> Self {
        Self { id, what, carried: Carried::default() }
    }
}

/// What is to be done with a call.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// To be scored.
    Action(Box<Asked>),
    /// Not scored, let through, counted.
    Pass(Passed),
    /// Not scored, refused by rule: one of the reason codes, and a detail for a person.
    Refuse(&'static str, String),
    /// Could not be read.
    Broken(Broken),
}

/// An action, as far as a request shows it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Asked {
    /// The server that offers the tool: the host without its port, unless the operator names it.
    pub server: String,
    /// The tool.
    pub tool: String,
    /// What an operator's document says of the tool.
    pub tool_description: String,
    /// Arguments by name.
    pub arguments: Map<String, Value>,
    /// What else the action says.
    pub text: String,
    /// `Unknown` for calls of tools: a request does not show it.
    pub effect: Effect,
    /// Why not all of the action is here: a body of a type that nobody reads, or a file. Such an action is scored by what
    /// is here and reported as TRUNCATED. A body that was cut on its way is [`Broken`] instead.
    pub partial: Option<&'static str>,
}

impl Asked {
    /// SCORED, or TRUNCATED if not all of the action is here: the best status that its score may be reported with.
    pub fn status(&self) -> Status {
        if self.partial.is_some() { Status::Truncated } else { Status::Scored }
    }
}

/// What passes without a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Passed {
    /// A method of MCP that does not act.
    McpMethod,
    /// A method of A2A that sends nothing.
    A2aMethod,
    /// `notifications/...`.
    Notification,
    /// The client's answer to its server.
    ClientResponse,
    /// `GET` for server-sent events, on an MCP route.
    EventStream,
    /// `DELETE` of a session, on an MCP route.
    SessionEnd,
    /// `OPTIONS`, on an MCP route.
    Options,
    /// `HEAD`, on an MCP route.
    Head,
    /// A request without a body, on an MCP route.
    EmptyBody,
    /// A method that nobody knows.
    UnknownMethod,
    /// A WebSocket or a tunnel: only its opening is seen.
    Upgrade,
    /// An operator's rule says so.
    Rule,
}

impl Passed {
    /// For counters.
    pub fn name(self) -> &'static str {
        match self {
            Self::McpMethod => "mcp_method",
            Self::A2aMethod => "a2a_method",
            Self::Notification => "notification",
            Self::ClientResponse => "client_response",
            Self::EventStream => "event_stream",
            Self::SessionEnd => "session_end",
            Self::Options => "options",
            Self::Head => "head",
            Self::EmptyBody => "empty_body",
            Self::UnknownMethod => "unknown_method",
            Self::Upgrade => "upgrade",
            Self::Rule => "rule",
        }
    }
}

/// Why a call could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// UNPARSABLE or TRUNCATED.
    pub status: Status,
    /// `action_unparsable`, `action_truncated` or `header_body_mismatch`.
    pub reason: &'static str,
    /// For a person; of the agent's words at most the name of a field.
    pub detail: String,
}

impl Broken {
    fn unparsable(detail: impl Into<String>) -> Self {
        Self { status: Status::Unparsable, reason: reason::ACTION_UNPARSABLE, detail: detail.into() }
    }

    fn truncated(detail: impl Into<String>) -> Self {
        Self { status: Status::Truncated, reason: reason::ACTION_TRUNCATED, detail: detail.into() }
    }

    fn mismatch(header: &str) -> Self {
        let detail = format!("header `{header}` differs from the body");
        Self { status: Status::Unparsable, reason: reason::HEADER_BODY_MISMATCH, detail }
    }
}

/// Reads one request. `kind` is what the operator says of the route.
pub fn read(message: &HttpMessage<'_>, kind: Kind, rules: &Checked) -> Reading {
    let reading = if body::is_upgrade(message) && !http::is_known(message, rules) {
        Reading::of(detect::without_body(kind), upgrade(rules))
    } else {
        match Body::of(message, rules.max_decoded_bytes) {
            Ok(body) => detect::read(&Seen { message, body, rules }, kind),
            Err(broken) => Reading::of(detect::unread(message, kind), What::Broken(broken)),
        }
    };
    Reading { carried: Carried::of_headers(message.headers), ..reading }
}

/// A request whose body is whole.
struct Seen<'a> {
    message: &'a HttpMessage<'a>,
    body: Body<'a>,
    rules: &'a Checked,
}

impl Reading {
    fn of(kind: Kind, what: What) -> Self {
        Self::items(kind, false, vec![Item::new(RpcId::Absent, what)])
    }

    fn items(kind: Kind, is_batch: bool, items: Vec<Item>) -> Self {
        Self { kind, is_batch, items, carried: Carried::default(), dropped: Vec::new() }
    }
}

fn upgrade(rules: &Checked) -> What {
    match rules.upgrade {
        OnUnknown::Pass => What::Pass(Passed::Upgrade),
        OnUnknown::Refuse => {
            What::Refuse(reason::UPGRADE_REFUSED, "an upgraded connection is not seen".to_owned())
        }
    }
}

/// A name of the agent's, short enough to be repeated.
fn short(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(NAME_CHARS).collect()
}
