//! Many callers to few full batches.
//!
//! [`Engine::score`] is the one way to a score: the server, the command line and the tests all go through it. It folds
//! the text, looks into the caches, tokenizes what is new on the caller's side, and hands token ids to the one thread
//! that owns the encoder. The queue to that thread is bounded; a caller that may not wait is refused at once.

pub mod answer;
pub mod cache;
pub mod config;
pub mod engine;
pub mod error;
pub mod worker;

pub use answer::{Answer, ScoreInput, Timings};
pub use config::EngineConfig;
pub use engine::{Admission, Engine};
pub use error::EngineError;
