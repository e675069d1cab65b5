//! gRPC.

pub mod deadline;
pub mod drift;
pub mod errors;
pub mod server;
