//! Our token: a JWS in the shape of a Transaction Token (draft-ietf-oauth-transaction-tokens).
//!
//! The token says which intent a chain serves. It is no credential of the caller: whoever sees it can show it again within
//! its life.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::canon;
use super::constraints::Constraints;
use super::reason;

/// `typ` of our tokens.
pub const TYPE: &str = "txntoken+jwt";

/// The deepest delegation chain (`act`).
pub const MAX_ACTORS: usize = 16;

/// How far clocks may differ, in seconds.
pub const LEEWAY_S: u64 = 30;

/// Why a token is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// One of the reasons `intent_*`.
    pub reason: &'static str,
    /// For a person.
    pub detail: String,
}

impl Fault {
    pub(super) fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(reason::INTENT_MALFORMED, detail)
    }
}

/// Our claims.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claims {
    /// Who signs.
    pub iss: String,
    /// Where it is good: a string, or a list of one.
    #[serde(deserialize_with = "audience")]
    pub aud: String,
    /// The accountable human or service.
    pub sub: String,
    /// The chain.
    pub txn: String,
    /// What the principal allowed.
    pub scope: String,
    /// The workload that asked for the token at hop 1.
    pub req_wl: String,
    /// Issued, in seconds since 1970.
    pub iat: u64,
    /// Ends, in seconds since 1970.
    pub exp: u64,
    /// Who acts now, and by whose delegation (RFC 8693).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub act: Option<Value>,
    /// What never changes along the chain.
    pub tctx: Context,
}

/// What never changes along the chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Context {
    /// The intent.
    pub intent_id: String,
    /// From 1.
    pub intent_version: u32,
    /// `sha256:...` of the canonical text.
    pub intent_digest: String,
    /// The rule of the canonical text.
    pub canon: String,
    /// Limits.
    #[serde(skip_serializing_if = "Value::is_null", default)]
    pub constraints: Value,
    /// Who answers for it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub accountable: Option<Accountable>,
    /// The chain of the version before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub prev_txn: Option<String>,
}

/// Who answers for an intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accountable {
    /// The human or service.
    pub principal: String,
    /// Who approved the amendment.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub approver: Option<String>,
    /// How the person was authenticated.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub authn: Option<String>,
}

/// What a good token says, whoever issued it. Not yet compared with what is registered.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// `iss`.
    pub issuer: String,
    /// Whether we issued it.
    pub is_ours: bool,
    /// The accountable human or service.
    pub principal: String,
    /// The chain.
    pub chain: Option<String>,
    /// The registered intent.
    pub intent_id: Option<String>,
    /// Its version.
    pub version: Option<u32>,
    /// Digest of the canonical text.
    pub digest: Option<String>,
    /// The text, from issuers that put it into the token.
    pub text: Option<String>,
    /// Limits.
    pub constraints: Constraints,
    /// Who acts now, and the delegators, the nearest first; one more than allowed where the chain is too deep.
    pub actors: Vec<String>,
    /// Milliseconds since 1970.
    pub expires_ms: u64,
}

fn audience<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let value = Value::deserialize(deserializer)?;
    one_audience(&value).map(str::to_owned).ok_or_else(|| serde::de::Error::custom("not one string"))
}

/// The audience, if it is one.
pub(super) fn one_audience(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        Value::Array(items) => match items.as_slice() {
            [Value::String(text)] => Some(text),
            _ => None,
        },
        _ => None,
    }
}

impl Claims {
    /// Reads our claims.
    pub(super) fn read(claims: &Map<String, Value>) -> Result<Self, Fault> {
        let claims: Self = serde_json::from_value(Value::Object(claims.clone()))
            .map_err(|e| Fault::malformed(format!("claims: {e}")))?;
        let context = &claims.tctx;
        let problem = match () {
            () if context.canon != canon::RULE => "tctx.canon: not a known rule",
            () if !canon::is_digest(&context.intent_digest) => "tctx.intent_digest: not a digest",
            () if context.intent_version == 0 => "tctx.intent_version: not from 1",
            () if claims.sub.is_empty() || claims.txn.is_empty() => "sub, txn: must not be empty",
            () => return Ok(claims),
        };
        Err(Fault::malformed(problem))
    }

    pub(super) fn verified(self) -> Result<Verified, Fault> {
        let constraints = Constraints::from_value(&self.tctx.constraints)
            .map_err(|e| Fault::malformed(format!("tctx.constraints: {e}")))?;
        Ok(Verified {
            actors: actors(self.act.as_ref())?,
            expires_ms: self.exp.saturating_mul(1000),
            issuer: self.iss,
            is_ours: true,
            principal: self.sub,
            chain: Some(self.txn),
            intent_id: Some(self.tctx.intent_id),
            version: Some(self.tctx.intent_version),
            digest: Some(self.tctx.intent_digest),
            text: None,
            constraints,
        })
    }
}

/// The names in an `act` claim, outermost first; stops one behind [`MAX_ACTORS`].
pub(super) fn actors(act: Option<&Value>) -> Result<Vec<String>, Fault> {
    let mut names = Vec::new();
    let mut next = act;
    while let Some(level) = next.filter(|v| !v.is_null()) {
        let name = level.get("sub").and_then(Value::as_str).filter(|name| !name.is_empty());
        names.push(name.ok_or_else(|| Fault::malformed("act: a level without sub"))?.to_owned());
        next = level.get("act").filter(|_| names.len() <= MAX_ACTORS);
    }
    Ok(names)
}

/// The `act` claim of these names, outermost first.
pub fn act(actors: &[String]) -> Option<Value> {
    actors.iter().rev().fold(None, |inner, name| {
        let mut level = Map::from_iter([("sub".to_owned(), Value::from(name.as_str()))]);
        level.extend(inner.map(|inner| ("act".to_owned(), inner)));
        Some(Value::Object(level))
    })
}

/// Refuses a delegation that is too deep or comes back to an agent.
///
/// # Errors
/// `intent_delegation_loop`.
pub fn check_delegation(actors: &[String]) -> Result<(), Fault> {
    if actors.len() > MAX_ACTORS {
        return Err(Fault::new(reason::INTENT_DELEGATION_LOOP, "delegated more than 16 times"));
    }
    let unique: std::collections::BTreeSet<_> = actors.iter().collect();
    if unique.len() != actors.len() {
        return Err(Fault::new(reason::INTENT_DELEGATION_LOOP, "delegated back to an agent of the chain"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_outermost_actor_comes_first() {
        let value = json!({"sub": "c", "act": {"sub": "b", "act": {"sub": "a"}}});
        let names = actors(Some(&value)).unwrap();
        assert_eq!(names, ["c", "b", "a"]);
        assert_eq!(act(&names), Some(value));
        assert_eq!(act(&[]), None);
    }

    #[test]
    fn a_delegation_is_bounded_and_has_no_loop() {
        let names = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
        assert!(check_delegation(&names(MAX_ACTORS)).is_ok());
        let deep = actors(act(&names(40)).as_ref()).unwrap();
        assert_eq!(check_delegation(&deep).unwrap_err().reason, reason::INTENT_DELEGATION_LOOP);
        let back = ["a".to_owned(), "b".to_owned(), "a".to_owned()];
        assert_eq!(check_delegation(&back).unwrap_err().reason, reason::INTENT_DELEGATION_LOOP);
    }

    #[test]
    fn an_actor_without_a_name_is_malformed() {
        for bad in [json!({}), json!("a"), json!({"sub": ""}), json!({"sub": "a", "act": {"sub": 7}})] {
            assert_eq!(actors(Some(&bad)).unwrap_err().reason, reason::INTENT_MALFORMED, "{bad}");
        }
    }
}
