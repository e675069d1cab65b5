//! Messages between agents.

use super::*;
use rhumb_ledger::BindingKind;
use rhumb_ledger::intent::carriers::TokenPlace;

fn send(method: &str, message: Value) -> Request {
    call(method, json!({"message": message}))
}

#[test]
fn both_versions_are_read_alike() {
    let old = json!({"kind": "message", "role": "user", "messageId": "m", "parts": [
        {"kind": "text", "text": "Pay Bob"}, {"kind": "data", "data": {"amount": 5}}, {"type": "text", "text": "now"}]});
    let new = json!({"role": "ROLE_USER", "messageId": "m", "parts": [
        {"text": "Pay Bob"}, {"data": {"amount": 5}, "mediaType": "application/json"}, {"text": "now"}]});
    for (method, message) in [
        ("message/send", &old),
        ("message/stream", &old),
        ("SendMessage", &new),
        ("SendStreamingMessage", &new),
    ] {
        for kind in [Kind::A2a, Kind::Auto] {
            let request = send(method, message.clone());
            let asked = request.asked(kind);
            assert_eq!((asked.tool.as_str(), asked.server.as_str()), ("a2a.send", "tools.example"));
            assert_eq!(asked.text, "Pay Bob\n{\"amount\":5}\nnow");
            assert!(asked.arguments.is_empty() && asked.partial.is_none(), "{asked:?}");
            assert_eq!(request.read(kind).kind, Kind::A2a);
        }
    }
}

#[test]
fn the_message_of_the_http_binding_is_the_body() {
    let body = json!({"message": {"parts": [{"text": "Pay Bob"}], "contextId": "c"}}).to_string();
    let request = Request { path: "/v1/message:send".to_owned(), ..Request::post(body) };
    assert_eq!(request.asked(Kind::A2a).text, "Pay Bob");
    let said = request.clone().header("a2a-version", "1.0");
    assert_eq!((said.asked(Kind::Auto).text.as_str(), said.read(Kind::Auto).kind), ("Pay Bob", Kind::A2a));
    // Without the header it is a request like any.
    assert_eq!(request.asked(Kind::Auto).tool, "POST /v1/message:send");
}

#[test]
fn content_that_nobody_reads_is_told() {
    for part in [
        json!({"kind": "file", "file": {"name": "a.pdf", "bytes": "QUJD"}}),
        json!({"raw": "QUJD", "filename": "a.pdf"}),
        json!({"url": "https://example/a.pdf"}),
    ] {
        let asked = send("SendMessage", json!({"parts": [part]})).asked(Kind::A2a);
        assert_eq!(asked.status(), Status::Truncated);
        assert!(asked.text.contains("a.pdf") && !asked.text.contains("QUJD"), "{}", asked.text);
    }
}

#[test]
fn a_part_that_says_more_than_its_text_is_shown_whole() {
    let part = json!({"text": "Pay Bob", "metadata": {"to": "Eve"}});
    assert!(send("SendMessage", json!({"parts": [part]})).asked(Kind::A2a).text.contains("Eve"));
    let other = json!({"Text": "Pay Bob"});
    assert!(send("SendMessage", json!({"parts": [other]})).asked(Kind::A2a).text.contains("Pay Bob"));
}

#[test]
fn where_news_of_the_task_goes_is_part_of_the_action() {
    let configuration = json!({"blocking": true, "acceptedOutputModes": ["text"], "pushNotificationConfig": {"url": "https://e"}});
    let params = json!({"message": {"parts": [], "metadata": {"b": 2}}, "configuration": configuration, "metadata": {"a": 1}});
    let arguments = Value::Object(call("message/send", params).asked(Kind::A2a).arguments);
    let expected = json!({"configuration": {"pushNotificationConfig": {"url": "https://e"}}, "metadata": {"a": 1},
        "message.metadata": {"b": 2}});
    assert_eq!(arguments, expected);
}

#[test]
fn what_a_message_carries_is_found_and_is_no_argument() {
    let message = json!({"parts": [], "contextId": "c-1", "metadata": {"dev.rhumb/intent-token": "a.b.c"}});
    let request = send("SendMessage", message);
    let carried = request.item(Kind::A2a).carried;
    assert_eq!(carried.tokens, vec![(TokenPlace::A2aMetadata, "a.b.c".to_owned())]);
    assert_eq!((carried.keys[0].kind, carried.keys[0].value.as_str()), (BindingKind::A2aContext, "c-1"));
    assert!(request.asked(Kind::A2a).arguments.is_empty());
}

#[test]
fn a_message_of_another_shape_is_unparsable() {
    for params in [
        json!([]),
        json!({}),
        json!({"message": "x"}),
        json!({"message": {}}),
        json!({"message": {"parts": {}}}),
    ] {
        assert_eq!(call("message/send", params.clone()).status(Kind::A2a), Status::Unparsable, "{params}");
    }
}

#[test]
fn methods_that_send_nothing_pass_and_others_are_unknown() {
    for method in ["GetTask", "CancelTask", "tasks/resubscribe"] {
        assert_eq!(call(method, json!({})).passed(Kind::A2a), Some(Passed::A2aMethod), "{method}");
    }
    let push = call("tasks/pushNotificationConfig/set", json!({}));
    assert_eq!(push.passed(Kind::A2a), Some(Passed::UnknownMethod));
}

#[test]
fn other_requests_to_an_agent_are_requests_like_any() {
    let card = Request::new("GET", "/.well-known/agent-card.json").header("a2a-version", "1.0");
    for kind in [Kind::A2a, Kind::Auto] {
        assert_eq!(card.asked(kind).tool, "GET /.well-known/agent-card.json");
        assert_eq!(card.read(kind).kind, Kind::Http);
    }
}
