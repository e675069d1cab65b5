//! What is read again at SIGHUP, while requests go on.

use rhumb_gateway::openshell::KeyFile;
use rhumb_gateway::policy::PolicyHandle;

use crate::failure::Failure;

/// Reads the policy file, and OpenShell's keys, again at every SIGHUP; ends with what it returns.
///
/// # Errors
/// If the system has no such signal to give.
#[cfg(unix)]
pub fn on_signal(policy: PolicyHandle, keys: Option<KeyFile>) -> Result<Reloading, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = signal(SignalKind::hangup()).map_err(Failure::io("SIGHUP"))?;
    Ok(Reloading(tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            policy_again(&policy).await;
            keys_again(keys.clone()).await;
        }
    })))
}

/// There is no such signal.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn on_signal(_: PolicyHandle, _: Option<KeyFile>) -> Result<Reloading, Failure> {
    Ok(Reloading(tokio::spawn(async {})))
}

/// What cannot be used changes nothing: requests go on with the policy that is in force.
async fn policy_again(policy: &PolicyHandle) {
    let reading = policy.clone();
    match tokio::task::spawn_blocking(move || reading.reload()).await {
        Ok(Ok(policies)) => {
            policies.warnings().iter().for_each(|warning| tracing::warn!(warning, "policy"));
            tracing::info!(policy = policies.id(), rules = policies.rules(), "policy read again");
        }
        Ok(Err(error)) => {
            tracing::error!(%error, in_force = policy.now().id(), "the policy was not replaced")
        }
        Err(error) => tracing::error!(%error, "the policy was not replaced"),
    }
}

/// What cannot be used changes nothing here either.
async fn keys_again(keys: Option<KeyFile>) {
    let Some(keys) = keys else { return };
    match tokio::task::spawn_blocking(move || keys.reload()).await {
        Ok(Ok(())) => tracing::info!("keys of the OpenShell gateway read again"),
        Ok(Err(error)) => tracing::error!(error, "the keys of the OpenShell gateway were not replaced"),
        Err(error) => tracing::error!(%error, "the keys of the OpenShell gateway were not replaced"),
    }
}

/// A task that ends with this.
#[derive(Debug)]
pub struct Reloading(tokio::task::JoinHandle<()>);

impl Drop for Reloading {
    fn drop(&mut self) {
        self.0.abort();
    }
}
