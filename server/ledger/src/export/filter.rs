//! Which records.

use rhumb_drift::Verdict;

use crate::record::{Decision, Event, Record};

/// Everything that is set must hold; what names a decision's field leaves decisions alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// From this time on, in milliseconds since 1970.
    pub from_ms: Option<u64>,
    /// Before this time, in milliseconds since 1970.
    pub to_ms: Option<u64>,
    /// Of this tenant.
    pub tenant: Option<String>,
    /// Of this chain.
    pub chain: Option<String>,
    /// With this decision id.
    pub decision: Option<String>,
    /// On this request.
    pub request: Option<String>,
    /// With one of these verdicts; with any if empty.
    pub verdicts: Vec<Verdict>,
    /// Decisions alone.
    pub decisions_only: bool,
}

impl Filter {
    /// Whether a record is asked for.
    pub fn passes(&self, record: &Record) -> bool {
        let late = self.from_ms.is_none_or(|from| record.time_ms >= from);
        let early = self.to_ms.is_none_or(|to| record.time_ms < to);
        late && early
            && match &record.event {
                Event::Decision(decision) => self.wants(decision),
                _ => !self.about_decisions(),
            }
    }

    fn about_decisions(&self) -> bool {
        let named = [&self.tenant, &self.chain, &self.decision, &self.request];
        self.decisions_only || !self.verdicts.is_empty() || named.into_iter().any(Option::is_some)
    }

    fn wants(&self, decision: &Decision) -> bool {
        let is = |wanted: &Option<String>, value: &str| wanted.as_ref().is_none_or(|wanted| wanted == value);
        is(&self.tenant, &decision.tenant)
            && is(&self.chain, decision.chain.as_ref().map_or("", |chain| &chain.id))
            && is(&self.decision, &decision.id)
            && is(&self.request, &decision.request_id)
            && (self.verdicts.is_empty() || self.verdicts.contains(&decision.verdict))
    }
}
