//! What operators ask: alive, ready, counters.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, Response, StatusCode};
use rhumb_engine::EngineError;
use rhumb_ledger::intent::reason;
use serde_json::json;

use super::error::{HttpError, json_response};
use super::{Doors, entry, exposition};

/// The process runs.
pub async fn alive() -> Response<Body> {
    json_response(StatusCode::OK, json!({"alive": true}).to_string().into_bytes())
}

/// Scores can be had, and recorded: the model is loaded, an encoder is left, the server does not drain, the ledger writes.
pub async fn ready(State(doors): State<Doors>) -> Response<Body> {
    let decider = doors.0.front.decider();
    let unavailable =
        |code, message: &str| HttpError::new(StatusCode::SERVICE_UNAVAILABLE, code, message).into_response();
    match decider {
        Ok(decider) if decider.engine.encoders().left == 0 => {
            unavailable(reason::SCORER_UNAVAILABLE, &EngineError::NoEncoder.to_string())
        }
        Ok(decider) if decider.site().ledger.is_healthy() => {
            json_response(StatusCode::OK, json!({"ready": true}).to_string().into_bytes())
        }
        Ok(_) => unavailable(reason::LEDGER_UNAVAILABLE, "the ledger records no more"),
        Err(status) => unavailable(reason::SCORER_UNAVAILABLE, status.message()),
    }
}

/// Counters, for any caller that is known: they tell how much is asked.
pub async fn metrics(State(doors): State<Doors>, request: Request) -> Response<Body> {
    let inside = &doors.0;
    let known = entry::identify(&inside.callers, request.headers(), request.extensions(), None);
    if let Err(error) = known {
        return error.into_response();
    }
    let stats = inside.front.decider().ok().map(|decider| decider.engine.stats());
    let page = exposition::page(&inside.metrics, stats.as_ref());
    let mut response = Response::new(Body::from(page));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(exposition::CONTENT_TYPE));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
