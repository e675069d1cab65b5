//! A server with a ledger, and intents registered there.

use rhumb_proto::v1::{Intent, RegisterIntentRequest, RegisterIntentResponse, ScoreRequest, ScoreResponse};
use tempfile::TempDir;

use crate::Server;
use crate::samples::{aligned, message};

/// A server with a ledger.
pub struct Site {
    /// It.
    pub server: Server,
    /// The ledger.
    pub folder: TempDir,
    config: String,
}

impl Site {
    /// With more configuration.
    pub async fn open(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = format!("[ledger]\npath = {:?}\n{more}", folder.path());
        Self { server: Server::start(&config).await, folder, config }
    }

    /// Ends the server and starts it anew on the same ledger.
    pub async fn restart(&mut self) {
        self.server.terminate();
        assert!(self.server.wait().success());
        self.server = Server::start(&self.config).await;
    }

    /// Registers a text of `user:alice`.
    pub async fn register(&self, text: &str) -> RegisterIntentResponse {
        self.server.intents().await.register_intent(registration(text)).await.unwrap().into_inner()
    }

    /// Scores.
    pub async fn score(&self, request: ScoreRequest) -> ScoreResponse {
        self.server.client().await.score(request).await.unwrap().into_inner()
    }

    /// Scores the aligned action with a token.
    pub async fn with_token(&self, token: &str) -> ScoreResponse {
        self.score(with_intent(Intent { token: token.into(), ..Intent::default() })).await
    }
}

/// To register a text of `user:alice`.
pub fn registration(text: &str) -> RegisterIntentRequest {
    let intent = Intent { text: text.into(), principal: "user:alice".into(), ..Intent::default() };
    RegisterIntentRequest { intent: Some(intent), ..RegisterIntentRequest::default() }
}

/// The aligned action, with an intent.
pub fn with_intent(intent: Intent) -> ScoreRequest {
    ScoreRequest { intent: Some(intent), ..message(&aligned("1")) }
}
