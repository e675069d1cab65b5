//! Why there is no answer.

use rhumb_drift::InputError;

/// An error of the engine. A missing anchor is no error but an [`crate::Answer`] with its own status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The request cannot be scored as it is.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The queue is full.
    #[error("too many requests wait for the encoder")]
    Overloaded,
    /// The deadline passed before the answer was there.
    #[error("the deadline passed")]
    Deadline,
    /// The engine is stopping or its encoder is gone.
    #[error("the engine is not running")]
    Stopped,
    /// The encoder failed.
    #[error("the encoder failed: {0}")]
    Encoder(String),
}
