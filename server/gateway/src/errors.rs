//! The one place where errors become gRPC codes. What the client reads names the field and what to do; what the log says
//! is said where the error arose.

use std::collections::HashMap;

use std::time::Duration;

use rhumb_drift::InputError;
use rhumb_engine::EngineError;
use rhumb_ledger::intent::reason;
use rhumb_ledger::{LedgerError, Refusal, RefusalKind};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The domain of our reasons in `google.rpc.ErrorInfo`.
const DOMAIN: &str = "rhumb.v1";
/// A full queue of the ledger is written in a few commits.
const LEDGER_RETRY: Duration = Duration::from_millis(20);

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The scorer's part.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The ledger's part.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Our own: no known cause.
    #[error("{0}")]
    Broken(String),
}

impl GatewayError {
    /// An error that has no known cause.
    pub fn broken(error: impl std::fmt::Display) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<InputError> for GatewayError {
    fn from(error: InputError) -> Self {
        Self::Engine(error.into())
    }
}

/// An error as a status with details.
pub fn status(error: &GatewayError) -> Status {
    match error {
        GatewayError::Engine(error) => engine(error),
        GatewayError::Ledger(error) => ledger(error),
        GatewayError::Broken(_) => {
            tracing::error!(%error, "internal");
            Status::with_error_details(Code::Internal, "internal error", info(reason::SCORER_UNAVAILABLE))
        }
    }
}

/// An error of the engine as a status with details.
pub fn engine(error: &EngineError) -> Status {
    let code = match error {
        EngineError::Input(input) => return bad_request(input),
        EngineError::Overloaded { retry_after } => {
            let details = ErrorDetails::with_retry_info(Some(*retry_after));
            return Status::with_error_details(Code::ResourceExhausted, error.to_string(), details);
        }
        EngineError::Deadline => Code::DeadlineExceeded,
        EngineError::Stopped | EngineError::NoEncoder => Code::Unavailable,
        // The cause is in the log; the client can only try again or go elsewhere.
        EngineError::Encoder(_) => {
            return Status::with_error_details(
                Code::Internal,
                "the encoder failed",
                info(engine_reason(error)),
            );
        }
    };
    Status::with_error_details(code, error.to_string(), info(engine_reason(error)))
}

/// An error of the ledger as a status with details.
pub fn ledger(error: &LedgerError) -> Status {
    match error {
        LedgerError::Input(input) => bad_request(input),
        LedgerError::Refused(refusal) => refused(refusal),
        LedgerError::Full => {
            let mut details = info(reason::LEDGER_FULL);
            details.set_retry_info(Some(LEDGER_RETRY));
            Status::with_error_details(Code::ResourceExhausted, error.to_string(), details)
        }
        // Where the files are is nothing that a client needs to know.
        _ => {
            tracing::error!(%error, "the ledger failed");
            let what = "the ledger cannot record or read";
            Status::with_error_details(Code::Unavailable, what, info(reason::LEDGER_UNAVAILABLE))
        }
    }
}

fn refused(refusal: &Refusal) -> Status {
    let code = match refusal.kind {
        RefusalKind::NotFound => Code::NotFound,
        RefusalKind::AlreadyExists => Code::AlreadyExists,
        RefusalKind::FailedPrecondition => Code::FailedPrecondition,
        RefusalKind::PermissionDenied => Code::PermissionDenied,
        RefusalKind::Unauthenticated => Code::Unauthenticated,
        RefusalKind::ResourceExhausted => Code::ResourceExhausted,
    };
    Status::with_error_details(code, refusal.detail.clone(), info(refusal.reason))
}

/// The reason code of an error.
pub fn reason(error: &GatewayError) -> &'static str {
    match error {
        GatewayError::Engine(error) => engine_reason(error),
        GatewayError::Ledger(LedgerError::Refused(refusal)) => refusal.reason,
        GatewayError::Ledger(LedgerError::Full) => reason::LEDGER_FULL,
        GatewayError::Ledger(LedgerError::Input(_)) => reason::ACTION_UNPARSABLE,
        GatewayError::Ledger(_) => reason::LEDGER_UNAVAILABLE,
        GatewayError::Broken(_) => reason::SCORER_UNAVAILABLE,
    }
}

/// The reason code of an error of the engine.
pub fn engine_reason(error: &EngineError) -> &'static str {
    match error {
        EngineError::Input(_) => reason::ACTION_UNPARSABLE,
        EngineError::Overloaded { .. } => reason::SCORER_OVERLOADED,
        EngineError::Deadline => reason::SCORER_TIMEOUT,
        EngineError::Stopped | EngineError::NoEncoder | EngineError::Encoder(_) => reason::SCORER_UNAVAILABLE,
    }
}

/// INVALID_ARGUMENT that names the field.
pub fn bad_request(error: &InputError) -> Status {
    let details = ErrorDetails::with_bad_request_violation(&error.field, &error.problem);
    Status::with_error_details(Code::InvalidArgument, error.to_string(), details)
}

/// PERMISSION_DENIED.
pub fn forbidden(what: &str) -> Status {
    Status::with_error_details(Code::PermissionDenied, what.to_owned(), info(reason::CALLER_FORBIDDEN))
}

/// UNAUTHENTICATED.
pub fn unauthenticated(what: &str) -> Status {
    Status::with_error_details(Code::Unauthenticated, what.to_owned(), info(reason::CALLER_UNKNOWN))
}

/// UNAVAILABLE while the model loads or the server drains.
pub fn unavailable(what: &str) -> Status {
    Status::with_error_details(Code::Unavailable, what.to_owned(), info(reason::SCORER_UNAVAILABLE))
}

fn info(reason: &str) -> ErrorDetails {
    ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_field_is_in_the_details() {
        let status = engine(&EngineError::Input(InputError::new("action.tool", "too long")));
        assert_eq!(status.code(), Code::InvalidArgument);
        let violation = status.get_details_bad_request().unwrap().field_violations.remove(0);
        assert_eq!((violation.field.as_str(), violation.description.as_str()), ("action.tool", "too long"));
    }

    #[test]
    fn overload_says_when_to_come_back() {
        let retry_after = std::time::Duration::from_millis(37);
        let status = engine(&EngineError::Overloaded { retry_after });
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(retry_after));
    }

    #[test]
    fn the_cause_of_an_encoder_failure_stays_in_the_log() {
        let status = engine(&EngineError::Encoder("secret path".into()));
        assert_eq!((status.code(), status.message()), (Code::Internal, "the encoder failed"));
    }
}
