//! Why there is no answer.

use std::time::Duration;

use rhumb_drift::InputError;

use crate::schedule::Refusal;

/// An error of the engine. A missing anchor is no error but an [`crate::Answer`] with its own status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The request cannot be scored as it is.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Too much is before the request: the queue is full, or the deadline could not be kept.
    #[error("too many requests wait for the encoder")]
    Overloaded {
        /// When the same request would probably be taken, by the measured speed.
        retry_after: Duration,
    },
    /// The deadline passed before the answer was there, or could not be kept by an idle engine.
    #[error("the deadline passed")]
    Deadline,
    /// The engine is stopping.
    #[error("the engine is not running")]
    Stopped,
    /// The devices are lost, and nothing computes in their place.
    #[error("no encoder is left: every device is lost")]
    NoEncoder,
    /// The encoder failed.
    #[error("the encoder failed: {0}")]
    Encoder(String),
}

impl From<Refusal> for EngineError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Overloaded { retry_after } => Self::Overloaded { retry_after },
            Refusal::Deadline => Self::Deadline,
        }
    }
}
