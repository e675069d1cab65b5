//! Before the model is there, and when there is no time or room: an error for `on_error`, never an answer made up.

use std::time::{Duration, Instant};

use rhumb_proto::openshell::gateway_interceptor::DescribeRequest;
use rhumb_proto::v1::ScoreBatchRequest;
use rhumb_tests::Server;
use rhumb_tests::openshell::{
    Gateway, SANDBOX, asking, committed, evaluate, evaluation, intercept, interceptor, mcp, middleware,
    object, person, section, with,
};
use rhumb_tests::samples::{BILL, aligned, fresh, message};
use serde_json::json;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::{Site, made};

#[tokio::test(flavor = "multi_thread")]
async fn the_manifest_is_there_before_the_model_and_evaluations_are_not() {
    let (folder, gateway) = (tempfile::tempdir().unwrap(), Gateway::new("key-1"));
    let mut server = Server::spawn(&section(&gateway.write(folder.path())));
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut early = 0;
    loop {
        assert!(Instant::now() < deadline && server.is_running(), "{}", server.stderr());
        match server.health().await {
            Ok(ServingStatus::NotServing) => {}
            Ok(_) => break,
            Err(_) => continue,
        }
        let described = middleware(&server).await.describe(with((), &gateway.for_middleware())).await;
        assert_eq!(described.unwrap().into_inner().bindings.len(), 1);
        let request = with(DescribeRequest {}, &gateway.for_interceptor());
        let described = interceptor(&server).await.describe(request).await;
        assert!(described.unwrap().into_inner().bindings.len() > 1);
        // Loading may end between the two calls.
        if let Err(status) = evaluate(&server, &gateway, asking(&aligned(""))).await {
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
            early += 1;
        }
        let told = committed("CreateSandbox", &person("alice"), &made(SANDBOX, "x"));
        assert!(intercept(&server, &gateway, told).await.unwrap().allowed);
    }
    assert!(early > 0, "the port opens before the model is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_late_is_an_error_and_no_answer() {
    let (folder, gateway) = (tempfile::tempdir().unwrap(), Gateway::new("key-1"));
    let keys = gateway.write(folder.path());
    let config = format!("[server]\nhold_ms = 1\n{}subject = \"suffix\"\n", section(&keys));
    let site = Site { server: Server::start(&config).await, gateway, folder };
    let ask = async |request| evaluate(&site.server, &site.gateway, request).await;
    let bound = site.register(BILL, "user:alice").await;
    let told = committed("CreateSandbox", &person("alice"), &made(SANDBOX, &bound.token));
    intercept(&site.server, &site.gateway, told).await.unwrap();
    let long = fresh("late", &"a very long topic with many words in it ".repeat(200));
    let status = ask(asking(&long)).await.unwrap_err();
    assert!([Code::DeadlineExceeded, Code::ResourceExhausted].contains(&status.code()), "{status:?}");
    // Observing asks for no failure mode: without a score everything passes, and is recorded.
    let mut shadow = evaluation(mcp(&long["action"]).to_string());
    shadow.config = Some(object(&json!({"mode": "shadow"})));
    assert!(ask(shadow).await.is_ok());
    // What needs no model has its answer all the same.
    let list = evaluation(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string());
    assert!(ask(list).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_room_is_an_error_and_no_answer() {
    let (folder, gateway) = (tempfile::tempdir().unwrap(), Gateway::new("key-1"));
    let keys = gateway.write(folder.path());
    let config = format!(
        "[server]\nhold_ms = 30000\n[engine]\nqueue = 1\n[model]\nthreads = 1\n{}subject = \"suffix\"\n",
        section(&keys)
    );
    let site = Site { server: Server::start(&config).await, gateway, folder };
    site.bind(BILL).await;
    let requests =
        (0..200).map(|i| message(&fresh(&format!("b{i}"), &"much to read ".repeat(100)))).collect();
    let mut busy = site.server.client().await;
    let busy = tokio::spawn(async move { busy.score_batch(ScoreBatchRequest { requests }).await });
    let channel = middleware(&site.server).await;
    let mut many = tokio::task::JoinSet::new();
    for i in 0..64 {
        let request = asking(&fresh(&format!("r{i}"), &"a very long topic ".repeat(100)));
        let (mut channel, request) = (channel.clone(), with(request, &site.gateway.supervisor(SANDBOX)));
        many.spawn(async move { channel.evaluate_http_request(request).await });
    }
    let mut refused = 0;
    while let Some(answer) = many.join_next().await {
        if let Err(status) = answer.unwrap() {
            assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
            refused += 1;
        }
    }
    assert!(refused > 0, "the queue was too long for this test");
    busy.abort();
}
