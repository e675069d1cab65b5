//! A rule of the policy file: which actions it is about, and what it changes.

use rhumb_drift::Effect;
use rhumb_ledger::intent::config::Provenance;
use serde::{Deserialize, Deserializer};
use wildmatch::WildMatch;

use super::settings::Settings;
use crate::surface::Surface;

/// What rules are asked about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Which contract it came by.
    pub surface: Surface,
    /// On whose account.
    pub tenant: &'a str,
    /// The policy that the enforcement point asks for; empty where it asks for none.
    pub policy: &'a str,
    /// The server that offers the tool.
    pub server: &'a str,
    /// The tool.
    pub tool: &'a str,
    /// Of the action.
    pub effect: Effect,
    /// Of its intent.
    pub provenance: Provenance,
}

/// Patterns, of which one must match: `*` for any characters, `?` for one.
#[derive(Debug, Clone)]
pub struct Patterns(Vec<WildMatch>);

impl Patterns {
    /// Whether one of them is that text.
    pub fn matches(&self, text: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(text))
    }
}

impl<'de> Deserialize<'de> for Patterns {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let patterns = Vec::<String>::deserialize(from)?;
        if patterns.is_empty() {
            return Err(serde::de::Error::custom(
                "an empty list matches nothing; leave the key out to match all",
            ));
        }
        Ok(Self(patterns.iter().map(|pattern| WildMatch::new(pattern)).collect()))
    }
}

/// Which actions a rule is about: all keys that are there must match.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Match {
    /// Tenants.
    pub tenants: Option<Patterns>,
    /// Policies that the enforcement point asks for.
    pub policies: Option<Patterns>,
    /// Contracts.
    pub surfaces: Option<Vec<Surface>>,
    /// Servers.
    pub servers: Option<Patterns>,
    /// Tools.
    pub tools: Option<Patterns>,
    /// Effects.
    pub effects: Option<Vec<Effect>>,
    /// Provenance of the intent.
    pub provenance: Option<Vec<Provenance>>,
}

impl Match {
    /// The first key that does not match; `None` where the rule is about this action.
    pub fn misses(&self, subject: &Subject<'_>) -> Option<&'static str> {
        let text =
            |patterns: &Option<Patterns>, text: &str| patterns.as_ref().is_none_or(|p| p.matches(text));
        let keys = [
            ("tenants", text(&self.tenants, subject.tenant)),
            ("policies", text(&self.policies, subject.policy)),
            ("surfaces", self.surfaces.as_ref().is_none_or(|all| all.contains(&subject.surface))),
            ("servers", text(&self.servers, subject.server)),
            ("tools", text(&self.tools, subject.tool)),
            ("effects", self.effects.as_ref().is_none_or(|all| all.contains(&subject.effect))),
            ("provenance", self.provenance.as_ref().is_none_or(|all| all.contains(&subject.provenance))),
        ];
        keys.iter().find(|(_, matches)| !matches).map(|(key, _)| *key)
    }
}

/// A rule.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// In answers, records and explanations.
    pub name: String,
    /// Which actions it is about; all, where it is left out.
    #[serde(default, rename = "match")]
    pub subject: Match,
    /// What it changes.
    pub set: Settings,
}

/// What a tool may say of itself, in place of what was seen first.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinRule {
    /// Tenants.
    pub tenants: Option<Patterns>,
    /// The server that offers it.
    pub server: String,
    /// The tool.
    pub tool: String,
    /// `sha256:...` of description and schema, as the log and the ledger name them.
    pub digests: Vec<String>,
}

impl PinRule {
    /// Whether its digests are some.
    pub fn is_good(&self) -> bool {
        let is_hex = |hex: &str| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit());
        let is_digest = |digest: &String| digest.strip_prefix("sha256:").is_some_and(is_hex);
        !self.digests.is_empty() && self.digests.iter().all(is_digest)
    }

    /// Whether it is about this tool.
    pub fn matches(&self, tenant: &str, server: &str, tool: &str) -> bool {
        let tenants = self.tenants.as_ref().is_none_or(|patterns| patterns.matches(tenant));
        tenants && self.server == server && self.tool == tool
    }
}

/// The effect of tools, whatever their server or the caller says.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EffectRule {
    /// Tenants.
    pub tenants: Option<Patterns>,
    /// Servers.
    pub servers: Option<Patterns>,
    /// Tools.
    pub tools: Option<Patterns>,
    /// What they do.
    pub effect: Effect,
}

impl EffectRule {
    /// Whether it is about this tool.
    pub fn matches(&self, tenant: &str, server: &str, tool: &str) -> bool {
        let text =
            |patterns: &Option<Patterns>, text: &str| patterns.as_ref().is_none_or(|p| p.matches(text));
        text(&self.tenants, tenant) && text(&self.servers, server) && text(&self.tools, tool)
    }
}
