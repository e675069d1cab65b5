//! Errors as HTTP: a status that is never 200, and a body that is never a verdict.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode};
use rhumb_drift::InputError;
use rhumb_ledger::intent::reason;
use rhumb_proto::json::JsonError;
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::errors::{self, GatewayError};

/// Bytes of a message: it may repeat names of the request.
const MESSAGE_BYTES: usize = 500;

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpError {
    /// Never 2xx.
    pub status: StatusCode,
    /// For programs: one of the reason codes, or what the status is called.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// The field that cannot be used; empty where there is none.
    pub field: String,
    /// When to come back.
    pub retry_after: Option<Duration>,
}

impl HttpError {
    /// An error that names no field.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let mut message = message.into();
        message.truncate(rhumb_drift::render::floor_boundary(&message, MESSAGE_BYTES));
        Self { status, code, message, field: String::new(), retry_after: None }
    }

    /// 400.
    pub fn bad(field: impl Into<String>, problem: impl Into<String>) -> Self {
        InputError::new(field, problem).into()
    }

    /// 504.
    pub fn late() -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, reason::SCORER_TIMEOUT, "the deadline passed")
    }

    /// For callers to whom only 502, 503 and 504 mean that nobody answered: overload is 503 there.
    #[must_use]
    pub fn overload_as_unavailable(mut self) -> Self {
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            self.status = StatusCode::SERVICE_UNAVAILABLE;
        }
        self
    }

    /// As an answer.
    pub fn into_response(self) -> Response<Body> {
        let mut error = json!({"code": self.code, "message": self.message});
        if let (false, Some(error)) = (self.field.is_empty(), error.as_object_mut()) {
            error.insert("field".to_owned(), self.field.into());
        }
        let mut response = json_response(self.status, json!({ "error": error }).to_string().into_bytes());
        let headers = response.headers_mut();
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds(wait)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// JSON that nobody on the way may keep.
pub fn json_response(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The header counts in seconds; less than one is one.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
}

impl From<InputError> for HttpError {
    fn from(error: InputError) -> Self {
        let field = error.field.clone();
        Self { field, ..Self::new(StatusCode::BAD_REQUEST, "invalid_argument", error.to_string()) }
    }
}

impl From<JsonError> for HttpError {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::Shape { field, problem } => Self::bad(field, problem),
            JsonError::Syntax(_) => Self::new(StatusCode::BAD_REQUEST, "invalid_argument", error.to_string()),
        }
    }
}

impl From<GatewayError> for HttpError {
    fn from(error: GatewayError) -> Self {
        Self::from(errors::status(&error))
    }
}

impl From<Status> for HttpError {
    fn from(status: Status) -> Self {
        let (http, called) = of_code(status.code());
        let details = status.get_error_details();
        let told = details.error_info().map(|info| info.reason.as_str()).unwrap_or_default();
        // The codes of the list are texts that live for ever; a reason beside them has no known cause.
        let known = reason::ALL.iter().find(|code| **code == told).copied();
        let violation = details.bad_request().and_then(|bad| bad.field_violations.first());
        let mut error = Self::new(http, known.unwrap_or(called), status.message());
        error.field = violation.map(|v| v.field.clone()).unwrap_or_default();
        error.retry_after = details.retry_info().and_then(|info| info.retry_delay);
        if http == StatusCode::SERVICE_UNAVAILABLE {
            error.retry_after = error.retry_after.or(Some(Duration::from_secs(1)));
        }
        error
    }
}

fn of_code(code: Code) -> (StatusCode, &'static str) {
    match code {
        Code::InvalidArgument | Code::OutOfRange => (StatusCode::BAD_REQUEST, "invalid_argument"),
        Code::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated"),
        Code::PermissionDenied => (StatusCode::FORBIDDEN, "permission_denied"),
        Code::NotFound => (StatusCode::NOT_FOUND, "not_found"),
        Code::AlreadyExists => (StatusCode::CONFLICT, "already_exists"),
        Code::FailedPrecondition | Code::Aborted => (StatusCode::CONFLICT, "failed_precondition"),
        Code::ResourceExhausted => (StatusCode::TOO_MANY_REQUESTS, reason::SCORER_OVERLOADED),
        Code::DeadlineExceeded => (StatusCode::GATEWAY_TIMEOUT, reason::SCORER_TIMEOUT),
        Code::Unavailable | Code::Cancelled => (StatusCode::SERVICE_UNAVAILABLE, reason::SCORER_UNAVAILABLE),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhumb_engine::EngineError;

    #[test]
    fn overload_says_when_to_come_back() {
        let wait = Duration::from_millis(1200);
        let error = HttpError::from(errors::engine(&EngineError::Overloaded { retry_after: wait }));
        assert_eq!((error.status.as_u16(), error.code), (429, "scorer_overloaded"));
        assert_eq!(error.clone().overload_as_unavailable().status.as_u16(), 503);
        assert_eq!(error.into_response().headers()[RETRY_AFTER], "2");
    }

    #[test]
    fn every_failure_has_its_status() {
        let status = |error: EngineError| HttpError::from(errors::engine(&error)).status.as_u16();
        assert_eq!(status(EngineError::Deadline), 504);
        assert_eq!(status(EngineError::Stopped), 503);
        assert_eq!(status(EngineError::Encoder("x".into())), 500);
        let input =
            HttpError::from(errors::engine(&EngineError::Input(InputError::new("action", "is missing"))));
        assert_eq!((input.status.as_u16(), input.field.as_str()), (400, "action"));
    }
}
