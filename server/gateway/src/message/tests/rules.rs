//! What operators say.

use super::super::openapi::of_text;
use super::super::path::fits;
use super::super::route::Name;
use super::*;

fn request(method: &'static str, path: &str) -> Request {
    Request { method, path: path.to_owned(), ..Request::post(r#"{"to":"Bob","memo":"x"}"#) }
}

fn problem(value: Value) -> String {
    serde_json::from_value::<Rules>(value).unwrap().check().unwrap_err().field
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let rules = Rules::default();
    assert_eq!(rules.mcp.resources_read, Scoring::Score);
    assert_eq!((rules.mcp.prompts_get, rules.mcp.unknown_method), (Scoring::Pass, OnUnknown::Pass));
    assert_eq!((rules.upgrade, rules.max_decoded_bytes), (OnUnknown::Pass, 4 << 20));
    assert_eq!(rules.check(), Ok(Checked::default()));
    assert_eq!(serde_json::from_value::<Rules>(json!({})).unwrap(), Rules::default());
}

#[test]
fn a_rule_names_and_describes_a_request() {
    let rules = rules(json!({"http": [
        {"host": "*.example", "method": "POST", "template": "/v1/accounts/{account}/payments", "tool": "pay",
         "description": "Sends money.", "effect": "READ", "body": ["to"]}]}));
    let asked = request("POST", "/v1/accounts/main/payments").asked_by(Kind::Auto, &rules);
    assert_eq!((asked.tool.as_str(), asked.tool_description.as_str()), ("pay", "Sends money."));
    assert_eq!(Value::Object(asked.arguments), json!({"path": {"account": "main"}, "body": {"to": "Bob"}}));
    assert_eq!(asked.effect, Effect::Read);
    for other in [request("PUT", "/v1/accounts/main/payments"), request("POST", "/v1/accounts/payments")] {
        assert!(other.asked_by(Kind::Auto, &rules).tool_description.is_empty());
    }
}

#[test]
fn without_a_name_the_tool_is_method_and_template() {
    let rules = rules(json!({"http": [{"template": "/{a}/x"}]}));
    assert_eq!(request("PUT", "/1/x").asked_by(Kind::Http, &rules).tool, "PUT /{a}/x");
}

#[test]
fn a_rule_can_let_requests_pass_but_only_those_that_all_read_alike() {
    let rules = rules(json!({"http": [{"method": "GET", "template": "/health/{x}", "score": false}]}));
    let what = |path: &str| Request::new("GET", path).read_by(Kind::Auto, &rules).items.remove(0).what;
    assert_eq!(what("/health/a"), What::Pass(Passed::Rule));
    for path in ["/health/..", "/health/a%2fb", "/Health/a", "/health/a/", "/health//a", "/health/a;b"] {
        assert!(matches!(what(path), What::Action(_)), "{path}");
    }
}

#[test]
fn a_write_stays_one_however_its_path_is_written() {
    let rules = rules(json!({"http": [
        {"method": "GET", "template": "/logout", "effect": "WRITE", "description": "Ends the session."}]}));
    for (method, path) in [
        ("GET", "/logout"),
        ("GET", "/LOGOUT/"),
        ("GET", "//logout"),
        ("GET", "/a/..%2flogout"),
        ("HEAD", "/logout"),
    ] {
        let asked = Request::new(method, path).asked_by(Kind::Auto, &rules);
        assert_eq!(
            (asked.effect, asked.tool_description.as_str()),
            (Effect::Write, "Ends the session."),
            "{path}"
        );
    }
}

#[test]
fn a_read_is_none_where_only_the_path_resembles() {
    let rules = rules(json!({"http": [{"method": "POST", "template": "/search", "effect": "READ"}]}));
    assert_eq!(request("POST", "/search").asked_by(Kind::Http, &rules).effect, Effect::Read);
    assert_eq!(request("POST", "/search/").asked_by(Kind::Http, &rules).effect, Effect::Write);
}

#[test]
fn patterns_of_hosts_fit() {
    for (pattern, name, is_fit) in [
        ("*", "", true),
        ("a.example", "a.example", true),
        ("a.example", "b.example", false),
        ("*.example", "a.example", true),
        ("*.example", "example", false),
        ("a.*.c", "a.b.c", true),
        ("a.*.c", "a.c", false),
        ("*b*b*", "abb", true),
        ("ab*ba", "aba", false),
    ] {
        assert_eq!(fits(pattern, name), is_fit, "{pattern} {name}");
    }
}

#[test]
fn a_bad_rule_is_named() {
    assert_eq!(problem(json!({"http": [{"template": "/a"}, {"template": "a"}]})), "http[1].template");
    for template in ["/{a}/{a}", "/{}", "/{a", "/a}", "/a?b", "/%41", ""] {
        assert_eq!(problem(json!({"http": [{"template": template}]})), "http[0].template", "{template}");
    }
    assert_eq!(problem(json!({"http": [{"template": "/a", "method": "post"}]})), "http[0].method");
    assert_eq!(problem(json!({"http": [{"template": "/a", "host": "a:80"}]})), "http[0].host");
    assert_eq!(problem(json!({"http": [{"template": "/a", "tool": ""}]})), "http[0].tool");
    assert_eq!(problem(json!({"openapi": [{"file": "/none/there.json"}]})), "openapi[0].file");
    assert_eq!(problem(json!({"secrets": [""]})), "secrets");
    for bytes in [0_u64, 1 << 40] {
        assert_eq!(problem(json!({"max_decoded_bytes": bytes})), "max_decoded_bytes");
    }
    for unknown in
        [json!({"htttp": []}), json!({"mcp": {"x": 1}}), json!({"http": [{"template": "/a", "x": 1}]})]
    {
        assert!(serde_json::from_value::<Rules>(unknown).is_err());
    }
}

fn bank() -> String {
    json!({"openapi": "3.1.0", "servers": [{"url": "https://bank.example/v1/"}, {"url": "https://{region}.bank.example/{v}"}],
        "paths": {
            "/accounts/{id}": {"summary": "An account", "get": {"operationId": "getAccount", "description": "All of it."},
                "parameters": []},
            "/accounts/{id}/payments": {"post": {"operationId": "pay", "summary": "Pay", "description": "Sends money."}},
            "/accounts/main": {"get": {}}, "/reports/{from}..{to}.json": {"get": {"summary": "Report"}}}})
    .to_string()
}

#[test]
fn documents_are_read() {
    let routes = of_text(&bank(), "*").unwrap();
    assert_eq!(routes.len(), 4);
    let pay = routes.iter().find(|route| route.method == "POST").unwrap();
    assert_eq!(
        (pay.template.text.as_str(), pay.description.as_str()),
        ("/v1/accounts/{id}/payments", "Pay\nSends money.")
    );
    assert_eq!(pay.name, Some(Name::Before("pay".to_owned())));
    for text in [
        "",
        "{}",
        r#"{"swagger":"2.0","paths":{}}"#,
        r#"{"openapi":"3.0.0"}"#,
        r#"{"openapi":"3.0.0","paths":{"/{":{}}}"#,
    ] {
        assert!(of_text(text, "*").is_err(), "{text}");
    }
}

#[test]
fn a_document_names_what_a_service_offers() {
    let path = std::env::temp_dir().join(format!("rhumb-openapi-{}.json", std::process::id()));
    std::fs::write(&path, bank()).unwrap();
    let rules = rules(json!({"openapi": [{"host": "tools.example", "file": path}]}));
    std::fs::remove_file(&path).unwrap();
    let asked = request("POST", "/v1/accounts/4711/payments").asked_by(Kind::Auto, &rules);
    assert_eq!(asked.tool, "pay POST /v1/accounts/{id}/payments");
    assert_eq!(asked.arguments["path"], json!({"id": "4711"}));
    let get = |path: &str| Request::new("GET", path).asked_by(Kind::Auto, &rules);
    assert_eq!(get("/v1/accounts/4711").tool_description, "An account\nAll of it.");
    assert_eq!(get("/v1/accounts/main").tool, "GET /v1/accounts/main");
    assert_eq!(get("/v1/reports/1..2.json").arguments["path"], json!({"from..to": "1..2"}));
}
