//! An OpenShell gateway and its supervisors, as far as Rhumb sees them: a key, tokens, and the calls they make.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pbjson_types::value::Kind;
use pbjson_types::{ListValue, Struct, Value as ProtoValue};
use rhumb_proto::openshell::gateway_interceptor::gateway_interceptor_client::GatewayInterceptorClient;
use rhumb_proto::openshell::gateway_interceptor::interceptor_evaluation::Phase;
use rhumb_proto::openshell::gateway_interceptor::{
    InterceptorEvaluation, InterceptorResult, PostCommitEvaluation, ValidateEvaluation,
};
use rhumb_proto::openshell::middleware::supervisor_middleware_client::SupervisorMiddlewareClient;
use rhumb_proto::openshell::middleware::{
    HttpHeader, HttpRequestEvaluation, HttpRequestResult, HttpRequestTarget, RequestContext,
};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::Server;

/// The gateway's id in tests.
pub const GATEWAY: &str = "test";
/// A sandbox.
pub const SANDBOX: &str = "5f0c2a4e-7d11-4b58-9a63-0d5b8f1c7e21";
const MIDDLEWARE: &str = "urn:openshell:extension:middleware:rhumb";
const INTERCEPTOR: &str = "urn:openshell:extension:interceptor:rhumb";

/// A gateway with a signing key.
pub struct Gateway {
    pair: Ed25519KeyPair,
    kid: String,
}

impl Gateway {
    /// With a fresh key of this id.
    pub fn new(kid: &str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self { pair: Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap(), kid: kid.to_owned() }
    }

    /// Its public key as a JWK.
    pub fn jwk(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref());
        json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": self.kid, "x": x})
    }

    /// Writes its key set into a folder.
    pub fn write(&self, folder: &Path) -> PathBuf {
        write_keys(folder, &[self])
    }

    /// A token with these parts changed.
    pub fn sign(&self, header: Value, claims: &Value) -> String {
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let message = format!("{}.{}", encode(&header), encode(claims));
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(self.pair.sign(message.as_bytes()).as_ref()))
    }

    /// The header of its tokens.
    pub fn header(&self) -> Value {
        json!({"typ": "openshell-ext+jwt", "alg": "EdDSA", "kid": self.kid})
    }

    /// The token of the supervisor of a sandbox.
    pub fn supervisor(&self, sandbox: &str) -> String {
        self.sign(self.header(), &supervisor_claims(sandbox))
    }

    /// The gateway's own token for `SupervisorMiddleware`.
    pub fn for_middleware(&self) -> String {
        self.sign(self.header(), &gateway_claims(MIDDLEWARE))
    }

    /// The gateway's own token for `GatewayInterceptor`.
    pub fn for_interceptor(&self) -> String {
        self.sign(self.header(), &gateway_claims(INTERCEPTOR))
    }
}

/// Writes the key set of several keys into a folder.
pub fn write_keys(folder: &Path, gateways: &[&Gateway]) -> PathBuf {
    let path = folder.join("openshell.jwks.json");
    let keys: Vec<Value> = gateways.iter().map(|gateway| gateway.jwk()).collect();
    std::fs::write(&path, json!({ "keys": keys }).to_string()).unwrap();
    path
}

/// `[openshell]` with keys.
pub fn section(jwks: &Path) -> String {
    format!("[openshell]\ngateway_id = {GATEWAY:?}\njwks = {jwks:?}\n")
}

/// Seconds since 1970.
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// What the token of a sandbox's supervisor says.
pub fn supervisor_claims(sandbox: &str) -> Value {
    json!({
        "iss": format!("openshell-gateway:{GATEWAY}"), "aud": MIDDLEWARE, "caller_kind": "supervisor",
        "sub": format!("spiffe://openshell/sandbox/{sandbox}"), "sandbox_id": sandbox,
        "iat": now_s(), "exp": now_s() + 900, "jti": "always-the-same",
    })
}

fn gateway_claims(audience: &str) -> Value {
    let id = format!("openshell-gateway:{GATEWAY}");
    json!({
        "iss": id, "aud": audience, "caller_kind": "gateway", "sub": id,
        "iat": now_s(), "exp": now_s() + 900, "jti": "always-the-same",
    })
}

/// A message with a token.
pub fn with<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

/// JSON as a message.
pub fn object(value: &Value) -> Struct {
    let fields = value.as_object().unwrap().iter();
    Struct { fields: fields.map(|(key, value)| (key.clone(), proto(value))).collect() }
}

fn proto(value: &Value) -> ProtoValue {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(b) => Kind::BoolValue(*b),
        Value::Number(n) => Kind::NumberValue(n.as_f64().unwrap()),
        Value::String(s) => Kind::StringValue(s.clone()),
        Value::Array(items) => Kind::ListValue(ListValue { values: items.iter().map(proto).collect() }),
        Value::Object(_) => Kind::StructValue(object(value)),
    };
    ProtoValue { kind: Some(kind) }
}

/// A call of an MCP tool, from a sample's action.
pub fn mcp(action: &Value) -> Value {
    let params = json!({"name": action["tool"], "arguments": action["arguments"]});
    json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params})
}

/// What a supervisor asks about a request with this body.
pub fn evaluation(body: impl Into<Vec<u8>>) -> HttpRequestEvaluation {
    let context = RequestContext {
        request_id: "3b0d3c53-6a2f-4f6e-9f0b-1c8a5e1d2f34".into(),
        sandbox_id: SANDBOX.into(),
        sandbox_name: "bills".into(),
        workspace: "default".into(),
    };
    let target = HttpRequestTarget {
        scheme: "https".into(),
        host: "bank.example".into(),
        port: 443,
        method: "POST".into(),
        path: "/mcp".into(),
        query: String::new(),
    };
    let header = |(name, value): (&str, &str)| HttpHeader { name: name.into(), value: value.into() };
    HttpRequestEvaluation {
        phase: 1,
        context: Some(context),
        config: None,
        target: Some(target),
        headers: [("content-type", "application/json"), ("accept", "*/*")].map(header).to_vec(),
        body: body.into(),
        middleware_name: "drift-guard".into(),
    }
}

/// The same about a sample's action.
pub fn asking(sample: &Value) -> HttpRequestEvaluation {
    evaluation(mcp(&sample["action"]).to_string())
}

/// A client of `SupervisorMiddleware`.
pub async fn middleware(server: &Server) -> SupervisorMiddlewareClient<Channel> {
    SupervisorMiddlewareClient::new(server.connect().await.unwrap()).max_encoding_message_size(usize::MAX)
}

/// A client of `GatewayInterceptor`.
pub async fn interceptor(server: &Server) -> GatewayInterceptorClient<Channel> {
    GatewayInterceptorClient::new(server.connect().await.unwrap())
}

/// Asks as the supervisor of [`SANDBOX`].
pub async fn evaluate(
    server: &Server,
    gateway: &Gateway,
    request: HttpRequestEvaluation,
) -> Result<HttpRequestResult, Status> {
    let request = with(request, &gateway.supervisor(SANDBOX));
    middleware(server).await.evaluate_http_request(request).await.map(tonic::Response::into_inner)
}

/// A person who is known to the gateway.
pub fn person(subject: &str) -> Value {
    json!({"kind": "user", "subject": subject, "provider": "oidc", "display_name": "Somebody"})
}

/// A call to the gateway's API, before it is done.
pub fn proposed(method: &str, principal: &Value, operation: &Value) -> InterceptorEvaluation {
    let asked = ValidateEvaluation { proposed_operation: Some(object(operation)) };
    intercepted(method, principal, Phase::Validate(asked))
}

/// The same, after it was done.
pub fn committed(method: &str, principal: &Value, response: &Value) -> InterceptorEvaluation {
    let told = PostCommitEvaluation { committed_response: Some(object(response)) };
    intercepted(method, principal, Phase::PostCommit(told))
}

fn intercepted(method: &str, principal: &Value, phase: Phase) -> InterceptorEvaluation {
    let said = principal.as_object().unwrap().iter();
    InterceptorEvaluation {
        interceptor_name: "drift-gate".into(),
        binding_id: "of-the-manifest".into(),
        service: "openshell.v1.OpenShell".into(),
        method: method.into(),
        principal: said.map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned())).collect(),
        phase: Some(phase),
    }
}

/// Asks as the gateway.
pub async fn intercept(
    server: &Server,
    gateway: &Gateway,
    evaluation: InterceptorEvaluation,
) -> Result<InterceptorResult, Status> {
    let request = with(evaluation, &gateway.for_interceptor());
    interceptor(server).await.evaluate(request).await.map(tonic::Response::into_inner)
}
