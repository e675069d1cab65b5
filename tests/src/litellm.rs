//! Bodies as LiteLLM sends them.

use serde_json::{Value, json};

/// Every field that LiteLLM sends.
pub fn envelope(side: &str, call: Option<&str>) -> Value {
    json!({
        "input_type": side, "litellm_call_id": call, "litellm_trace_id": null, "texts": [], "images": null,
        "structured_messages": null, "tools": null, "tool_calls": null, "model": "gpt-4o", "litellm_version": "1.109.1",
        "request_data": {"user_api_key_hash": "88dc28d0", "user_api_key_alias": "billing-agent", "user_api_key_user_id": null,
            "user_api_key_user_email": null, "user_api_key_team_id": null, "user_api_key_team_alias": null,
            "user_api_key_end_user_id": "jo", "user_api_key_org_id": null},
        "request_headers": {"host": "litellm.internal", "user-agent": "OpenAI/Python", "authorization": "[present]"},
        "additional_provider_specific_params": {"policy": "default", "mode": "shadow"},
    })
}

/// A tool that is offered to a model.
pub fn tool(name: &str) -> Value {
    let schema = json!({"type": "object", "properties": {"account": {"type": "string", "description": "To whom"}, "amount": {"type": "number"}, "reference": {"type": "string"}}});
    json!({"type": "function", "function": {"name": name, "description": "Sends money to an account.", "parameters": schema}})
}

/// Before a model call.
pub fn asked(call: Option<&str>, text: &str, tools: &[&str]) -> Value {
    let mut body = envelope("request", call);
    body["structured_messages"] =
        json!([{"role": "system", "content": "You help."}, {"role": "user", "content": text}]);
    body["texts"] = json!(["You help.", text]);
    body["tools"] = tools.iter().map(|name| tool(name)).collect();
    body
}

/// Of a payment.
pub fn arguments() -> String {
    json!({"account": "UK12345678901234567890", "amount": 98.7, "reference": "electricity bill"}).to_string()
}

/// A call that a model proposes.
pub fn call_of(tool: &str, arguments: &str) -> Value {
    json!({"id": format!("call_{tool}"), "type": "function", "index": 0, "function": {"name": tool, "arguments": arguments}})
}

/// After a model call.
pub fn proposed(call: Option<&str>, calls: &[Value]) -> Value {
    let mut body = envelope("response", call);
    body["tool_calls"] = calls.into();
    body
}

/// Everything passes.
pub fn none() -> Value {
    json!({"action": "NONE"})
}
