//! gRPC.

pub mod auth;
pub mod deadline;
pub mod drift;
pub mod intent;
pub mod ledger;
pub mod reload;
pub mod server;
pub mod stats;

pub use rhumb_gateway::errors;
