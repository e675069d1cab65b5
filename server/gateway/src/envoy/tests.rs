use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3::{HeaderMap, HeaderValue, Metadata};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Request as Attributes};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest, CheckResponse};
use envoy_types::pb::google::protobuf::value::Kind as ProtoKind;
use envoy_types::pb::google::protobuf::{Struct, Value as ProtoValue};
use rhumb_proto::v1::{self, Outcome, ScoreResponse, Verdict};
use serde_json::{Value, json};

use super::request::Seen;
use super::route::Route;
use super::{answer, metadata};
use crate::message::{self, Kind, RpcId};
use crate::point::{Answered, ItemAnswer};
use crate::policy::Mode;

fn decided(verdict: Verdict, outcome: Outcome, reason: &str) -> ItemAnswer {
    ItemAnswer::Decided(Box::new(ScoreResponse {
        decision_id: "01K".into(),
        verdict: verdict.into(),
        outcome: outcome.into(),
        mode: v1::Mode::Enforce.into(),
        status: v1::Status::Scored.into(),
        reason_code: reason.into(),
        drift: Some(0.912_345),
        threshold: Some(0.5),
        ..ScoreResponse::default()
    }))
}

fn answered(kind: Kind, items: Vec<(RpcId, ItemAnswer)>) -> Answered {
    Answered { kind, is_batch: items.len() > 1, items, deny_http_status: 403 }
}

fn one(kind: Kind, answer: ItemAnswer) -> Answered {
    answered(kind, vec![(RpcId::Absent, answer)])
}

/// The id as a request has it that is read.
fn id(written: &str) -> RpcId {
    let body = format!(r#"{{"jsonrpc":"2.0","id":{written},"method":"tools/call","params":{{"name":"t"}}}}"#);
    let request = check(&[("content-type", "application/json")], body.as_bytes());
    let seen = Seen::of(request).unwrap();
    message::read(&seen.message(), Kind::Mcp, &message::Checked::default()).items.remove(0).id
}

fn check(headers: &[(&str, &str)], body: &[u8]) -> CheckRequest {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let http = HttpRequest {
        id: "42".into(),
        method: "POST".into(),
        path: "/mcp".into(),
        host: "tools".into(),
        headers: headers.collect(),
        raw_body: body.to_vec(),
        ..HttpRequest::default()
    };
    let request = Attributes { http: Some(http), ..Attributes::default() };
    let attributes = AttributeContext { request: Some(request), ..AttributeContext::default() };
    CheckRequest { attributes: Some(attributes) }
}

fn code(response: &CheckResponse) -> i32 {
    response.status.as_ref().expect("a code that is not set lets pass").code
}

fn body(response: &CheckResponse) -> String {
    match &response.http_response {
        Some(HttpResponse::DeniedResponse(denied)) => denied.body.clone(),
        other => panic!("{other:?}"),
    }
}

fn removed(response: &CheckResponse) -> &[String] {
    match &response.http_response {
        Some(HttpResponse::OkResponse(ok)) => &ok.headers_to_remove,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_outcome_alone_lets_through_whatever_the_verdict() {
    let verdicts = [
        Verdict::Unspecified,
        Verdict::Allow,
        Verdict::Warn,
        Verdict::Escalate,
        Verdict::Deny,
        Verdict::Abstain,
    ];
    for (verdict, kind) in
        verdicts.into_iter().flat_map(|v| [(v, Kind::Mcp), (v, Kind::Http), (v, Kind::A2a)])
    {
        let passes = answer::answer(&one(kind, decided(verdict, Outcome::Pass, "aligned")), Vec::new());
        assert_eq!(code(&passes), 0, "{verdict:?}");
        assert!(matches!(passes.http_response, Some(HttpResponse::OkResponse(_))));
        for outcome in [Outcome::Stop, Outcome::Unspecified] {
            let stops = answer::answer(&one(kind, decided(verdict, outcome, "intent_drift")), Vec::new());
            assert_eq!(code(&stops), 7, "{verdict:?} {outcome:?}");
            assert!(matches!(stops.http_response, Some(HttpResponse::DeniedResponse(_))));
        }
    }
}

#[test]
fn an_error_repeats_its_id_as_it_was_written() {
    for written in ["7", "-1.50", r#""a\"b""#, "123456789012345678901234567890", "null"] {
        let items = vec![(id(written), decided(Verdict::Deny, Outcome::Stop, "intent_drift"))];
        let text = body(&answer::answer(&answered(Kind::Mcp, items), Vec::new()));
        assert!(text.contains(&format!(r#""id":{written},"#)), "{text}");
        assert!(serde_json::from_str::<Value>(&text).is_ok(), "{text}");
    }
    let text = body(&answer::answer(&one(Kind::Mcp, decided(Verdict::Deny, Outcome::Stop, "x")), Vec::new()));
    assert!(text.contains(r#""id":null"#), "{text}");
}

#[test]
fn refusals_tell_reason_and_numbers() {
    let drifted = decided(Verdict::Deny, Outcome::Stop, "intent_drift");
    let rpc: Value =
        serde_json::from_str(&body(&answer::answer(&one(Kind::Mcp, drifted.clone()), Vec::new()))).unwrap();
    let data = json!({"decisionId": "01K", "verdict": "DENY", "status": "SCORED", "reasonCode": "intent_drift", "drift": 0.912, "threshold": 0.5});
    assert_eq!((&rpc["error"]["code"], &rpc["error"]["data"]), (&json!(-32001), &data));
    let http: Value =
        serde_json::from_str(&body(&answer::answer(&one(Kind::Http, drifted), Vec::new()))).unwrap();
    assert_eq!(
        (&http["error"]["code"], &http["error"]["decisionId"]),
        (&json!("intent_drift"), &json!("01K"))
    );
    assert!(http.get("jsonrpc").is_none());
    let escalated = one(Kind::Mcp, decided(Verdict::Escalate, Outcome::Stop, "provenance_too_low"));
    let response = answer::answer(&escalated, Vec::new());
    assert!(body(&response).contains("human_needed") && !body(&response).contains("provenance_too_low"));
    let own = metadata::json(&response.dynamic_metadata.unwrap().fields["rhumb"]);
    assert_eq!(
        (&own["reason_code"], &own["drift"], &own["enforced"]),
        (&json!("human_needed"), &json!(0.912_345), &json!(true))
    );
}

#[test]
fn a_batch_is_refused_call_by_call() {
    let mut items = vec![
        (id("1"), decided(Verdict::Allow, Outcome::Pass, "aligned")),
        (RpcId::Absent, ItemAnswer::Passed("notification")),
        (id(r#""two""#), ItemAnswer::Passed("mcp_method")),
    ];
    let passes = answer::answer(&answered(Kind::Mcp, items.clone()), Vec::new());
    assert_eq!(code(&passes), 0);
    items.push((id("3"), decided(Verdict::Deny, Outcome::Stop, "intent_drift")));
    let errors: Value =
        serde_json::from_str(&body(&answer::answer(&answered(Kind::Mcp, items), Vec::new()))).unwrap();
    let reasons =
        errors.as_array().unwrap().iter().map(|e| (&e["id"], e["error"]["data"]["reasonCode"].as_str()));
    let (batch, drift) = (Some("batch_refused"), Some("intent_drift"));
    assert!(reasons.eq([(&json!(1), batch), (&json!("two"), batch), (&json!(3), drift)]), "{errors}");
}

#[test]
fn headers_that_only_we_may_write_are_overwritten_or_removed() {
    let names = ["x-rhumb-verdict", "x-rhumb-intent-id", "x_rhumb_drift", "x-rhumb-made-up", "x-other"];
    let seen = Seen::of(check(&names.map(|name| (name, "forged")), b"")).unwrap();
    let scored = one(Kind::Mcp, decided(Verdict::Allow, Outcome::Pass, "aligned"));
    let response = answer::answer(&scored, seen.forged());
    let underscored = ["x_rhumb_decision", "x_rhumb_drift", "x_rhumb_intent_id", "x_rhumb_verdict"];
    assert_eq!(removed(&response), [&["x-rhumb-intent-id", "x-rhumb-made-up"][..], &underscored].concat());
    let passed = one(Kind::Mcp, ItemAnswer::Passed("mcp_method"));
    let response = answer::answer(&passed, seen.forged());
    assert_eq!(removed(&response).len(), 9, "nothing of ours stands in their place: {response:?}");
    let hidden = answer::answer(&passed, Vec::new());
    assert!(removed(&hidden).contains(&"x-rhumb-verdict".to_owned()), "also what Envoy did not show");
    assert_eq!(response.dynamic_metadata, None);
}

#[test]
fn raw_headers_and_either_body_are_read() {
    let mut request = check(&[], b"");
    let http = request.attributes.as_mut().unwrap().request.as_mut().unwrap().http.as_mut().unwrap();
    let line = |value: &[u8]| HeaderValue {
        key: "Txn-Token".into(),
        raw_value: value.to_vec(),
        ..HeaderValue::default()
    };
    http.header_map = Some(HeaderMap { headers: vec![line(b"a"), line(b"b\xff")] });
    http.body = "text".into();
    let seen = Seen::of(request).unwrap();
    assert_eq!(seen.message().body, b"text");
    assert_eq!(seen.message().headers.get_all("txn-token").collect::<Vec<_>>(), ["a", "b\u{fffd}"]);
    assert!(Seen::of(CheckRequest::default()).is_none(), "a connection is no request");
}

#[test]
fn verified_claims_are_objects_of_an_issuer() {
    let text = |text: &str| ProtoValue { kind: Some(ProtoKind::StringValue(text.into())) };
    let number = |n: f64| ProtoValue { kind: Some(ProtoKind::NumberValue(n)) };
    let object = |fields: Vec<(&str, ProtoValue)>| {
        let fields = fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        ProtoValue { kind: Some(ProtoKind::StructValue(Struct { fields })) }
    };
    let claims = object(vec![("iss", text("rhumb")), ("exp", number(1_795_000_900.0)), ("x", number(0.5))]);
    let fields = [("payload", claims), ("header", object(vec![("alg", text("EdDSA"))])), ("text", text("x"))];
    let jwt = Struct { fields: fields.map(|(key, value)| (key.to_owned(), value)).into() };
    let mut request = check(&[], b"");
    let filter_metadata =
        HashMap::from([("envoy.filters.http.jwt_authn".to_owned(), jwt.clone()), ("other".to_owned(), jwt)]);
    request.attributes.as_mut().unwrap().metadata_context =
        Some(Metadata { filter_metadata, ..Metadata::default() });
    let read = Seen::of(request).unwrap().claims();
    assert_eq!(json!(read), json!([{"iss": "rhumb", "exp": 1_795_000_900, "x": 0.5}]));
}

#[test]
fn a_route_that_cannot_be_used_is_named_and_lets_nothing_pass() {
    let read = |pairs: &[(&str, &str)]| {
        Route::of(&pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    };
    let route = read(&[
        ("rhumb.kind", "http"),
        ("rhumb.server", "bank"),
        ("rhumb.policy", "strict"),
        ("rhumb.mode", "shadow"),
        ("rhumb.tenant", "team-7"),
        ("rhumb.min_provenance", "SIGNED"),
        ("somebody.else", "x"),
    ]);
    let route = route.unwrap();
    assert_eq!((route.kind, route.mode, route.policy.as_str()), (Kind::Http, Some(Mode::Shadow), "strict"));
    assert_eq!(route.min_provenance, v1::Provenance::Signed);
    assert_eq!(read(&[]), Ok(Route::default()));
    let wrong = [
        ("rhumb.knd", "http"),
        ("rhumb.kind", "MCP"),
        ("rhumb.mode", "observe"),
        ("rhumb.server", ""),
        ("rhumb.policy", ""),
        ("rhumb.tenant", ""),
        ("rhumb.min_provenance", "PROVENANCE_UNSPECIFIED"),
        ("rhumb.min_provenance", "signed"),
    ];
    for (key, value) in wrong {
        let error = read(&[(key, value)]).unwrap_err();
        assert_eq!(error.field, key);
        let response = answer::misused(&answer::Misused::route(&error));
        assert_ne!(code(&response), 0, "{key}");
        assert!(body(&response).contains("route_misconfigured"));
    }
}
