//! NVIDIA OpenShell: what supervisors ask about requests of their sandboxes (`SupervisorMiddleware`), and what the gateway
//! asks and tells about calls to its own API (`GatewayInterceptor`).
//!
//! OpenShell's own policy sees the method and the name of a tool, never its arguments: those are our part. A sandbox is
//! tied to its intent when it is created, by a token in its annotations; after that every request of the sandbox is
//! compared with that intent, found by the sandbox's id. The id is believed only where the caller's own token names it
//! (`token`); otherwise one sandbox could ask in another's name.
//!
//! Upstream calls these contracts a preview. No type of theirs is used outside this module.

mod analysis;
mod answer;
mod config;
mod door;
mod fields;
mod interceptor;
mod keys;
mod limits;
mod manifest;
mod middleware;
mod options;
mod sandbox;
mod subject;
mod token;

use std::sync::Arc;

use rhumb_engine::Tenant;
use rhumb_ledger::intent::reason;

use crate::front::Front;

pub use config::OpenShellConfig;
pub use interceptor::Interceptor;
pub use keys::KeyFile;
pub use limits::MESSAGE_BYTES;
pub use middleware::Middleware;
pub use subject::SubjectRule;

use token::Verifier;

/// What both services stand on. Cheap to clone.
#[derive(Clone)]
pub struct OpenShell(Arc<Inner>);

struct Inner {
    front: Front,
    config: OpenShellConfig,
    tenant: Tenant,
    verifier: Option<Verifier>,
}

impl OpenShell {
    /// Checks the configuration and reads the gateway's keys.
    ///
    /// # Errors
    /// Names the key or the file.
    pub fn open(config: OpenShellConfig, front: Front) -> Result<Self, String> {
        if let Some(code) = reason::ALL.iter().find(|code| !answer::is_reason_code(code)) {
            // A supervisor takes an answer with such a code for a failure of ours.
            return Err(format!("the reason code {code} is none of OpenShell's"));
        }
        let tenant = config.tenant()?;
        let verifier = Verifier::open(&config).map_err(|e| format!("jwks: {e}"))?;
        Ok(Self(Arc::new(Inner { front, config, tenant, verifier })))
    }

    /// The gateway's keys; `None` where callers need no token.
    pub fn keys(&self) -> Option<&KeyFile> {
        self.0.verifier.as_ref().map(Verifier::keys)
    }
}
