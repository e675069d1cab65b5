//! gRPC, and the HTTP side's listener.

pub mod activity;
pub mod auth;
pub mod deadline;
pub mod drift;
pub mod http;
pub mod intent;
pub mod ledger;
pub mod reload;
pub mod server;
pub mod stats;
pub mod tls;

pub use rhumb_gateway::errors;

use tokio::sync::watch;

/// Resolves when the flag is up.
pub async fn until(mut flag: watch::Receiver<bool>) {
    // An error means that the sender is gone: then there is nothing left to wait for either.
    let _ = flag.wait_for(|stop| *stop).await;
}
