//! Which records.

use rhumb_drift::Verdict;

use super::kind::RecordKind;
use crate::record::{Decision, Event, Record};

/// Everything that is set must hold. What names a field of decisions leaves decisions alone, unless kinds are asked for:
/// then records of these kinds are left whose own fields say the same.
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
    /// On this intent.
    pub intent: Option<String>,
    /// On the account of this human or service.
    pub principal: Option<String>,
    /// With one of these verdicts; with any if empty.
    pub verdicts: Vec<Verdict>,
    /// Decisions alone.
    pub decisions_only: bool,
    /// Of one of these kinds; of any if empty.
    pub kinds: Vec<RecordKind>,
}

impl Filter {
    /// Whether a record is asked for.
    pub fn passes(&self, record: &Record) -> bool {
        let late = self.from_ms.is_none_or(|from| record.time_ms >= from);
        let early = self.to_ms.is_none_or(|to| record.time_ms < to);
        let kind = RecordKind::of(&record.event);
        let asked = self.kinds.is_empty() || self.kinds.iter().any(|wanted| wanted.holds(kind));
        late && early
            && asked
            && match &record.event {
                Event::Decision(decision) => self.wants(decision),
                _ if self.kinds.is_empty() => !self.about_decisions(),
                event => self.wants_other(event),
            }
    }

    fn about_decisions(&self) -> bool {
        let named = [&self.tenant, &self.chain, &self.decision, &self.request, &self.intent, &self.principal];
        self.decisions_only || !self.verdicts.is_empty() || named.into_iter().any(Option::is_some)
    }

    fn wants(&self, decision: &Decision) -> bool {
        is(&self.tenant, &decision.tenant)
            && is(&self.chain, decision.chain.as_ref().map_or("", |chain| &chain.id))
            && is(&self.decision, &decision.id)
            && is(&self.request, &decision.request_id)
            && is(&self.intent, decision.intent.as_ref().map_or("", |intent| &intent.id))
            && is(&self.principal, &decision.principal)
            && (self.verdicts.is_empty() || self.verdicts.contains(&decision.verdict))
    }

    fn wants_other(&self, event: &Event) -> bool {
        let names = Names::of(event);
        let of_decisions = self.decisions_only || self.decision.is_some() || !self.verdicts.is_empty();
        !of_decisions
            && is(&self.tenant, names.tenant)
            && is(&self.chain, names.chain)
            && is(&self.request, names.request)
            && is(&self.principal, names.principal)
            && (is(&self.intent, names.intent) || is(&self.intent, names.holder))
    }
}

fn is(wanted: &Option<String>, value: &str) -> bool {
    wanted.as_ref().is_none_or(|wanted| wanted == value)
}

/// What a record that is no decision can be asked for by; empty where it has no such name.
#[derive(Default)]
struct Names<'a> {
    tenant: &'a str,
    intent: &'a str,
    /// The intent that a key belongs to which another one was to get.
    holder: &'a str,
    principal: &'a str,
    chain: &'a str,
    request: &'a str,
}

impl<'a> Names<'a> {
    fn of(event: &'a Event) -> Self {
        let none = Self::default();
        match event {
            Event::Intent(i) => Self {
                tenant: &i.tenant,
                intent: &i.id,
                principal: &i.principal,
                chain: &i.chain,
                request: &i.request_id,
                ..none
            },
            Event::Revoked(r) => Self { intent: &r.intent, ..none },
            Event::Bound(b) => Self { tenant: &b.tenant, intent: &b.intent, ..none },
            Event::BindingRefused(b) => {
                Self { tenant: &b.tenant, intent: &b.intent, holder: &b.holder, ..none }
            }
            Event::TokenIssued(t) => Self { intent: &t.intent, ..none },
            Event::ToolPinned(t) | Event::ToolChanged(t) => Self { tenant: &t.tenant, ..none },
            _ => none,
        }
    }
}
