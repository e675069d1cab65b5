//! gRPC.

pub mod drift;
pub mod errors;
pub mod server;
