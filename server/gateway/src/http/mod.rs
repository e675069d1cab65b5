//! The HTTP/JSON side, for points that speak neither gRPC nor one of the proxies' contracts.
//!
//! A verdict is always status 200, an error status never carries a verdict, and an error is never 200: callers differ in
//! what they do about a status, so its meaning must not depend on the door. Every door is the same walk (who asks, is it
//! JSON of a bounded size, is the engine there, how long may it take) around a reader of its own.

pub mod body;
pub mod claude;
pub mod config;
pub mod door;
pub mod entry;
pub mod error;
pub mod exposition;
pub mod fields;
pub mod health;
pub mod intents;
pub mod litellm;
pub mod metrics;
#[cfg(test)]
mod properties;
pub mod repeats;
pub mod score;
pub mod tokens;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{Extensions, HeaderMap, Response, StatusCode};
use axum::routing::{get, post};
use rhumb_engine::EngineError;
use rhumb_proto::v1::ScoreResponse;
use serde::Serialize;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::Decider;
use crate::caller::Caller;
use crate::callers::Callers;
use crate::errors::GatewayError;
use crate::front::Front;

use claude::sessions::Sessions;
use config::HttpConfig;
use door::Door;
use error::{HttpError, json_response};
use litellm::memory::Memory;
use metrics::Metrics;
use repeats::Repeats;

/// Kept after an action's deadline for an answer that says so, and its record; past it nobody waits any more.
const SPARE: Duration = Duration::from_millis(350);

/// How long the answer about a tool's use is kept: its id is the model's, and a session has no other of it.
const RECENT: Duration = Duration::from_secs(600);
/// How long where a client chooses the ids: for a retry, and not for the next call.
const AT_ONCE: Duration = Duration::from_secs(5);
/// KiB of bodies that are held at once, from their first byte to their answer.
const BODIES_KB: usize = 128 << 10;
/// When there may be room for bodies again.
const FULL_RETRY: Duration = Duration::from_millis(50);

/// Everything behind the doors. Cheap to clone.
#[derive(Clone)]
pub struct Doors(Arc<Inside>);

/// What the doors share.
pub struct Inside {
    front: Front,
    callers: Arc<Callers>,
    config: HttpConfig,
    metrics: Metrics,
    repeats: Repeats,
    retries: Repeats,
    bodies: Semaphore,
    memory: Memory,
    sessions: Sessions,
}

/// A request that was let in.
pub struct Asked {
    /// What decides.
    pub decider: Decider,
    /// Who asks.
    pub caller: Caller,
    /// The body.
    pub body: Vec<u8>,
    /// When an answer is worth nothing any more.
    pub deadline: Instant,
}

/// An answer with status 200.
pub type Reply = Arc<[u8]>;

/// JSON of a message.
///
/// # Errors
/// If it cannot be written, which has no known cause.
pub fn reply(message: &impl Serialize) -> Result<Reply, HttpError> {
    let broken = |e| HttpError::from(crate::GatewayError::broken(e));
    serde_json::to_vec(message).map(Reply::from).map_err(broken)
}

impl Doors {
    /// With what they stand on.
    pub fn new(front: Front, callers: Arc<Callers>, config: HttpConfig) -> Self {
        let memory = Memory::new(&config.litellm);
        let sessions = Sessions::new(config.claude_code.context_kb);
        let (repeats, retries) = (Repeats::keeping(RECENT), Repeats::keeping(AT_ONCE));
        let (metrics, bodies) = (Metrics::default(), Semaphore::new(BODIES_KB));
        Self(Arc::new(Inside { front, callers, config, metrics, repeats, retries, bodies, memory, sessions }))
    }

    /// The routes.
    pub fn router(&self) -> Router {
        let litellm = format!("{}/beta/litellm_basic_guardrail_api", self.0.config.litellm.base);
        let door = |door: Door| post(move |State(doors): State<Self>, request| doors.answer(door, request));
        Router::new()
            .route("/healthz", get(health::alive))
            .route("/readyz", get(health::ready))
            .route("/metrics", get(health::metrics))
            .route("/v1/score", door(Door::Score))
            .route("/v1/score:batch", door(Door::ScoreBatch))
            .route("/v1/intents", door(Door::Intents))
            .route("/v1/hooks/claude-code", door(Door::ClaudeCode))
            .route(&litellm, door(Door::LiteLlm))
            .fallback(async || refused(StatusCode::NOT_FOUND, "not_found", "no such path"))
            .method_not_allowed_fallback(async || {
                refused(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "no such method here")
            })
            .with_state(self.clone())
    }

    async fn answer(self, door: Door, request: Request) -> Response<Body> {
        let began = Instant::now();
        let response = match self.0.enter(door, request).await {
            Ok(reply) => json_response(StatusCode::OK, reply.to_vec()),
            Err(error) => error.into_response(),
        };
        self.0.metrics.answered(door, response.status().as_u16(), began.elapsed());
        response
    }
}

fn refused(status: StatusCode, code: &'static str, message: &str) -> Response<Body> {
    HttpError::new(status, code, message).into_response()
}

impl Inside {
    async fn enter(&self, door: Door, request: Request) -> Result<Reply, HttpError> {
        let (head, body) = request.into_parts();
        let caller = entry::caller(&self.callers, &head.headers, &head.extensions, door)?;
        let within = Duration::from_millis(self.config.read_ms);
        let _room = self.room(&head.headers, door)?;
        let body = match body::read(&head.headers, body, self.config.max_body_bytes, within).await {
            Ok(body) => body,
            Err(error) if door == Door::ClaudeCode => {
                return claude::unreadable(&self.front.decider()?, &caller, error).await;
            }
            Err(error) => return Err(error),
        };
        let (decider, deadline) = (self.front.decider()?, self.deadline(door));
        let asked = Asked { decider, caller, body, deadline };
        // A prompt is registered in the time that registrations have; a tool's use sees to its own deadline.
        let last = if door == Door::ClaudeCode { deadline.max(self.own_deadline()) } else { deadline };
        let answered = tokio::time::timeout_at((last + SPARE).into(), self.open(door, asked)).await;
        answered.unwrap_or_else(|_| Err(HttpError::late()))
    }

    /// Room for a body, as long as it is said to be.
    fn room(&self, headers: &HeaderMap, door: Door) -> Result<SemaphorePermit<'_>, HttpError> {
        let most = self.config.max_body_bytes;
        let said = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
        let kilobytes = u32::try_from(said.unwrap_or(most).min(most) / 1024 + 1).unwrap_or(u32::MAX);
        self.bodies.try_acquire_many(kilobytes).map_err(|_| {
            let full = EngineError::Overloaded { retry_after: FULL_RETRY };
            let error = HttpError::from(GatewayError::from(full));
            if door == Door::LiteLlm { error.overload_as_unavailable() } else { error }
        })
    }

    fn deadline(&self, door: Door) -> Instant {
        match door {
            Door::LiteLlm | Door::ClaudeCode => self.front.deadline(&Extensions::new()),
            _ => self.own_deadline(),
        }
    }

    fn own_deadline(&self) -> Instant {
        Instant::now() + Duration::from_millis(self.config.deadline_ms)
    }

    async fn open(&self, door: Door, asked: Asked) -> Result<Reply, HttpError> {
        match door {
            Door::Score => score::one(self, asked).await,
            Door::ScoreBatch => score::many(self, asked).await,
            Door::Intents => intents::register(asked).await,
            // To LiteLLM only 502, 503 and 504 mean that nobody answered.
            Door::LiteLlm => litellm::guard(self, asked).await.map_err(HttpError::overload_as_unavailable),
            Door::ClaudeCode => claude::hook(self, asked).await,
        }
    }

    fn counted(&self, door: Door, response: &ScoreResponse) {
        self.metrics.decided(door, response);
    }
}
