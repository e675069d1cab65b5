//! A real Envoy whose Rhumb is gone, stuck, late or wrongly asked, in both failure modes; and under load.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::time::{Duration, Instant};

use rhumb_tests::envoy::site::PATIENT;
use rhumb_tests::envoy::{Change, Edit, Envoy, Reply, Site, invite, pay, post};
use serde_json::json;
use tokio::task::JoinSet;

const OPEN: Edit<'_> = (
    "failure_mode_allow: false",
    "failure_mode_allow: true\n              failure_mode_allow_header_add: true",
);

async fn send(envoy: &Envoy, token: &str) -> Reply {
    envoy.send(post("/mcp", &[("txn-token", token)], invite(1).to_string())).await
}

/// What becomes of a drifted call in both failure modes of Envoy where Rhumb has no answer.
async fn without_answer(site: &Site, open: &Envoy, token: &str) -> Duration {
    let began = Instant::now();
    let reply = send(&site.envoy, token).await;
    let waited = began.elapsed();
    assert_eq!((reply.status, reply.body.len()), (503, 0), "{reply:?}");
    assert!(site.tools.take().is_empty());
    let reply = send(open, token).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(site.tools.one().all("x-envoy-auth-failure-mode-allowed"), ["true"]);
    assert!(site.envoy.counted("error").await > 0 && open.counted("failure_mode_allowed").await > 0);
    waited
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_stuck_or_dead_leaves_it_to_envoys_failure_mode() {
    let site = Site::exactly(Change::default()).await;
    let open = site.another(&[OPEN]).await;
    let token = site.token().await;
    site.server.freeze();
    let waited = without_answer(&site, &open, &token).await;
    let timeout = Duration::from_millis(250);
    // Clocks of two processes.
    assert!(
        waited + Duration::from_millis(20) >= timeout && waited < timeout * 8,
        "the example's timeout of 0.25 s: {waited:?}"
    );
    site.server.thaw();
    let deadline = Instant::now() + Duration::from_secs(30);
    while send(&site.envoy, &token).await.status != 403 {
        assert!(Instant::now() < deadline, "it does not come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(send(&open, &token).await.status, 403, "and then both ask again");
    site.server.kill_now();
    without_answer(&site, &open, &token).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_limit_of_time_is_an_error_unless_the_policy_says_what_it_means() {
    // No score is ready within a millisecond, of which two are kept for the way back.
    let late = "hold_ms = 1";
    let site = Site::with(Change { server: late, ..Change::default() }).await;
    let open = site.another(&[PATIENT, OPEN]).await;
    let token = site.token().await;
    without_answer(&site, &open, &token).await;
    let log = std::fs::read_to_string(site.ledger().join("log").join("00000001.log")).unwrap();
    assert_eq!(log.matches("\"status\":\"FAILED\"").count(), 2, "each is recorded: {log}");
    for (policy, status) in [("closed", 403), ("open", 200)] {
        let policy = format!("[defaults]\non_missing = \"{policy}\"\n");
        let change = Change { server: late, policy: &policy, envoy: &[OPEN], ..Change::default() };
        let site = Site::with(change).await;
        let reply = send(&site.envoy, &site.token().await).await;
        assert_eq!(
            (reply.status, site.tools.take().len()),
            (status, usize::from(status == 200)),
            "{reply:?}"
        );
        let response = site.decision(&reply).await.response.unwrap();
        assert!(response.reason_code.starts_with("scorer_") && response.drift.is_none(), "{response:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_is_set_up_wrongly_lets_nothing_through_in_either_mode() {
    let site = Site::open().await;
    let token = site.token().await;
    for (right, wrong) in [
        ("rhumb.kind: mcp", "rhumb.kind: mpc"),
        ("rhumb.kind: mcp", "rhumb.knd: mcp"),
        ("rhumb.kind: mcp", "rhumb.kind: mcp, rhumb.mode: observe"),
        ("rhumb.kind: mcp", "rhumb.kind: mcp, rhumb.min_provenance: HIGH"),
    ] {
        let open = site.another(&[PATIENT, OPEN, (right, wrong)]).await;
        let reply = open.send(post("/mcp", &[("txn-token", &token)], pay(1).to_string())).await;
        let told = &reply.json()["error"]["code"];
        assert_eq!((reply.status, told), (500, &json!("route_misconfigured")), "{wrong}");
        assert!(site.tools.take().is_empty(), "{wrong}");
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    while !site.server.stderr().contains("context_extensions: rhumb.") {
        assert!(Instant::now() < deadline, "the operator is not told: {}", site.server.stderr());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_from_32_agents_are_all_answered_rightly() {
    const AGENTS: usize = 32;
    const REQUESTS: usize = 1024 / AGENTS;
    // Of a chain that is the same call again and again the slightest change drifts: not what this is about.
    let site =
        Site::with(Change { policy: "[defaults]\nchain_write = \"ALLOW\"\n", ..Change::default() }).await;
    let (good, bad) = (site.token().await, site.token().await);
    let mut agents = JoinSet::new();
    for n in 0..AGENTS {
        let (mut agent, good, bad) = (site.envoy.agent().await, good.clone(), bad.clone());
        agents.spawn(async move {
            for i in 0..REQUESTS {
                let drifts = i % 8 == 7;
                let (body, token) = if drifts { (invite(i), &bad) } else { (pay(i), &good) };
                let mut body = body;
                // One in four has words that nobody has sent before.
                if i % 4 == 3 {
                    body["params"]["arguments"]["reference"] = json!(format!("electricity bill {n}-{i}"));
                }
                let reply = agent.send(post("/mcp", &[("txn-token", token)], body.to_string())).await;
                assert_eq!(reply.status, if drifts { 403 } else { 200 }, "{n} {i}: {reply:?}");
                assert_eq!(reply.json()["id"], json!(i));
            }
        });
    }
    while let Some(agent) = agents.join_next().await {
        agent.unwrap();
    }
    assert_eq!(site.tools.take().len(), AGENTS * REQUESTS * 7 / 8);
    assert_eq!((site.envoy.counted("error").await, site.envoy.counted("denied").await), (0, 128));
}
