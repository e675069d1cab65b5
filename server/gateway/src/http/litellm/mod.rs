//! LiteLLM's generic guardrail: the request of a model call tells what the user wants, its response what the model is about
//! to do.

pub mod answer;
pub mod history;
pub mod memory;
pub mod read;
pub mod tools;

use std::sync::Arc;

use futures::future::join_all;
use rhumb_ledger::intent::carriers::TokenPlace;
use rhumb_proto::v1;
use serde_json::json;

use super::door::Door;
use super::error::HttpError;
use super::fields::name;
use super::repeats::Same;
use super::tokens::token_decides;
use super::{Asked, Inside, Reply};
use crate::caller::Caller;
use crate::policy::Mode;
use answer::{Held, none, settle};
use memory::{Remembered, Whose};
use read::{Guarded, Side, is_shown};
use tools::{Tool, ToolCall};

/// In records.
const POINT: &str = "litellm";

/// Answers the guardrail.
///
/// # Errors
/// A body that cannot be read; no score, and the policy leaves it to LiteLLM.
pub async fn guard(inside: &Inside, mut asked: Asked) -> Result<Reply, HttpError> {
    let guarded = read::read(&asked.body)?;
    add_tokens(&mut asked.caller, &guarded.tokens);
    match (guarded.side, &guarded.history, guarded.tools.as_slice(), guarded.tool_calls.as_slice()) {
        (Side::Request, None, [tool], []) => mcp(inside, &asked, &guarded, tool).await,
        (Side::Request, ..) => {
            inside.remember(&asked.caller, &guarded);
            Ok(none())
        }
        (Side::Response, _, _, []) => Ok(none()),
        (Side::Response, ..) => response(inside, &asked, &guarded).await,
    }
}

/// Tokens of the client's headers beside those of LiteLLM's own call; the same one twice is one.
fn add_tokens(caller: &mut Caller, tokens: &[(TokenPlace, String)]) {
    let known = &mut caller.carried.tokens;
    known.retain(|(_, token)| is_shown(token));
    for token in tokens {
        if !known.contains(token) {
            known.push(token.clone());
        }
    }
}

impl Inside {
    /// Keeps what a request says for the response to come.
    fn remember(&self, caller: &Caller, guarded: &Guarded) {
        let (config, whose) = (&self.config.litellm, whose(caller, guarded));
        let seen = self.memory.of_trace(whose, &guarded.trace_id);
        let history = guarded.history.as_ref();
        let intent = history.and_then(|history| history.intent(config.intent, seen.as_deref()));
        let remembered = Remembered {
            intent: intent.unwrap_or_default().to_owned(),
            principal: guarded.principal.clone(),
            tokens: caller.carried.tokens.clone(),
            tools: guarded.tools.clone(),
            context: history.map(|h| h.context(config.context_kb.saturating_mul(1024))).unwrap_or_default(),
        };
        self.memory.keep(whose, &guarded.call_id, &guarded.trace_id, remembered);
    }
}

fn whose<'a>(caller: &'a Caller, guarded: &'a Guarded) -> Whose<'a> {
    Whose { tenant: caller.tenant.as_str(), caller: caller.name(), key: &guarded.key }
}

/// The calls that a model proposes: one that is stopped stops the answer.
async fn response(inside: &Inside, asked: &Asked, guarded: &Guarded) -> Result<Reply, HttpError> {
    let whose = whose(&asked.caller, guarded);
    let remembered = inside.memory.of_call(whose, &guarded.call_id, &guarded.trace_id).unwrap_or_default();
    let mut caller = asked.caller.clone();
    add_tokens(&mut caller, &remembered.tokens);
    let decided = proposed(inside, asked, guarded, &remembered, &caller);
    match guarded.call_id.as_str() {
        "" => decided.await,
        id => inside.retries.answer(same(asked, &caller, id, guarded, &remembered), decided).await,
    }
}

fn same(asked: &Asked, caller: &Caller, id: &str, guarded: &Guarded, remembered: &Remembered) -> Same {
    let policy = asked.decider.site().policy.now();
    let tokens = caller.carried.tokens.iter().map(|(_, token)| token.as_bytes());
    let calls = guarded.tool_calls.iter().flat_map(|call| [&call.id, &call.tool, &call.arguments]);
    let Guarded { key, principal, trace_id, policy: asked_policy, mode, .. } = guarded;
    let who = [caller.tenant.as_str(), caller.name(), key, principal, trace_id, id];
    let what = ["litellm", policy.id(), asked_policy, mode, &remembered.intent];
    let calls = calls.map(String::as_str);
    Same::of(who.into_iter().chain(what).chain(calls).map(str::as_bytes).chain(tokens))
}

async fn proposed(
    inside: &Inside,
    asked: &Asked,
    guarded: &Guarded,
    remembered: &Arc<Remembered>,
    caller: &Caller,
) -> Result<Reply, HttpError> {
    let by_token = token_decides(&asked.decider, caller)?;
    let call = caller.one(asked.deadline);
    let held = guarded.tool_calls.iter().enumerate().map(|(i, proposed)| {
        let mut request = about(inside, guarded, remembered, by_token);
        request.request_id = request_id(&guarded.call_id, proposed, i);
        request.action = Some(proposed.action(remembered.tool(&proposed.tool)));
        let call = &call;
        async move {
            let decided = asked.decider.hold(request, caller, call).await;
            decided.iter().for_each(|response| inside.counted(Door::LiteLlm, response));
            Held { tool: proposed.tool.clone(), decided }
        }
    });
    settle(join_all(held).await)
}

/// A request without its action.
fn about(inside: &Inside, guarded: &Guarded, remembered: &Remembered, by_token: bool) -> v1::ScoreRequest {
    let text = if by_token { String::new() } else { remembered.intent.clone() };
    let principal = if remembered.principal.is_empty() { &guarded.principal } else { &remembered.principal };
    let conversation = if guarded.trace_id.is_empty() { &guarded.call_id } else { &guarded.trace_id };
    let chain = (!conversation.is_empty()).then(|| v1::ChainPosition {
        // With a prefix: a client that names an intent's own chain, or another client's, would stand in it.
        chain_id: name(&format!("{POINT}:{}{conversation}", of_key(&guarded.key))),
        agent: guarded.agent.clone(),
        ..v1::ChainPosition::default()
    });
    let mut request = v1::ScoreRequest {
        intent: Some(v1::Intent { text, principal: principal.clone(), ..v1::Intent::default() }),
        context: remembered.context.clone(),
        chain,
        enforcement_point: POINT.to_owned(),
        ..v1::ScoreRequest::default()
    };
    if inside.config.litellm.trust_params {
        request.policy_id = name(&guarded.policy);
        request.mode = mode(&guarded.mode).into();
    }
    request
}

/// The beginning of a key's digest: enough to tell clients apart.
fn of_key(key: &str) -> String {
    const CHARS: usize = 12;
    let short: String = key.chars().filter(char::is_ascii_alphanumeric).take(CHARS).collect();
    if short.is_empty() { short } else { format!("{short}:") }
}

fn mode(text: &str) -> v1::Mode {
    Mode::named(&text.to_ascii_lowercase()).map_or(v1::Mode::Unspecified, Mode::message)
}

fn request_id(call_id: &str, proposed: &ToolCall, place: usize) -> String {
    match (call_id, proposed.id.as_str()) {
        ("", id) => id.to_owned(),
        (call, "") => name(&format!("{call}/{place}")),
        (call, id) => name(&format!("{call}/{id}")),
    }
}

/// An MCP call, or a scan of the tools that a server offers: both look the same. What is not one of the tool's own words is
/// taken for a value of an argument; the arguments' names are lost, so a verdict about it stops nothing by default.
async fn mcp(inside: &Inside, asked: &Asked, guarded: &Guarded, tool: &Tool) -> Result<Reply, HttpError> {
    let values = values(guarded, tool);
    if values.is_empty() {
        return Ok(none());
    }
    let (caller, memory) = (&asked.caller, &inside.memory);
    let (whose, trace) = (whose(caller, guarded), guarded.trace_id.as_str());
    let mut remembered =
        memory.of_call(whose, &guarded.call_id, trace).as_deref().cloned().unwrap_or_default();
    if remembered.intent.is_empty() {
        remembered.intent = memory.of_trace(whose, trace).map(|text| text.to_string()).unwrap_or_default();
    }
    let mut request = about(inside, guarded, &remembered, token_decides(&asked.decider, caller)?);
    // Without the schema: it would miss every name that was lost.
    request.action = Some(v1::Action {
        tool: tool.name.clone(),
        tool_description: tool.description.clone(),
        arguments_json: json!({ "values": values }).to_string(),
        ..v1::Action::default()
    });
    request.enforcement_point = format!("{POINT}:mcp");
    if !inside.config.litellm.enforce_mcp {
        request.mode = v1::Mode::Shadow.into();
    }
    let decided = asked.decider.hold(request, caller, &caller.one(asked.deadline)).await;
    decided.iter().for_each(|response| inside.counted(Door::LiteLlm, response));
    settle(vec![Held { tool: tool.name.clone(), decided }])
}

/// Texts that are none of the tool's own, each of which accounts for one.
fn values<'a>(guarded: &'a Guarded, tool: &Tool) -> Vec<&'a str> {
    let mut own = tool.descriptions();
    let is_value = |text: &&str| match own.iter().position(|known| known == text) {
        Some(i) => {
            own.swap_remove(i);
            false
        }
        None => !text.is_empty() && **text != tool.name,
    };
    guarded.texts.iter().map(String::as_str).filter(is_value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn guarded(body: &Value) -> Guarded {
        read::read(body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_scan_leaves_no_values_and_a_call_does() {
        let tool = json!({"function": {"name": "send", "description": "Sends.", "parameters": {"properties": {"to": {"description": "Who"}}}}});
        let texts =
            |texts: &[&str]| guarded(&json!({"input_type": "request", "tools": [tool], "texts": texts}));
        let scan = texts(&["Sends.", "Who"]);
        assert!(values(&scan, &scan.tools[0]).is_empty());
        let call = texts(&["Sends.", "Who", "Who", "eve@evil.example"]);
        assert_eq!(values(&call, &call.tools[0]), ["Who", "eve@evil.example"]);
    }

    #[test]
    fn request_ids_fit_and_stay_apart() {
        let call = |id: &str| ToolCall { id: id.into(), ..ToolCall::default() };
        assert_eq!(request_id("a", &call("c1"), 0), "a/c1");
        assert_eq!(request_id("a", &call(""), 3), "a/3");
        assert_eq!(request_id("", &call("c1"), 0), "c1");
        assert!(request_id(&"x".repeat(400), &call("c"), 0).len() <= 256);
    }
}
