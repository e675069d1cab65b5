//! OpenShell's two contracts, as its supervisors and its gateway call them.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod answers;
mod bodies;
mod example;
mod life;
mod limits;
mod policy_change;
mod sandbox;
mod tokens;

use rhumb_proto::v1::{Intent, RegisterIntentRequest, RegisterIntentResponse};
use rhumb_tests::Server;
use rhumb_tests::openshell::{self, Gateway, SANDBOX, committed, intercept, person};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A server beside a gateway, with a ledger and a policy file.
struct Site {
    server: Server,
    gateway: Gateway,
    folder: TempDir,
}

impl Site {
    /// `more` is added to `[openshell]`, `policy` is the policy file.
    async fn open(more: &str, policy: &str) -> Self {
        let (folder, gateway) = (tempfile::tempdir().unwrap(), Gateway::new("key-1"));
        let file = folder.path().join("policy.toml");
        std::fs::write(&file, policy).unwrap();
        let ledger = folder.path().join("ledger");
        let section = openshell::section(&gateway.write(folder.path()));
        // A busy machine is no part of the contract.
        let config = format!(
            "[server]\nhold_ms = 29000\npolicy = {file:?}\n[ledger]\npath = {ledger:?}\n{section}\
             subject = \"suffix\"\n{more}"
        );
        Self { server: Server::start(&config).await, gateway, folder }
    }

    async fn register(&self, text: &str, principal: &str) -> RegisterIntentResponse {
        let intent = Intent { text: text.into(), principal: principal.into(), ..Intent::default() };
        let request = RegisterIntentRequest { intent: Some(intent), ..RegisterIntentRequest::default() };
        self.server.intents().await.register_intent(request).await.unwrap().into_inner()
    }

    /// Makes the sandbox of the tests, tied to this intent.
    async fn bind(&self, text: &str) -> RegisterIntentResponse {
        let registered = self.register(text, "user:alice").await;
        let made = made(SANDBOX, &registered.token);
        let told = committed("CreateSandbox", &person("alice"), &made);
        let told = intercept(&self.server, &self.gateway, told).await.unwrap();
        assert_eq!(told.log_annotations["rhumb.binding"], "bound", "{told:?}");
        registered
    }
}

/// The gateway's response to who made a sandbox.
fn made(id: &str, token: &str) -> Value {
    let annotations = json!({"rhumb.dev/intent-token": token});
    json!({"sandbox": {"metadata": {"id": id, "name": "bills", "annotations": annotations}}})
}
