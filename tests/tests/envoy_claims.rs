//! Who asks, for whom, and whose word counts: callers, tenants and claims that Envoy has verified.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use rhumb_proto::v1::{GetKeysRequest, Provenance, RegisterIntentRequest};
use rhumb_tests::Server;
use rhumb_tests::envoy::{Envoy, Tools, invite, pay, post};
use rhumb_tests::samples::BILL;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tonic::Request;

const EXTENSIONS: &str = "{rhumb.kind: mcp, rhumb.server: tool_server}";
const CLUSTER: &str = "envoy_grpc: {cluster_name: rhumb}";

fn digest(text: &str) -> String {
    Sha256::digest(text).iter().map(|b| format!("{b:02x}")).collect()
}

fn with<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", "Bearer edge-token".parse().unwrap());
    request
}

async fn server(folder: &std::path::Path) -> Server {
    let caller = format!(
        "[[callers]]\nname = \"edge\"\ntoken_sha256 = {:?}\ntenants = [\"blue\", \"green\"]\nmay = [\"score\", \"intents\"]\n",
        digest("edge-token")
    );
    Server::start(&format!("[server]\nhold_ms = 30000\n[ledger]\npath = {folder:?}\n{caller}")).await
}

async fn token(server: &Server, tenant: &str) -> String {
    let intent =
        rhumb_proto::v1::Intent { text: BILL.into(), principal: "user:jo".into(), ..Default::default() };
    let mut request = with(RegisterIntentRequest { intent: Some(intent), ..Default::default() });
    request.metadata_mut().insert("rhumb-tenant", tenant.parse().unwrap());
    server.intents().await.register_intent(request).await.unwrap().into_inner().token
}

fn bearer(token: &str) -> String {
    let metadata = format!("initial_metadata: [{{key: authorization, value: \"Bearer {token}\"}}]");
    format!("{CLUSTER}\n                {metadata}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_names_tenants_of_its_own_caller_only() {
    let folder = tempfile::tempdir().unwrap();
    let (server, tools) = (server(folder.path()).await, Tools::start().await);
    let (authentic, wrong) = (bearer("edge-token"), bearer("guess"));
    let patient = rhumb_tests::envoy::site::PATIENT;
    let green = token(&server, "green").await;
    let send =
        async |envoy: &Envoy| envoy.send(post("/mcp", &[("txn-token", &green)], pay(1).to_string())).await;
    // Of its caller's tenants the first counts, unless the route names another.
    for (tenant, status) in [("", 403), (", rhumb.tenant: green", 200), (", rhumb.tenant: red", 500)] {
        let extensions = EXTENSIONS.replace('}', &format!("{tenant}}}"));
        let edits = [patient, (CLUSTER, authentic.as_str()), (EXTENSIONS, extensions.as_str())];
        let envoy = Envoy::start(server.address(), tools.address(), &edits).await;
        let reply = send(&envoy).await;
        assert_eq!(
            (reply.status, tools.take().len()),
            (status, usize::from(status == 200)),
            "{tenant} {reply:?}"
        );
    }
    let envoy = Envoy::start(server.address(), tools.address(), &[patient, (CLUSTER, wrong.as_str())]).await;
    assert_eq!(
        (send(&envoy).await.status, tools.take().len()),
        (503, 0),
        "a caller that nobody knows has no answer"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_that_envoy_verified_count_where_envoy_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let (server, tools) = (server(folder.path()).await, Tools::start().await);
    let keys = server.intents().await.get_keys(with(GetKeysRequest {})).await.unwrap().into_inner().jwks;
    let filters = with_jwt(&keys);
    let authentic = bearer("edge-token");
    let edits = [
        rhumb_tests::envoy::site::PATIENT,
        (CLUSTER, authentic.as_str()),
        ("          http_filters:\n", filters.as_str()),
        (
            "transport_api_version: V3\n",
            "transport_api_version: V3\n              metadata_context_namespaces: [envoy.filters.http.jwt_authn]\n",
        ),
    ];
    let envoy = Envoy::start(server.address(), tools.address(), &edits).await;
    let token = token(&server, "blue").await;
    let send = async |body: serde_json::Value| {
        envoy.send(post("/mcp", &[("x-agent-token", &token)], body.to_string())).await
    };
    let reply = send(pay(1)).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let seen = tools.one();
    assert_eq!(seen.all("x-rhumb-verdict"), ["ALLOW"]);
    assert!(seen.all("x-agent-token").is_empty(), "only Envoy has seen the token itself");
    let lines = envoy.access_log(1).await;
    assert_eq!(lines[0]["rhumb"]["provenance"], json!(Provenance::Signed.as_str_name()), "{lines:?}");
    let reply = send(invite(1)).await;
    assert_eq!((reply.status, &reply.json()["error"]["data"]["reasonCode"]), (403, &json!("intent_drift")));
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_count_for_nothing_where_anybody_may_ask() {
    let (server, tools) = (Server::start("[server]\nhold_ms = 30000\n").await, Tools::start().await);
    let mut intents = server.intents().await;
    let keys = intents.get_keys(GetKeysRequest {}).await.unwrap().into_inner().jwks;
    let intent =
        rhumb_proto::v1::Intent { text: BILL.into(), principal: "user:jo".into(), ..Default::default() };
    let request = RegisterIntentRequest { intent: Some(intent), ..Default::default() };
    let token = intents.register_intent(request).await.unwrap().into_inner().token;
    let filters = with_jwt(&keys);
    let edits = [
        rhumb_tests::envoy::site::PATIENT,
        ("          http_filters:\n", filters.as_str()),
        (
            "transport_api_version: V3\n",
            "transport_api_version: V3\n              metadata_context_namespaces: [envoy.filters.http.jwt_authn]\n",
        ),
    ];
    let envoy = Envoy::start(server.address(), tools.address(), &edits).await;
    let reply = envoy.send(post("/mcp", &[("x-agent-token", &token)], pay(1).to_string())).await;
    assert_eq!((reply.status, &reply.json()["error"]["data"]["reasonCode"]), (403, &json!("intent_missing")));
}

/// The filter that verifies tokens, before the one that asks.
fn with_jwt(keys: &str) -> String {
    format!(
        r#"          http_filters:
          - name: envoy.filters.http.jwt_authn
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
              providers:
                intents:
                  issuer: rhumb
                  audiences: [rhumb.local]
                  from_headers: [{{name: x-agent-token}}]
                  payload_in_metadata: intent
                  local_jwks: {{inline_string: '{keys}'}}
              rules: [{{match: {{prefix: "/"}}, requires: {{provider_name: intents}}}}]
"#
    )
}
