//! A whole deployment on this machine: an agent's way through a real Envoy to a tool server, and Rhumb with a ledger.

use std::path::PathBuf;

use rhumb_proto::v1::{Decision, GetDecisionRequest, Intent, RegisterIntentRequest, RegisterIntentResponse};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Edit, Envoy, Reply, Tools, post};
use crate::Server;
use crate::samples::{BILL, aligned, drifted};

/// On a busy machine nothing is to be late, unless a test is about that.
pub const PATIENT: Edit<'_> = ("timeout: 0.25s", "timeout: 30s");

/// All of it.
#[derive(Debug)]
pub struct Site {
    /// `rhumb serve` with a ledger.
    pub server: Server,
    /// Behind Envoy.
    pub tools: Tools,
    /// With the example's configuration.
    pub envoy: Envoy,
    folder: TempDir,
}

/// What is other than in the example.
#[derive(Debug, Clone, Copy, Default)]
pub struct Change<'a> {
    /// The policy file.
    pub policy: &'a str,
    /// Keys of `[server]`; without them actions are held as long as it takes.
    pub server: &'a str,
    /// Other sections of the configuration.
    pub config: &'a str,
    /// Of Envoy's configuration, besides its patience.
    pub envoy: &'a [Edit<'a>],
}

impl Site {
    /// The example, with patience.
    pub async fn open() -> Self {
        Self::with(Change::default()).await
    }

    /// The example, changed, with patience.
    pub async fn with(change: Change<'_>) -> Self {
        let edits: Vec<_> = [PATIENT].iter().chain(change.envoy).copied().collect();
        Self::exactly(Change { envoy: &edits, ..change }).await
    }

    /// The example with these changes and no other.
    pub async fn exactly(change: Change<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("policy.toml");
        std::fs::write(&policy, change.policy).unwrap();
        let server = if change.server.is_empty() { "hold_ms = 30000" } else { change.server };
        let ledger = folder.path().join("ledger");
        let config = format!(
            "[server]\npolicy = {policy:?}\n{server}\n[ledger]\npath = {ledger:?}\n{}",
            change.config
        );
        let (server, tools) = (Server::start(&config).await, Tools::start().await);
        let envoy = Envoy::start(server.address(), tools.address(), change.envoy).await;
        Self { server, tools, envoy, folder }
    }

    /// Where the server's signing keys lie.
    pub fn keys(&self) -> PathBuf {
        self.folder.path().join("ledger").join("keys")
    }

    /// Where the ledger lies.
    pub fn ledger(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    /// Another Envoy of the same deployment, changed.
    pub async fn another(&self, edits: &[Edit<'_>]) -> Envoy {
        Envoy::start(self.server.address(), self.tools.address(), edits).await
    }

    /// Registers the request of [`BILL`]: an intent, and a chain, of its own.
    pub async fn register(&self) -> RegisterIntentResponse {
        let intent = Intent { text: BILL.into(), principal: "user:jo".into(), ..Intent::default() };
        let request = RegisterIntentRequest { intent: Some(intent), ..RegisterIntentRequest::default() };
        self.server.intents().await.register_intent(request).await.unwrap().into_inner()
    }

    /// The token of an intent of its own.
    pub async fn token(&self) -> String {
        self.register().await.token
    }

    /// Sends a body to the MCP server with a token of its own.
    pub async fn mcp(&self, body: impl ToString) -> Reply {
        let token = self.token().await;
        self.envoy.send(post("/mcp", &[("txn-token", &token)], body.to_string())).await
    }

    /// The recorded decision that an answer names.
    pub async fn decision(&self, reply: &Reply) -> Decision {
        let decision_id = reply.header("x-rhumb-decision").to_owned();
        assert!(!decision_id.is_empty(), "no decision: {reply:?}");
        let asked = GetDecisionRequest { decision_id, ..GetDecisionRequest::default() };
        self.server.ledger().await.get_decision(asked).await.unwrap().into_inner()
    }
}

/// `tools/call` of an action of the samples.
pub fn call(id: Value, action: &Value) -> Value {
    let params = json!({"name": action["tool"], "arguments": action["arguments"]});
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
}

/// A call that does just what [`BILL`] asks for.
pub fn pay(id: impl Into<Value>) -> Value {
    call(id.into(), &aligned("")["action"])
}

/// A call that has nothing to do with it.
pub fn invite(id: impl Into<Value>) -> Value {
    call(id.into(), &drifted("")["action"])
}
