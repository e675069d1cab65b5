//! The checks of a token that need no table: form, header, signature, audience, issuer, times, claims. In this order, each
//! with a reason of its own.

use serde_json::{Map, Value};

use super::canon;
use super::constraints::Constraints;
use super::issuer::{ClaimPaths, Issuer, Issuers};
use super::jws::Unverified;
use super::reason;
use super::token::{Claims, Fault, LEEWAY_S, Verified, actors, one_audience};

/// A token that is well formed.
#[derive(Debug, Clone, PartialEq)]
pub enum Checked {
    /// Of a configured issuer, and good.
    Good(Box<Verified>),
    /// Neither its issuer nor its key is configured for intents.
    NotOurs,
}

impl Issuers {
    /// Checks a token at `at_ms` (milliseconds since 1970).
    ///
    /// # Errors
    /// The first check that fails.
    pub fn check(&self, token: &str, tenant: &str, at_ms: u64) -> Result<Checked, Fault> {
        let token = Unverified::parse(token).map_err(Fault::malformed)?;
        let Some(issuer) = self.find(token.issuer(), token.kid()) else { return Ok(Checked::NotOurs) };
        token.check_header(&issuer.typ, issuer.alg).map_err(Fault::malformed)?;
        let forged = || Fault::new(reason::INTENT_SIGNATURE, "not signed by a key of its issuer");
        let claims = token.verify(&issuer.keys).ok_or_else(forged)?;
        issuer.check_claims(&claims, tenant, at_ms).map(|v| Checked::Good(Box::new(v)))
    }

    /// Checks claims whose signature an enforcement point has verified.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn check_claims(
        &self,
        claims: &Map<String, Value>,
        tenant: &str,
        at_ms: u64,
    ) -> Result<Checked, Fault> {
        let Some(issuer) = self.find(claims.get("iss").and_then(Value::as_str), None) else {
            return Ok(Checked::NotOurs);
        };
        issuer.check_claims(claims, tenant, at_ms).map(|v| Checked::Good(Box::new(v)))
    }
}

impl Issuer {
    fn check_claims(&self, claims: &Map<String, Value>, tenant: &str, at_ms: u64) -> Result<Verified, Fault> {
        let audience = claims.get("aud").and_then(one_audience);
        if audience != Some(self.aud.as_str()) {
            return Err(Fault::new(reason::INTENT_AUDIENCE, "meant for another trust domain"));
        }
        if claims.get("iss").and_then(Value::as_str) != Some(self.iss.as_str()) {
            return Err(Fault::new(reason::INTENT_ISSUER, "not of the issuer of its key"));
        }
        if !self.speaks_for(tenant) {
            return Err(Fault::new(reason::INTENT_ISSUER, "its issuer does not speak for this tenant"));
        }
        let expires_s = self.check_times(claims, at_ms / 1000)?;
        match &self.paths {
            None => Claims::read(claims)?.verified(),
            Some(paths) => self.foreign(paths, claims, expires_s),
        }
    }

    /// When the token ends, in seconds.
    fn check_times(&self, claims: &Map<String, Value>, at_s: u64) -> Result<u64, Fault> {
        let seconds = |name: &str| {
            let value = claims.get(name).and_then(whole_seconds);
            value.ok_or_else(|| Fault::malformed(format!("claims: {name}: not whole seconds")))
        };
        let (iat, exp) = (seconds("iat")?, seconds("exp")?);
        let not_before = if claims.contains_key("nbf") { seconds("nbf")? } else { iat };
        let problem = match () {
            () if iat.max(not_before) > at_s + LEEWAY_S => "not valid yet",
            () if exp + LEEWAY_S <= at_s => "ended",
            () if exp.checked_sub(iat).is_none_or(|life| life > self.max_ttl_s) => "meant to live too long",
            () => return Ok(exp),
        };
        Err(Fault::new(reason::INTENT_EXPIRED, problem))
    }

    fn foreign(&self, paths: &ClaimPaths, claims: &Map<String, Value>, exp: u64) -> Result<Verified, Fault> {
        let principal = text_at(claims, &paths.principal)?
            .ok_or_else(|| Fault::malformed(format!("claims: {}: missing", paths.principal)))?;
        let digest = text_at(claims, &paths.intent_digest)?;
        if digest.as_deref().is_some_and(|d| !canon::is_digest(d)) {
            return Err(Fault::malformed(format!("claims: {}: not a digest", paths.intent_digest)));
        }
        let text = text_at(claims, &paths.text)?;
        if digest.is_none() && text.is_none() {
            return Err(Fault::malformed("claims: neither digest nor text of an intent"));
        }
        Ok(Verified {
            issuer: self.iss.clone(),
            is_ours: false,
            principal,
            chain: text_at(claims, &paths.chain)?,
            intent_id: text_at(claims, &paths.intent_id)?,
            version: None,
            digest,
            text,
            constraints: Constraints::default(),
            actors: actors(claims.get("act"))?,
            expires_ms: exp.saturating_mul(1000),
        })
    }
}

/// JWT allows fractions of a second; we take whole ones, and far from overflow.
fn whole_seconds(value: &Value) -> Option<u64> {
    value.as_u64().filter(|s| *s < 1 << 40)
}

/// The text at a path; an empty path leads nowhere.
fn text_at(claims: &Map<String, Value>, path: &str) -> Result<Option<String>, Fault> {
    if path.is_empty() {
        return Ok(None);
    }
    let mut names = path.split('.');
    let first = names.next().and_then(|name| claims.get(name));
    match names.try_fold(first, |at, name| Some(at?.get(name))).flatten() {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
        Some(_) => Err(Fault::malformed(format!("claims: {path}: not a text"))),
    }
}
