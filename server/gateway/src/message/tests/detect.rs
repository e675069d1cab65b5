//! What a request is, where nobody says it.

use super::*;

fn kind(request: &Request) -> Kind {
    request.read(Kind::Auto).kind
}

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"pay"}}"#;

#[test]
fn kinds_have_names() {
    for (name, kind) in [("auto", Kind::Auto), ("mcp", Kind::Mcp), ("a2a", Kind::A2a), ("http", Kind::Http)] {
        assert_eq!((name.parse(), serde_json::from_value(json!(name)).ok()), (Ok(kind), Some(kind)));
    }
    assert!("MCP".parse::<Kind>().is_err());
}

#[test]
fn calls_are_mcp_and_anything_else_is_http() {
    assert_eq!(kind(&Request::post(CALL)), Kind::Mcp);
    assert_eq!(kind(&Request::post(PING)), Kind::Mcp);
    assert_eq!(kind(&Request::post(format!("[{CALL},{PING}]"))), Kind::Mcp);
    assert_eq!(kind(&Request::post(PING).header("a2a-version", "1.0")), Kind::A2a);
    for body in [r#"{"a":1}"#, r#"{"method":"ping"}"#, r#"{"jsonrpc":"1.0","method":"ping"}"#, "[]", "5", ""]
    {
        assert_eq!(
            kind(&Request::post(body).header("content-length", &body.len().to_string())),
            Kind::Http,
            "{body}"
        );
    }
}

#[test]
fn what_the_operator_says_counts() {
    assert_eq!(Request::post(CALL).read(Kind::Http).kind, Kind::Http);
    assert_eq!(Request::post(CALL).asked(Kind::Http).tool, "POST /mcp");
    assert_eq!(Request::post(r#"{"a":1}"#).status(Kind::Mcp), Status::Unparsable);
}

#[test]
fn the_body_of_a_harmless_call_takes_no_request_out_of_sight() {
    let other = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"look"},"to":"Eve"}"#;
    assert_eq!(Request::post(other).asked(Kind::Auto).tool, "POST /mcp");
    let more = r#"{"jsonrpc":"2.0","id":1,"method":"ping","amount":500,"to":"Eve"}"#;
    let known = rules(json!({"http": [{"template": "/v1/pay/{who}"}]}));
    let delete = Request { method: "DELETE", path: "/v1/accounts/4711".to_owned(), ..Request::post(PING) };
    let query = Request { path: "/v1/pay?to=Eve".to_owned(), ..Request::post(PING) };
    assert_eq!(Request::post(more).asked(Kind::Auto).tool, "POST /mcp");
    assert_eq!(delete.asked(Kind::Auto).tool, "DELETE /v1/accounts/{p1}");
    assert_eq!(query.asked(Kind::Auto).tool, "POST /v1/pay");
    for path in ["/v1/pay/eve", "/v1/x/../pay/eve", "/V1//pay/eve/"] {
        let request = Request { path: path.to_owned(), ..Request::post(PING) };
        assert!(matches!(request.read_by(Kind::Auto, &known).items[0].what, What::Action(_)), "{path}");
    }
}

#[test]
fn headers_take_no_request_out_of_sight() {
    let delete = Request::new("DELETE", "/v1/accounts/4711").header("mcp-session-id", "s");
    let stream = Request::new("GET", "/v1/accounts").header("accept", "text/event-stream");
    let upgrade = Request::post(CALL).header("upgrade", "websocket").header("connection", "upgrade");
    let agent = Request { method: "PUT", ..Request::post(r#"{"a":1}"#) }.header("a2a-version", "1.0");
    for request in [delete, stream, upgrade, agent] {
        assert!(matches!(request.what(Kind::Auto), What::Action(_)));
    }
    let known = rules(json!({"http": [{"template": "/v1/accounts"}]}));
    let socket = Request::new("GET", "/v1/accounts").header("upgrade", "websocket");
    assert_eq!(socket.asked_by(Kind::Auto, &known).tool, "GET /v1/accounts");
}

#[test]
fn a_response_passes_on_mcp_routes_only() {
    let answer = Request::post(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    assert_eq!(answer.passed(Kind::Mcp), Some(Passed::ClientResponse));
    assert_eq!(answer.asked(Kind::Auto).tool, "POST /mcp");
}

#[test]
fn the_type_that_is_said_does_not_hide_a_call() {
    assert_eq!(Request::post(CALL).typed("text/plain").asked(Kind::Auto).tool, "pay");
    assert_eq!(Request::post(CALL).typed("").asked(Kind::Auto).tool, "pay");
}

#[test]
fn unreadable_json_that_was_posted_may_have_been_a_call() {
    for body in [r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#, "{,}", "{"] {
        let request = Request::post(body);
        assert_eq!((kind(&request), request.status(Kind::Auto)), (Kind::Mcp, Status::Unparsable), "{body}");
        let put = Request { method: "PUT", ..request };
        assert_eq!((kind(&put), put.status(Kind::Auto)), (Kind::Http, Status::Unparsable), "{body}");
    }
}

#[test]
fn upgrades_pass_or_are_refused() {
    let socket = Request::new("GET", "/chat").header("upgrade", "WebSocket").header("connection", "Upgrade");
    let strict = rules(json!({"upgrade": "refuse"}));
    for request in [socket, Request::new("CONNECT", "/")] {
        assert_eq!(request.passed(Kind::Auto), Some(Passed::Upgrade));
        let what = request.read_by(Kind::Auto, &strict).items.remove(0).what;
        assert!(matches!(what, What::Refuse("upgrade_refused", _)));
    }
}

#[test]
fn every_reason_is_on_the_list() {
    let all = rhumb_ledger::intent::reason::ALL;
    for reason in
        ["upgrade_refused", "method_refused", "header_body_mismatch", "action_unparsable", "action_truncated"]
    {
        assert!(all.contains(&reason), "{reason}");
    }
}
