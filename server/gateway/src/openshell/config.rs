//! `[openshell]` of the server's configuration.

use std::path::PathBuf;

use rhumb_engine::Tenant;
use serde::Deserialize;

use super::subject::SubjectRule;

/// Milliseconds that OpenShell takes for a timeout.
const TIMEOUT_MS: std::ops::RangeInclusive<u64> = 10..=30_000;
/// Bytes of an annotation's name that OpenShell keeps.
const ANNOTATION_BYTES: usize = 256;

/// What a deployment says of its OpenShell gateway.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpenShellConfig {
    /// Id of the gateway: tokens of callers are issued by `openshell-gateway:ID`.
    pub gateway_id: String,
    /// File with the gateway's public keys, a JWK set. Nothing is ever fetched.
    pub jwks: Option<PathBuf>,
    /// Takes calls without a token. What they say of a sandbox is then no more than somebody's word.
    pub allow_insecure: bool,
    /// The audience of tokens for `SupervisorMiddleware`.
    pub middleware_audience: String,
    /// The audience of tokens for `GatewayInterceptor`.
    pub interceptor_audience: String,
    /// On whose account sandboxes and their actions are; none: the account of callers who name none.
    pub tenant: Option<String>,
    /// Annotation of a sandbox that holds the intent token.
    pub annotation: String,
    /// Whether a sandbox without an intent token is refused.
    pub require_intent: bool,
    /// How the `sub` of an intent token and the subject who creates the sandbox belong together.
    pub subject: SubjectRule,
    /// Milliseconds that supervisors are told to wait; none: as the operator registered.
    pub timeout_ms: Option<u64>,
    /// Whether a denial's `reason_code` ends with the id of the decision.
    pub decision_in_reason: bool,
}

impl Default for OpenShellConfig {
    fn default() -> Self {
        Self {
            gateway_id: String::new(),
            jwks: None,
            allow_insecure: false,
            middleware_audience: "urn:openshell:extension:middleware:rhumb".to_owned(),
            interceptor_audience: "urn:openshell:extension:interceptor:rhumb".to_owned(),
            tenant: None,
            annotation: "rhumb.dev/intent-token".to_owned(),
            require_intent: false,
            subject: SubjectRule::default(),
            timeout_ms: None,
            decision_in_reason: false,
        }
    }
}

impl OpenShellConfig {
    /// Checks what can be checked without the world; `hold_ms` is the server's own limit for an action held back.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self, hold_ms: u64) -> Result<(), String> {
        self.check_trust()?;
        self.tenant()?;
        if self.annotation.is_empty() || self.annotation.len() > ANNOTATION_BYTES {
            return Err(format!("annotation: needs 1 to {ANNOTATION_BYTES} bytes"));
        }
        match self.timeout_ms {
            Some(ms) if !TIMEOUT_MS.contains(&ms) => Err("timeout_ms: needs 10 to 30000".to_owned()),
            // Otherwise the supervisor gives up before our own deadline has passed.
            Some(ms) if ms <= hold_ms => Err("timeout_ms: must be longer than server.hold_ms".to_owned()),
            _ => Ok(()),
        }
    }

    fn check_trust(&self) -> Result<(), String> {
        match (&self.jwks, self.allow_insecure) {
            (None, false) => Err("jwks: needs this, or allow_insecure = true".to_owned()),
            (Some(_), true) => Err("allow_insecure: contradicts jwks".to_owned()),
            (Some(_), false) if self.gateway_id.is_empty() => Err("gateway_id: is missing".to_owned()),
            (Some(_), false) if self.middleware_audience.is_empty() => {
                Err("middleware_audience: is empty".to_owned())
            }
            (Some(_), false) if self.interceptor_audience.is_empty() => {
                Err("interceptor_audience: is empty".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// The account.
    ///
    /// # Errors
    /// If the name is none.
    pub fn tenant(&self) -> Result<Tenant, String> {
        let named = self.tenant.as_deref().map(Tenant::new).transpose();
        named.map(Option::unwrap_or_default).map_err(|e| format!("tenant: {}", e.problem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut OpenShellConfig)) -> Result<(), String> {
        let mut config = OpenShellConfig {
            gateway_id: "prod".into(),
            jwks: Some("keys.json".into()),
            ..OpenShellConfig::default()
        };
        change(&mut config);
        config.check(150)
    }

    #[test]
    fn tokens_are_checked_unless_somebody_says_otherwise() {
        assert_eq!(check(|_| ()), Ok(()));
        assert!(check(|c| c.jwks = None).unwrap_err().contains("allow_insecure = true"));
        assert!(check(|c| c.allow_insecure = true).unwrap_err().contains("contradicts"));
        assert!(check(|c| c.gateway_id.clear()).unwrap_err().contains("gateway_id"));
        assert!(check(|c| c.middleware_audience.clear()).is_err());
        assert!(check(|c| c.interceptor_audience.clear()).is_err());
        let insecure = |c: &mut OpenShellConfig| (c.jwks, c.allow_insecure) = (None, true);
        assert_eq!(check(insecure), Ok(()));
    }

    #[test]
    fn limits_of_the_contract_are_limits_of_the_configuration() {
        assert_eq!(check(|c| c.timeout_ms = Some(151)), Ok(()));
        for (ms, problem) in [(9, "10 to 30000"), (30_001, "10 to 30000"), (150, "server.hold_ms")] {
            assert!(check(|c| c.timeout_ms = Some(ms)).unwrap_err().contains(problem), "{ms}");
        }
        assert!(check(|c| c.annotation = "a".repeat(257)).is_err());
        assert!(check(|c| c.tenant = Some("a b".into())).unwrap_err().starts_with("tenant"));
    }
}
