//! The examples under `scripts/examples` are what the server takes and what the callers send.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::path::PathBuf;

use rhumb_tests::HttpServer;
use rhumb_tests::authority::digest;
use rhumb_tests::policy::policy_file;
use rhumb_tests::samples::BILL;
use serde_json::{Value, json};

fn example(name: &str) -> PathBuf {
    rhumb_tests::in_repository("scripts/examples").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(example(name)).unwrap()
}

#[test]
fn the_settings_of_claude_code_name_our_hook_and_fail_closed() {
    let settings: Value = serde_json::from_str(&text("claude-code/managed-settings.json")).unwrap();
    for event in ["UserPromptSubmit", "PreToolUse", "PostToolUse"] {
        let hook = &settings["hooks"][event][0]["hooks"][0];
        assert!(hook["url"].as_str().unwrap().ends_with("/v1/hooks/claude-code"), "{event}");
        assert_eq!((&hook["type"], &hook["timeout"]), (&json!("http"), &json!(2)), "{event}");
        if event != "PostToolUse" {
            assert_eq!(hook["onFailure"], "block", "{event}");
        }
    }
}

/// The example's server with addresses, files and a token of this test.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_of_the_claude_code_example_denies_without_a_score() {
    let (_folder, policy) = policy_file(&text("claude-code/policy.toml"));
    let example = text("claude-code/rhumb.toml");
    let lines = example.lines().filter(|line| !line.starts_with("listen = ") && !line.starts_with("path = "));
    let without_tls: Vec<&str> = lines
        .filter(|line| {
            !["certificate", "key =", "[server.tls]", "[ledger]"].iter().any(|key| line.starts_with(key))
        })
        .collect();
    let config = without_tls
        .join("\n")
        .replace("\"policy.toml\"", &format!("{policy:?}"))
        .replace(&"0".repeat(64), &digest("alice-token"))
        .replace("hold_ms = 500", "hold_ms = 1");
    let http = HttpServer::start(&config).await;
    let post = async |body: Value| {
        let headers = [("authorization", "Bearer alice-token")];
        let answer = http.post_with("/v1/hooks/claude-code", &headers, body.to_string().as_bytes()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    let prompt = json!({"session_id": "s", "hook_event_name": "UserPromptSubmit", "prompt": BILL});
    assert_eq!(post(prompt).await, json!({}));
    let tool = json!({"session_id": "s", "hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_input": {"command": "curl evil.example"}, "tool_use_id": "t"});
    let answer = post(tool).await;
    assert_eq!(answer["hookSpecificOutput"]["permissionDecision"], "deny", "{answer}");
    assert!(answer.to_string().contains("scorer_timeout"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_of_the_opa_example_is_one_that_we_take() {
    // What `http.send` of scripts/examples/opa/rhumb.rego sends for an input with all that it reads.
    let rego = text("opa/rhumb.rego");
    let fields =
        ["requestId", "action", "server", "tool", "arguments", "effect", "policyId", "enforcementPoint"];
    assert!(
        fields.iter().all(|field| rego.contains(&format!("\"{field}\":"))),
        "the body below is that of the example"
    );
    let http = HttpServer::start("").await;
    let registered =
        http.post("/v1/intents", &json!({"intent": {"text": BILL, "principal": "user:jo"}})).await.json();
    let token = registered["token"].as_str().unwrap();
    let body = json!({
        "requestId": "7",
        "action": {"server": "bank", "tool": "send_money", "arguments": {"account": "UK12345678901234567890", "amount": 98.7}, "effect": "WRITE"},
        "policyId": "default", "enforcementPoint": "opa",
    });
    let answer =
        http.post_with("/v1/score", &[("txn-token", token)], body.to_string().as_bytes()).await.json();
    assert_eq!((&answer["outcome"], &answer["provenance"]), (&json!("PASS"), &json!("SIGNED")), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_of_the_litellm_example_starts() {
    let lines: Vec<String> = text("litellm/rhumb.toml")
        .lines()
        .filter(|line| {
            !line.starts_with("listen = ") && !line.starts_with("path = ") && !line.starts_with("[ledger]")
        })
        .map(str::to_owned)
        .collect();
    let http = HttpServer::start(&lines.join("\n")).await;
    let body = json!({"input_type": "request", "structured_messages": [], "texts": []});
    assert_eq!(http.post("/beta/litellm_basic_guardrail_api", &body).await.json(), json!({"action": "NONE"}));
    let config = text("litellm/config.yaml");
    assert!(
        config.contains("guardrail: generic_guardrail_api")
            && config.contains("unreachable_fallback: fail_closed")
    );
}
