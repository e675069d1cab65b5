//! From what a request carries to the intent that it serves.
//!
//! Sources are looked at from the most to the least trustworthy. The first that yields a valid intent is the anchor; the
//! others are read on to find a contradiction. A token of a configured issuer that fails a check ends the search, and so does
//! a binding or id that leads to an intent which was ended: otherwise breaking a reference would lead to a weaker one, which
//! an agent may be able to choose.

use super::candidate::{Candidate, finish, of_token};
use super::carriers::{Anchor, CarriedKey, Carriers, Found, NoAnchor, Open, TokenPlace};
use super::check::Checked;
use super::config::Provenance;
use super::constraints::Constraints;
use super::reason;
use super::registry::{Registry, alive, own_head};
use super::settle::{not_superseded, number_at, settle};
use super::state::{self, Binding, Head};
use super::token::{Fault, Verified};
use crate::error::LedgerError;
use crate::record::{BindingKind, IntentRef};
use crate::tables::Read;

type Step<T> = Result<Result<T, Fault>, LedgerError>;

impl Registry {
    /// What the request is to be compared with, as things were at `at_ms` (milliseconds since 1970): now for a request that
    /// is being made, the time of the action for one of the past.
    ///
    /// # Errors
    /// If the store fails. Everything that is wrong with the request is a [`NoAnchor`].
    pub fn lookup(
        &self,
        tables: &dyn Read,
        carriers: &Carriers,
        at_ms: u64,
        open: Open<'_>,
    ) -> Result<Found, LedgerError> {
        let mut search = Search { registry: self, tables, carriers, at_ms, found: Vec::new(), skipped: 0 };
        let anchor = match search.all()? {
            Ok(()) => finish(search.found, carriers, open),
            Err(fault) => Err(fault),
        };
        Ok(Found { anchor: anchor.map_err(NoAnchor::from), skipped_tokens: search.skipped })
    }
}

struct Search<'a> {
    registry: &'a Registry,
    tables: &'a dyn Read,
    carriers: &'a Carriers,
    at_ms: u64,
    found: Vec<Candidate>,
    skipped: u32,
}

impl<'a> Search<'a> {
    fn all(&mut self) -> Step<()> {
        for step in [Self::tokens, Self::claims, Self::proven, Self::hints] {
            if let Err(fault) = step(self)? {
                return Ok(Err(fault));
            }
        }
        Ok(Ok(()))
    }

    /// Row 1. Every invalid token ends the search, also one beside a valid one.
    fn tokens(&mut self) -> Step<()> {
        let tokens = match self.carriers.tokens() {
            Ok(tokens) => tokens,
            Err(fault) => return Ok(Err(fault)),
        };
        for (place, token) in tokens {
            match self.registry.issuers.check(token, &self.carriers.tenant, self.at_ms) {
                Ok(Checked::Good(verified)) => {
                    if let Err(fault) = self.signed(*verified, "token")? {
                        return Ok(Err(fault));
                    }
                }
                Ok(Checked::NotOurs) if place == TokenPlace::TxnToken => self.skipped += 1,
                Ok(Checked::NotOurs) => {
                    return Ok(Err(Fault::new(reason::INTENT_ISSUER, "of an issuer that is not configured")));
                }
                Err(fault) => return Ok(Err(fault)),
            }
        }
        Ok(Ok(()))
    }

    /// Row 2.
    fn claims(&mut self) -> Step<()> {
        for claims in &self.carriers.verified_claims {
            match self.registry.issuers.check_claims(claims, &self.carriers.tenant, self.at_ms) {
                Ok(Checked::Good(verified)) => {
                    if let Err(fault) = self.signed(*verified, "verified_claims")? {
                        return Ok(Err(fault));
                    }
                }
                Ok(Checked::NotOurs) => self.skipped += 1,
                Err(fault) => return Ok(Err(fault)),
            }
        }
        Ok(Ok(()))
    }

    /// Rows 3 to 5.
    fn proven(&mut self) -> Step<()> {
        for kind in [BindingKind::OpenshellSandbox, BindingKind::McpSession] {
            for carried in self.keys(|c| c.key.kind == kind && is_strong(c)) {
                if let Err(fault) = self.bound(carried)? {
                    return Ok(Err(fault));
                }
            }
        }
        match self.carriers.caller {
            Some(_) => self.id(&self.carriers.intent_id, Provenance::ServerBound, "intent_id"),
            None => Ok(Ok(())),
        }
    }

    /// Row 6.
    fn hints(&mut self) -> Step<()> {
        for carried in self.keys(|c| !is_strong(c)) {
            if let Err(fault) = self.bound(carried)?.and(self.chain(carried)?) {
                return Ok(Err(fault));
            }
        }
        let hint = self.id(&self.carriers.hint_id, Provenance::Unverified, "baggage")?;
        let id = match self.carriers.caller {
            Some(_) => Ok(()),
            None => self.id(&self.carriers.intent_id, Provenance::Unverified, "intent_id")?,
        };
        Ok(hint.and(id))
    }

    fn keys(&self, wanted: impl Fn(&CarriedKey) -> bool) -> Vec<&'a CarriedKey> {
        self.carriers.keys.iter().filter(|c| wanted(c)).collect()
    }

    fn signed(&mut self, token: Verified, source: &'static str) -> Step<()> {
        let known = match settle(self.tables, &self.carriers.tenant, &token, self.at_ms)? {
            Ok(known) => known,
            Err(fault) => return Ok(Err(fault)),
        };
        Ok(of_token(token, known, source).map(|candidate| self.found.push(candidate)))
    }

    /// What is wrong with a weaker source counts only where there is no stronger one: nobody relies on it then.
    fn weaker(&mut self, candidate: Result<Candidate, Fault>) -> Result<(), Fault> {
        match candidate {
            Ok(candidate) => {
                self.found.push(candidate);
                Ok(())
            }
            Err(fault) if self.found.is_empty() => Err(fault),
            Err(_) => Ok(()),
        }
    }

    fn bound(&mut self, carried: &CarriedKey) -> Step<()> {
        let tenant = &self.carriers.tenant;
        let binding = state::binding(self.tables, tenant, &carried.key)?;
        let Some(binding) = binding.filter(|b| !b.is_free(self.at_ms)) else { return Ok(Ok(())) };
        let Some(head) = own_head(self.tables, tenant, &binding.intent)? else { return Ok(Ok(())) };
        let ended = Fault::new(reason::INTENT_EXPIRED, "the binding has ended");
        let is_over = binding.until_ms <= self.at_ms;
        let number = number_at(self.tables, &head, self.at_ms)?;
        let provenance = self.provenance(carried, &binding);
        let candidate = self.registered(&head, number, provenance, source(carried.key.kind))?;
        let candidate = candidate.and_then(|c| if is_over { Err(ended) } else { Ok(c) });
        Ok(self.weaker(candidate.map(|mut c| {
            c.anchor.expires_ms = c.anchor.expires_ms.map(|end| end.min(binding.until_ms));
            c
        })))
    }

    fn provenance(&self, carried: &CarriedKey, binding: &Binding) -> Provenance {
        let by_caller = self.carriers.caller.as_ref().is_some_and(|c| !c.is_empty() && *c == binding.caller);
        match carried.key.kind {
            BindingKind::OpenshellSandbox if carried.is_proven => Provenance::ServerBound,
            BindingKind::McpSession if by_caller => Provenance::ServerBound,
            _ => Provenance::Unverified,
        }
    }

    /// A chain id that is the `txn` of an intent needs no binding.
    fn chain(&mut self, carried: &CarriedKey) -> Step<()> {
        let tenant = &self.carriers.tenant;
        if carried.key.kind != BindingKind::Chain {
            return Ok(Ok(()));
        }
        let Some((id, number)) = state::chain(self.tables, tenant, &carried.key.value)? else {
            return Ok(Ok(()));
        };
        let Some(head) = own_head(self.tables, tenant, &id)? else { return Ok(Ok(())) };
        let current = not_superseded(self.tables, &head, number, self.at_ms)?;
        let candidate = self.registered(&head, number, Provenance::Unverified, "chain")?;
        let candidate = candidate.and_then(|c| current.map(|()| c));
        Ok(self.weaker(candidate.map(|c| Candidate { names_chain: true, ..c })))
    }

    fn id(&mut self, id: &str, provenance: Provenance, source: &'static str) -> Step<()> {
        let Some(head) = own_head(self.tables, &self.carriers.tenant, id)? else {
            // Not known: a text beside it may still stand for itself.
            let is_lost = source == "intent_id" && !id.is_empty() && self.carriers.text.is_empty();
            let lost = Fault::new(reason::INTENT_TEXT_UNAVAILABLE, "no intent of this id, and no text");
            return Ok(if is_lost { self.weaker(Err(lost)) } else { Ok(()) });
        };
        let number = number_at(self.tables, &head, self.at_ms)?;
        let candidate = self.registered(&head, number, provenance, source)?;
        Ok(self.weaker(candidate))
    }

    /// A registered version as an anchor.
    fn registered(
        &self,
        head: &Head,
        number: u32,
        trust: Provenance,
        source: &'static str,
    ) -> Step<Candidate> {
        if let Err(fault) = alive(head, self.at_ms) {
            return Ok(Err(fault));
        }
        let Some(version) = state::version(self.tables, &head.id, number)? else {
            return Ok(Err(Fault::new(reason::INTENT_TEXT_UNAVAILABLE, "the version is not kept any more")));
        };
        let intent = version.intent;
        let constraints = Constraints::from_value(&intent.constraints)
            .map_err(|problem| LedgerError::Damaged { place: format!("intent {}", head.id), problem })?;
        let anchor = Anchor {
            text: String::new(),
            principal: intent.principal.clone(),
            provenance: trust,
            source,
            intent: Some(IntentRef { id: intent.id.clone(), version: number, digest: intent.digest.clone() }),
            digest: intent.digest.clone(),
            chain: Some(intent.chain.clone()),
            constraints,
            actors: Vec::new(),
            expires_ms: Some(head.expires_ms),
        };
        Ok(Ok(Candidate { anchor, stored: Some(intent), names_chain: false }))
    }
}

/// Keys that can be more than a hint. A sandbox id that nobody proved is one.
fn is_strong(carried: &CarriedKey) -> bool {
    match carried.key.kind {
        BindingKind::OpenshellSandbox => carried.is_proven,
        kind => kind == BindingKind::McpSession,
    }
}

fn source(kind: BindingKind) -> &'static str {
    match kind {
        BindingKind::Trace => "trace",
        BindingKind::McpSession => "mcp_session",
        BindingKind::OpenshellSandbox => "openshell_sandbox",
        BindingKind::A2aContext => "a2a_context",
        BindingKind::Chain => "chain",
    }
}
