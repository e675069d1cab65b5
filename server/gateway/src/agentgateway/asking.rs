//! A request as the gateway shows it to a question.

use pbjson_types::{Struct, value::Kind as Is};
use rhumb_drift::InputError;
use rhumb_ledger::intent::carriers::TokenPlace;
use rhumb_proto::agentgateway::McpRequest;
use rhumb_proto::v1;
use tonic::Status;

use crate::caller::Caller;
use crate::carried::Carried;
use crate::errors;
use crate::message::{Headers, HttpMessage, Kind};
use crate::point::Asking;
use crate::policy::Mode;

/// Headers that lead to an intent or name the request. The rest tell of a message that is not the one we read: the gateway
/// writes the parameters anew.
const TAKEN: [&str; 6] =
    ["txn-token", "rhumb-intent", "mcp-session-id", "traceparent", "baggage", "x-request-id"];

/// The name of the enforcement point in records.
const POINT: &str = "agentgateway";

/// What the operator's expressions say of a request.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Known {
    policy: String,
    mode: Option<Mode>,
    token: Option<String>,
    agent: String,
    delegator: String,
    hop: u32,
    tenant: String,
}

impl Known {
    pub fn of(request: &McpRequest) -> Result<Self, Status> {
        Self::of_context(request.metadata_context.as_ref())
    }

    /// # Errors
    /// INVALID_ARGUMENT where the operator's expressions came to what cannot be used: a mode that nobody knows must not
    /// become another one.
    pub fn of_context(context: Option<&Struct>) -> Result<Self, Status> {
        let bad = |key: &str, problem: &str| {
            errors::bad_request(&InputError::new(format!("metadata_context.{key}"), problem))
        };
        let text = |key: &str| match context.and_then(|c| c.fields.get(key)).map(|v| v.kind.as_ref()) {
            None | Some(None | Some(Is::NullValue(_))) => Ok(String::new()),
            Some(Some(Is::StringValue(text))) => Ok(text.clone()),
            Some(Some(Is::NumberValue(number))) => Ok(number.to_string()),
            Some(_) => Err(bad(key, "is neither text nor a number")),
        };
        let mode = match text("rhumb_mode")?.as_str() {
            "" => None,
            name => {
                Some(Mode::named(name).ok_or_else(|| bad("rhumb_mode", "is neither enforce nor shadow"))?)
            }
        };
        let hop = match text("hop")?.as_str() {
            "" => 0,
            hop => hop.parse().map_err(|_| bad("hop", "is no number of a hop"))?,
        };
        let token = text("rhumb_intent_token")?;
        Ok(Self {
            policy: text("rhumb_policy")?,
            mode,
            // The gateway leaves an expression out that came to nothing; one that came to nothing and is there says that no
            // header was.
            token: (!token.is_empty()).then_some(token),
            agent: text("agent_id")?,
            delegator: text("delegator")?,
            hop,
            tenant: text("tenant")?,
        })
    }

    /// The caller on the account that the operator names.
    pub fn caller(&self, caller: Caller) -> Result<Caller, Status> {
        if self.tenant.is_empty() { Ok(caller) } else { caller.on_account(&self.tenant) }
    }

    /// A request whose parameters nobody reads.
    pub fn unread(&self, request: &McpRequest) -> v1::ScoreRequest {
        let server = request.service_names.first().cloned().unwrap_or_default();
        v1::ScoreRequest {
            action: Some(v1::Action { server, ..v1::Action::default() }),
            policy_id: self.policy.clone(),
            mode: self.mode.map_or(v1::Mode::Unspecified, Mode::message).into(),
            enforcement_point: POINT.to_owned(),
            ..v1::ScoreRequest::default()
        }
    }

    pub fn asking<'a>(&self, request: &McpRequest, headers: &'a Headers, body: &'a [u8]) -> Asking<'a> {
        let mut carried = Carried::default();
        // What a header carries already is the same token twice, copied by the operator's expression for stdio.
        let in_header = |token: &str| {
            ["txn-token", "rhumb-intent"]
                .iter()
                .any(|name| headers.get_all(name).any(|own| own.trim() == token))
        };
        if let Some(token) = self.token.as_ref().filter(|token| !in_header(token)) {
            carried.tokens.push((TokenPlace::MetadataContext, token.clone()));
        }
        let named = self.hop > 0 || !self.agent.is_empty() || !self.delegator.is_empty();
        let chain = named.then(|| v1::ChainPosition {
            hop: self.hop,
            agent: self.agent.clone(),
            delegator: self.delegator.clone(),
            ..v1::ChainPosition::default()
        });
        Asking {
            message: HttpMessage {
                method: "POST",
                scheme: "http",
                host: "",
                path: "/",
                headers,
                body,
                buffer_limit: None,
            },
            kind: Kind::Mcp,
            server: Some(request.service_names.first().cloned().unwrap_or_default()),
            policy_id: self.policy.clone(),
            mode: self.mode,
            min_provenance: v1::Provenance::Unspecified,
            enforcement_point: POINT.to_owned(),
            request_id: headers.one("x-request-id").unwrap_or_default().to_owned(),
            chain,
            carried,
        }
    }
}

/// What of the agent's headers is read. Values that are no UTF-8 are kept as far as they are: a token that was broken is no
/// token, and does not go unseen. The length is that of `body`, which came whole.
pub(super) fn headers(request: &McpRequest, body: &[u8]) -> Headers {
    let taken = request.headers.iter().filter(|h| TAKEN.contains(&h.key.to_ascii_lowercase().as_str()));
    let taken =
        taken.map(|header| (header.key.as_str(), String::from_utf8_lossy(&header.value).into_owned()));
    taken.chain([("content-length", body.len().to_string())]).collect()
}

/// The JSON-RPC call that the parameters were of, for the reader of all contracts. The id is not shown to us, and not asked
/// for.
pub(super) fn body(request: &McpRequest) -> Vec<u8> {
    let method = serde_json::Value::from(request.method.as_str()).to_string();
    let params = request.mcp_request.as_deref().unwrap_or(b"null");
    [br#"{"jsonrpc":"2.0","id":null,"method":"#, method.as_bytes(), br#","params":"#, params, b"}"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pbjson_types::Value;
    use rhumb_proto::agentgateway::McpHeader;

    fn context(pairs: &[(&str, Value)]) -> Struct {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
    }

    fn text(text: &str) -> Value {
        Value::from(text.to_owned())
    }

    #[test]
    fn the_operators_expressions_are_read_and_what_cannot_be_used_is_an_error() {
        let pairs = [("rhumb_mode", text("shadow")), ("hop", Value::from(3.0)), ("agent_id", text("worker"))];
        let known = Known::of_context(Some(&context(&pairs))).unwrap();
        assert_eq!((known.mode, known.hop, known.agent.as_str()), (Some(Mode::Shadow), 3, "worker"));
        assert_eq!(Known::of_context(None).unwrap(), Known::default());
        for (key, value) in
            [("rhumb_mode", text("observe")), ("hop", text("third")), ("hop", Value::from(-1.0))]
        {
            let status = Known::of_context(Some(&context(&[(key, value)]))).unwrap_err();
            assert!(
                status.code() == tonic::Code::InvalidArgument && status.message().contains(key),
                "{status}"
            );
        }
    }

    #[test]
    fn a_token_that_an_expression_copied_from_a_header_is_one_token() {
        let header = |key: &str, value: &[u8]| McpHeader { key: key.into(), value: value.to_vec() };
        let request = McpRequest {
            headers: vec![
                header("Txn-Token", b"abc"),
                header("content-length", b"7"),
                header("cookie", b"x"),
            ],
            ..McpRequest::default()
        };
        let headers = headers(&request, b"");
        assert_eq!(headers.iter().collect::<Vec<_>>(), [("txn-token", "abc"), ("content-length", "0")]);
        let tokens = |token: &str| {
            let known = Known { token: Some(token.to_owned()), ..Known::default() };
            known.asking(&request, &headers, b"").carried.tokens.len()
        };
        assert_eq!((tokens("abc"), tokens("other")), (0, 1));
    }
}
