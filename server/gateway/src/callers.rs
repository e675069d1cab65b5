//! Who may call: bearer tokens and client certificates, known by their digests.
//!
//! Without any configured caller everybody who reaches the port may do everything, and nobody is authenticated: an intent
//! that is found by a bare id then counts as UNVERIFIED.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tonic::codegen::http::HeaderMap;
use tonic::codegen::http::header::AUTHORIZATION;

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Ask for scores.
    Score,
    /// Register, read and bind intents, and issue tokens.
    Intents,
    /// Amend and revoke intents.
    Amend,
    /// Read and verify the ledger.
    Audit,
}

/// `[[callers]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallerConfig {
    /// In records.
    pub name: String,
    /// SHA-256 of the bearer token, 64 hexadecimal digits.
    pub token_sha256: Option<String>,
    /// SHA-256 of the client certificate (DER), 64 hexadecimal digits.
    pub certificate_sha256: Option<String>,
    /// Tenants that the caller may name, the first where it names none; empty: any.
    #[serde(default)]
    pub tenants: Vec<String>,
    /// What it may do.
    pub may: Vec<Role>,
}

/// An authenticated caller.
#[derive(Debug, PartialEq, Eq)]
pub struct Identity {
    /// In records.
    pub name: String,
    /// Tenants that it may name; empty: any.
    pub tenants: Vec<String>,
    may: Vec<Role>,
}

impl Identity {
    /// Somebody whom another credential than a caller's names, for one tenant.
    pub fn proven(name: String, tenant: &str, may: &[Role]) -> Self {
        Self { name, tenants: vec![tenant.to_owned()], may: may.to_vec() }
    }

    /// Whether it may name this tenant.
    pub fn has_tenant(&self, tenant: &str) -> bool {
        self.tenants.is_empty() || self.tenants.iter().any(|own| own == tenant)
    }

    /// Whether it has this role.
    pub fn may(&self, role: Role) -> bool {
        self.may.contains(&role)
    }
}

/// Why a call is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotLetIn {
    /// Nobody that we know.
    Unknown,
    /// Somebody who may not do this.
    Forbidden,
}

impl fmt::Display for NotLetIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "the call carries no bearer token or client certificate of a configured caller",
            Self::Forbidden => "the caller may not do this; see `may` of its [[callers]] section",
        })
    }
}

/// The configured callers.
#[derive(Debug, Clone, Default)]
pub struct Callers {
    by_token: HashMap<[u8; 32], Arc<Identity>>,
    by_certificate: HashMap<[u8; 32], Arc<Identity>>,
}

impl Callers {
    /// Checks the configuration.
    ///
    /// # Errors
    /// Names the key that cannot be used.
    pub fn new(config: &[CallerConfig]) -> Result<Self, String> {
        let mut callers = Self::default();
        for (i, caller) in config.iter().enumerate() {
            if config.iter().take(i).any(|earlier| earlier.name == caller.name) {
                return Err(format!("callers[{i}].name: is that of another caller too"));
            }
            callers.add(caller).map_err(|e| format!("callers[{i}].{e}"))?;
        }
        Ok(callers)
    }

    fn add(&mut self, config: &CallerConfig) -> Result<(), String> {
        if config.name.is_empty() || config.name.len() > 256 {
            return Err("name: needs 1 to 256 bytes".to_owned());
        }
        if config.token_sha256.is_none() && config.certificate_sha256.is_none() {
            return Err("token_sha256: needs this or certificate_sha256".to_owned());
        }
        let identity = Arc::new(Identity {
            name: config.name.clone(),
            tenants: config.tenants.clone(),
            may: config.may.clone(),
        });
        let known = [
            ("token_sha256", &config.token_sha256, &mut self.by_token),
            ("certificate_sha256", &config.certificate_sha256, &mut self.by_certificate),
        ];
        for (key, digest, known) in known {
            let Some(digest) = digest else { continue };
            let digest = hex(digest).ok_or_else(|| format!("{key}: needs 64 hexadecimal digits"))?;
            if known.insert(digest, Arc::clone(&identity)).is_some() {
                return Err(format!("{key}: is that of another caller too"));
            }
        }
        Ok(())
    }

    /// Whether everybody may do everything.
    pub fn is_open(&self) -> bool {
        self.by_token.is_empty() && self.by_certificate.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn certificates(&self) -> impl Iterator<Item = &Arc<Identity>> {
        self.by_certificate.values()
    }

    /// Lets a call in, or does not. Where both a token and a certificate are given, the token counts: a mesh's certificate
    /// is often that of a node, the token that of the caller.
    ///
    /// # Errors
    /// See [`NotLetIn`].
    pub fn identify(
        &self,
        bearer: Option<&str>,
        certificate: Option<&[u8]>,
        role: Option<Role>,
    ) -> Result<Option<Arc<Identity>>, NotLetIn> {
        if self.is_open() {
            return Ok(None);
        }
        let digest = |bytes: &[u8]| -> [u8; 32] { Sha256::digest(bytes).into() };
        let known = match (bearer, certificate) {
            (Some(token), _) => self.by_token.get(&digest(token.as_bytes())),
            (None, Some(der)) => self.by_certificate.get(&digest(der)),
            (None, None) => None,
        };
        let identity = known.ok_or(NotLetIn::Unknown)?;
        match role {
            Some(role) if !identity.may(role) => Err(NotLetIn::Forbidden),
            _ => Ok(Some(Arc::clone(identity))),
        }
    }
}

/// The bearer token of a call, as HTTP and gRPC write it alike; two are none.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (first, second) = (values.next()?, values.next());
    if second.is_some() {
        return Some("");
    }
    let (scheme, token) = first.to_str().ok()?.split_once(' ')?;
    // A header of another scheme is not ours, and no token: a mesh may use it for itself.
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "correct horse";

    fn caller(may: &[Role]) -> CallerConfig {
        let digest = Sha256::digest(TOKEN.as_bytes());
        CallerConfig {
            name: "edge".into(),
            token_sha256: Some(digest.iter().map(|b| format!("{b:02x}")).collect()),
            certificate_sha256: Some("ab".repeat(32)),
            tenants: vec!["blue".into()],
            may: may.to_vec(),
        }
    }

    #[test]
    fn without_callers_everybody_is_let_in_and_nobody_is_known() {
        let callers = Callers::new(&[]).unwrap();
        assert_eq!(callers.identify(None, None, Some(Role::Amend)), Ok(None));
        assert_eq!(callers.identify(Some("whatever"), None, Some(Role::Score)), Ok(None));
    }

    #[test]
    fn a_token_says_who_calls_and_roles_what_they_may() {
        let callers = Callers::new(&[caller(&[Role::Score])]).unwrap();
        let known = callers.identify(Some(TOKEN), None, Some(Role::Score)).unwrap().unwrap();
        assert_eq!(known.name, "edge");
        assert_eq!(callers.identify(Some(TOKEN), None, Some(Role::Amend)), Err(NotLetIn::Forbidden));
        assert!(
            callers.identify(Some(TOKEN), None, None).is_ok(),
            "what needs no role needs a name all the same"
        );
        for bearer in [None, Some(""), Some("correct horse "), Some("wrong")] {
            assert_eq!(
                callers.identify(bearer, None, Some(Role::Score)),
                Err(NotLetIn::Unknown),
                "{bearer:?}"
            );
        }
    }

    #[test]
    fn a_wrong_token_is_not_made_up_for_by_a_certificate() {
        let mut config = caller(&[Role::Score]);
        let der = b"certificate";
        config.certificate_sha256 = Some(Sha256::digest(der).iter().map(|b| format!("{b:02x}")).collect());
        let callers = Callers::new(&[config]).unwrap();
        assert!(callers.identify(None, Some(der), Some(Role::Score)).is_ok());
        assert_eq!(callers.identify(Some("wrong"), Some(der), Some(Role::Score)), Err(NotLetIn::Unknown));
    }

    #[test]
    fn configuration_that_means_nothing_is_refused_by_its_place() {
        let without = CallerConfig {
            name: "other".into(),
            token_sha256: None,
            certificate_sha256: None,
            ..caller(&[])
        };
        let error = Callers::new(&[caller(&[]), without]).unwrap_err();
        assert!(error.starts_with("callers[1].token_sha256"), "{error}");
        let short = CallerConfig { token_sha256: Some("ab".into()), ..caller(&[]) };
        assert!(Callers::new(&[short]).unwrap_err().contains("64 hexadecimal digits"));
        let renamed = CallerConfig { name: "other".into(), ..caller(&[]) };
        assert!(
            Callers::new(&[caller(&[]), renamed]).unwrap_err().contains("token_sha256: is that of another")
        );
        assert!(Callers::new(&[caller(&[]), caller(&[])]).unwrap_err().contains("name: is that of another"));
    }

    #[test]
    fn bearer_tokens_are_read_as_http_writes_them() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            values.iter().for_each(|v| {
                headers.append(AUTHORIZATION, v.parse().unwrap());
            });
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(read(&["Bearer abc"]), Some("abc".into()));
        assert_eq!(read(&["bearer  abc "]), Some("abc".into()));
        assert_eq!(read(&["Basic abc"]), None);
        assert_eq!(read(&[]), None);
        assert_eq!(read(&["Bearer abc", "Bearer abc"]), Some(String::new()), "two tokens are none");
    }
}
