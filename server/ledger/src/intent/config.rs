//! What a deployment says of its intents.

use std::path::PathBuf;

use rhumb_drift::{Effect, InputError};
use serde::{Deserialize, Serialize};

use super::issuer::IssuerConfig;

/// Prefix of our members of MCP `_meta` and A2A metadata: reverse DNS, as their specifications ask.
pub const META_PREFIX: &str = "dev.rhumb/";

/// How far an intent can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Provenance {
    /// There is none.
    #[default]
    None,
    /// Somebody says so.
    Unverified,
    /// A binding made by an authenticated caller.
    ServerBound,
    /// A signature.
    Signed,
}

impl Provenance {
    /// As in records and answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Unverified => "UNVERIFIED",
            Self::ServerBound => "SERVER_BOUND",
            Self::Signed => "SIGNED",
        }
    }
}

/// The least trust that an action needs, by effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MinProvenance {
    /// For actions that only read.
    pub read: Provenance,
    /// For actions that write, and for those that nobody knows.
    pub write: Provenance,
}

impl MinProvenance {
    /// Whether an intent of this provenance may carry an action of this effect; `provenance_too_low` where not.
    pub fn is_met(self, effect: Effect, provenance: Provenance) -> bool {
        provenance >= if effect == Effect::Read { self.read } else { self.write }
    }
}

/// Intents: who signs, who may, for how long. Times in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IntentConfig {
    /// Who signs: `iss` of our tokens.
    pub issuer: String,
    /// Where they are good: `aud` of our tokens.
    pub trust_domain: String,
    /// Life of a token; a token that is meant to live longer is refused. Up to one day.
    pub token_ttl_s: u64,
    /// Life of an intent whose registration does not say.
    pub intent_life_s: u64,
    /// The longest life of an intent. A ledger must keep its records for this and two days more.
    pub max_intent_life_s: u64,
    /// Life of a binding. It never outlives its intent.
    pub binding_ttl_s: u64,
    /// The same action of the same chain, for the same intent, that comes again within this time is flagged; 0: none is.
    pub replay_window_s: u64,
    /// Folder of the signing keys; without it, the ledger's.
    pub keys: Option<PathBuf>,
    /// Other issuers whose tokens carry an intent.
    pub issuers: Vec<IssuerConfig>,
    /// The least trust that an action needs.
    pub min_provenance: MinProvenance,
}

const DAY_S: u64 = 24 * 3600;

impl Default for IntentConfig {
    fn default() -> Self {
        Self {
            issuer: "rhumb".to_owned(),
            trust_domain: "rhumb.local".to_owned(),
            token_ttl_s: 900,
            intent_life_s: DAY_S,
            max_intent_life_s: 30 * DAY_S,
            binding_ttl_s: DAY_S,
            replay_window_s: 0,
            keys: None,
            issuers: Vec::new(),
            min_provenance: MinProvenance::default(),
        }
    }
}

impl IntentConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// Names the field, below the section: `token_ttl_s`, `issuers[0].alg`.
    pub fn check(&self) -> Result<(), InputError> {
        check_name("issuer", &self.issuer)?;
        check_name("trust_domain", &self.trust_domain)?;
        between("token_ttl_s", self.token_ttl_s, DAY_S)?;
        between("max_intent_life_s", self.max_intent_life_s, 3650 * DAY_S)?;
        between("intent_life_s", self.intent_life_s, self.max_intent_life_s)?;
        between("binding_ttl_s", self.binding_ttl_s, self.max_intent_life_s)?;
        if self.replay_window_s > DAY_S {
            let problem = format!("{} is more than {DAY_S}", self.replay_window_s);
            return Err(InputError::new("replay_window_s", problem));
        }
        let mut names = vec![&self.issuer];
        for (i, issuer) in self.issuers.iter().enumerate() {
            let at = |e: InputError| InputError::new(format!("issuers[{i}].{}", e.field), e.problem);
            issuer.check().map_err(at)?;
            if names.contains(&&issuer.iss) {
                return Err(at(InputError::new("iss", "stands twice")));
            }
            names.push(&issuer.iss);
        }
        Ok(())
    }
}

/// A name goes into tokens of 6 KiB.
pub(super) fn check_name(field: &str, name: &str) -> Result<(), InputError> {
    if name.is_empty() || name.len() > 256 || name.chars().any(char::is_control) {
        return Err(InputError::new(field, "not 1 to 256 bytes without control characters"));
    }
    Ok(())
}

pub(super) fn between(field: &str, value: u64, most: u64) -> Result<(), InputError> {
    if (1..=most).contains(&value) {
        return Ok(());
    }
    Err(InputError::new(field, format!("{value} is not between 1 and {most}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_good() {
        assert_eq!(IntentConfig::default().check(), Ok(()));
    }

    #[test]
    fn a_bad_value_is_named() {
        type Change = fn(&mut IntentConfig);
        let changes: [(&str, Change); 6] = [
            ("issuer", |c| c.issuer.clear()),
            ("trust_domain", |c| c.trust_domain = "a\n".to_owned()),
            ("token_ttl_s", |c| c.token_ttl_s = 0),
            ("intent_life_s", |c| c.intent_life_s = c.max_intent_life_s + 1),
            ("binding_ttl_s", |c| c.binding_ttl_s = 0),
            ("replay_window_s", |c| c.replay_window_s = DAY_S + 1),
        ];
        for (field, change) in changes {
            let mut config = IntentConfig::default();
            change(&mut config);
            assert_eq!(config.check().unwrap_err().field, field);
        }
        assert!(serde_json::from_str::<IntentConfig>(r#"{"token_ttl": 5}"#).is_err());
    }

    #[test]
    fn trust_is_ordered() {
        use Provenance::{None, ServerBound, Signed, Unverified};
        assert!(Signed > ServerBound && ServerBound > Unverified && Unverified > None);
        let demand = MinProvenance { read: None, write: ServerBound };
        assert!(demand.is_met(Effect::Read, None) && demand.is_met(Effect::Write, Signed));
        assert!(!demand.is_met(Effect::Write, Unverified) && !demand.is_met(Effect::Unknown, Unverified));
    }
}
