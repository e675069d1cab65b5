//! Many callers to few full batches.
//!
//! [`Engine::score`] is the one way to a score: the server, the command line and the tests all go through it. It looks into
//! the cache of answers, folds the text, looks into the caches of vectors, tokenizes what is new on the caller's side, and
//! hands token ids to [`schedule`], which decides what the threads that own the encoders compute next, and what is
//! refused at once.

pub mod answer;
pub mod cache;
pub mod config;
mod decision;
pub mod engine;
pub mod error;
mod finish;
mod request;
pub mod schedule;
pub mod scheduler;
pub mod spare;
pub mod stats;
mod vectors;
mod worker;

pub use answer::{Answer, Call, ScoreInput, Timings};
pub use config::EngineConfig;
pub use engine::Engine;
pub use error::EngineError;
pub use schedule::{Admission, Lane, PerLane, Tenant};
pub use scheduler::EncoderState;
pub use spare::{Encoders, Fallback};
pub use stats::{CacheStats, EngineStats};
