//! Who may sign an intent: ourselves, and the token services that are configured.

use std::path::PathBuf;

use rhumb_drift::InputError;
use serde::{Deserialize, Serialize};

use super::config::{IntentConfig, between, check_name};
use super::keyset::{Algorithm, KeySet};
use super::token::TYPE;
use crate::error::LedgerError;
use crate::keys::PublicKeys;

/// A token service of the deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// Its `iss`.
    pub iss: String,
    /// File with its JWK set. Nothing is ever fetched.
    pub jwks: PathBuf,
    /// The `aud` that its tokens must have.
    pub aud: String,
    /// The `typ` that its tokens must have.
    #[serde(default = "default_type")]
    pub typ: String,
    /// How it signs.
    pub alg: Algorithm,
    /// Where in its claims the intent is.
    #[serde(default)]
    pub claims: ClaimPaths,
    /// The longest life of its tokens, in seconds.
    #[serde(default = "default_ttl")]
    pub max_ttl_s: u64,
    /// The tenants it may speak for; empty: all.
    #[serde(default)]
    pub tenants: Vec<String>,
}

/// Members of the claims, joined by dots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClaimPaths {
    /// Digest of the canonical text. Empty: there is none.
    pub intent_digest: String,
    /// The text itself. Empty: there is none.
    pub text: String,
    /// The accountable human or service.
    pub principal: String,
    /// The chain. Empty: there is none.
    pub chain: String,
    /// Id of an intent that is registered here. Empty: there is none.
    pub intent_id: String,
}

impl Default for ClaimPaths {
    fn default() -> Self {
        Self {
            intent_digest: "tctx.intent_digest".to_owned(),
            text: String::new(),
            principal: "sub".to_owned(),
            chain: "txn".to_owned(),
            intent_id: String::new(),
        }
    }
}

fn default_type() -> String {
    TYPE.to_owned()
}

fn default_ttl() -> u64 {
    900
}

impl IssuerConfig {
    pub(super) fn check(&self) -> Result<(), InputError> {
        for (field, name) in [("iss", &self.iss), ("aud", &self.aud), ("typ", &self.typ)] {
            check_name(field, name)?;
        }
        check_name("claims.principal", &self.claims.principal)?;
        if self.claims.intent_digest.is_empty() && self.claims.text.is_empty() {
            return Err(InputError::new("claims", "needs `intent_digest` or `text`"));
        }
        between("max_ttl_s", self.max_ttl_s, 24 * 3600)
    }
}

/// An issuer with its keys.
#[derive(Debug, Clone)]
pub(super) struct Issuer {
    pub iss: String,
    pub aud: String,
    pub typ: String,
    pub alg: Algorithm,
    pub keys: KeySet,
    pub max_ttl_s: u64,
    pub tenants: Vec<String>,
    /// `None`: our own claims.
    pub paths: Option<ClaimPaths>,
}

impl Issuer {
    pub fn speaks_for(&self, tenant: &str) -> bool {
        self.tenants.is_empty() || self.tenants.iter().any(|t| t == tenant)
    }
}

/// All who may sign an intent; the first is ourselves.
#[derive(Debug, Clone)]
pub struct Issuers {
    list: Vec<Issuer>,
}

impl Issuers {
    /// Ourselves, and those of the configuration, with their key files read.
    ///
    /// # Errors
    /// Names the field or the file.
    pub fn load(config: &IntentConfig, ours: &PublicKeys) -> Result<Self, LedgerError> {
        config.check()?;
        let mut list = vec![ourselves(config, ours)];
        for issuer in &config.issuers {
            list.push(read(issuer)?);
        }
        Ok(Self { list })
    }

    /// The issuer of a token by what it says of itself: by its name, else by its key.
    pub(super) fn find(&self, iss: Option<&str>, kid: Option<&str>) -> Option<&Issuer> {
        let by_name = self.list.iter().find(|i| iss == Some(i.iss.as_str()));
        by_name.or_else(|| self.list.iter().find(|i| kid.is_some_and(|kid| i.keys.contains(kid))))
    }
}

fn ourselves(config: &IntentConfig, keys: &PublicKeys) -> Issuer {
    Issuer {
        iss: config.issuer.clone(),
        aud: config.trust_domain.clone(),
        typ: TYPE.to_owned(),
        alg: Algorithm::EdDsa,
        keys: KeySet::from(keys),
        max_ttl_s: config.token_ttl_s,
        tenants: Vec::new(),
        paths: None,
    }
}

fn read(config: &IssuerConfig) -> Result<Issuer, LedgerError> {
    let text = std::fs::read_to_string(&config.jwks)
        .map_err(|source| LedgerError::Io { path: config.jwks.clone(), source })?;
    let keys = KeySet::parse(&text, config.alg)
        .map_err(|problem| LedgerError::Damaged { place: config.jwks.display().to_string(), problem })?;
    Ok(Issuer {
        iss: config.iss.clone(),
        aud: config.aud.clone(),
        typ: config.typ.clone(),
        alg: config.alg,
        keys,
        max_ttl_s: config.max_ttl_s,
        tenants: config.tenants.clone(),
        paths: Some(config.claims.clone()),
    })
}
