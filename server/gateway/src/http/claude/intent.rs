//! The intent of a session: registered at its first prompt, a new version with every further one.
//!
//! The registry leads from the session to its intent by a binding, so that it survives a restart and the ledger shows which
//! prompt counted when. A key whose intent has ended stays blocked for a day; a session that goes on then takes the next
//! generation of its key.

use std::cell::RefCell;

use rhumb_drift::action::is_anchor;
use rhumb_ledger::intent::carriers::Carriers;
use rhumb_ledger::intent::register::{Amendment, Registration};
use rhumb_ledger::intent::registry::{Caller as Registrar, Outcome};
use rhumb_ledger::intent::{canon, reason};
use rhumb_ledger::record::{Approval, IntentRef};
use rhumb_ledger::{BindingKey, BindingKind, IntentVersion, LedgerError, Read, Refusal, RefusalKind};

use crate::caller::Caller;
use crate::carried::Carried;
use crate::http::config::Which;
use crate::site::Site;

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
    /// To an intent that this session did not make: whoever may bind keys could have bound it.
    Foreign,
    Live {
        intent: IntentRef,
        has_text: bool,
    },
}

/// All keys of a session.
struct Seen {
    /// The last that is alive.
    live: Option<(BindingKey, IntentRef, bool)>,
    /// The last that has ended.
    ended: Option<BindingKey>,
    /// Where a new intent goes: after all that lead anywhere, or where there is room.
    next: Option<BindingKey>,
}

/// The intent of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What leads to it, also where it has ended; `None` where nothing of this session's does.
    pub key: Option<BindingKey>,
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
        let seen = site.ledger.read(|tables| self.all(site, tables, now_ms))?;
        Ok(match seen.live {
            Some((key, intent, has_text)) => Found { key: Some(key), intent: Some((intent, has_text)) },
            None => Found { key: seen.ended, intent: None },
        })
    }

    /// Every key: an old one becomes free again while a later one is alive.
    fn all(&self, site: &Site, tables: &dyn Read, now_ms: u64) -> Result<Seen, LedgerError> {
        let (mut seen, mut free) = (Seen { live: None, ended: None, next: None }, None);
        for generation in 0..GENERATIONS {
            let key = self.key(generation);
            match self.look(site, tables, &key, now_ms)? {
                Known::Nothing => {
                    free.get_or_insert_with(|| key.clone());
                    seen.next.get_or_insert(key);
                    continue;
                }
                Known::Foreign => {}
                Known::Ended => seen.ended = Some(key),
                Known::Live { intent, has_text } => seen.live = Some((key, intent, has_text)),
            }
            seen.next = None;
        }
        seen.next = seen.next.or(free);
        Ok(seen)
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
            keys: vec![Carried::said(key.clone())],
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
            seen.replace(match self.made(version) {
                true => Known::Live { intent, has_text: text.is_some() },
                false => Known::Foreign,
            });
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
        let Seen { live, next, .. } = self.all(site, tables, now_ms)?;
        match (live, next) {
            (Some((_, intent, _)), _) if which == Which::First || intent.digest == digest => {
                return Ok(Outcome { events: Vec::new(), reply: Ok(()) });
            }
            (Some((key, intent, _)), _) => return self.amend(site, tables, now_ms, text, &intent, key),
            (None, Some(key)) => return self.register(site, tables, now_ms, text, key),
            (None, None) => {}
        }
        let detail = "too many intents of this session have ended; begin a new one";
        let refusal = Refusal::new(RefusalKind::ResourceExhausted, reason::BINDING_LIMIT, detail);
        Ok(Outcome { events: Vec::new(), reply: Err(refusal) })
    }

    /// Whether this session's own prompts made an intent. To tie a key to another's takes no more than `BindIntent`, and to
    /// amend one through a hook would need no role for it.
    fn made(&self, version: &IntentVersion) -> bool {
        let by_prompt = match &version.approval {
            None => version.requester == CHANNEL,
            Some(approval) => approval.channel == CHANNEL,
        };
        by_prompt && version.caller == self.caller && version.principal == self.principal()
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
