//! The HTTP side and `POST /v1/score`: the same answers as over gRPC, and a status for everything that is none.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::time::Duration;

use futures::future::join_all;
use rhumb_proto::v1::{GetDecisionRequest, Outcome, Verdict};
use rhumb_tests::HttpServer;
use rhumb_tests::http::with_http;
use rhumb_tests::policy::{five_verdicts, policy_file};
use rhumb_tests::samples::{BILL, aligned, drifted, fresh, message, nested, shapes, with_arguments};
use rhumb_tests::server::Server;
use serde_json::{Value, json};

const SCORE: &str = "/v1/score";

#[tokio::test(flavor = "multi_thread")]
async fn every_verdict_is_200_and_says_what_becomes_of_the_action() {
    let (_folder, file) = policy_file(&five_verdicts());
    let http = HttpServer::start(&format!("[server]\npolicy = {file:?}\n")).await;
    for (tool, verdict, outcome) in [
        ("allow_send", "ALLOW", "PASS"),
        ("warn_send", "WARN", "PASS"),
        ("ask_send", "ESCALATE", "STOP"),
        ("deny_send", "DENY", "STOP"),
        ("abstain_send", "ABSTAIN", "STOP"),
    ] {
        let mut request = aligned(tool);
        request["action"]["tool"] = tool.into();
        let answer = http.post(SCORE, &request).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
        assert_eq!(answer.header("cache-control"), "no-store");
        let body = answer.json();
        assert_eq!(
            (&body["verdict"], &body["outcome"]),
            (&json!(verdict), &json!(outcome)),
            "{tool}: {body}"
        );
        assert_eq!(
            (&body["status"], &body["requestId"], &body["mode"]),
            (&json!("SCORED"), &json!(tool), &json!("ENFORCE"))
        );
        assert!(body["drift"].is_number() && body["rules"][0] == tool, "{body}");
    }
    let metrics = http.get("/metrics").await.text();
    for line in [
        "rhumb_http_decisions_total{door=\"score\",verdict=\"DENY\",outcome=\"STOP\"} 1",
        "rhumb_http_requests_total{door=\"score\",status=\"200\"} 5",
        "rhumb_ready 1",
        "rhumb_lane_requests_total{lane=\"enforcement\",result=\"accepted\"}",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_score_is_that_of_grpc_bit_for_bit() {
    let http = HttpServer::start("[engine]\ndecision_cache_mb = 0\n").await;
    let mut client = http.server.client().await;
    for request in shapes() {
        let body = http.post(SCORE, &request).await.json();
        let answer = client.score(message(&request)).await.unwrap().into_inner();
        let number = |key: &str| body[key].as_f64().map(f64::to_bits);
        assert_eq!(number("drift"), answer.drift.map(f64::to_bits), "{request}");
        assert_eq!(number("similarity"), answer.similarity.map(f64::to_bits), "{request}");
        assert_eq!(body["verdict"], answer.verdict().as_str_name());
    }
    let batch = json!({"requests": shapes()});
    let answers = http.post("/v1/score:batch", &batch).await.json();
    let one = http.post(SCORE, &shapes()[1]).await.json();
    assert_eq!(answers["responses"].as_array().unwrap().len(), shapes().len());
    assert_eq!(answers["responses"][1]["drift"], one["drift"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_recorded_and_a_registered_intent_is_found_by_its_header() {
    let folder = tempfile::tempdir().unwrap();
    let http = HttpServer::start(&format!("[ledger]\npath = {:?}\n", folder.path().join("ledger"))).await;
    let registered =
        http.post("/v1/intents", &json!({"intent": {"text": BILL, "principal": "user:jo"}})).await;
    assert_eq!(registered.status, 200, "{}", registered.text());
    let token = registered.json()["token"].as_str().unwrap().to_owned();
    let mut request = aligned("with-token");
    request.as_object_mut().unwrap().remove("intent");
    for header in ["txn-token", "rhumb-intent"] {
        let answer = http.post_with(SCORE, &[(header, &token)], request.to_string().as_bytes()).await.json();
        assert_eq!(
            (&answer["provenance"], &answer["status"]),
            (&json!("SIGNED"), &json!("SCORED")),
            "{answer}"
        );
        let id = answer["decisionId"].as_str().unwrap().to_owned();
        let wanted = GetDecisionRequest { decision_id: id.clone(), ..GetDecisionRequest::default() };
        let recorded = http.server.ledger().await.get_decision(wanted).await.unwrap().into_inner();
        assert_eq!(recorded.response.unwrap().decision_id, id);
    }
    let (headers, body) =
        ([("txn-token", token.as_str()), ("txn-token", token.as_str())], request.to_string());
    let twice = http.post_with(SCORE, &headers, body.as_bytes()).await;
    assert_eq!(twice.json()["reasonCode"], "intent_malformed");
    let none = http.post(SCORE, &request).await.json();
    assert_eq!((&none["status"], &none["verdict"]), (&json!("NO_ANCHOR"), &json!("ABSTAIN")));
}

async fn refused(http: &HttpServer, body: &[u8]) -> (u16, String, String) {
    let answer = http.post_with(SCORE, &[], body).await;
    let error = answer.json()["error"].clone();
    assert!(answer.json().get("verdict").is_none());
    let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
    (answer.status, text("field"), text("message"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_400_and_names_the_field() {
    let http = HttpServer::start("").await;
    let misspelt = br#"{"action":{"tool":"t","argumets":{}}}"#;
    let (status, field, message) = refused(&http, misspelt).await;
    assert_eq!((status, field.as_str()), (400, "action.argumets"), "{message}");
    let (status, _, message) = refused(&http, br#"{"requestId":"a","requestId":"b"}"#).await;
    assert!(status == 400 && message.contains("duplicate key `requestId`"), "{message}");
    let (status, _, message) = refused(&http, b"{\"requestId\":\"\xff\"}").await;
    assert!(status == 400 && message.contains("UTF-8"), "{message}");
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(refused(&http, deep.as_bytes()).await.0, 400);
    assert_eq!(refused(&http, with_arguments("d", nested(33)).to_string().as_bytes()).await.0, 400);
    for body in [b"".as_slice(), b"{", b"[]", b"null", b"{}{}"] {
        assert_eq!(refused(&http, body).await.0, 400, "{body:?}");
    }
    let (status, field, _) = refused(&http, b"{}").await;
    assert_eq!((status, field.as_str()), (400, "action"));
    let lane = http.post_with(SCORE, &[("rhumb-lane", "urgent")], aligned("1").to_string().as_bytes()).await;
    assert_eq!((lane.status, &lane.json()["error"]["field"]), (400, &json!("rhumb-lane")));
    assert_eq!(http.post(SCORE, &with_arguments("32", nested(32))).await.status, 200);
}

/// JSON of exactly so many bytes.
fn of_length(bytes: usize) -> Vec<u8> {
    let mut body = aligned("long").to_string().into_bytes();
    body.resize(bytes, b' ');
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn four_mebibytes_are_taken_and_one_byte_more_is_not() {
    const MOST: usize = 4 * 1024 * 1024;
    let http = HttpServer::start("").await;
    assert_eq!(http.post_with(SCORE, &[], &of_length(MOST)).await.status, 200);
    for path in [SCORE, "/v1/hooks/claude-code", "/beta/litellm_basic_guardrail_api", "/v1/score:batch"] {
        let answer = http.post_with(path, &[], &of_length(MOST + 1)).await;
        assert_eq!(
            (answer.status, &answer.json()["error"]["code"]),
            (413, &json!("body_too_long")),
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_types_methods_and_paths_have_their_statuses() {
    let http = HttpServer::start("").await;
    let body = aligned("1").to_string();
    for (header, value) in [
        ("content-type", "text/plain"),
        ("content-type", "application/json; charset=latin1"),
        ("content-encoding", "gzip"),
    ] {
        assert_eq!(http.post_with(SCORE, &[(header, value)], body.as_bytes()).await.status, 415, "{value}");
    }
    assert_eq!(http.get(SCORE).await.status, 405);
    let lost = http.get("/nowhere").await;
    assert_eq!((lost.status, &lost.json()["error"]["code"]), (404, &json!("not_found")));
    assert_eq!(http.get("/healthz").await.status, 200);
    assert_eq!(http.get("/readyz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_passed_is_504_and_a_full_queue_429() {
    let late = HttpServer::start("[http]\ndeadline_ms = 1\n").await;
    let answer = late.post(SCORE, &fresh("late", "the clock")).await;
    assert_eq!(
        (answer.status, &answer.json()["error"]["code"]),
        (504, &json!("scorer_timeout")),
        "{}",
        answer.text()
    );

    let full = HttpServer::start("[engine]\nqueue = 1\ntenant_share = 1.0\n").await;
    let calls = (0..40).map(|i| {
        let (full, request) = (&full, fresh(&format!("f{i}"), "a queue"));
        async move { full.post(SCORE, &request).await }
    });
    let answers = join_all(calls).await;
    let refused: Vec<_> = answers.iter().filter(|a| a.status != 200).collect();
    assert!(!refused.is_empty() && refused.len() < 40, "{} refused", refused.len());
    for answer in refused {
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (429, &json!("scorer_overloaded")));
        assert!(answer.header("retry-after").parse::<u32>().unwrap() >= 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_model_loads_everything_is_503_but_the_process_is_alive() {
    let (config, address) = with_http("");
    let mut http = HttpServer { server: Server::spawn(&config), address };
    let mut seen = 0;
    loop {
        assert!(http.server.is_running(), "{}", http.server.stderr());
        if tokio::net::TcpStream::connect(address).await.is_err() {
            continue;
        }
        assert_eq!(http.get("/healthz").await.status, 200);
        let ready = http.get("/readyz").await;
        let answer = http.post(SCORE, &aligned("early")).await;
        if ready.status == 200 {
            assert_eq!(answer.status, 200);
            break;
        }
        seen += 1;
        // Loading may end between the two calls.
        if answer.status != 200 {
            assert_eq!((answer.status, &answer.json()["error"]["code"]), (503, &json!("scorer_unavailable")));
            assert!(!answer.header("retry-after").is_empty());
        }
    }
    assert!(seen > 0, "the port opens before the model is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_calls_finish_and_closes_what_is_idle() {
    let mut http = HttpServer::start("[server]\ndrain_ms = 60000\n[http]\ndeadline_ms = 60000\n").await;
    let mut idle = http.connect().await;
    assert_eq!(idle.post(SCORE, &[], aligned("1").to_string().as_bytes()).await.status, 200);
    let requests: Vec<Value> = (0..1000).map(|i| fresh(&format!("d{i}"), "a drain")).collect();
    let (mut busy, batch) = (http.connect().await, json!({"requests": requests}).to_string());
    let running = tokio::spawn(async move { busy.post("/v1/score:batch", &[], batch.as_bytes()).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!running.is_finished(), "the batch was too quick for this test");
    http.server.terminate();
    assert!(idle.answer().await.is_none(), "an idle connection is closed at once");
    let answer = running.await.unwrap();
    let responses = answer.json()["responses"].clone();
    assert_eq!((answer.status, responses.as_array().unwrap().len()), (200, 1000));
    assert!(responses.as_array().unwrap().iter().all(|r| r["status"] == "SCORED"));
    assert_eq!(http.server.wait().code(), Some(0), "{}", http.server.stderr());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_slowly_is_not_waited_for() {
    let http = HttpServer::start("[http]\nidle_ms = 300\nread_ms = 300\nconnections = 4\n").await;
    // The head of a request that never ends, on every connection that there may be.
    let mut slow = Vec::new();
    for _ in 0..4 {
        let mut connection = http.connect().await;
        connection.write(b"POST /v1/score HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap();
        slow.push(connection);
    }
    assert_eq!(http.post(SCORE, &aligned("after")).await.status, 200, "they make room in time");
    let mut body = http.connect().await;
    let head = "POST /v1/score HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    body.write(head.as_bytes()).await.unwrap();
    let answer = body.answer().await.unwrap();
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (408, &json!("body_too_slow")));
    let mut idle = http.connect().await;
    assert_eq!(idle.post(SCORE, &[], aligned("1").to_string().as_bytes()).await.status, 200);
    let closed = tokio::time::timeout(Duration::from_secs(10), idle.answer()).await;
    assert!(closed.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_at_concurrency_32_all_have_an_answer() {
    let http =
        HttpServer::start("[server]\ndefault_deadline_ms = 60000\n[http]\ndeadline_ms = 60000\n").await;
    let workers = (0..32).map(|worker| {
        let http = &http;
        async move {
            let mut connection = http.connect().await;
            for i in (worker..1000).step_by(32) {
                // A tenth is new to the engine; the rest it knows.
                let request =
                    if i % 10 == 0 { fresh(&format!("n{i}"), "a crowd") } else { drifted(&format!("n{i}")) };
                let answer = connection.post(SCORE, &[], request.to_string().as_bytes()).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
                assert_eq!(answer.json()["requestId"], format!("n{i}"));
            }
        }
    });
    join_all(workers).await;
    let metrics = http.get("/metrics").await.text();
    assert!(metrics.contains("rhumb_http_requests_total{door=\"score\",status=\"200\"} 1000"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_section_there_is_no_http_side() {
    let (_, address) = with_http("");
    let server = Server::start("").await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    let answer = server.client().await.score(message(&aligned("1"))).await.unwrap().into_inner();
    assert_eq!((answer.verdict(), answer.outcome()), (Verdict::Allow, Outcome::Pass));
}
