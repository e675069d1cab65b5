//! What is read again at SIGHUP, while requests go on.

use rhumb_gateway::openshell::KeyFile;
use rhumb_gateway::policy::PolicyHandle;

use crate::failure::Failure;

/// SIGHUP, listened to from the beginning: without a listener it ends the process.
#[cfg(unix)]
pub struct Hangups(tokio::signal::unix::Signal);

#[cfg(unix)]
impl Hangups {
    /// Begins to listen.
    ///
    /// # Errors
    /// If the system has no such signal to give.
    pub fn new() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::hangup()).map(Self).map_err(Failure::io("SIGHUP"))
    }

    /// Reads the policy file, and OpenShell's keys, again at every one; ends with what it returns.
    pub fn reload(mut self, policy: PolicyHandle, keys: Option<KeyFile>) -> Reloading {
        Reloading(tokio::spawn(async move {
            while self.0.recv().await.is_some() {
                policy_again(&policy).await;
                keys_again(keys.clone()).await;
            }
        }))
    }
}

/// There is no such signal.
#[cfg(not(unix))]
pub struct Hangups;

#[cfg(not(unix))]
impl Hangups {
    /// Nothing to listen to.
    ///
    /// # Errors
    /// None.
    pub fn new() -> Result<Self, Failure> {
        Ok(Self)
    }

    /// Nothing is ever read again.
    pub fn reload(self, policy: PolicyHandle, keys: Option<KeyFile>) -> Reloading {
        Reloading(tokio::spawn(async move { drop((policy, keys)) }))
    }
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
