//! Keys that lead to an intent: the first write wins.

use rhumb_drift::InputError;

use super::reason;
use super::registry::{Caller, Outcome, Registry, authenticated, current, not_found, own_head};
use super::state::{self, Head};
use crate::error::{LedgerError, Refusal, RefusalKind};
use crate::record::{BindingKey, BindingKind, BindingRefused, Bound, Event};
use crate::tables::Read;

/// The most keys of one intent.
pub const MAX_KEYS: usize = 64;

/// The most keys of one tenant.
pub const MAX_TENANT_KEYS: u64 = 1_000_000;

/// Keys were tied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundReply {
    /// The intent.
    pub intent_id: String,
    /// Its current version.
    pub version: u32,
    /// When the first of the keys ends, in milliseconds since 1970.
    pub expires_ms: u64,
}

/// The keys of a request that are new or want a longer life, and when they and the others end.
pub(super) struct Plan {
    pub event: Option<Event>,
    pub expires_ms: u64,
}

/// Who wants to tie keys to what.
pub(super) struct Wish<'a> {
    pub intent: &'a str,
    /// Keys that the intent has.
    pub held: &'a [BindingKey],
    pub intent_expires_ms: u64,
    pub keys: &'a [BindingKey],
    pub caller: &'a Caller,
    pub now_ms: u64,
}

impl Registry {
    /// Ties keys to an intent, all or none.
    ///
    /// A key that the intent has already stays; it gets a new life where half of the old one is over. A try to take another
    /// intent's key is recorded.
    ///
    /// # Errors
    /// If a key cannot be used, or the store fails.
    pub fn decide_bind(
        &self,
        tables: &dyn Read,
        caller: &Caller,
        now_ms: u64,
        id: &str,
        keys: &[BindingKey],
    ) -> Result<Outcome<BoundReply>, LedgerError> {
        if keys.is_empty() {
            return Err(InputError::new("bindings", "is empty").into());
        }
        check_keys(keys)?;
        let Some(head) = own_head(tables, &caller.tenant, id)? else { return Ok(not_found().into()) };
        if let Err(refusal) = authenticated(caller).and(current(tables, &head, now_ms)?.map(|_| ())) {
            return Ok(refusal.into());
        }
        let wish = wish_of(&head, keys, caller, now_ms);
        Ok(match self.plan(tables, &wish)? {
            Ok(plan) => Outcome {
                events: plan.event.into_iter().collect(),
                reply: Ok(BoundReply {
                    intent_id: head.id,
                    version: head.version,
                    expires_ms: plan.expires_ms,
                }),
            },
            Err((events, refusal)) => Outcome { events, reply: Err(refusal) },
        })
    }

    /// What tying the keys takes, or why it is refused, with what is to be recorded of the try.
    pub(super) fn plan(
        &self,
        tables: &dyn Read,
        wish: &Wish<'_>,
    ) -> Result<Result<Plan, (Vec<Event>, Refusal)>, LedgerError> {
        let taken = taken(tables, wish)?;
        if !taken.is_empty() {
            let detail = "a key belongs, or belonged a day ago, to another intent";
            let refusal = Refusal::new(RefusalKind::AlreadyExists, reason::BINDING_TAKEN, detail);
            return Ok(Err((taken, refusal)));
        }
        if let Err(refusal) = room(tables, wish)? {
            return Ok(Err((Vec::new(), refusal)));
        }
        self.life(tables, wish).map(Ok)
    }

    fn life(&self, tables: &dyn Read, wish: &Wish<'_>) -> Result<Plan, LedgerError> {
        let life_ms = self.config.binding_ttl_s * 1000;
        let until_ms = wish.intent_expires_ms.min(wish.now_ms.saturating_add(life_ms));
        let (mut renewed, mut expires_ms) = (Vec::new(), until_ms);
        for key in wish.keys {
            let old = state::binding(tables, &wish.caller.tenant, key)?.filter(|b| b.intent == wish.intent);
            match old {
                // Not again for every retry: each renewal is a record.
                Some(old) if old.until_ms.saturating_add(life_ms / 2) > until_ms => {
                    expires_ms = expires_ms.min(old.until_ms);
                }
                _ if renewed.contains(key) => {}
                _ => renewed.push(key.clone()),
            }
        }
        let bound = |keys| Bound {
            intent: wish.intent.to_owned(),
            tenant: wish.caller.tenant.clone(),
            keys,
            caller: wish.caller.name.clone(),
            until_ms,
        };
        let event = (!renewed.is_empty()).then(|| Event::Bound(bound(renewed)));
        Ok(Plan { event, expires_ms })
    }
}

pub(super) fn wish_of<'a>(
    head: &'a Head,
    keys: &'a [BindingKey],
    caller: &'a Caller,
    now_ms: u64,
) -> Wish<'a> {
    Wish { intent: &head.id, held: &head.keys, intent_expires_ms: head.expires_ms, keys, caller, now_ms }
}

/// The tries to take another intent's key.
fn taken(tables: &dyn Read, wish: &Wish<'_>) -> Result<Vec<Event>, LedgerError> {
    let mut refused = Vec::new();
    for key in wish.keys {
        let Some(holder) = holder(tables, wish, key)?.filter(|holder| holder != wish.intent) else {
            continue;
        };
        refused.push(Event::BindingRefused(BindingRefused {
            intent: wish.intent.to_owned(),
            holder,
            tenant: wish.caller.tenant.clone(),
            key: key.clone(),
            caller: wish.caller.name.clone(),
        }));
    }
    Ok(refused)
}

/// The intent that a key belongs to, or belonged to a short time ago.
fn holder(tables: &dyn Read, wish: &Wish<'_>, key: &BindingKey) -> Result<Option<String>, LedgerError> {
    let tenant = &wish.caller.tenant;
    if key.kind == BindingKind::Chain
        && let Some((intent, _)) = state::chain(tables, tenant, &key.value)?
    {
        return Ok(Some(intent));
    }
    let binding = state::binding(tables, tenant, key)?;
    Ok(binding.filter(|b| !b.is_free(wish.now_ms)).map(|b| b.intent))
}

fn room(tables: &dyn Read, wish: &Wish<'_>) -> Result<Result<(), Refusal>, LedgerError> {
    let mut all: Vec<&BindingKey> = wish.held.iter().chain(wish.keys).collect();
    all.sort();
    all.dedup();
    let exhausted =
        |detail: &str| Refusal::new(RefusalKind::ResourceExhausted, reason::BINDING_LIMIT, detail);
    if all.len() > MAX_KEYS {
        return Ok(Err(exhausted("at most 64 keys may lead to one intent")));
    }
    let new = (all.len() - wish.held.len().min(all.len())) as u64;
    // The free keys are cleared away by the record of this binding.
    let free = state::free_keys(tables, &wish.caller.tenant, wish.now_ms)?.len() as u64;
    if state::count(tables, &wish.caller.tenant)?.saturating_sub(free) + new > MAX_TENANT_KEYS {
        return Ok(Err(exhausted("at most 1000000 keys may be bound by one tenant")));
    }
    Ok(Ok(()))
}

/// Refuses a key that cannot be used.
///
/// # Errors
/// Names it, for example `bindings[1].value`.
pub fn check_keys(keys: &[BindingKey]) -> Result<(), InputError> {
    for (i, key) in keys.iter().enumerate() {
        let printable = key.value.bytes().all(|b| (b' '..=b'~').contains(&b));
        if !printable || !(1..=256).contains(&key.value.len()) {
            return Err(InputError::new(
                format!("bindings[{i}].value"),
                "not 1 to 256 printable ASCII characters",
            ));
        }
    }
    Ok(())
}
