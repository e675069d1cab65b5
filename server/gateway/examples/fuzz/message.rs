//! What must hold of every request, said a second time and differently.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

use rhumb_drift::Status;
use rhumb_gateway::message::{
    Asked, Broken, Checked, Headers, HttpMessage, Item, Kind, Passed, Reading, RpcId, Rules, What, read,
};
use rhumb_proto::{json, v1};
use serde_json::Value;

/// Rules of an operator's, for the half of the inputs.
static RULES: LazyLock<[Checked; 2]> = LazyLock::new(|| {
    let text = r#"{"http": [{"template": "/public/{a}", "score": false}, {"template": "/v1/accounts/{a}/payments",
        "tool": "pay", "effect": "READ", "body": ["to"]}], "max_decoded_bytes": 2048,
        "mcp": {"prompts_get": "score", "unknown_method": "refuse"}, "upgrade": "refuse"}"#;
    let own: Rules = serde_json::from_str(text).expect("rules");
    [Checked::default(), own.check().expect("checked rules")]
});

struct Input<'a> {
    method: &'a str,
    kind: Kind,
    path: &'a str,
    headers: Headers,
    body: &'a [u8],
}

/// Any bytes are an input.
fn input(bytes: &[u8]) -> Input<'_> {
    let at = bytes.windows(2).position(|two| two == b"\n\n").unwrap_or(bytes.len());
    let (head, body) = bytes.split_at(at);
    let head = std::str::from_utf8(head).unwrap_or("POST auto /mcp");
    let mut lines = head.split('\n');
    let mut words = lines.next().unwrap_or_default().splitn(3, ' ');
    let method = words.next().unwrap_or_default();
    let kind = words.next().unwrap_or_default().parse().unwrap_or_default();
    let path = words.next().unwrap_or_default();
    let headers = lines.filter_map(|line| line.split_once(": ")).collect();
    Input { method, kind, path, headers, body: body.strip_prefix(b"\n\n").unwrap_or_default() }
}

fn message<'a>(input: &'a Input<'a>, bytes: &[u8]) -> (HttpMessage<'a>, &'static Checked) {
    let message = HttpMessage {
        method: input.method,
        scheme: "https",
        host: "tools.example:443",
        path: input.path,
        headers: &input.headers,
        body: input.body,
        buffer_limit: bytes.len().is_multiple_of(3).then_some(1024),
    };
    let [plain, own] = &*RULES;
    (message, if bytes.len().is_multiple_of(2) { plain } else { own })
}

/// Reads a request.
pub fn read_only(bytes: &[u8]) {
    let input = input(bytes);
    let (message, rules) = message(&input, bytes);
    std::hint::black_box(read(&message, input.kind, rules));
}

/// Reads a request and checks what came of it.
pub fn run(bytes: &[u8]) -> u64 {
    let input = input(bytes);
    let (message, rules) = message(&input, bytes);
    let reading = read(&message, input.kind, rules);
    check(&input, &reading);
    if bytes.len().is_multiple_of(16) {
        assert_eq!(reading, read(&message, input.kind, rules), "the same bytes were read in two ways");
    }
    outcome(&reading)
}

fn check(input: &Input<'_>, reading: &Reading) {
    assert_ne!(reading.kind, Kind::Auto);
    assert!(!reading.items.is_empty() && reading.items.len() <= 64, "1 to 64 items");
    assert!(reading.is_batch || reading.items.len() == 1, "one item");
    assert!(reading.dropped.len() <= 64 && reading.dropped.iter().all(|name| name.chars().count() <= 64));
    for item in &reading.items {
        check_id(input, item);
        match &item.what {
            What::Action(asked) => check_action(input, reading, asked),
            What::Broken(broken) => check_broken(broken),
            What::Pass(passed) => check_passed(input, *passed),
            What::Refuse(_, detail) => assert!(detail.len() < 400, "a long detail"),
        }
    }
}

fn is_plain(input: &Input<'_>) -> bool {
    !input.headers.has("content-encoding")
}

fn check_id(input: &Input<'_>, item: &Item) {
    let RpcId::Value(written) = &item.id else { return };
    assert!(written.len() <= 1024, "a long id");
    let body = String::from_utf8_lossy(input.body);
    assert!(!is_plain(input) || body.contains(&**written), "an id that nobody wrote: {written}");
    // Longer numbers than the other reader takes.
    if written.len() < 300 {
        let value: Value = serde_json::from_str(written).expect("an id that is no JSON");
        assert!(value.is_string() || value.is_number() || value.is_null(), "an id of another type");
    }
}

fn check_broken(broken: &Broken) {
    assert!(matches!(broken.status, Status::Unparsable | Status::Truncated), "{:?}", broken.status);
    assert!(broken.detail.len() < 400 && !broken.detail.contains(char::is_control), "{}", broken.detail);
}

fn check_action(input: &Input<'_>, reading: &Reading, asked: &Asked) {
    assert!(!asked.tool.is_empty(), "an action without a tool");
    assert_eq!(asked.server, "tools.example");
    for length in input.headers.get_all("content-length").flat_map(|value| value.split(',')) {
        assert_eq!(length.trim().parse(), Ok(input.body.len()), "an action of a body that is not whole");
    }
    assert!(input.headers.one("x-envoy-auth-partial-body") != Some("true"), "an action of a part");
    // Bodies that claim to be JSON, or were taken for calls, are JSON without any key twice.
    let said = input.headers.one("content-type").unwrap_or_default();
    let essence = said.split(';').next().unwrap_or_default().trim();
    let is_json = essence.eq_ignore_ascii_case("application/json") || reading.kind != Kind::Http;
    if is_json && is_plain(input) && !input.body.is_empty() {
        let text = std::str::from_utf8(input.body).expect("an action of no UTF-8");
        // Integers of hundreds of digits are digits to one reader and infinite to the other.
        let is_long = text.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() > 300);
        let parsed = json::parse_value(text);
        assert!(is_long || parsed.is_ok(), "an action of {parsed:?}");
    }
}

fn check_passed(input: &Input<'_>, passed: Passed) {
    let is_route = passed == Passed::Rule;
    let is_upgrade = passed == Passed::Upgrade && (input.method == "GET" || input.method == "CONNECT");
    assert!(input.kind != Kind::Http || is_route || is_upgrade, "{passed:?} of HTTP");
    assert!(
        input.kind != Kind::Auto || input.method == "POST" || is_route || is_upgrade,
        "{passed:?} unasked"
    );
    assert!(!is_route || input.path.split('?').next() != Some("/public/.."), "a rule about another path");
    let text = std::str::from_utf8(input.body).unwrap_or_default();
    let Ok(Value::Object(call)) = json::parse_value(text) else { return };
    let method = call.get("method").and_then(Value::as_str).unwrap_or_default();
    let is_scored = ["tools/call", "SendMessage", "SendStreamingMessage", "message/send", "message/stream"];
    assert!(
        is_route || is_upgrade || !is_plain(input) || !is_scored.contains(&method),
        "{method} passed unscored"
    );
}

/// Outcomes of one kind have one number.
fn outcome(reading: &Reading) -> u64 {
    let mut hasher = DefaultHasher::new();
    (reading.kind, reading.is_batch, reading.dropped.len().min(3)).hash(&mut hasher);
    (reading.carried.tokens.len().min(3), reading.carried.keys.len().min(3)).hash(&mut hasher);
    for item in reading.items.iter().take(3) {
        (std::mem::discriminant(&item.what), item.carried.tokens.len(), item.carried.keys.len())
            .hash(&mut hasher);
        match &item.what {
            What::Action(asked) => {
                (asked.partial, asked.arguments.len().min(4), asked.text.is_empty()).hash(&mut hasher)
            }
            What::Pass(passed) => passed.hash(&mut hasher),
            What::Refuse(reason, _) => reason.hash(&mut hasher),
            What::Broken(Broken { detail, .. }) => {
                detail.chars().filter(|c| !c.is_ascii_digit()).for_each(|c| c.hash(&mut hasher));
            }
        }
    }
    hasher.finish()
}

/// Reads a message as the HTTP/JSON side does.
pub fn score_request(bytes: &[u8]) -> u64 {
    let read = std::str::from_utf8(bytes).ok().map(json::parse::<v1::ScoreRequest>);
    let mut hasher = DefaultHasher::new();
    match read {
        None => 0.hash(&mut hasher),
        Some(Ok(request)) => rhumb_gateway::convert::input(request).is_ok().hash(&mut hasher),
        Some(Err(error)) => {
            error.to_string().chars().filter(|c| !c.is_ascii_digit()).for_each(|c| c.hash(&mut hasher));
        }
    }
    hasher.finish()
}
