//! The intent of a session: registered at its first prompt, a new version with every further one.
//!
//! The registry leads from the session to its intent by a binding, so that it survives a restart and the ledger shows which
//! prompt counted when. A key whose intent has ended stays blocked for a day; a session that goes on then takes the next
//! generation of its key.

use std::cell::RefCell;

use rhumb_drift::action::is_anchor;
use rhumb_ledger::intent::carriers::{CarriedKey, Carriers};
use rhumb_ledger::intent::register::{Amendment, Registration};
use rhumb_ledger::intent::registry::{Caller as Registrar, Outcome};
use rhumb_ledger::intent::{canon, reason};
use rhumb_ledger::record::{Approval, IntentRef};
use rhumb_ledger::{BindingKey, BindingKind, IntentVersion, LedgerError, Read, Refusal, RefusalKind};

use crate::caller::Caller;
use crate::decide::Site;
use crate::http::config::Which;

/// Keys of one session, one after the other.
const GENERATIONS: u32 = 16;
/// Where prompts come from, in records.
const CHANNEL: &str = "claude-code";
/// Bytes of a binding's value.
const KEY_BYTES: usize = 256;

/// A session as the registry knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    tenant: String,
    caller: String,
    id: String,
}

/// What a key leads to.
enum Known {
    Nothing,
    Ended,
    Live { intent: IntentRef, has_text: bool },
}

/// The intent of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What leads to it, also where it has ended.
    pub key: BindingKey,
    /// What it is, where it lives, and whether its words are kept.
    pub intent: Option<(IntentRef, bool)>,
}

impl Session {
    /// Of this caller: another one's session of the same id is another.
    pub fn of(caller: &Caller, id: &str) -> Self {
        let tenant = caller.tenant.as_str().to_owned();
        Self { tenant, caller: caller.name().to_owned(), id: id.to_owned() }
    }

    fn key(&self, generation: u32) -> BindingKey {
        let (caller, id) = (&self.caller, &self.id);
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_graphic() && b != b':');
        let named = format!("{CHANNEL}:{caller}:{id}:{generation}");
        let value = match plain(caller) && plain(id) && named.len() <= KEY_BYTES {
            true => named,
            // Lengths first: no two pairs of names read alike.
            false => {
                let both = canon::digest(format!("{}:{}:{caller}{id}", caller.len(), id.len()));
                format!("{CHANNEL}:{both}:{generation}")
            }
        };
        BindingKey { kind: BindingKind::Chain, value }
    }

    /// The intent that the session has now.
    ///
    /// # Errors
    /// If the store fails.
    pub fn find(&self, site: &Site, now_ms: u64) -> Result<Found, LedgerError> {
        site.ledger.read(|tables| {
            let mut found = Found { key: self.key(0), intent: None };
            for generation in 0..GENERATIONS {
                let key = self.key(generation);
                match self.look(site, tables, &key, now_ms)? {
                    Known::Nothing => break,
                    Known::Ended => found = Found { key, intent: None },
                    Known::Live { intent, has_text } => {
                        return Ok(Found { key, intent: Some((intent, has_text)) });
                    }
                }
            }
            Ok(found)
        })
    }

    fn look(
        &self,
        site: &Site,
        tables: &dyn Read,
        key: &BindingKey,
        now_ms: u64,
    ) -> Result<Known, LedgerError> {
        let carriers = Carriers {
            tenant: self.tenant.clone(),
            caller: (!self.caller.is_empty()).then(|| self.caller.clone()),
            keys: vec![CarriedKey { key: key.clone(), is_proven: false }],
            ..Carriers::default()
        };
        // What is asked to be opened is what was found, whether its words are kept or not.
        let seen = RefCell::new(Known::Nothing);
        let open = |version: &IntentVersion| {
            let text = site.ledger.text_of(version);
            let intent = IntentRef {
                id: version.id.clone(),
                version: version.version,
                digest: version.digest.clone(),
            };
            seen.replace(Known::Live { intent, has_text: text.is_some() });
            text
        };
        let found = site.registry.lookup(tables, &carriers, now_ms, &open)?;
        Ok(match (seen.into_inner(), found.anchor) {
            (Known::Nothing, Err(why)) if why.reason == reason::INTENT_MISSING => Known::Nothing,
            (Known::Nothing, _) => Known::Ended,
            (live, _) => live,
        })
    }

    /// Takes a prompt: nothing changes where it is the one that counts already.
    ///
    /// # Errors
    /// A text that cannot be registered; a store that fails.
    pub fn prompt(
        &self,
        site: &Site,
        tables: &dyn Read,
        now_ms: u64,
        text: &str,
        which: Which,
    ) -> Result<Outcome<()>, LedgerError> {
        let digest = canon::digest(canon::canonical(text)?);
        for generation in 0..GENERATIONS {
            let key = self.key(generation);
            match self.look(site, tables, &key, now_ms)? {
                Known::Ended => {}
                Known::Nothing => return self.register(site, tables, now_ms, text, key),
                Known::Live { intent, .. } if which == Which::First || intent.digest == digest => {
                    return Ok(Outcome { events: Vec::new(), reply: Ok(()) });
                }
                Known::Live { intent, .. } => return self.amend(site, tables, now_ms, text, &intent, key),
            }
        }
        let detail = "too many intents of this session have ended; begin a new one";
        let refusal = Refusal::new(RefusalKind::ResourceExhausted, reason::BINDING_LIMIT, detail);
        Ok(Outcome { events: Vec::new(), reply: Err(refusal) })
    }

    fn registrar(&self) -> Registrar {
        Registrar { tenant: self.tenant.clone(), name: self.caller.clone(), authenticated: true }
    }

    /// Who writes the prompts: the token names the user, where there is one.
    fn principal(&self) -> String {
        if self.caller.is_empty() { "anonymous".to_owned() } else { self.caller.clone() }
    }

    fn register(
        &self,
        site: &Site,
        tables: &dyn Read,
        now_ms: u64,
        text: &str,
        key: BindingKey,
    ) -> Result<Outcome<()>, LedgerError> {
        let wanted = Registration {
            text: text.to_owned(),
            principal: self.principal(),
            requester: CHANNEL.to_owned(),
            bindings: vec![key],
            ..Registration::default()
        };
        let Outcome { events, reply } =
            site.registry.decide_register(tables, &self.registrar(), now_ms, &wanted)?;
        Ok(Outcome { events, reply: reply.map(|_| ()) })
    }

    /// The prompt itself is the person's approval. The key lives on with the intent.
    fn amend(
        &self,
        site: &Site,
        tables: &dyn Read,
        now_ms: u64,
        text: &str,
        intent: &IntentRef,
        key: BindingKey,
    ) -> Result<Outcome<()>, LedgerError> {
        let life_ms = site.registry.config().intent_life_s.saturating_mul(1000);
        let approver = self.principal();
        let wanted = Amendment {
            intent_id: intent.id.clone(),
            version: intent.version,
            text: text.to_owned(),
            approval: Approval { approver, time_ms: now_ms, channel: CHANNEL.to_owned() },
            constraints: None,
            expires_ms: Some(now_ms.saturating_add(life_ms)),
            keep_old: false,
        };
        let who = self.registrar();
        let Outcome { mut events, reply } = site.registry.decide_amend(tables, &who, now_ms, &wanted)?;
        if reply.is_ok() {
            events.extend(site.registry.decide_bind(tables, &who, now_ms, &intent.id, &[key])?.events);
        }
        Ok(Outcome { events, reply: reply.map(|_| ()) })
    }
}

/// Whether a prompt says anything that actions could be compared with. "👍" goes on with the request before.
pub fn says_something(prompt: &str) -> bool {
    is_anchor(prompt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhumb_engine::Lane;

    #[test]
    fn keys_are_readable_where_they_can_be_and_never_run_together() {
        let session =
            |caller: &str, id: &str| Session { tenant: "t".into(), caller: caller.into(), id: id.into() };
        assert_eq!(session("jo", "abc").key(1).value, "claude-code:jo:abc:1");
        let keys =
            [session("a:b", "c"), session("a", "b:c"), session("a", &"x".repeat(300)), session("ä", "b")];
        let values: std::collections::BTreeSet<String> = keys.iter().map(|s| s.key(0).value).collect();
        assert_eq!(values.len(), 4);
        assert!(values.iter().all(|v| v.len() <= KEY_BYTES && v.bytes().all(|b| b.is_ascii_graphic())));
        let caller = Caller::plain(Lane::Enforcement, rhumb_engine::Tenant::default());
        assert_eq!(Session::of(&caller, "abc").key(0).value, "claude-code::abc:0");
    }
}
