//! A real Envoy that asks a real Rhumb: what reaches the tool server, and what the agent reads.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use rhumb_proto::v1::{Effect, Mode, Outcome, Provenance, RevokeIntentRequest, Status, Verdict};
use rhumb_tests::Server;
use rhumb_tests::envoy::{self, Change, Envoy, Site, Tools, get, invite, pay, post};
use rhumb_tests::tokens::{Forger, resigned};
use serde_json::{Value, json};

#[test]
fn envoy_takes_the_example_as_it_is() {
    let said = envoy::validate(&envoy::example_file());
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aligned_call_passes_and_upstream_reads_our_headers_and_no_others() {
    let site = Site::open().await;
    let token = site.token().await;
    let forged = [
        ("txn-token", token.as_str()),
        ("x-rhumb-verdict", "WARN"),
        ("x-rhumb-drift", "0.000"),
        ("x-rhumb-decision", "mine"),
        ("x-rhumb-intent-id", "mine"),
        ("x-rhumb-made-up", "mine"),
        ("x_rhumb_verdict", "mine"),
    ];
    let reply = site.envoy.send(post("/mcp", &forged, pay(1).to_string())).await;
    assert_eq!((reply.status, &reply.json()["result"]["done"]), (200, &json!(true)));
    let seen = site.tools.one();
    assert_eq!(seen.all("x-rhumb-verdict"), ["ALLOW"]);
    assert_eq!(seen.all("x-rhumb-decision"), [reply.header("x-rhumb-decision")]);
    let drift = seen.all("x-rhumb-drift");
    assert!(drift.len() == 1 && drift[0].len() == 5, "{drift:?}");
    for name in ["x-rhumb-intent-id", "x-rhumb-made-up", "x_rhumb_verdict"] {
        assert!(seen.all(name).is_empty(), "{name}");
    }
    assert_eq!(seen.body, pay(1).to_string());
    let response = site.decision(&reply).await.response.unwrap();
    assert_eq!((response.verdict(), response.provenance()), (Verdict::Allow, Provenance::Signed));
    assert_eq!(format!("{:.3}", response.drift.unwrap()), drift[0]);
    assert!(!response.chain.unwrap().chain_id.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drifted_call_is_refused_in_the_words_of_json_rpc_with_its_own_id() {
    let site = Site::open().await;
    for id in ["7", "\"seven\"", "12345678901234567890123", "-0.50", "null"] {
        let body = invite("ID").to_string().replace("\"ID\"", id);
        let reply = site.mcp(&body).await;
        assert_eq!((reply.status, reply.header("content-type")), (403, "application/json"), "{reply:?}");
        let text = std::str::from_utf8(&reply.body).unwrap();
        assert!(text.contains(&format!("\"id\":{id},")), "{text}");
        let (error, data) = (&reply.json()["error"], &reply.json()["error"]["data"]);
        assert_eq!((&error["code"], &data["verdict"]), (&json!(-32001), &json!("DENY")));
        assert_eq!((&data["status"], &data["reasonCode"]), (&json!("SCORED"), &json!("intent_drift")));
        assert!(data["drift"].as_f64().unwrap() > data["threshold"].as_f64().unwrap());
        assert_eq!(reply.header("x-rhumb-verdict"), "DENY");
        for word in ["electricity", "Mallory", "mallory@evil.example"] {
            assert!(!text.contains(word), "no words of users: {text}");
        }
        let recorded = site.decision(&reply).await.response.unwrap();
        assert_eq!(data["decisionId"], json!(recorded.decision_id));
        assert_eq!((recorded.verdict(), recorded.outcome()), (Verdict::Deny, Outcome::Stop));
    }
    assert!(site.tools.take().is_empty());
    assert_eq!(site.envoy.counted("denied").await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_drifted_call_stops_the_whole_batch() {
    let site = Site::open().await;
    let note = json!({"jsonrpc": "2.0", "method": "notifications/progress"});
    let list = json!({"jsonrpc": "2.0", "id": "l", "method": "tools/list"});
    let reply = site.mcp(json!([pay(1), note, list, invite("two")])).await;
    assert_eq!(reply.status, 403);
    let errors = reply.json();
    let told = errors.as_array().unwrap().iter().map(|e| (&e["id"], &e["error"]["data"]["reasonCode"]));
    let (batch, drift) = (json!("batch_refused"), json!("intent_drift"));
    assert!(told.eq([(&json!(1), &batch), (&json!("l"), &batch), (&json!("two"), &drift)]), "{errors}");
    assert!(site.tools.take().is_empty());
    let reply = site.mcp(json!([pay(1), note])).await;
    assert_eq!((reply.status, site.tools.one().all("x-rhumb-verdict")), (200, vec!["ALLOW"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_may_ride_in_headers_or_in_meta() {
    let site = Site::open().await;
    let token = site.token().await;
    let mut with_meta = pay(1);
    with_meta["params"]["_meta"] = json!({"dev.rhumb/intent-token": token});
    let plain = pay(1).to_string();
    let requests = [
        post("/mcp", &[("txn-token", &token)], plain.clone()),
        post("/mcp", &[("rhumb-intent", &token)], plain),
        post("/mcp", &[], with_meta.to_string()),
    ];
    for request in requests {
        let reply = site.envoy.send(request).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let recorded = site.decision(&reply).await.response.unwrap();
        assert_eq!((recorded.provenance(), recorded.status()), (Provenance::Signed, Status::Scored));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_token_nothing_is_written() {
    let site = Site::open().await;
    let registered = site.register().await;
    let token = registered.token.as_str();
    let key = Forger::read(&site.keys());
    let late = |claims: &mut Value| {
        for time in ["iat", "exp"] {
            claims[time] = (claims[time].as_u64().unwrap() - 4000).into();
        }
    };
    let cases = [
        ("intent_missing", None),
        ("intent_signature", Some(resigned(token, &Forger::stranger(), |_| ()))),
        ("intent_expired", Some(resigned(token, &key, late))),
        ("intent_malformed", Some(format!("{token},{token}"))),
        ("intent_malformed", Some("x".to_owned())),
    ];
    for (reason, token) in cases {
        let headers: Vec<_> = token.iter().map(|token| ("rhumb-intent", token.as_str())).collect();
        let reply = site.envoy.send(post("/mcp", &headers, pay(1).to_string())).await;
        let told = reply.json();
        assert_eq!((reply.status, &told["error"]["data"]["reasonCode"]), (403, &json!(reason)), "{token:?}");
    }
    let revoke = RevokeIntentRequest { intent_id: registered.intent_id.clone(), reason: "lost".into() };
    site.server.intents().await.revoke_intent(revoke).await.unwrap();
    let reply = site.envoy.send(post("/mcp", &[("txn-token", token)], pay(1).to_string())).await;
    assert_eq!(reply.json()["error"]["data"]["reasonCode"], "intent_revoked");
    assert!(site.tools.take().is_empty());
}

const VERDICTS: &str = r#"
[[effects]]
tools = ["read_*"]
effect = "READ"

[[rules]]
name = "warned"
match = { tools = ["*_warned"] }
set = { threshold = 0.0, read = "WARN", write = "WARN", write_far = "WARN" }

[[rules]]
name = "escalated"
match = { tools = ["*_escalated"] }
set = { threshold = 0.0, read = "ESCALATE", write = "ESCALATE", write_far = "ESCALATE" }

[[rules]]
name = "denied"
match = { tools = ["*_denied"] }
set = { threshold = 0.0, read = "DENY", write = "DENY", write_far = "DENY" }

[[rules]]
name = "abstained"
match = { tools = ["*_abstained"] }
set = { threshold = 0.0, read = "ABSTAIN", write = "ABSTAIN", write_far = "ABSTAIN" }

[[rules]]
name = "allowed"
match = { tools = ["*_allowed"] }
set = { threshold = 1.0 }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_verdict_does_what_the_table_says() {
    let site = Site::with(Change { policy: VERDICTS, ..Change::default() }).await;
    // Tool, status, verdict and, where the agent is told, the reason on the wire.
    let cases = [
        ("write_allowed", 200, "ALLOW", ""),
        ("write_warned", 200, "WARN", ""),
        ("write_escalated", 403, "ESCALATE", "human_needed"),
        ("write_denied", 403, "DENY", "intent_drift"),
        ("write_abstained", 403, "ABSTAIN", "intent_drift"),
        ("read_abstained", 200, "ABSTAIN", ""),
        ("read_denied", 403, "DENY", "intent_drift"),
    ];
    for (tool, status, verdict, reason) in cases {
        let mut call = pay(1);
        call["params"]["name"] = json!(tool);
        let reply = site.mcp(call).await;
        assert_eq!(reply.status, status, "{tool}: {reply:?}");
        let seen = site.tools.take();
        match status {
            200 => assert_eq!(seen[0].all("x-rhumb-verdict"), [verdict], "{tool}"),
            _ => {
                assert!(seen.is_empty(), "{tool}");
                let data = &reply.json()["error"]["data"];
                assert_eq!(
                    (&data["verdict"], &data["reasonCode"]),
                    (&json!(verdict), &json!(reason)),
                    "{tool}"
                );
            }
        }
        assert_eq!(site.decision(&reply).await.response.unwrap().verdict().as_str_name(), verdict);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_shadow_mode_everything_passes_and_the_record_says_what_would_have_been() {
    let shadow = [("rhumb.kind: mcp,", "rhumb.kind: mcp, rhumb.mode: shadow,")];
    let site = Site::with(Change { envoy: &shadow, ..Change::default() }).await;
    let reply = site.mcp(invite(1)).await;
    assert_eq!((reply.status, site.tools.one().all("x-rhumb-verdict")), (200, vec!["DENY"]));
    let recorded = site.decision(&reply).await.response.unwrap();
    assert_eq!((recorded.verdict(), recorded.outcome()), (Verdict::Deny, Outcome::Pass));
    assert_eq!(recorded.mode(), Mode::Shadow);
    let broken = site.mcp("{").await;
    assert_eq!((broken.status, site.tools.take().len()), (200, 1), "what cannot be read too");
    assert_eq!(site.decision(&broken).await.response.unwrap().status(), Status::Unparsable);
    let none = site.envoy.send(post("/mcp", &[], pay(1).to_string())).await;
    assert_eq!(none.status, 200, "and what has no intent");
    let lines = site.envoy.access_log(3).await;
    let told = &lines[0]["rhumb"];
    assert_eq!((&told["enforced"], &told["verdict"]), (&json!(false), &json!("DENY")), "{lines:?}");
    assert_eq!(told["decision_id"], json!(recorded.decision_id));
    assert_eq!(told["chain_id"], json!(recorded.chain.unwrap().chain_id));
    // Another route of the same Envoy enforces.
    let denied = site.envoy.send(post("/v1/invitations", &[], "{}")).await;
    assert_eq!(denied.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_may_look_like_success_to_clients_that_read_403_as_a_login() {
    let site = Site::with(Change { policy: "deny_http_status = 200\n", ..Change::default() }).await;
    let reply = site.mcp(invite(9)).await;
    assert_eq!((reply.status, &reply.json()["id"]), (200, &json!(9)));
    assert_eq!(reply.json()["error"]["code"], -32001);
    assert!(site.tools.take().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_api_is_scored_request_by_request() {
    let site = Site::open().await;
    let token = site.token().await;
    let send = async |path: &str, body: Value, token: &str| {
        site.envoy.send(post(path, &[("txn-token", token)], body.to_string())).await
    };
    let payment = json!({"amount": 98.7, "reference": "electricity bill"});
    let reply = send("/v1/accounts/UK12345678901234567890/pay-bill", payment, &token).await;
    assert_eq!((reply.status, reply.body.as_ref()), (200, b"done".as_slice()), "{reply:?}");
    assert_eq!(site.tools.one().all("x-rhumb-verdict"), ["ALLOW"]);
    let action = site.decision(&reply).await.request.unwrap().action.unwrap();
    assert_eq!(
        (action.tool.as_str(), action.server.as_str()),
        ("POST /v1/accounts/{p1}/pay-bill", "tool_server")
    );
    let guest = json!({"user": "Mallory", "user_email": "mallory@evil.example", "channel": "board-private"});
    let reply = send("/v1/invitations", guest, &site.token().await).await;
    let told = &reply.json()["error"];
    assert_eq!(
        (reply.status, &told["code"], &told["verdict"]),
        (403, &json!("intent_drift"), &json!("DENY"))
    );
    assert!(reply.json().get("jsonrpc").is_none());
    let reply = site.envoy.send(get("/v1/bills", &[("txn-token", &site.token().await)])).await;
    let effect = site.decision(&reply).await.request.unwrap().action.unwrap().effect();
    assert_eq!((reply.status, site.tools.take().len(), effect), (200, 1, Effect::Read));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_own_rhumb_watches_and_stops_nothing() {
    let at = |name: &str| envoy::example_file().with_file_name(name);
    let folder = tempfile::tempdir().unwrap();
    let changes = [
        ("listen = \"127.0.0.1:50051\"\n", String::new()),
        ("\"policy.toml\"", format!("{:?}", at("policy.toml"))),
        ("\"ledger\"", format!("{:?}", folder.path())),
    ];
    let config =
        changes.iter().fold(std::fs::read_to_string(at("rhumb.toml")).unwrap(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        });
    let (server, tools) = (Server::start(&config).await, Tools::start().await);
    let envoy = Envoy::start(server.address(), tools.address(), &[]).await;
    let reply = envoy.send(post("/mcp", &[], invite(1).to_string())).await;
    assert_eq!((reply.status, tools.take().len()), (200, 1), "{reply:?}");
    let told = &envoy.access_log(1).await[0]["rhumb"];
    assert_eq!(
        (&told["reason_code"], &told["enforced"]),
        (&json!("intent_missing"), &json!(false)),
        "{told}"
    );
    assert!(told["policy"].as_str().is_some_and(|policy| policy.starts_with("policy@")), "{told}");
}
