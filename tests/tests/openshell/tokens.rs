//! Who may call: the gateway's tokens, check by check.

use rhumb_proto::openshell::gateway_interceptor::DescribeRequest;
use rhumb_proto::openshell::middleware::{Decision, ValidateConfigRequest};
use rhumb_proto::v1::GetKeysRequest;
use rhumb_tests::Server;
use rhumb_tests::openshell::{
    Gateway, SANDBOX, asking, evaluate, interceptor, middleware, now_s, person, proposed, section,
    supervisor_claims, with, write_keys,
};
use rhumb_tests::samples::{BILL, aligned, message};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tonic::{Code, Request};

use crate::Site;

async fn code(server: &Server, token: &str) -> Code {
    let asked = middleware(server).await.evaluate_http_request(with(asking(&aligned("")), token)).await;
    asked.map_or_else(|status| status.code(), |_| Code::Ok)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_check_of_a_token_fails_by_itself() {
    let site = Site::open("", "").await;
    site.bind(BILL).await;
    let gateway = &site.gateway;
    let header = |name: &str, value: Value| {
        let mut header = gateway.header();
        header[name] = value;
        gateway.sign(header, &supervisor_claims(SANDBOX))
    };
    let claim = |changes: &[(&str, Value)]| {
        let mut claims = supervisor_claims(SANDBOX);
        changes.iter().for_each(|(name, value)| claims[*name] = value.clone());
        gateway.sign(gateway.header(), &claims)
    };
    let good = gateway.supervisor(SANDBOX);
    let unsigned = good.rsplit_once('.').unwrap().0.to_owned();
    let now = now_s();
    let cases = [
        ("typ of admission tokens", header("typ", json!("openshell-sandbox+jwt"))),
        ("typ", header("typ", json!("JWT"))),
        ("typ is exact", header("typ", json!("application/openshell-ext+jwt"))),
        ("typ is exact", header("typ", json!("OpenShell-Ext+JWT"))),
        ("alg none", header("alg", json!("none"))),
        ("alg HS256", header("alg", json!("HS256"))),
        ("no signature", format!("{unsigned}.")),
        ("unknown kid", header("kid", json!("key-9"))),
        ("no kid", header("kid", json!(null))),
        ("a key in the token", header("jwk", Gateway::new("key-1").jwk())),
        ("another's signature", Gateway::new("key-1").supervisor(SANDBOX)),
        ("iss", claim(&[("iss", json!("openshell-gateway:other"))])),
        ("aud", claim(&[("aud", json!("urn:openshell:extension:middleware:other"))])),
        ("aud of the other service", claim(&[("aud", json!("urn:openshell:extension:interceptor:rhumb"))])),
        ("aud is one string", claim(&[("aud", json!(["urn:openshell:extension:middleware:rhumb"]))])),
        ("over", claim(&[("iat", json!(now - 900)), ("exp", json!(now - 31))])),
        ("not yet", claim(&[("iat", json!(now + 90)), ("exp", json!(now + 900))])),
        ("longer than an hour", claim(&[("iat", json!(now)), ("exp", json!(now + 3601))])),
        ("no exp", claim(&[("exp", json!(null))])),
        ("kind of caller", claim(&[("caller_kind", json!("agent"))])),
        ("sub of another sandbox", claim(&[("sub", json!("spiffe://openshell/sandbox/other"))])),
        ("no sandbox", claim(&[("sandbox_id", json!(null))])),
        ("the gateway does not evaluate", gateway.for_middleware()),
        ("no token at all", "x".to_owned()),
    ];
    for (what, token) in cases {
        assert_eq!(code(&site.server, &token).await, Code::Unauthenticated, "{what}");
    }
    assert_eq!(code(&site.server, &gateway.supervisor("another-sandbox")).await, Code::PermissionDenied);
    let bare = middleware(&site.server).await.evaluate_http_request(asking(&aligned(""))).await;
    assert_eq!(bare.unwrap_err().code(), Code::Unauthenticated);
    let mut twice = with(asking(&aligned("")), &good);
    twice.metadata_mut().append("authorization", format!("Bearer {good}").parse().unwrap());
    let twice = middleware(&site.server).await.evaluate_http_request(twice).await;
    assert_eq!(twice.unwrap_err().code(), Code::Unauthenticated);
    // The same token, with the same `jti`, for as many calls as there are; clocks may differ by half a minute.
    for _ in 0..3 {
        assert_eq!(code(&site.server, &good).await, Code::Ok);
    }
    let old = claim(&[("iat", json!(now - 900)), ("exp", json!(now - 20))]);
    assert_eq!(code(&site.server, &old).await, Code::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_has_its_kind_of_caller() {
    let site = Site::open("", "").await;
    let (gateway, server) = (&site.gateway, &site.server);
    let validate = async |token: &str| {
        let asked = with(ValidateConfigRequest::default(), token);
        middleware(server).await.validate_config(asked).await.map_or_else(|s| s.code(), |_| Code::Ok)
    };
    assert_eq!(validate(&gateway.for_middleware()).await, Code::Ok);
    assert_eq!(validate(&gateway.supervisor(SANDBOX)).await, Code::Unauthenticated);
    assert_eq!(validate(&gateway.for_interceptor()).await, Code::Unauthenticated, "another audience");

    let mut claims = supervisor_claims(SANDBOX);
    claims["aud"] = "urn:openshell:extension:interceptor:rhumb".into();
    let supervisor = gateway.sign(gateway.header(), &claims);
    let evaluation = proposed("CreateSandbox", &person("alice"), &json!({}));
    let asked = interceptor(server).await.evaluate(with(evaluation, &supervisor)).await;
    assert_eq!(asked.unwrap_err().code(), Code::Unauthenticated);
    for token in [supervisor, gateway.for_interceptor()] {
        let described = interceptor(server).await.describe(with(DescribeRequest {}, &token)).await.unwrap();
        let audience = described.into_inner().expected_audience;
        assert_eq!(audience, "urn:openshell:extension:interceptor:rhumb");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_read_from_the_file_and_the_old_one_stays_good_for_an_hour() {
    let site = Site::open("", "").await;
    site.bind(BILL).await;
    let next = Gateway::new("key-2");
    assert_eq!(code(&site.server, &next.supervisor(SANDBOX)).await, Code::Unauthenticated);
    // Upstream replaces its key at once, and so does who copies its key set.
    write_keys(site.folder.path(), &[&next]);
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    assert_eq!(code(&site.server, &next.supervisor(SANDBOX)).await, Code::Ok);
    assert_eq!(code(&site.server, &site.gateway.supervisor(SANDBOX)).await, Code::Ok);
    // What cannot be read changes nothing.
    std::fs::write(site.folder.path().join("openshell.jwks.json"), "{").unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    assert_eq!(code(&site.server, &Gateway::new("key-3").supervisor(SANDBOX)).await, Code::Unauthenticated);
    assert_eq!(code(&site.server, &next.supervisor(SANDBOX)).await, Code::Ok);
    // An operator need not wait for the first token of a new key.
    site.server.hang_up();
    said(&site.server, "the keys of the OpenShell gateway were not replaced").await;
    write_keys(site.folder.path(), &[&next, &Gateway::new("key-3")]);
    site.server.hang_up();
    said(&site.server, "keys of the OpenShell gateway read again").await;
}

/// Waits until the server's log says so.
async fn said(server: &Server, text: &str) {
    for _ in 0..600 {
        if server.stderr().contains(text) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{text}: {}", server.stderr());
}

fn callers() -> String {
    let digest: String = Sha256::digest("edge-token").iter().map(|b| format!("{b:02x}")).collect();
    format!("[[callers]]\nname = \"edge\"\ntoken_sha256 = {digest:?}\nmay = [\"score\"]\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_the_gateway_opens_these_services_and_nothing_else() {
    let (folder, gateway) = (tempfile::tempdir().unwrap(), Gateway::new("key-1"));
    let config =
        format!("[server]\nhold_ms = 30000\n{}{}", section(&gateway.write(folder.path())), callers());
    let server = Server::start(&config).await;
    assert_eq!(code(&server, &gateway.supervisor(SANDBOX)).await, Code::Ok);
    assert_eq!(
        code(&server, "edge-token").await,
        Code::Unauthenticated,
        "that of a caller is none of a gateway"
    );
    for token in [gateway.supervisor(SANDBOX), gateway.for_middleware(), gateway.for_interceptor()] {
        let score = server.client().await.score(with(message(&aligned("1")), &token)).await;
        assert_eq!(score.unwrap_err().code(), Code::Unauthenticated);
        let keys = server.intents().await.get_keys(with(GetKeysRequest {}, &token)).await;
        assert_eq!(keys.unwrap_err().code(), Code::Unauthenticated);
    }
    server.client().await.score(with(message(&aligned("1")), "edge-token")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_nothing_is_proven_and_callers_are_those_of_the_server() {
    let insecure = "[server]\nhold_ms = 30000\n[openshell]\nallow_insecure = true\nsubject = \"suffix\"\n";
    let server = Server::start(insecure).await;
    let described = middleware(&server).await.describe(()).await.unwrap().into_inner();
    assert_eq!(described.expected_audience, "", "no comparison");
    let site = Site { server, gateway: Gateway::new("key-1"), folder: tempfile::tempdir().unwrap() };
    site.bind(BILL).await;
    let asked = middleware(&site.server).await.evaluate_http_request(asking(&aligned(""))).await.unwrap();
    let answer = asked.into_inner();
    assert_eq!((answer.decision(), answer.reason_code.as_str()), (Decision::Deny, "human_needed"));

    let server = Server::start(&format!("{insecure}{}", callers())).await;
    let mut client = middleware(&server).await;
    assert_eq!(client.describe(()).await.unwrap_err().code(), Code::Unauthenticated);
    assert!(client.describe(with((), "edge-token")).await.is_ok());
    let other = interceptor(&server).await.describe(with(DescribeRequest {}, "edge-token")).await;
    assert_eq!(other.unwrap_err().code(), Code::PermissionDenied, "binding needs the role for intents");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_section_the_services_are_not_there() {
    let server = Server::start("").await;
    let described = middleware(&server).await.describe(Request::new(())).await;
    assert_eq!(described.unwrap_err().code(), Code::Unimplemented);
    let gateway = Gateway::new("key-1");
    let asked = evaluate(&server, &gateway, asking(&aligned(""))).await;
    assert_eq!(asked.unwrap_err().code(), Code::Unimplemented);
}
