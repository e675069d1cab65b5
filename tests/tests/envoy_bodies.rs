//! Bodies that another parser might read otherwise, and requests that are no actions, through a real Envoy.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::BodyExt as _;
use hyper::Request;
use rhumb_proto::v1::{GetStatsRequest, Status};
use rhumb_tests::envoy::tools::{EVENTS, PAUSE};
use rhumb_tests::envoy::{Change, Reply, Site, get, invite, pay, post};
use serde_json::json;

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// The recorded status and reason of a refusal, and that nothing reached the server.
async fn refused(site: &Site, reply: &Reply) -> (Status, String) {
    assert_eq!(reply.status, 403, "{reply:?}");
    assert!(site.tools.take().is_empty(), "{reply:?}");
    let response = site.decision(reply).await.response.unwrap();
    assert_eq!(reply.json()["error"]["data"]["reasonCode"], json!(response.reason_code));
    (response.status(), response.reason_code)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_in_one_way_alone_is_not_let_through() {
    let site = Site::open().await;
    let call = pay(1).to_string();
    let bodies = [
        call[..call.len() - 1].to_owned(),
        format!("{call}{{}}"),
        call.replace(r#""id":1"#, r#""id":1,"id":2"#),
        call.replace(r#""method":"tools/call""#, r#""method":"ping","method":"tools/call""#),
        call.replace(r#""method":"tools/call""#, r#""method":"tools/call","Method":"ping""#),
        call.replace("tools/call", "Tools/Call"),
        call.replace(r#""arguments":{"#, r#""arguments":{"amount":1,"#),
        call.replace(r#""jsonrpc":"2.0""#, r#""jsonrpc":"1.0""#),
        "[]".to_owned(),
        "{\"a\":".repeat(100),
        "\u{feff}".to_owned() + &call,
        "not json".to_owned(),
    ];
    for body in bodies {
        let (status, reason) = refused(&site, &site.mcp(&body).await).await;
        assert_eq!((status, reason.as_str()), (Status::Unparsable, "action_unparsable"), "{body}");
    }
    let token = site.token().await;
    let other = [("txn-token", token.as_str()), ("mcp-name", "get_balance")];
    let reply = site.envoy.send(post("/mcp", &other, call)).await;
    assert_eq!(refused(&site, &reply).await, (Status::Unparsable, "header_body_mismatch".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_body_is_scored_by_what_is_in_it_or_refused() {
    let site = Site::open().await;
    let send = async |encoding: &str, body: Vec<u8>| {
        let token = site.token().await;
        let headers = [("txn-token", token.as_str()), ("content-encoding", encoding)];
        site.envoy.send(post("/mcp", &headers, body)).await
    };
    let aligned = send("gzip", gzip(&pay(1).to_string())).await;
    assert_eq!((aligned.status, site.tools.one().all("x-rhumb-verdict")), (200, vec!["ALLOW"]));
    let drifted = send("gzip", gzip(&invite(1).to_string())).await;
    assert_eq!(refused(&site, &drifted).await, (Status::Scored, "intent_drift".to_owned()));
    let whole = gzip(&pay(1).to_string());
    let bomb = gzip(&" ".repeat(64 << 20));
    let broken = [
        ("gzip", whole[..whole.len() - 9].to_vec()),
        ("gzip", pay(1).to_string().into_bytes()),
        ("gzip", bomb),
        ("br", whole.clone()),
        ("br", pay(1).to_string().into_bytes()),
        ("gzip, gzip", gzip("{}")),
        ("identity", whole),
    ];
    for (encoding, body) in broken {
        let reply = send(encoding, body).await;
        assert_eq!(refused(&site, &reply).await.0, Status::Unparsable, "{encoding}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_body_is_not_scored_as_if_it_were_whole() {
    // Envoy hands on what fits, and lets the rest follow.
    let partial = [(
        "{max_request_bytes: 1048576, allow_partial_message: false,",
        "{max_request_bytes: 1024, allow_partial_message: true,",
    )];
    let site = Site::with(Change { envoy: &partial, ..Change::default() }).await;
    assert_eq!((site.mcp(pay(1)).await.status, site.tools.take().len()), (200, 1), "what fits is whole");
    // Whole JSON within the limit, and another action behind it.
    let hidden = format!("{}{}{}", pay(1), " ".repeat(1100), invite(2));
    let mut long = pay(1);
    long["params"]["arguments"]["note"] = json!("x".repeat(4000));
    for body in [hidden, long.to_string()] {
        for chunked in [false, true] {
            let token = site.token().await;
            let mut headers = vec![("txn-token", token.as_str())];
            headers.extend(chunked.then_some(("transfer-encoding", "chunked")));
            let reply = site.envoy.send(post("/mcp", &headers, body.clone())).await;
            let (status, reason) = refused(&site, &reply).await;
            assert_eq!((status, reason.as_str()), (Status::Truncated, "action_truncated"), "{chunked}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_above_the_limit_never_passes_unasked() {
    let open = [("failure_mode_allow: false", "failure_mode_allow: true")];
    let site = Site::with(Change { envoy: &open, ..Change::default() }).await;
    let mut long = pay(1);
    long["params"]["arguments"]["note"] = json!("x".repeat(2 << 20));
    assert_eq!((site.mcp(long).await.status, site.tools.take().len()), (413, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn either_form_of_headers_and_bodies_is_read() {
    let raw = ["pack_as_bytes: false}\n              encode_raw_headers: true"];
    let edits = [("pack_as_bytes: true}", raw[0])];
    let site = Site::with(Change { envoy: &edits, ..Change::default() }).await;
    assert_eq!(
        (site.mcp(pay(1)).await.status, site.tools.one().all("x-rhumb-verdict")),
        (200, vec!["ALLOW"])
    );
    assert_eq!(refused(&site, &site.mcp(invite(1)).await).await.1, "intent_drift");
    let token = site.token().await;
    let twice =
        [("rhumb-intent", token.as_str()), ("rhumb-intent", token.as_str()), ("x-rhumb-made-up", "mine")];
    let reply = site.envoy.send(post("/mcp", &twice, pay(1).to_string())).await;
    assert_eq!(refused(&site, &reply).await.1, "intent_malformed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_act_passes_unscored_and_without_our_headers() {
    let site = Site::open().await;
    let with = |method: &str, headers: &[(&str, &str)]| {
        let request = Request::builder().method(method).uri("/mcp");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(Default::default()).unwrap()
    };
    let rpc = |body: serde_json::Value| post("/mcp", &[("x-rhumb-verdict", "ALLOW")], body.to_string());
    let requests = [
        rpc(json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}})),
        rpc(json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"})),
        rpc(json!({"jsonrpc": "2.0", "method": "notifications/initialized"})),
        rpc(json!({"jsonrpc": "2.0", "id": 3, "result": {}})),
        with("DELETE", &[("mcp-session-id", "s"), ("x-rhumb-verdict", "ALLOW")]),
        with("OPTIONS", &[("x-rhumb-verdict", "ALLOW")]),
        with("HEAD", &[("x-rhumb-verdict", "ALLOW")]),
        with("GET", &[("x-rhumb-verdict", "ALLOW")]),
    ];
    for request in requests {
        let what = format!("{request:?}");
        let reply = site.envoy.send(request).await;
        assert!(reply.status < 300, "{what}: {reply:?}");
        assert_eq!(reply.header("x-rhumb-decision"), "", "{what}");
        assert!(site.tools.one().all("x-rhumb-verdict").is_empty(), "{what}");
    }
    let stats = site.server.client().await.get_stats(GetStatsRequest {}).await.unwrap().into_inner();
    let counted: BTreeMap<_, _> = stats.passed_unscored.into_iter().collect();
    let kinds = [
        ("client_response", 1),
        ("empty_body", 1),
        ("head", 1),
        ("mcp_method", 2),
        ("notification", 1),
        ("options", 1),
        ("session_end", 1),
    ];
    assert_eq!(counted, kinds.map(|(kind, n)| (format!("envoy.{kind}"), n)).into());
    let healthy = site.envoy.send(get("/healthz", &[])).await;
    assert_eq!((healthy.status, site.envoy.counted("ok").await), (200, 8), "and of that nobody is asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_arrive_one_by_one() {
    let site = Site::open().await;
    let mut agent = site.envoy.agent().await;
    let began = Instant::now();
    let response = agent.open(get("/mcp", &[("accept", "text/event-stream")])).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let (mut body, mut arrived, mut text) = (response.into_body(), Vec::new(), String::new());
    while let Some(frame) = body.frame().await {
        let data = frame.unwrap().into_data().unwrap();
        arrived.push(began.elapsed());
        text.push_str(std::str::from_utf8(&data).unwrap());
    }
    assert_eq!(text.matches("data: ").count(), EVENTS, "{text}");
    let between = *arrived.last().unwrap() - arrived[0];
    let rest = PAUSE * (EVENTS as u32 - 1);
    assert!(between >= rest.mul_f64(0.9), "the first came {between:?} before the last: {arrived:?}");
}
