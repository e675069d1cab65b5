//! What LiteLLM's generic guardrail sends, read for what we need of it. Unknown fields are skipped: the body grows with
//! LiteLLM's versions.

use rhumb_ledger::intent::carriers::TokenPlace;
use serde_json::Value;

use super::history::History;
use super::tools::{Tool, ToolCall, tools};
use crate::http::error::HttpError;
use crate::http::fields::{Fields, name, parse};

/// What stands for the value of a header that LiteLLM does not show.
const HIDDEN: &str = "[present]";
/// The most calls of one answer that are looked at; one more is refused.
const CALLS: usize = 128;

/// Before the model call, or after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Before.
    Request,
    /// After.
    Response,
}

/// A call of the guardrail.
#[derive(Debug, Clone, PartialEq)]
pub struct Guarded {
    /// Which side of the model call.
    pub side: Side,
    /// One model call; empty where it is not told.
    pub call_id: String,
    /// A conversation; empty where the client does not say.
    pub trace_id: String,
    /// What was said before; `None` where the message is not about a chat.
    pub history: Option<History>,
    /// Texts without roles.
    pub texts: Vec<String>,
    /// Tools that the model is offered.
    pub tools: Vec<Tool>,
    /// Calls that the model proposes; before the model call, those of the history.
    pub tool_calls: Vec<ToolCall>,
    /// The key that LiteLLM let the client in by, as a digest: of all ids the one that no client chooses.
    pub key: String,
    /// On whose behalf: the end user, the user, or the key.
    pub principal: String,
    /// Whose key it is.
    pub agent: String,
    /// Tokens among the client's headers, as far as their values are shown.
    pub tokens: Vec<(TokenPlace, String)>,
    /// `policy` of the configuration, which the client can change.
    pub policy: String,
    /// `mode` likewise.
    pub mode: String,
}

/// Reads a body.
///
/// # Errors
/// 400 that names the field.
pub fn read(bytes: &[u8]) -> Result<Guarded, HttpError> {
    let map = parse(bytes)?;
    let fields = Fields::of(&map);
    let request = fields.object("request_data")?;
    let params = fields.object("additional_provider_specific_params")?;
    let param = |key: &str| params.as_ref().and_then(|p| p.get(key)?.as_str()).unwrap_or_default().to_owned();
    Ok(Guarded {
        side: side(&fields)?,
        call_id: fields.text("litellm_call_id")?.to_owned(),
        trace_id: fields.text("litellm_trace_id")?.to_owned(),
        history: fields.list("structured_messages")?.map(History::of),
        texts: fields.list("texts")?.unwrap_or_default().iter().filter_map(owned).collect(),
        tools: tools(fields.list("tools")?.unwrap_or_default()),
        tool_calls: calls(fields.list("tool_calls")?.unwrap_or_default())?,
        key: request.as_ref().map(|r| first(r, &["user_api_key_hash"])).unwrap_or_default(),
        principal: principal(request.as_ref()),
        agent: request
            .as_ref()
            .map(|r| first(r, &["user_api_key_alias", "user_api_key_team_alias"]))
            .unwrap_or_default(),
        tokens: fields.object("request_headers")?.map(|headers| tokens(&headers)).unwrap_or_default(),
        policy: param("policy"),
        mode: param("mode"),
    })
}

fn owned(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn side(fields: &Fields<'_>) -> Result<Side, HttpError> {
    match fields.needed("input_type")? {
        "request" => Ok(Side::Request),
        "response" => Ok(Side::Response),
        _ => Err(HttpError::bad("input_type", "is neither request nor response")),
    }
}

fn calls(items: &[Value]) -> Result<Vec<ToolCall>, HttpError> {
    if items.len() > CALLS {
        return Err(HttpError::bad(
            "tool_calls",
            format!("{} items, at most {CALLS} are taken", items.len()),
        ));
    }
    Ok(items.iter().map(ToolCall::of).collect())
}

/// The first of these fields that says anything.
fn first(fields: &Fields<'_>, keys: &[&str]) -> String {
    let texts = keys.iter().filter_map(|key| fields.get(key)?.as_str());
    texts.map(name).find(|text| !text.is_empty()).unwrap_or_default()
}

fn principal(request: Option<&Fields<'_>>) -> String {
    let keys = ["user_api_key_end_user_id", "user_api_key_user_id", "user_api_key_hash"];
    request.map(|request| first(request, &keys)).unwrap_or_default()
}

/// Header names are compared without case. A value that is not shown is no token.
fn tokens(headers: &Fields<'_>) -> Vec<(TokenPlace, String)> {
    let place = |header: &str| match header.to_ascii_lowercase().as_str() {
        "txn-token" => Some(TokenPlace::TxnToken),
        "rhumb-intent" => Some(TokenPlace::RhumbIntent),
        _ => None,
    };
    let token = |(header, value): (&String, &Value)| Some((place(header)?, value.as_str()?.to_owned()));
    headers.entries().filter_map(token).filter(|(_, token)| is_shown(token)).collect()
}

/// Whether a header's value is there.
pub fn is_shown(value: &str) -> bool {
    !value.is_empty() && value != HIDDEN
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn guarded(body: Value) -> Result<Guarded, HttpError> {
        read(body.to_string().as_bytes())
    }

    #[test]
    fn a_hidden_header_is_no_token_and_unknown_fields_are_skipped() {
        let body = json!({
            "input_type": "response", "brand_new": [1, 2],
            "request_headers": {"Txn-Token": "[present]", "rhumb-intent": "a.b.c", "host": "x"},
            "request_data": {"user_api_key_hash": "h", "user_api_key_user_id": null, "user_api_key_end_user_id": ""},
        });
        let read = guarded(body).unwrap();
        assert_eq!(read.tokens, [(TokenPlace::RhumbIntent, "a.b.c".to_owned())]);
        assert_eq!((read.principal.as_str(), read.side), ("h", Side::Response));
    }

    #[test]
    fn a_wrong_type_is_named() {
        for (body, field) in [
            (json!({}), "input_type"),
            (json!({"input_type": "both"}), "input_type"),
            (json!({"input_type": "request", "tools": {}}), "tools"),
            (json!({"input_type": "request", "litellm_call_id": 7}), "litellm_call_id"),
            (json!({"input_type": "response", "tool_calls": "x"}), "tool_calls"),
            (json!([]), "request"),
        ] {
            assert_eq!(guarded(body.clone()).unwrap_err().field, field, "{body}");
        }
        let many = json!({"input_type": "response", "tool_calls": vec![json!({}); 129]});
        assert_eq!(guarded(many).unwrap_err().field, "tool_calls");
        assert!(
            read(br#"{"input_type":"request","input_type":"response"}"#)
                .unwrap_err()
                .message
                .contains("duplicate")
        );
    }
}
