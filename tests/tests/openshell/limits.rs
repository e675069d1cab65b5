//! Limits of the contract, and what later versions of it may send.

use prost::Message as _;
use rhumb_proto::openshell::middleware::{
    Decision, HttpHeader, HttpRequestEvaluation, MiddlewareBinding, SupervisorMiddlewareOperation,
    SupervisorMiddlewarePhase, ValidateConfigRequest, WebSocketSessionEvent,
};
use rhumb_tests::Server;
use rhumb_tests::openshell::{Gateway, SANDBOX, asking, evaluate, evaluation, middleware, object, with};
use rhumb_tests::samples::{BILL, aligned};
use serde_json::{Value, json};
use tonic::Code;

use crate::Site;

#[tokio::test(flavor = "multi_thread")]
async fn the_manifest_names_one_binding_with_the_largest_body() {
    let site = Site::open("timeout_ms = 30000\n", "").await;
    // Both kinds of callers ask.
    for token in [site.gateway.for_middleware(), site.gateway.supervisor(SANDBOX)] {
        let manifest = middleware(&site.server).await.describe(with((), &token)).await.unwrap().into_inner();
        assert_eq!(manifest.name, "rhumb");
        assert_eq!(manifest.expected_audience, "urn:openshell:extension:middleware:rhumb");
        let binding = MiddlewareBinding {
            operation: SupervisorMiddlewareOperation::HttpRequest.into(),
            phase: SupervisorMiddlewarePhase::PreCredentials.into(),
            max_payload_bytes: 4_194_304,
            timeout: "30000ms".into(),
        };
        assert_eq!(manifest.bindings, [binding]);
    }
    let events = tokio_stream::once(WebSocketSessionEvent {});
    let token = site.gateway.supervisor(SANDBOX);
    let sockets = middleware(&site.server).await.evaluate_web_socket_session(with(events, &token)).await;
    assert_eq!(sockets.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_with_a_key_that_nobody_knows_is_not_valid() {
    let site = Site::open("", "").await;
    let ask = async |config: &Value| {
        let request = ValidateConfigRequest { config: Some(object(config)), middleware_name: "x".into() };
        let request = with(request, &site.gateway.for_middleware());
        middleware(&site.server).await.validate_config(request).await.unwrap().into_inner()
    };
    let all = json!({"policy": "bank", "mode": "shadow", "kind": "http", "min_provenance": "SIGNED"});
    for good in [json!({}), all] {
        let answer = ask(&good).await;
        assert!(answer.valid && answer.reason.is_empty(), "{good}: {answer:?}");
    }
    for (key, value) in [
        ("threshold", json!(0.5)),
        ("mode", json!("observe")),
        ("mode", json!(true)),
        ("kind", json!("a2a")),
        ("policy", json!(["a"])),
        ("policy", json!("x".repeat(257))),
        ("min_provenance", json!("signed")),
    ] {
        let answer = ask(&json!({ key: value })).await;
        assert!(!answer.valid && answer.reason.starts_with(key), "{key}: {answer:?}");
    }
    // A policy that slipped through is a failure, for `on_error` to decide.
    let slipped = HttpRequestEvaluation { config: Some(object(&json!({"mode": 1}))), ..asking(&aligned("")) };
    let status = evaluate(&site.server, &site.gateway, slipped).await.unwrap_err();
    assert!(status.code() == Code::InvalidArgument && status.message().contains("config"), "{status:?}");
}

fn header(name: &str, value: impl Into<String>) -> HttpHeader {
    HttpHeader { name: name.into(), value: value.into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_limit_is_kept_to_the_byte() {
    type Change = fn(&mut HttpRequestEvaluation, usize);
    let cases: [(&str, usize, Change); 6] = [
        ("context", 4 * 1024, |r, n| {
            let context = r.context.as_mut().unwrap();
            context.workspace.clear();
            context.workspace = "w".repeat(n - context.encoded_len() - 3);
        }),
        ("config", 64 * 1024, |r, n| r.config = Some(config_of(n))),
        ("target", 32 * 1024, |r, n| {
            let target = r.target.as_mut().unwrap();
            target.query = "q".repeat(n - target.encoded_len() - 4);
        }),
        ("headers", 128, |r, n| r.headers = vec![header("x-a", "1"); n]),
        ("headers", 64 * 1024, |r, n| {
            // Two names and lengths of eleven bytes beside their values, and three bytes for the length of each line.
            r.headers = vec![header("x-a", "v".repeat(n / 2 - 13)); 2];
        }),
        ("body", 4 * 1024 * 1024, |r, n| r.body = vec![b'b'; n]),
    ];
    let site = Site::open("", "").await;
    site.bind(BILL).await;
    for (field, most, change) in cases {
        let at = |n| {
            let mut request = asking(&aligned(""));
            change(&mut request, n);
            request
        };
        if (field, most) != ("config", 64 * 1024) {
            let full = evaluate(&site.server, &site.gateway, at(most)).await;
            assert!(full.is_ok(), "{field} {most}: {full:?}");
        }
        let step = if most == 64 * 1024 { 2 } else { 1 };
        let status = evaluate(&site.server, &site.gateway, at(most + step)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{field} {most}");
        assert!(status.message().starts_with(&format!("{field}: ")), "{field} {most}: {status:?}");
    }
}

/// A configuration of so many bytes. Only its size is looked at before its keys are.
fn config_of(bytes: usize) -> pbjson_types::Struct {
    object(&json!({ "policy": "p".repeat(bytes) }))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_message_is_read_and_a_larger_one_refused() {
    let site = Site::open("", "").await;
    site.bind(BILL).await;
    let mut largest = evaluation(vec![b'x'; 4 * 1024 * 1024]);
    // A field of a later version, of which nobody here knows, takes what is left, five bytes of it for itself.
    let mut later = Later::of(&largest);
    later.later = "l".repeat(4_493_376 - later.encoded_len() - 5);
    assert_eq!(later.encoded_len(), 4_493_376);
    assert!(ask_later(&site.server, &site.gateway, later.clone()).await.is_ok());
    later.later.push_str(&"l".repeat(8 * 1024 * 1024));
    assert!(ask_later(&site.server, &site.gateway, later).await.is_err());
    largest.body = vec![b'x'; 4 * 1024 * 1024 + 1];
    assert!(evaluate(&site.server, &site.gateway, largest).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_later_version_adds_is_skipped_and_a_number_that_nobody_knows_breaks_nothing() {
    let site = Site::open("", "").await;
    site.bind(BILL).await;
    let known = Later::of(&asking(&aligned("")));
    let later = Later { later: "news".into(), process: b"\x0a\x04bash".to_vec(), ..known.clone() };
    assert_eq!(ask_later(&site.server, &site.gateway, later).await.unwrap(), Decision::Allow);
    for phase in [0, 2, 3, 77, -1] {
        let other = Later { phase, ..known.clone() };
        let status = ask_later(&site.server, &site.gateway, other).await.unwrap_err();
        assert!(
            status.code() == Code::InvalidArgument && status.message().starts_with("phase"),
            "{status:?}"
        );
    }
    let many = HttpRequestEvaluation { headers: vec![header("", ""); 1_000_000], ..evaluation("") };
    let status = evaluate(&site.server, &site.gateway, many).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "refused before it is decoded");
    let nobody = HttpRequestEvaluation { context: None, ..asking(&aligned("")) };
    let status = evaluate(&site.server, &site.gateway, nobody).await.unwrap_err();
    assert!(status.message().starts_with("context.sandbox_id"), "{status:?}");
}

/// The message as a later version of the contract might have it.
#[derive(Clone, PartialEq, prost::Message)]
struct Later {
    #[prost(int32, tag = "1")]
    phase: i32,
    #[prost(bytes = "vec", tag = "2")]
    context: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    target: Vec<u8>,
    #[prost(bytes = "vec", tag = "6")]
    body: Vec<u8>,
    #[prost(bytes = "vec", tag = "31")]
    process: Vec<u8>,
    #[prost(string, tag = "99")]
    later: String,
}

impl Later {
    fn of(known: &HttpRequestEvaluation) -> Self {
        // Field 3 of the context, which we do not read: the process.
        let mut context = known.context.clone().unwrap_or_default().encode_to_vec();
        context.extend(b"\x1a\x06\x0a\x04bash");
        Self {
            phase: known.phase,
            context,
            target: known.target.clone().unwrap_or_default().encode_to_vec(),
            body: known.body.to_vec(),
            ..Self::default()
        }
    }
}

async fn ask_later(server: &Server, gateway: &Gateway, later: Later) -> Result<Decision, tonic::Status> {
    let codec =
        tonic_prost::ProstCodec::<Later, rhumb_proto::openshell::middleware::HttpRequestResult>::default();
    let mut client =
        tonic::client::Grpc::new(server.connect().await.unwrap()).max_encoding_message_size(usize::MAX);
    client.ready().await.unwrap();
    let path = "/openshell.middleware.v1.SupervisorMiddleware/EvaluateHttpRequest".parse().unwrap();
    let request = with(later, &gateway.supervisor(SANDBOX));
    client.unary(request, path, codec).await.map(|answer| answer.into_inner().decision())
}
