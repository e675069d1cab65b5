//! LiteLLM's generic guardrail over the wire: the bodies are those that its source writes.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use futures::future::join_all;
use rhumb_proto::v1::GetDecisionRequest;
use rhumb_tests::HttpServer;
use rhumb_tests::litellm::{arguments, asked, call_of, envelope, none, proposed, tool};
use rhumb_tests::policy::{five_verdicts, policy_file};
use rhumb_tests::samples::{BILL, fresh};
use serde_json::json;

const PATH: &str = "/beta/litellm_basic_guardrail_api";

#[tokio::test(flavor = "multi_thread")]
async fn every_verdict_passes_or_blocks_and_nothing_else_is_changed() {
    let (_folder, file) = policy_file(&five_verdicts());
    let ledger = tempfile::tempdir().unwrap();
    let config = format!(
        "[server]\npolicy = {file:?}\nhold_ms = 10000\n[ledger]\npath = {:?}\n",
        ledger.path().join("l")
    );
    let http = HttpServer::start(&config).await;
    let tools = ["allow_send", "warn_send", "ask_send", "deny_send", "abstain_send"];
    for (i, (name, blocked)) in tools.into_iter().zip([false, false, true, true, true]).enumerate() {
        let id = format!("call-{i}");
        assert_eq!(http.post(PATH, &asked(Some(&id), BILL, &tools)).await.json(), none());
        let answer = http.post(PATH, &proposed(Some(&id), &[call_of(name, &arguments())])).await;
        assert_eq!(answer.status, 200);
        let body = answer.json();
        if !blocked {
            assert_eq!(body, none(), "{name}");
            continue;
        }
        assert_eq!(body["action"], "BLOCKED", "{name}: {body}");
        assert_eq!(body.as_object().unwrap().len(), 2, "{body}");
        let reason = body["blocked_reason"].as_str().unwrap();
        let decision = reason.rsplit(' ').next().unwrap().to_owned();
        let code = if name == "ask_send" { "human_needed" } else { "intent_drift" };
        assert!(reason.contains(name) && reason.contains(code), "{reason}");
        let wanted = GetDecisionRequest { decision_id: decision, ..GetDecisionRequest::default() };
        let recorded = http.server.ledger().await.get_decision(wanted).await.unwrap().into_inner();
        let request = recorded.request.unwrap();
        assert_eq!(
            (request.enforcement_point.as_str(), request.request_id.as_str()),
            ("litellm", format!("{id}/call_{name}").as_str())
        );
        assert_eq!(request.intent.unwrap().principal, "jo");
        assert_eq!(request.action.unwrap().tool_description, "Sends money to an account.");
    }
    // One call that is stopped stops the answer, whatever stands beside it.
    http.post(PATH, &asked(Some("both"), BILL, &tools)).await;
    let both = [call_of("allow_send", &arguments()), call_of("deny_send", &arguments())];
    assert_eq!(http.post(PATH, &proposed(Some("both"), &both)).await.json()["action"], "BLOCKED");
    assert_eq!(http.post(PATH, &proposed(Some("both"), &both[..1])).await.json(), none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_without_its_request_has_no_anchor_and_the_policy_decides() {
    let ledger = tempfile::tempdir().unwrap();
    let http = HttpServer::start(&format!("[ledger]\npath = {:?}\n", ledger.path().join("l"))).await;
    let answer =
        http.post(PATH, &proposed(Some("lost"), &[call_of("send_money", &arguments())])).await.json();
    assert_eq!(answer["action"], "BLOCKED");
    assert!(answer["blocked_reason"].as_str().unwrap().contains("intent_missing"), "{answer}");
    let other_tenant = asked(Some("mine"), BILL, &["send_money"]).to_string();
    http.post_with(PATH, &[("rhumb-tenant", "green")], other_tenant.as_bytes()).await;
    let answer =
        http.post(PATH, &proposed(Some("mine"), &[call_of("send_money", &arguments())])).await.json();
    assert!(answer["blocked_reason"].as_str().unwrap().contains("intent_missing"), "{answer}");

    let (_folder, file) = policy_file("[defaults]\non_abstain = \"pass\"\n");
    let lenient = HttpServer::start(&format!("[server]\npolicy = {file:?}\n")).await;
    let answer = lenient.post(PATH, &proposed(Some("lost"), &[call_of("send_money", &arguments())])).await;
    assert_eq!(answer.json(), none());
    for quiet in [proposed(Some("lost"), &[]), envelope("response", None), envelope("request", None)] {
        assert_eq!(http.post(PATH, &quiet).await.json(), none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_is_present_is_no_token_and_one_that_is_shown_is_the_intent() {
    let ledger = tempfile::tempdir().unwrap();
    let http = HttpServer::start(&format!(
        "[server]\nhold_ms = 10000\n[ledger]\npath = {:?}\n",
        ledger.path().join("l")
    ))
    .await;
    let registered =
        http.post("/v1/intents", &json!({"intent": {"text": BILL, "principal": "user:jo"}})).await.json();
    let token = registered["token"].as_str().unwrap();

    let mut hidden = asked(Some("hidden"), BILL, &["send_money"]);
    hidden["request_headers"]["txn-token"] = "[present]".into();
    assert_eq!(http.post(PATH, &hidden).await.json(), none());
    let mut answer = proposed(Some("hidden"), &[call_of("send_money", &arguments())]);
    answer["request_headers"]["Txn-Token"] = "[present]".into();
    assert_eq!(http.post(PATH, &answer).await.json(), none(), "the text counts");
    assert_eq!(provenance(&http, "hidden/call_send_money").await, ("UNVERIFIED".into(), "SCORED".into()));

    // Another text beside it: what was signed counts, and what the client says now does not.
    let mut shown = asked(Some("shown"), "Invite Mallory to everything", &["send_money"]);
    shown["request_headers"]["Rhumb-Intent"] = token.into();
    http.post(PATH, &shown).await;
    let answer = http.post(PATH, &proposed(Some("shown"), &[call_of("send_money", &arguments())])).await;
    assert_eq!(answer.json(), none());
    assert_eq!(provenance(&http, "shown/call_send_money").await, ("SIGNED".into(), "SCORED".into()));

    let mut broken = asked(Some("broken"), BILL, &["send_money"]);
    broken["request_headers"]["rhumb-intent"] = format!("{token}x").into();
    http.post(PATH, &broken).await;
    let answer =
        http.post(PATH, &proposed(Some("broken"), &[call_of("send_money", &arguments())])).await.json();
    assert_eq!(answer["action"], "BLOCKED", "a broken token makes no room for a text: {answer}");
}

async fn provenance(http: &HttpServer, request_id: &str) -> (String, String) {
    let wanted = GetDecisionRequest { request_id: request_id.into(), ..GetDecisionRequest::default() };
    let recorded = http.server.ledger().await.get_decision(wanted).await.unwrap().into_inner();
    let response = recorded.response.unwrap();
    (response.provenance().as_str_name().into(), response.status().as_str_name().into())
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_arguments_are_an_action_that_cannot_be_read() {
    let http = HttpServer::start("").await;
    http.post(PATH, &asked(Some("m"), BILL, &["send_money"])).await;
    for arguments in ["{\"account\": \"UK12", "[1]", "\"x\"", "{\"to\":\"a\",\"to\":\"b\"}", "{} {}"] {
        let answer = http.post(PATH, &proposed(Some("m"), &[call_of("send_money", arguments)])).await.json();
        assert_eq!(answer["action"], "BLOCKED", "{arguments}");
        assert!(answer["blocked_reason"].as_str().unwrap().contains("action_unparsable"), "{answer}");
    }
    let nameless = json!({"id": "x", "type": "function", "function": {"arguments": "{}"}});
    for call in [nameless, json!({}), json!(null), json!("x")] {
        let answer = http.post(PATH, &proposed(Some("m"), std::slice::from_ref(&call))).await.json();
        assert_eq!(answer["action"], "BLOCKED", "{call}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_response_again_has_the_same_answer_and_is_one_action() {
    let ledger = tempfile::tempdir().unwrap();
    let http = HttpServer::start(&format!(
        "[server]\nhold_ms = 10000\n[ledger]\npath = {:?}\n",
        ledger.path().join("l")
    ))
    .await;
    http.post(PATH, &asked(Some("again"), "What is the weather in Lisbon?", &["send_money"])).await;
    let body = proposed(Some("again"), &[call_of("send_money", &arguments())]);
    let answers = join_all((0..16).map(|_| http.post(PATH, &body))).await;
    let first = answers[0].json();
    assert!(first["action"] == "BLOCKED", "{first}");
    assert!(answers.iter().all(|answer| answer.json() == first));
    assert_eq!(http.post(PATH, &body).await.json(), first);
    let metrics = http.get("/metrics").await.text();
    let decided: u32 = metrics
        .lines()
        .filter(|l| l.starts_with("rhumb_http_decisions_total{door=\"litellm\""))
        .map(|l| l.rsplit(' ').next().unwrap().parse::<u32>().unwrap())
        .sum();
    assert_eq!(decided, 1, "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_at_once_keep_their_own_intents() {
    let http = HttpServer::start("[server]\nhold_ms = 30000\n").await;
    let calls = (0..24).map(|i| {
        let (http, id) = (&http, format!("p{i}"));
        async move {
            let text = if i % 2 == 0 { BILL } else { "What is the weather in Lisbon?" };
            http.post(PATH, &asked(Some(&id), text, &["send_money"])).await;
            let answer = http.post(PATH, &proposed(Some(&id), &[call_of("send_money", &arguments())])).await;
            assert_eq!(answer.json()["action"], if i % 2 == 0 { "NONE" } else { "BLOCKED" }, "{i}");
        }
    });
    join_all(calls).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_message_counts_or_the_latest_as_configured() {
    for (which, action) in [("first", "NONE"), ("latest", "BLOCKED")] {
        let http = HttpServer::start(&format!(
            "[server]\nhold_ms = 10000\n[http]\n[http.litellm]\nintent = \"{which}\"\n"
        ))
        .await;
        let mut body = asked(Some("turns"), BILL, &["send_money"]);
        let later = json!({"role": "user", "content": [{"type": "text", "text": "Now tell me the weather in Lisbon"}]});
        body["structured_messages"].as_array_mut().unwrap().push(later);
        http.post(PATH, &body).await;
        let answer = http.post(PATH, &proposed(Some("turns"), &[call_of("send_money", &arguments())])).await;
        assert_eq!(answer.json()["action"], action, "{which}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_mcp_call_without_its_names_is_recorded_and_stops_nothing_unless_the_operator_says_so() {
    let body = |texts: &[&str]| {
        let mut body = envelope("request", Some("mcp"));
        body["tools"] = json!([tool("send_money")]);
        body["texts"] = texts.into();
        body["litellm_trace_id"] = "conversation".into();
        body
    };
    let own = ["Sends money to an account.", "To whom"];
    let call = [own.as_slice(), &["DE00 0000", "Mallory"]].concat();
    for (enforce, action) in [(false, "NONE"), (true, "BLOCKED")] {
        let ledger = tempfile::tempdir().unwrap();
        let http = HttpServer::start(&format!(
            "[server]\nhold_ms = 10000\n[http]\n[http.litellm]\nenforce_mcp = {enforce}\n[ledger]\npath = {:?}\n",
            ledger.path().join("l")
        ))
        .await;
        let mut earlier = asked(Some("model-call"), "What is the weather in Lisbon?", &["send_money"]);
        earlier["litellm_trace_id"] = "conversation".into();
        http.post(PATH, &earlier).await;
        assert_eq!(http.post(PATH, &body(&own)).await.json(), none(), "a scan");
        assert_eq!(http.post(PATH, &body(&call)).await.json()["action"], action);
        let metrics = http.get("/metrics").await.text();
        assert!(metrics.contains("rhumb_http_decisions_total{door=\"litellm\""), "{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_of_the_client_are_believed_only_where_the_operator_says_so() {
    for (trust, action) in [(false, "BLOCKED"), (true, "NONE")] {
        let http = HttpServer::start(&format!(
            "[server]\nhold_ms = 10000\n[http]\n[http.litellm]\ntrust_params = {trust}\n"
        ))
        .await;
        http.post(PATH, &asked(Some("p"), "What is the weather in Lisbon?", &["send_money"])).await;
        let answer = http.post(PATH, &proposed(Some("p"), &[call_of("send_money", &arguments())])).await;
        assert_eq!(answer.json()["action"], action, "mode shadow is in the parameters");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_502_503_or_504_and_never_a_pass() {
    let late = HttpServer::start("[server]\nhold_ms = 1\n").await;
    late.post(PATH, &asked(Some("late"), BILL, &["send_money"])).await;
    let answer = late.post(PATH, &proposed(Some("late"), &[call_of("send_money", &arguments())])).await;
    assert_eq!(
        (answer.status, &answer.json()["error"]["code"]),
        (504, &json!("scorer_timeout")),
        "{}",
        answer.text()
    );
    assert!(answer.json().get("action").is_none());

    let (_folder, file) = policy_file("[defaults]\non_missing = \"closed\"\n");
    let closed = HttpServer::start(&format!("[server]\nhold_ms = 1\npolicy = {file:?}\n")).await;
    closed.post(PATH, &asked(Some("late"), BILL, &["send_money"])).await;
    let answer = closed.post(PATH, &proposed(Some("late"), &[call_of("send_money", &arguments())])).await;
    assert_eq!(
        (answer.status, &answer.json()["action"]),
        (200, &json!("BLOCKED")),
        "the policy says so: {}",
        answer.text()
    );

    let full =
        HttpServer::start("[server]\nhold_ms = 20000\n[engine]\nqueue = 1\ntenant_share = 1.0\n").await;
    let calls = (0..40).map(|i| {
        let (full, id) = (&full, format!("f{i}"));
        async move {
            let text = fresh(&id, "a queue")["intent"]["text"].as_str().unwrap().to_owned();
            full.post(PATH, &asked(Some(&id), &text, &["order"])).await;
            full.post(
                PATH,
                &proposed(Some(&id), &[call_of("order", &json!({"item": format!("cake {id}")}).to_string())]),
            )
            .await
        }
    });
    let answers = join_all(calls).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert!(!refused.is_empty());
    for answer in refused {
        assert_eq!(
            (answer.status, &answer.json()["error"]["code"]),
            (503, &json!("scorer_overloaded")),
            "{}",
            answer.text()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_cannot_be_read_are_400_and_the_base_is_configured() {
    let http = HttpServer::start("[http]\n[http.litellm]\nbase = \"/guard/v2\"\n").await;
    let path = format!("/guard/v2{PATH}");
    assert_eq!(http.post(PATH, &envelope("request", None)).await.status, 404);
    assert_eq!(http.post(&path, &envelope("request", None)).await.json(), none());
    let deep =
        format!("{{\"input_type\":\"request\",\"tools\":{}1{}}}", "[".repeat(50_000), "]".repeat(50_000));
    let bad: [&[u8]; 5] = [
        deep.as_bytes(),
        b"{\"input_type\":\"request\",\"input_type\":\"request\"}",
        b"{\"input_type\":\"\xff\"}",
        b"[]",
        b"{}",
    ];
    for body in bad {
        let answer = http.post_with(&path, &[], body).await;
        assert!(
            answer.status == 400 && answer.json()["error"]["code"] == "invalid_argument",
            "{}",
            answer.text()
        );
    }
}
