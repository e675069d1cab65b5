//! The table of MCP.

use super::*;
use rhumb_ledger::BindingKind;
use rhumb_ledger::intent::carriers::TokenPlace;

fn tool(params: Value) -> Request {
    call("tools/call", params)
}

#[test]
fn a_call_of_a_tool_is_scored() {
    let request = tool(json!({"name": "pay", "arguments": {"to": "Bob", "amount": 12.5}}));
    let asked = request.asked(Kind::Mcp);
    assert_eq!((asked.tool.as_str(), asked.server.as_str()), ("pay", "tools.example"));
    assert_eq!(Value::Object(asked.arguments), json!({"to": "Bob", "amount": 12.5}));
    assert_eq!((asked.text.as_str(), asked.effect, asked.partial), ("", Effect::Unknown, None));
    assert_eq!(request.item(Kind::Mcp).id.to_json(), "7");
}

#[test]
fn arguments_may_be_absent_but_are_an_object() {
    assert!(tool(json!({"name": "pay"})).asked(Kind::Mcp).arguments.is_empty());
    for arguments in [json!(null), json!([]), json!("{}"), json!(1)] {
        let request = tool(json!({"name": "pay", "arguments": arguments}));
        assert_eq!(request.status(Kind::Mcp), Status::Unparsable);
    }
}

#[test]
fn what_else_the_server_gets_is_part_of_the_action() {
    let params =
        json!({"name": "pay", "arguments": {}, "task": {"ttl": 5}, "request_state": "x", "_meta": {"a": 1}});
    let text = tool(params).asked(Kind::Mcp).text;
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap(),
        json!({"task": {"ttl": 5}, "request_state": "x"})
    );
}

#[test]
fn parameters_of_another_type_are_unparsable() {
    for params in [json!(null), json!(["pay"]), json!({}), json!({"name": 1}), json!({"name": " "})] {
        assert_eq!(tool(params.clone()).status(Kind::Mcp), Status::Unparsable, "{params}");
    }
    assert_eq!(tool(json!({"name": "pay", "_meta": 1})).status(Kind::Mcp), Status::Unparsable);
    let bare = Request::post(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#);
    assert_eq!(bare.status(Kind::Mcp), Status::Unparsable);
}

#[test]
fn a_call_without_an_id_is_scored_all_the_same() {
    let request = Request::post(r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"pay"}}"#);
    assert_eq!(request.asked(Kind::Mcp).tool, "pay");
    assert_eq!(request.item(Kind::Mcp).id, RpcId::Absent);
}

#[test]
fn reading_is_scored_by_policy() {
    let resource = call("resources/read", json!({"uri": "file:///a", "_meta": {}}));
    let asked = resource.asked(Kind::Mcp);
    assert_eq!((asked.tool.as_str(), asked.effect), ("resources/read", Effect::Read));
    assert_eq!(Value::Object(asked.arguments), json!({"uri": "file:///a"}));
    let prompt = call("prompts/get", json!({"name": "greet"}));
    assert_eq!(prompt.passed(Kind::Mcp), Some(Passed::McpMethod));
    let other = rules(json!({"mcp": {"resources_read": "pass", "prompts_get": "score"}}));
    assert_eq!(prompt.asked_by(Kind::Mcp, &other).tool, "prompts/get");
    assert!(matches!(resource.read_by(Kind::Mcp, &other).items[0].what, What::Pass(Passed::McpMethod)));
    assert_eq!(call("resources/read", json!({"name": "x"})).status(Kind::Mcp), Status::Unparsable);
}

#[test]
fn methods_that_do_not_act_pass() {
    let methods = "initialize ping tools/list prompts/list resources/templates/list completion/complete \
                   logging/setLevel resources/subscribe server/discover tasks/get";
    for method in methods.split_whitespace() {
        assert_eq!(call(method, json!({})).passed(Kind::Mcp), Some(Passed::McpMethod), "{method}");
    }
    let cancelled = Request::post(r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#);
    assert_eq!(cancelled.passed(Kind::Mcp), Some(Passed::Notification));
    for answer in [r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, r#"{"jsonrpc":"2.0","id":1,"error":{}}"#] {
        assert_eq!(Request::post(answer).passed(Kind::Mcp), Some(Passed::ClientResponse));
    }
}

#[test]
fn an_unknown_method_passes_or_is_refused() {
    let request = call("vendor/do", json!({}));
    assert_eq!(request.passed(Kind::Mcp), Some(Passed::UnknownMethod));
    let strict = rules(json!({"mcp": {"unknown_method": "refuse"}}));
    let what = request.read_by(Kind::Mcp, &strict).items.remove(0).what;
    assert_eq!(what, What::Refuse("method_refused", "method `vendor/do` is not known".to_owned()));
}

#[test]
fn what_looks_like_a_call_and_is_none_is_unparsable() {
    for method in ["Tools/Call", " tools/call", "TOOLS/CALL", "tool\u{17f}/call", "sendMessage"] {
        assert_eq!(call(method, json!({"name": "pay"})).status(Kind::Mcp), Status::Unparsable, "{method}");
    }
    for text in [
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call","params":{"name":"pay"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","Name":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"},"param\u017f":{"name":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":["tools/call"]}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"id":1,"method":"tools/call","params":{"name":"a"}}"#,
        r#"{"jsonrpc":2.0,"id":1,"method":"tools/call","params":{"name":"a"}}"#,
        r#"{"jsonrpc":"2.0","id":{},"method":"tools/call","params":{"name":"a"}}"#,
        r#"{"jsonrpc":"2.0","id":true,"method":"tools/call","params":{"name":"a"}}"#,
        r#""tools/call""#,
    ] {
        assert_eq!(Request::post(text).status(Kind::Mcp), Status::Unparsable, "{text}");
    }
}

#[test]
fn requests_without_a_body_pass() {
    let stream = Request::new("GET", "/mcp").header("accept", "application/json, Text/Event-Stream;q=0.5");
    let end = Request::new("DELETE", "/mcp").header("mcp-session-id", "s");
    let empty = Request::new("POST", "/mcp").header("content-length", "0");
    for (request, passed) in [
        (stream, Passed::EventStream),
        (end, Passed::SessionEnd),
        (Request::new("OPTIONS", "/mcp"), Passed::Options),
        (Request::new("HEAD", "/mcp"), Passed::Head),
        (Request::new("GET", "/mcp"), Passed::EmptyBody),
        (empty, Passed::EmptyBody),
    ] {
        assert_eq!(request.passed(Kind::Mcp), Some(passed));
    }
}

#[test]
fn a_method_that_has_a_body_passes_for_its_body_only() {
    for method in ["GET", "DELETE", "OPTIONS", "HEAD"] {
        let body = tool(json!({"name": "pay"})).body;
        let request = Request::new(method, "/mcp").header("accept", "text/event-stream").body(body);
        assert_eq!(request.asked(Kind::Mcp).tool, "pay");
    }
}

#[test]
fn a_post_whose_body_nobody_saw_is_cut() {
    assert_eq!(Request::new("POST", "/mcp").status(Kind::Mcp), Status::Truncated);
    let chunked = Request::new("GET", "/mcp").header("transfer-encoding", "chunked");
    assert_eq!(chunked.status(Kind::Mcp), Status::Truncated);
}

#[test]
fn another_type_than_json_is_unparsable() {
    let request = tool(json!({"name": "pay"}));
    for content_type in
        ["text/plain", "application/json; charset=utf-16", "application/grpc", "application/json, a/b"]
    {
        assert_eq!(
            request.clone().typed(content_type).status(Kind::Mcp),
            Status::Unparsable,
            "{content_type}"
        );
    }
    for content_type in
        ["", "Application/JSON", "application/json;charset=\"UTF-8\"", "application/vnd.mcp+json"]
    {
        assert_eq!(request.clone().typed(content_type).asked(Kind::Mcp).tool, "pay", "{content_type}");
    }
    let twice = request.header("content-type", "application/json");
    assert_eq!(twice.status(Kind::Mcp), Status::Unparsable);
}

#[test]
fn headers_must_tell_what_the_body_tells() {
    let request = || tool(json!({"name": "pay"}));
    let named = |name: &str| request().header("mcp-method", "tools/call").header("mcp-name", name);
    assert_eq!(named("pay").asked(Kind::Mcp).tool, "pay");
    for request in [
        named("Pay"),
        named("read"),
        request().header("mcp-method", "ping"),
        request().header("mcp-method", "Tools/Call"),
        named("pay").header("mcp-name", "read"),
        named("pay,read"),
        Request::post(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#).header("mcp-method", "tools/call"),
        call("ping", json!({})).header("mcp-name", "pay"),
    ] {
        let broken = request.broken(Kind::Mcp);
        assert_eq!((broken.status, broken.reason), (Status::Unparsable, "header_body_mismatch"));
    }
    let uri = call("resources/read", json!({"uri": "file:///a", "name": "b"}));
    assert_eq!(uri.clone().header("mcp-name", "file:///a").asked(Kind::Mcp).tool, "resources/read");
    assert_eq!(uri.header("mcp-name", "b").broken(Kind::Mcp).reason, "header_body_mismatch");
}

#[test]
fn names_beyond_ascii_come_encoded() {
    let request = tool(json!({"name": "zahlen ä"}));
    assert_eq!(
        request.clone().header("mcp-name", "=?base64?emFobGVuIMOk?=").asked(Kind::Mcp).tool,
        "zahlen ä"
    );
    for name in ["=?base64?emFobGVu?=", "=?base64?%%?=", "zahlen !"] {
        assert_eq!(request.clone().header("mcp-name", name).broken(Kind::Mcp).reason, "header_body_mismatch");
    }
}

#[test]
fn each_call_of_a_batch_is_an_item() {
    let text = r#"[{"jsonrpc":"2.0","id":1.0,"method":"tools/call","params":{"name":"a"}},
        {"jsonrpc":"2.0","id":"x","method":"ping"}, [{"jsonrpc":"2.0","id":2,"method":"ping"}], 5,
        {"jsonrpc":"2.0","method":"notifications/initialized"}]"#;
    let reading = Request::post(text).read(Kind::Mcp);
    assert!(reading.is_batch);
    let ids: Vec<_> = reading.items.iter().map(|item| item.id.to_json()).collect();
    assert_eq!(ids, ["1.0", "\"x\"", "null", "null", "null"]);
    assert!(matches!(reading.items[0].what, What::Action(_)));
    assert_eq!(reading.items[1].what, What::Pass(Passed::McpMethod));
    assert!(
        matches!(reading.items[2].what, What::Broken(_)) && matches!(reading.items[3].what, What::Broken(_))
    );
    assert_eq!(reading.items[4].what, What::Pass(Passed::Notification));
}

#[test]
fn a_batch_has_1_to_64_calls() {
    let batch = |calls| {
        Request::post(format!("[{}]", vec![r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#; calls].join(",")))
    };
    assert_eq!(batch(64).read(Kind::Mcp).items.len(), 64);
    for calls in [0, 65] {
        assert_eq!(batch(calls).status(Kind::Mcp), Status::Unparsable);
        assert!(!batch(calls).read(Kind::Mcp).is_batch);
    }
}

#[test]
fn an_id_is_told_as_it_was_written() {
    for id in ["1", "1.0", "1e0", "-7", "18446744073709551616000", r#""\u0061""#, "null"] {
        let request = Request::post(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#));
        assert_eq!(request.item(Kind::Mcp).id, RpcId::Value(id.into()));
    }
}

#[test]
fn what_a_call_carries_is_found() {
    let meta = json!({"dev.rhumb/intent-token": "a.b.c", "traceparent": format!("00-{}-{}-01", "ab".repeat(16), "cd".repeat(8)),
        "baggage": "x=1, rhumb.intent_id=01K9Z6T0Q7M3J5V8C2B4N6P8R1;p=1"});
    let request = tool(json!({"name": "pay", "_meta": meta}))
        .header("txn-token", "t1")
        .header("txn-token", "t2")
        .header("rhumb-intent", " r ")
        .header("mcp-session-id", "s-1");
    let reading = request.read(Kind::Mcp);
    let token = |place, token: &str| (place, token.to_owned());
    let headers = vec![
        token(TokenPlace::TxnToken, "t1"),
        token(TokenPlace::TxnToken, "t2"),
        token(TokenPlace::RhumbIntent, "r"),
    ];
    assert_eq!(reading.carried.tokens, headers);
    assert_eq!(reading.carried.keys[0].kind, BindingKind::McpSession);
    let own = &reading.items[0].carried;
    assert_eq!(own.tokens, vec![token(TokenPlace::McpMeta, "a.b.c")]);
    assert_eq!(
        (own.keys[0].kind, own.keys[0].value.as_str()),
        (BindingKind::Trace, "ab".repeat(16).as_str())
    );
    assert_eq!(own.hint_id, "01K9Z6T0Q7M3J5V8C2B4N6P8R1");
}

#[test]
fn what_is_no_carrier_carries_nothing() {
    let zero = format!("00-{}-{}-01", "0".repeat(32), "cd".repeat(8));
    let upper = format!("00-{}-{}-01", "AB".repeat(16), "cd".repeat(8));
    let longer = format!("00-{}-{}-01-x", "ab".repeat(16), "cd".repeat(8));
    for parent in [zero.as_str(), &upper, &longer, "", "00", "ff-ab-cd-01"] {
        let request = call("ping", json!({})).header("traceparent", parent).header("mcp-session-id", "");
        assert!(request.read(Kind::Mcp).carried.keys.is_empty(), "{parent}");
    }
    let hint = call("ping", json!({})).header("baggage", "rhumb.intent_id=me");
    assert_eq!(hint.read(Kind::Mcp).carried.hint_id, "");
}

#[test]
fn a_token_that_is_no_text_counts_as_given() {
    let request = tool(json!({"name": "pay", "_meta": {"dev.rhumb/intent-token": null}}));
    assert_eq!(request.item(Kind::Mcp).carried.tokens, vec![(TokenPlace::McpMeta, "null".to_owned())]);
}
