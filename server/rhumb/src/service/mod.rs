//! gRPC.

pub mod caller;
pub mod chain;
pub mod deadline;
pub mod drift;
pub mod errors;
pub mod server;
pub mod stats;
