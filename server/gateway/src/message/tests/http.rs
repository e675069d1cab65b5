//! A request as an action.

use super::super::path::{Path, server};
use super::*;

fn get(path: &str) -> Asked {
    Request::new("GET", path).asked(Kind::Http)
}

fn tool(path: &str) -> String {
    get(path).tool.trim_start_matches("GET ").to_owned()
}

#[test]
fn the_example_of_the_contract() {
    let request =
        Request { path: "/v1/accounts/4711/payments?dry=0".to_owned(), ..Request::post(r#"{"to":"Bob"}"#) };
    let asked = request.asked(Kind::Auto);
    assert_eq!(
        (asked.tool.as_str(), asked.server.as_str()),
        ("POST /v1/accounts/{p1}/payments", "tools.example")
    );
    let arguments = json!({"path": {"p1": "4711"}, "query": {"dry": "0"}, "body": {"to": "Bob"}});
    assert_eq!(Value::Object(asked.arguments), arguments);
    assert_eq!((asked.effect, asked.partial), (Effect::Write, None));
}

#[test]
fn segments_that_look_like_values_become_places() {
    for value in [
        "0",
        "4711",
        "550e8400-e29b-41d4-a716-446655440000",
        "01K9Z6T0Q7M3J5V8C2B4N6P8R1",
        "deadbeef",
        "DEADBEEF01",
        "bob@example.com",
        "invoice-2026-11-23",
    ] {
        assert_eq!(tool(&format!("/a/{value}/b")), "/a/{p1}/b", "{value}");
        assert_eq!(get(&format!("/a/{value}")).arguments["path"]["p1"], value);
    }
    for name in ["v1", "accounts", "deadbee", "a1b2", "internationalisation", "invoice-2026", "-1"] {
        assert_eq!(tool(&format!("/a/{name}")), format!("/a/{name}"));
    }
    assert_eq!(tool("/1/2/a"), "/{p1}/{p2}/a");
    assert_eq!((tool("/"), tool("/a/"), tool("")), ("/".to_owned(), "/a/".to_owned(), "/".to_owned()));
}

#[test]
fn a_path_is_decoded_once() {
    assert_eq!(tool("/caf%C3%A9/%41"), "/café/A");
    assert_eq!(tool("/a%2fb"), "/a/b");
    assert_eq!(tool("/a%252fb"), "/a%2fb");
    assert_eq!(tool("/a/../b/./c"), "/a/../b/./c");
    assert_eq!(tool("/%2e%2e/a"), "/../a");
    assert_eq!(tool("/%zz/%/%4"), "/%zz/%/%4");
    assert_eq!(tool("/%ff"), "/\u{fffd}");
    assert_eq!(tool("/a+b"), "/a+b");
    assert_eq!(get("/%34711").arguments["path"]["p1"], "4711");
}

#[test]
fn a_query_is_decoded_and_repeats_are_lists() {
    let query = |text: &str| Value::Object(get(text).arguments).get("query").cloned();
    assert_eq!(
        query("/a?x=1&x=2&y=a+b%2B&z&x=%33"),
        Some(json!({"x": ["1", "2", "3"], "y": "a b+", "z": ""}))
    );
    assert_eq!(query("/a?to=a?b=c"), Some(json!({"to": "a?b=c"})));
    assert_eq!(query("/a?"), None);
    assert_eq!(query("/a?%2525=%2525"), Some(json!({"%25": "%25"})));
}

#[test]
fn effects_are_those_of_methods() {
    for (method, effect) in [
        ("GET", Effect::Read),
        ("HEAD", Effect::Read),
        ("OPTIONS", Effect::Read),
        ("POST", Effect::Write),
        ("PUT", Effect::Write),
        ("DELETE", Effect::Write),
        ("get", Effect::Write),
        ("PROPFIND", Effect::Write),
    ] {
        assert_eq!(Request::new(method, "/a").asked(Kind::Http).effect, effect, "{method}");
    }
    let other = Request::new("GET", "/a").header("x-http-method-override", "DELETE");
    assert_eq!(other.asked(Kind::Http).effect, Effect::Unknown);
}

#[test]
fn the_server_is_the_host_without_its_port() {
    for (host, name) in [
        ("Tools.Example:8080", "tools.example"),
        ("tools.example.", "tools.example"),
        ("tools.example.:443", "tools.example"),
        ("[::1]:8080", "[::1]"),
        ("[2001:DB8::1]", "[2001:db8::1]"),
        ("2001:db8::1", "2001:db8::1"),
        ("tools:", "tools"),
        ("", ""),
    ] {
        assert_eq!(server(host), name);
    }
}

#[test]
fn forms_are_objects() {
    let form =
        Request::post("to=Bob+B&amount=5&to=Eve&note=%C3%A9").typed("application/x-www-form-urlencoded");
    assert_eq!(
        form.asked(Kind::Http).arguments["body"],
        json!({"to": ["Bob B", "Eve"], "amount": "5", "note": "é"})
    );
    let other = form.typed("application/x-www-form-urlencoded; charset=utf-16");
    assert_eq!(other.status(Kind::Http), Status::Unparsable);
}

#[test]
fn json_is_taken_as_it_is() {
    for body in [json!([1, 2]), json!("x"), json!(null), json!({"a": {"b": [1.5]}})] {
        assert_eq!(Request::post(body.to_string()).asked(Kind::Http).arguments["body"], body);
    }
    let untyped = Request::new("PUT", "/a").body(r#"{"a":1}"#);
    assert_eq!(untyped.asked(Kind::Http).arguments["body"], json!({"a": 1}));
}

#[test]
fn other_types_are_scored_by_what_is_seen_and_told_as_truncated() {
    for (content_type, essence) in
        [("Text/Plain; charset=utf-8", "text/plain"), ("image/png", "image/png"), ("", "")]
    {
        let asked = Request::post("hello").typed(content_type).asked(Kind::Http);
        assert_eq!(asked.arguments["body"], json!({"contentType": essence, "bytes": 5}));
        assert_eq!(asked.status(), Status::Truncated);
    }
}

#[test]
fn a_grpc_call_is_named_by_its_path() {
    let path = "/bank.v1.PaymentsService2026/Send".to_owned();
    let request = Request { path, ..Request::post(vec![0, 0, 0, 0, 1, 9]).typed("application/grpc+proto") };
    for kind in [Kind::Auto, Kind::Http] {
        let asked = request.asked(kind);
        assert_eq!(asked.tool, "POST /bank.v1.PaymentsService2026/Send");
        assert_eq!(asked.arguments["body"], json!({"contentType": "application/grpc+proto", "bytes": 6}));
        assert_eq!((asked.status(), asked.effect), (Status::Truncated, Effect::Write));
    }
    // The body of a stream is not handed on.
    let stream = Request { body: Vec::new(), ..request };
    assert_eq!(stream.asked(Kind::Http).status(), Status::Truncated);
}

#[test]
fn secrets_are_dropped_and_named() {
    let body = json!({"user": {"Password": "x", "name": "Bob"}, "items": [{"api_key": "y"}], "tokens": 5});
    let request = Request {
        path: "/login?access_token=z&next=a&Token=q".to_owned(),
        ..Request::post(body.to_string())
    };
    let mut dropped = request.read(Kind::Http).dropped;
    dropped.sort();
    assert_eq!(dropped, ["Password", "Token", "access_token", "api_key"]);
    let arguments = Value::Object(request.asked(Kind::Http).arguments);
    let left = json!({"query": {"next": "a"}, "body": {"user": {"name": "Bob"}, "items": [{}], "tokens": 5}});
    assert_eq!(arguments, left);
    let form = Request::post("user%5Bpassword%5D=x&a=1").typed("application/x-www-form-urlencoded");
    assert_eq!(form.asked(Kind::Http).arguments["body"], json!({"a": "1"}));
    assert_eq!(form.read(Kind::Http).dropped, ["user[password]"]);
}

#[test]
fn lists_of_secrets_can_be_the_operators() {
    let own = rules(json!({"secrets": ["PIN"]}));
    let request = Request::post(r#"{"pin":1,"password":2}"#);
    assert_eq!(request.asked_by(Kind::Http, &own).arguments["body"], json!({"password": 2}));
}

#[test]
fn arguments_of_tools_stay_whole() {
    let request = call("tools/call", json!({"name": "swap", "arguments": {"token": "ABC"}}));
    assert_eq!(request.asked(Kind::Mcp).arguments["token"], "ABC");
}

#[test]
fn a_path_that_servers_read_differently_is_not_plain() {
    for path in ["/a//b", "/a/../b", "/a/%2e/b", "/a%2fb", "/a%5cb", "/a;x=1/b", "/a%00", "/%ff"] {
        assert!(!Path::of(path).is_plain, "{path}");
    }
    assert!(Path::of("/a/b/").is_plain && Path::of("/").is_plain && Path::of("/caf%C3%A9").is_plain);
}
