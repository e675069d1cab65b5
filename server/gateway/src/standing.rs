//! Whose actions count in a chain.
//!
//! Anybody may name a chain. An action that was refused for its intent is recorded there, so that the attempt can be seen,
//! but says nothing of where the chain went; nor does one on somebody's mere word, once the server itself has verified who
//! is behind the chain. Otherwise a stranger could push a chain over its threshold, or be taken for the one in charge.

use rhumb_ledger::intent::config::Provenance;
use rhumb_ledger::record::Decision;
use rhumb_proto::v1;

use crate::draft::known_provenance;

/// Of one chain.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Standing {
    /// An action of it had an intent that the server verified.
    verified: bool,
}

impl Standing {
    /// Whether the next action counts. `is_apart`: it was refused for its intent.
    pub fn admits(&mut self, trust: Provenance, is_apart: bool) -> bool {
        if is_apart {
            return false;
        }
        let is_verified = trust >= Provenance::ServerBound;
        self.verified |= is_verified;
        is_verified || !self.verified
    }

    /// The same of a recorded one; they must come in the order in which they were recorded.
    pub fn counts(&mut self, decision: &Decision) -> bool {
        let is_apart = decision.response.pointer("/chain/apart").and_then(|v| v.as_bool()).unwrap_or(false);
        self.admits(trust(decision), is_apart)
    }
}

/// How far the intent of a recorded decision was trusted.
pub(crate) fn trust(decision: &Decision) -> Provenance {
    known_provenance(v1::Provenance::from_str_name(&decision.provenance).unwrap_or_default())
}

/// Whether an action was let through, as it was recorded: what became of it, which in shadow mode is not what it was told.
pub(crate) fn passed(decision: &Decision) -> bool {
    use rhumb_drift::Verdict::{Allow, Warn};
    let outcome = decision.response.get("outcome").and_then(|v| v.as_str());
    match outcome.and_then(v1::Outcome::from_str_name) {
        Some(v1::Outcome::Pass) => true,
        Some(v1::Outcome::Stop) => false,
        _ => matches!(decision.verdict, Allow | Warn),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mere_words_count_until_somebody_is_verified_and_refusals_never() {
        let mut chain = Standing::default();
        assert!(chain.admits(Provenance::Unverified, false));
        assert!(!chain.admits(Provenance::Signed, true), "refused");
        assert!(chain.admits(Provenance::Unverified, false));
        assert!(chain.admits(Provenance::ServerBound, false));
        assert!(!chain.admits(Provenance::Unverified, false));
        assert!(chain.admits(Provenance::Signed, false));
    }
}
