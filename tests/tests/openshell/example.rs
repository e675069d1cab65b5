//! The configurations that people start from.

use std::path::Path;

use rhumb_proto::openshell::middleware::Decision;
use rhumb_tests::Server;
use rhumb_tests::openshell::{
    Gateway, SANDBOX, asking, committed, evaluate, intercept, object, person, proposed,
};
use rhumb_tests::samples::{BILL, aligned, drifted};
use serde_json::json;

use crate::{Site, made};

fn example(name: &str) -> String {
    std::fs::read_to_string(rhumb_tests::in_repository("scripts/examples/openshell").join(name)).unwrap()
}

/// The example as it is, but for the places of its files, and the certificates that a test has none of.
fn localized(folder: &Path) -> String {
    let text = example("rhumb.toml");
    let (before, tls) = text.split_once("[server.tls]").unwrap();
    let after = tls.split_once("\n[").unwrap().1;
    let text = format!("{before}[{after}");
    let at = |name: &str| format!("{:?}", folder.join(name));
    let text = text.replace("\"/var/lib/rhumb/ledger\"", &at("ledger"));
    let text = text.replace("\"/etc/rhumb/openshell.jwks.json\"", &at("openshell.jwks.json"));
    let text = text.replace("\"/etc/rhumb/policy.toml\"", &at("policy.toml"));
    text.lines().filter(|line| !line.starts_with("listen")).collect::<Vec<_>>().join("\n") + "\n"
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_starts_and_holds_a_sandbox_to_its_intent() {
    let (folder, gateway) = (tempfile::tempdir().unwrap(), Gateway::new("key-1"));
    gateway.write(folder.path());
    std::fs::write(folder.path().join("policy.toml"), example("policy.toml")).unwrap();
    // Only the id of the gateway and the time that a busy machine may take differ.
    let config = localized(folder.path()).replace("\"prod\"", "\"test\"");
    let config =
        config.replace("hold_ms = 200", "hold_ms = 20000").replace("timeout_ms = 400", "timeout_ms = 30000");
    let site = Site { server: Server::start(&config).await, gateway, folder };
    let missing = proposed("CreateSandbox", &person("alice"), &json!({"name": "bills"}));
    assert!(!intercept(&site.server, &site.gateway, missing).await.unwrap().allowed, "an intent is required");
    let token = site.register(BILL, "user:alice").await.token;
    let told = committed("CreateSandbox", &person("alice"), &made(SANDBOX, &token));
    let told = intercept(&site.server, &site.gateway, told).await.unwrap();
    assert_eq!(told.log_annotations["rhumb.binding"], "bound");
    let ask = async |sample: serde_json::Value, config: &serde_json::Value| {
        let mut request = asking(&sample);
        request.config = Some(object(config));
        evaluate(&site.server, &site.gateway, request).await.unwrap().decision()
    };
    let enforced = json!({"policy": "sandboxes", "kind": "mcp", "mode": "enforce"});
    assert_eq!(ask(aligned(""), &enforced).await, Decision::Allow);
    assert_eq!(ask(drifted(""), &enforced).await, Decision::Deny);
    let observed = json!({"policy": "sandboxes", "kind": "auto", "mode": "shadow"});
    assert_eq!(ask(drifted(""), &observed).await, Decision::Allow);
}

/// OpenShell itself is not here to read them; what they say of us must be what we are.
#[test]
fn the_registration_and_the_policy_name_what_the_server_is_configured_for() {
    let (registration, server) = (example("gateway.toml"), example("rhumb.toml"));
    for audience in ["urn:openshell:extension:middleware:rhumb", "urn:openshell:extension:interceptor:rhumb"]
    {
        assert!(registration.contains(audience) && server.contains(audience), "{audience}");
    }
    let policy = example("sandbox-policy.yaml");
    for key in ["network_middlewares:", "middleware: rhumb", "on_error: fail_closed", "min_provenance:"] {
        assert!(policy.contains(key), "{key}");
    }
}
