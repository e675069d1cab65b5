//! What the operator says about actions: one file for every contract.
//!
//! A ruling is made in layers, and a later one wins: the server's configuration, what its surface demands, `[defaults]` of
//! the file, then every rule that matches, in the order of the file. What an enforcement point says of a single call (its
//! mode, a higher demand) comes last.

pub mod explain;
pub mod file;
pub mod handle;
pub mod rule;
pub mod ruling;
pub mod settings;

use std::path::Path;

use rhumb_drift::{Effect, Policy as Verdicts};
use rhumb_ledger::intent::canon;
use rhumb_ledger::intent::config::MinProvenance;

pub use handle::PolicyHandle;
pub use rule::Subject;
pub use ruling::{ByEffect, Missing, Mode, Outcome, Ruling};

use crate::message;

use file::Checked;

/// Characters of a digest that tell one policy from another.
const DIGEST_CHARS: usize = 12;

/// A policy that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct PolicyError {
    /// The file.
    pub path: String,
    /// Line, key and what is wrong.
    pub problem: String,
}

/// What the configuration says where there is no policy file, or it says nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Base {
    /// `[policy]`
    pub verdicts: Verdicts,
    /// `intents.min_provenance`
    pub min_provenance: MinProvenance,
}

/// What the operator says about actions.
#[derive(Debug, Clone)]
pub struct Policies {
    id: String,
    base: Base,
    checked: Checked,
}

impl Policies {
    /// Without a file.
    pub fn of(base: Base) -> Self {
        let written = serde_json::to_vec(&(&base.verdicts, base.min_provenance)).unwrap_or_default();
        Self { id: id("config", &written), base, checked: Checked::default() }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Names the file, line and key.
    pub fn load(path: &Path, base: Base) -> Result<Self, PolicyError> {
        let fail = |problem| PolicyError { path: path.display().to_string(), problem };
        let text = std::fs::read_to_string(path).map_err(|e| fail(e.to_string()))?;
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Self::parse(&name, &text, path.parent().unwrap_or(Path::new("")), base).map_err(fail)
    }

    /// Reads the text of a file with this name; other files that it names are taken from `folder`.
    ///
    /// # Errors
    /// Says line and key.
    pub fn parse(name: &str, text: &str, folder: &Path, base: Base) -> Result<Self, String> {
        let checked = file::parse(text, folder)?;
        let written = serde_json::to_vec(&(&base.verdicts, base.min_provenance)).unwrap_or_default();
        Ok(Self { id: id(name, &[text.as_bytes(), &written].concat()), base, checked })
    }

    /// The file's name and the first digits of the digest of all that a ruling depends on.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Rules of the file.
    pub fn rules(&self) -> usize {
        self.checked.rules.len()
    }

    /// What is in order, but hardly meant.
    pub fn warnings(&self) -> &[String] {
        &self.checked.warnings
    }

    /// What the file says that a tool does; `None` where it says nothing.
    pub fn effect(&self, tenant: &str, server: &str, tool: &str) -> Option<Effect> {
        self.checked.effects.iter().find(|rule| rule.matches(tenant, server, tool)).map(|rule| rule.effect)
    }

    /// What a tool may say of itself, by digests; `None` where the file says nothing.
    pub fn pinned(&self, tenant: &str, server: &str, tool: &str) -> Option<&[String]> {
        let rule = self.checked.pins.iter().find(|rule| rule.matches(tenant, server, tool));
        rule.map(|rule| rule.digests.as_slice())
    }

    /// Whether a server's own word that a tool only reads is taken for it.
    pub fn trusts_hints(&self) -> bool {
        self.checked.trust_hints
    }

    /// HTTP status of a refusal, where the contract leaves it to us.
    pub fn deny_http_status(&self) -> u16 {
        self.checked.deny_http_status.unwrap_or(403)
    }

    /// How requests are read.
    pub fn reading(&self) -> &message::Checked {
        &self.checked.reading
    }

    /// What the policy says about an action.
    pub fn ruling(&self, subject: &Subject<'_>) -> Ruling {
        let mut ruling = Ruling::base(&self.base.verdicts, self.base.min_provenance, subject.surface);
        self.checked.defaults.value.apply(&mut ruling);
        for rule in self.checked.rules.iter().map(|placed| &placed.value) {
            if rule.subject.misses(subject).is_none() {
                rule.set.apply(&mut ruling);
                ruling.rules.push(rule.name.clone());
            }
        }
        ruling
    }
}

fn id(name: &str, written: &[u8]) -> String {
    let digest = canon::digest(written);
    let hex = digest.strip_prefix("sha256:").unwrap_or(&digest);
    format!("{name}@{}", hex.get(..DIGEST_CHARS).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::surface::Surface;
    use rhumb_drift::Verdict;
    use rhumb_ledger::intent::config::Provenance;

    const FILE: &str = r#"
[defaults]
mode = "shadow"
min_provenance = "SERVER_BOUND"

[[effects]]
servers = ["bank*"]
tools = ["get_*"]
effect = "READ"

[[rules]]
name = "bank"
match = { servers = ["bank*"] }
set = { mode = "enforce", threshold = 0.4 }

[[rules]]
name = "transfers"
match = { tools = ["send_*", "schedule_?ransaction"], effects = ["WRITE"], tenants = ["team-*"] }
set = { threshold = 0.3, write = "DENY", min_provenance = { write = "SIGNED" }, on_missing = "closed" }
"#;

    fn subject<'a>(server: &'a str, tool: &'a str, effect: Effect) -> Subject<'a> {
        let (surface, provenance) = (Surface::Envoy, Provenance::Signed);
        Subject { surface, tenant: "team-7", policy: "", server, tool, effect, provenance }
    }

    fn policies(text: &str) -> Result<Policies, String> {
        Policies::parse("site", text, Path::new(""), Base::default())
    }

    #[test]
    fn later_rules_win_and_what_they_leave_out_stays() {
        let policies = policies(FILE).unwrap();
        let ruling = policies.ruling(&subject("bank-eu", "send_money", Effect::Write));
        assert_eq!(ruling.rules, ["bank", "transfers"]);
        assert_eq!((ruling.mode, ruling.threshold), (Mode::Enforce, Some(0.3)));
        assert_eq!(ruling.verdicts.write, Verdict::Deny);
        assert_eq!(ruling.min_provenance.write, Provenance::Signed);
        assert_eq!(ruling.min_provenance.read, Provenance::ServerBound, "that of the defaults");
        assert_eq!(ruling.missing(Effect::Write, Provenance::Signed), Some(Outcome::Stop));
        let other = policies.ruling(&subject("mail", "send_money", Effect::Read));
        assert_eq!((other.rules.len(), other.mode), (0, Mode::Shadow));
    }

    #[test]
    fn patterns_and_lists_decide_what_a_rule_is_about() {
        let policies = policies(FILE).unwrap();
        let rules = |s: Subject<'_>| policies.ruling(&s).rules.join(",");
        assert_eq!(rules(subject("bank", "schedule_transaction", Effect::Write)), "bank,transfers");
        assert_eq!(rules(subject("bank", "schedule_xxransaction", Effect::Write)), "bank");
        assert_eq!(rules(subject("bank", "send_money", Effect::Unknown)), "bank");
        assert_eq!(rules(Subject { tenant: "ops", ..subject("x", "send_money", Effect::Write) }), "");
        assert_eq!(policies.effect("t", "bank-eu", "get_balance"), Some(Effect::Read));
        assert_eq!(policies.effect("t", "mail", "get_balance"), None);
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_line() {
        let error = |text: &str| policies(text).unwrap_err();
        let unknown = error("[defaults]\nmod = \"shadow\"\n");
        assert!(unknown.contains("line 2") && unknown.contains("mod"), "{unknown}");
        let wrong = error("[defaults]\n\n[[rules]]\nname = \"a\"\nset = { threshold = 1.5 }\n");
        assert_eq!(wrong, "line 3: rule \"a\": set.threshold: needs a number from 0 to 1");
        let twice = error("[[rules]]\nname = \"a\"\nset = {}\n[[rules]]\nname = \"a\"\nset = {}\n");
        assert!(twice.starts_with("line 4: rules.name") && twice.contains("line 1 too"), "{twice}");
        let empty = error("[[rules]]\nname = \"a\"\nmatch = { tools = [] }\nset = {}\n");
        assert!(empty.contains("line 3") && empty.contains("empty list"), "{empty}");
        let allowed = error("[defaults]\nunparsable = \"ALLOW\"\n");
        assert!(allowed.starts_with("line 1: defaults.unparsable"), "{allowed}");
        assert!(error("[defaults]\nmode = \"observe\"").contains("line 2"));
        assert!(error("[defaults]\non_abstain = { reed = \"pass\" }").contains("reed"));
    }

    #[test]
    fn a_rule_that_sets_nothing_is_told_and_taken() {
        let policies = policies("[[rules]]\nname = \"a\"\nset = {}\n").unwrap();
        assert_eq!(policies.warnings(), ["line 1: rule \"a\" sets nothing"]);
    }

    #[test]
    fn the_id_changes_with_all_that_a_ruling_depends_on() {
        let base = Base::default();
        let stricter =
            Base { verdicts: Verdicts { read: Verdict::Deny, ..Verdicts::default() }, ..base.clone() };
        let ids = [
            Policies::of(base.clone()).id,
            Policies::of(stricter.clone()).id,
            Policies::parse("site", FILE, Path::new(""), base.clone()).unwrap().id,
            Policies::parse("site", FILE, Path::new(""), stricter).unwrap().id,
            Policies::parse("site", &format!("{FILE}\n"), Path::new(""), base).unwrap().id,
        ];
        let unique: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len(), "{ids:?}");
        assert!(ids[2].starts_with("site@") && ids[0].starts_with("config@"));
    }
}
