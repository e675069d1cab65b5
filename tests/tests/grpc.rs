//! The gRPC service: what is answered, and what is refused with which code and field.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::time::Duration;

use pbjson_types::{Struct, Value as ProtoValue};
use prost::Message as _;
use rhumb_proto::v1::{Action, Provenance, ScoreRequest, Status, Verdict};
use rhumb_tests::raw;
use rhumb_tests::samples::{BILL, aligned, drifted, fresh, message, nested, with_arguments};
use rhumb_tests::{Client, Server};
use serde_json::json;
use tonic::Code;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_types::StatusExt as _;

fn violated(status: &tonic::Status) -> Vec<String> {
    let violations = status.get_details_bad_request().map(|details| details.field_violations);
    violations.into_iter().flatten().map(|violation| violation.field).collect()
}

async fn refused(client: &mut Client, request: ScoreRequest) -> (Code, Vec<String>) {
    let status = client.score(request).await.unwrap_err();
    (status.code(), violated(&status))
}

fn with_struct(arguments: Struct) -> ScoreRequest {
    let action = Action { tool: "t".into(), arguments: Some(arguments), ..Action::default() };
    ScoreRequest { action: Some(action), ..message(&aligned("struct")) }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aligned_action_is_allowed_and_a_drifted_one_is_not() {
    let server = Server::start("").await;
    let mut client = server.client().await;
    let aligned = client.score(message(&aligned("1"))).await.unwrap().into_inner();
    let drifted = client.score(message(&drifted("2"))).await.unwrap().into_inner();
    assert_eq!((aligned.request_id.as_str(), drifted.request_id.as_str()), ("1", "2"));
    assert_eq!((aligned.status(), drifted.status()), (Status::Scored, Status::Scored));
    assert_eq!(aligned.provenance(), Provenance::Unverified);
    assert!(aligned.similarity > drifted.similarity);
    let evidence = drifted.evidence.clone().unwrap();
    assert!(
        evidence.values.iter().any(|v| v.value == "mallory@evil.example" && v.kind == "email"),
        "{evidence:?}"
    );
    assert!(aligned.drift < drifted.drift, "{:?} {:?}", aligned.drift, drifted.drift);
    assert!(aligned.drift < aligned.threshold && drifted.drift >= drifted.threshold);
    let verdicts = (aligned.verdict(), drifted.verdict());
    assert!(matches!(verdicts, (Verdict::Allow, Verdict::Escalate | Verdict::Deny)), "{verdicts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_is_refused_with_its_field() {
    let server = Server::start("").await;
    let mut client = server.client().await;
    let invalid = |field: &str| (Code::InvalidArgument, vec![field.to_owned()]);

    let empty = ScoreRequest { action: Some(Action::default()), ..message(&aligned("")) };
    assert_eq!(refused(&mut client, empty).await, invalid("action"));
    let missing = ScoreRequest { action: None, ..message(&aligned("")) };
    assert_eq!(refused(&mut client, missing).await, invalid("action"));
    for number in [f64::NAN, f64::INFINITY] {
        let list = ProtoValue::from(vec![ProtoValue::from(1.0), ProtoValue::from(number)]);
        let inner = Struct::from_iter([("list".to_owned(), list)]);
        let request = with_struct(Struct::from_iter([("amounts".to_owned(), ProtoValue::from(inner))]));
        assert_eq!(refused(&mut client, request).await, invalid("action.arguments.amounts.list[1]"));
    }
    let mut effect = message(&aligned(""));
    effect.action.as_mut().unwrap().effect = 99;
    assert_eq!(refused(&mut client, effect).await, invalid("action.effect"));
    let id = message(&aligned(&"i".repeat(257)));
    assert_eq!(refused(&mut client, id).await, invalid("requestId"));
    let mut both = message(&aligned(""));
    both.action.as_mut().unwrap().arguments_json = "{}".into();
    assert_eq!(refused(&mut client, both).await, invalid("action.argumentsJson"));

    let id = message(&aligned(&"i".repeat(256)));
    assert_eq!(client.score(id).await.unwrap().into_inner().status(), Status::Scored);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_anchor_is_an_answer_and_no_error() {
    let server = Server::start("").await;
    let mut client = server.client().await;
    let mut request = message(&aligned("n"));
    for text in [Some("".to_owned()), Some("\u{200b} \u{3164}".to_owned()), None] {
        request.intent = text.map(|text| rhumb_proto::v1::Intent { text, ..Default::default() });
        let answer = client.score(request.clone()).await.unwrap().into_inner();
        assert_eq!((answer.status(), answer.verdict()), (Status::NoAnchor, Verdict::Abstain));
        assert_eq!((answer.drift, answer.similarity, answer.request_id.as_str()), (None, None, "n"));
        assert_eq!(answer.provenance(), Provenance::None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nesting_is_taken_up_to_the_limit_and_refused_beyond_it() {
    let server = Server::start("").await;
    let mut client = server.client().await;
    let deep = client.score(message(&with_arguments("32", nested(32)))).await.unwrap().into_inner();
    assert_eq!(deep.status(), Status::Scored);
    for levels in [33, 34, 40, 200, 2_000] {
        let value = (0..levels).fold(ProtoValue::from("end"), |inner, _| {
            ProtoValue::from(Struct::from_iter([("a".to_owned(), inner)]))
        });
        let request = with_struct(Struct::from_iter([("a".to_owned(), value)]));
        let status = client.score(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{levels} levels: {status:?}");
    }
    let lists = (0..500).fold(ProtoValue::from(1.0), |inner, _| ProtoValue::from(vec![inner]));
    let status = client.score(with_struct(Struct::from_iter([("a".to_owned(), lists)]))).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert!(client.score(message(&aligned("after"))).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_message_are_the_senders_fault() {
    let server = Server::start("").await;
    let good = message(&aligned("raw")).encode_to_vec();
    let reply = raw::call(server.address(), "Score", &[], &good).await;
    assert_eq!(reply.code(), Code::Ok, "{reply:?}");

    let mut not_utf8 = good.clone();
    let place = good.windows(BILL.len()).position(|window| window == BILL.as_bytes()).unwrap();
    not_utf8[place] = 0xff;
    let broken: [&[u8]; 4] = [&not_utf8, &good[..good.len() - 1], &[0xff; 64], b"{\"action\":{}}"];
    for bytes in broken {
        for method in ["Score", "ScoreBatch", "ScoreChain"] {
            let reply = raw::call(server.address(), method, &[], bytes).await;
            assert_eq!(reply.code(), Code::InvalidArgument, "{method} {reply:?}");
        }
    }
    let reply = raw::call(server.address(), "Score", &[], &good).await;
    assert_eq!(reply.code(), Code::Ok, "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_big_is_refused_and_the_server_lives_on() {
    let server = Server::start("[server]\nmax_message_bytes = 65536\n").await;
    let mut client = server.client().await;
    let big = with_arguments("big", json!({"note": "x".repeat(100_000)}));
    let status = client.score(message(&big)).await.unwrap_err();
    let codes = [Code::OutOfRange, Code::ResourceExhausted, Code::InvalidArgument];
    assert!(codes.contains(&status.code()), "{status:?}");
    assert_eq!(client.score(message(&aligned("after"))).await.unwrap().into_inner().status(), Status::Scored);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_within_the_limits_is_answered_however_long_its_names_are() {
    let server = Server::start("").await;
    let mut client = server.client().await;
    let list: Vec<_> = (0..20).map(|i| json!(format!("value {i}"))).collect();
    let request = with_arguments("names", json!({ "n".repeat(1_000_000): list }));
    let answer = client.score(message(&request)).await;
    assert!(answer.is_ok(), "{:?}", answer.map_err(|status| (status.code(), status.message().len())));
}

/// A second of work for the encoder.
fn slow(id: &str) -> serde_json::Value {
    fresh(id, &"a very long list of guests ".repeat(300))
}

/// What a caller with this `grpc-timeout` is answered, if its message comes so long after the head of its call.
async fn with_timeout(server: &Server, timeout: &str, id: &str, pause: u64) -> tonic::Status {
    let request = message(&slow(id)).encode_to_vec();
    let headers = [("grpc-timeout", timeout)];
    raw::call_late(server.address(), "Score", &headers, &request, Duration::from_millis(pause)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_passes_is_deadline_exceeded() {
    let server = Server::start("").await;
    for (i, timeout) in ["1m", "1000u", "1000000n", "0S"].into_iter().enumerate() {
        let reply = with_timeout(&server, timeout, &i.to_string(), 0).await;
        assert_eq!(reply.code(), Code::DeadlineExceeded, "{timeout}: {reply:?}");
    }
    assert_eq!(with_timeout(&server, "1M", "minute", 0).await.code(), Code::Ok);
    let reply = with_timeout(&server, "soon", "no number", 0).await;
    assert_eq!((reply.code(), violated(&reply)), (Code::InvalidArgument, vec!["grpc-timeout".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_passes_on_a_slow_line_is_deadline_exceeded() {
    let server = Server::start("").await;
    let reply = with_timeout(&server, "120m", "late", 80).await;
    assert_eq!(reply.code(), Code::DeadlineExceeded, "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sets_no_deadline_has_the_configured_one() {
    let server = Server::start("[server]\ndefault_deadline_ms = 1\n").await;
    let status = server.client().await.score(message(&slow("slow"))).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("scorer_timeout", "rhumb.v1"));
}

async fn reflect(server: &Server, request: MessageRequest) -> MessageResponse {
    let mut client = ServerReflectionClient::new(server.connect().await.unwrap());
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    answers.message().await.unwrap().unwrap().message_response.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_lists_the_services_and_knows_their_files() {
    let server = Server::start("").await;
    let MessageResponse::ListServicesResponse(list) =
        reflect(&server, MessageRequest::ListServices(String::new())).await
    else {
        panic!("no list of services");
    };
    let names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(
        names.contains(&"rhumb.v1.DriftService") && names.contains(&"grpc.health.v1.Health"),
        "{names:?}"
    );
    let questions = [
        MessageRequest::FileContainingSymbol("rhumb.v1.DriftService".into()),
        MessageRequest::FileContainingSymbol("grpc.health.v1.Health".into()),
        MessageRequest::FileByFilename("google/protobuf/struct.proto".into()),
    ];
    for question in questions {
        let answer = reflect(&server, question.clone()).await;
        assert!(matches!(answer, MessageResponse::FileDescriptorResponse(_)), "{question:?}: {answer:?}");
    }
}
