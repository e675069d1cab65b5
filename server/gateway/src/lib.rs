//! From a caller's message to a recorded decision and back.

pub mod caller;
pub mod callers;
pub mod convert;
pub mod errors;
