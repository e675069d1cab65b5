//! The one place where errors become gRPC codes. What the client reads names the field and what to do; what the log says
//! is said where the error arose.

use std::collections::HashMap;

use rhumb_drift::InputError;
use rhumb_engine::EngineError;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The domain of our reasons in `google.rpc.ErrorInfo`.
const DOMAIN: &str = "rhumb.v1";

/// An error as a status with details.
pub fn status(error: &EngineError) -> Status {
    let code = match error {
        EngineError::Input(input) => return bad_request(input),
        EngineError::Overloaded { retry_after } => {
            let details = ErrorDetails::with_retry_info(Some(*retry_after));
            return Status::with_error_details(Code::ResourceExhausted, error.to_string(), details);
        }
        EngineError::Deadline => Code::DeadlineExceeded,
        EngineError::Stopped => Code::Unavailable,
        // The cause is in the log; the client can only try again or go elsewhere.
        EngineError::Encoder(_) => {
            return Status::with_error_details(Code::Internal, "the encoder failed", info(reason(error)));
        }
    };
    Status::with_error_details(code, error.to_string(), info(reason(error)))
}

/// The reason code of an error.
pub fn reason(error: &EngineError) -> &'static str {
    match error {
        EngineError::Input(_) => "action_unparsable",
        EngineError::Overloaded { .. } => "scorer_overloaded",
        EngineError::Deadline => "scorer_timeout",
        EngineError::Stopped | EngineError::Encoder(_) => "scorer_unavailable",
    }
}

/// INVALID_ARGUMENT that names the field.
pub fn bad_request(error: &InputError) -> Status {
    let details = ErrorDetails::with_bad_request_violation(&error.field, &error.problem);
    Status::with_error_details(Code::InvalidArgument, error.to_string(), details)
}

/// PERMISSION_DENIED.
pub fn forbidden(what: &str) -> Status {
    Status::with_error_details(Code::PermissionDenied, what.to_owned(), info("caller_forbidden"))
}

/// UNAUTHENTICATED.
pub fn unauthenticated(what: &str) -> Status {
    Status::with_error_details(Code::Unauthenticated, what.to_owned(), info("caller_unknown"))
}

/// UNAVAILABLE while the model loads or the server drains.
pub fn unavailable(what: &str) -> Status {
    Status::with_error_details(Code::Unavailable, what.to_owned(), info("scorer_unavailable"))
}

fn info(reason: &str) -> ErrorDetails {
    ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_field_is_in_the_details() {
        let status = status(&EngineError::Input(InputError::new("action.tool", "too long")));
        assert_eq!(status.code(), Code::InvalidArgument);
        let violation = status.get_details_bad_request().unwrap().field_violations.remove(0);
        assert_eq!((violation.field.as_str(), violation.description.as_str()), ("action.tool", "too long"));
    }

    #[test]
    fn overload_says_when_to_come_back() {
        let retry_after = std::time::Duration::from_millis(37);
        let status = status(&EngineError::Overloaded { retry_after });
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(retry_after));
    }

    #[test]
    fn the_cause_of_an_encoder_failure_stays_in_the_log() {
        let status = status(&EngineError::Encoder("secret path".into()));
        assert_eq!((status.code(), status.message()), (Code::Internal, "the encoder failed"));
    }
}
