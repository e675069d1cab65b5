//! From a caller's message to a recorded decision and back.

pub mod anchor;
pub mod caller;
pub mod callers;
pub mod chain;
pub mod convert;
pub mod decide;
pub mod errors;
pub mod handed;
pub mod intents;
pub mod live;
pub mod message;
pub mod offline;
pub mod record;
pub mod trace;

pub use decide::{Decider, Site};
pub use errors::GatewayError;
