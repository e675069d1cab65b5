//! Records to tables. The only place that changes them, so that replaying the log makes them again.
//!
//! Everything follows from the record and the tables: no clock, no randomness, no configuration.

use crate::error::LedgerError;
use crate::record::Content;
use crate::record::{BindingKey, Bound, Event, IntentVersion, Record, Retired, Revocation};
use crate::tables::{Table, Write};

use super::state::{self, Binding, Head, Revoked, Version, VersionId, bytes};

/// Brings the tables up to `record`. Events that are not about intents change nothing.
///
/// # Errors
/// If the store fails, or what it holds cannot be read.
pub fn apply(tables: &mut dyn Write, record: &Record) -> Result<(), LedgerError> {
    match &record.event {
        Event::Intent(version) => add_version(tables, record, version),
        Event::Revoked(revocation) => revoke(tables, record, revocation),
        Event::Bound(bound) => bind(tables, record, bound),
        Event::TextErased(range) => erase_texts(tables, range),
        Event::Retired(range) => retire(tables, range),
        _ => Ok(()),
    }
}

fn add_version(tables: &mut dyn Write, record: &Record, intent: &IntentVersion) -> Result<(), LedgerError> {
    let old = state::head(tables, &intent.id)?;
    let head = Head {
        id: intent.id.clone(),
        tenant: intent.tenant.clone(),
        principal: intent.principal.clone(),
        version: intent.version,
        expires_ms: intent.expires_ms,
        revoked: None,
        keys: old.map(|head| head.keys).unwrap_or_default(),
    };
    put_head(tables, &head)?;
    let version = Version { seq: record.seq, created_ms: record.time_ms, intent: intent.clone() };
    put_version(tables, &version)?;
    let id: VersionId = (intent.id.clone(), intent.version);
    tables.put(Table::Intents, &state::record_key(record.seq), &bytes(&id)?)?;
    tables.put(Table::IntentChains, &state::named_key(&intent.tenant, &intent.chain), &bytes(&id)?)?;
    if !intent.request_id.is_empty() {
        let key = state::named_key(&intent.tenant, &intent.request_id);
        tables.put(Table::Registrations, &key, &bytes(&intent.id)?)?;
    }
    Ok(())
}

fn revoke(tables: &mut dyn Write, record: &Record, revocation: &Revocation) -> Result<(), LedgerError> {
    let Some(mut head) = state::head(tables, &revocation.intent)? else { return Ok(()) };
    if head.revoked.is_some() {
        return Ok(());
    }
    for key in &head.keys {
        let Some(binding) = state::binding(tables, &head.tenant, key)? else { continue };
        let until_ms = binding.until_ms.min(record.time_ms);
        put_binding(tables, &head.tenant, key, &Binding { until_ms, ..binding })?;
    }
    head.revoked = Some(Revoked { at_ms: record.time_ms, reason: revocation.reason.clone() });
    put_head(tables, &head)
}

fn bind(tables: &mut dyn Write, record: &Record, bound: &Bound) -> Result<(), LedgerError> {
    for (_, key) in state::free_keys(tables, &bound.tenant, record.time_ms)? {
        remove_binding(tables, &bound.tenant, &key)?;
    }
    // Of an intent whose record was retired: it would be found under no id.
    if state::head(tables, &bound.intent)?.is_none() {
        return Ok(());
    }
    for key in &bound.keys {
        let binding = Binding {
            intent: bound.intent.clone(),
            caller: bound.caller.clone(),
            until_ms: bound.until_ms,
            seq: record.seq,
        };
        put_binding(tables, &bound.tenant, key, &binding)?;
        add_key(tables, &bound.intent, key)?;
    }
    Ok(())
}

fn add_key(tables: &mut dyn Write, id: &str, key: &BindingKey) -> Result<(), LedgerError> {
    let Some(mut head) = state::head(tables, id)? else { return Ok(()) };
    if !head.keys.contains(key) {
        head.keys.push(key.clone());
        put_head(tables, &head)?;
    }
    Ok(())
}

/// Sets where a key leads; it leads nowhere else any more.
fn put_binding(
    tables: &mut dyn Write,
    tenant: &str,
    key: &BindingKey,
    binding: &Binding,
) -> Result<(), LedgerError> {
    let held_by_same = match state::binding(tables, tenant, key)? {
        Some(old) if old.intent == binding.intent => {
            tables.remove(Table::Counts, &state::end_key(tenant, old.until_ms, key))?;
            true
        }
        Some(_) => {
            remove_binding(tables, tenant, key)?;
            false
        }
        None => false,
    };
    if !held_by_same {
        let count = state::count(tables, tenant)?.saturating_add(1);
        tables.put(Table::Counts, &state::count_key(tenant), &bytes(&count)?)?;
    }
    tables.put(Table::Counts, &state::end_key(tenant, binding.until_ms, key), &[])?;
    tables.put(Table::Bindings, &state::binding_key(tenant, key), &bytes(binding)?)
}

fn remove_binding(tables: &mut dyn Write, tenant: &str, key: &BindingKey) -> Result<(), LedgerError> {
    let Some(binding) = state::binding(tables, tenant, key)? else { return Ok(()) };
    tables.remove(Table::Bindings, &state::binding_key(tenant, key))?;
    tables.remove(Table::Counts, &state::end_key(tenant, binding.until_ms, key))?;
    let count = state::count(tables, tenant)?.saturating_sub(1);
    tables.put(Table::Counts, &state::count_key(tenant), &bytes(&count)?)?;
    let Some(mut head) = state::head(tables, &binding.intent)? else { return Ok(()) };
    head.keys.retain(|k| k != key);
    put_head(tables, &head)
}

/// Versions recorded up to `through`, with their record numbers, the oldest first.
fn recorded_up_to(tables: &dyn Write, through: u64) -> Result<Vec<(u64, VersionId)>, LedgerError> {
    let rows = tables.scan(Table::Intents, &state::BY_RECORD, usize::MAX)?;
    let mut found = Vec::new();
    for (key, value) in rows {
        let Some(seq) = key.last_chunk::<8>().map(|b| u64::from_be_bytes(*b)) else { continue };
        if seq > through {
            break;
        }
        found.push((seq, state::parse(Table::Intents, &value)?));
    }
    Ok(found)
}

fn erase_texts(tables: &mut dyn Write, range: &Retired) -> Result<(), LedgerError> {
    for (seq, (id, number)) in recorded_up_to(tables, range.through)? {
        let version = if seq < range.from { None } else { state::version(tables, &id, number)? };
        let Some(mut version) = version.filter(|v| v.intent.text != Content::Absent) else { continue };
        version.intent.text = Content::Absent;
        put_version(tables, &version)?;
    }
    Ok(())
}

/// After this the tables are what a replay of the remaining records makes.
fn retire(tables: &mut dyn Write, range: &Retired) -> Result<(), LedgerError> {
    for (seq, (id, number)) in recorded_up_to(tables, range.through)? {
        tables.remove(Table::Intents, &state::record_key(seq))?;
        let Some(version) = state::version(tables, &id, number)? else { continue };
        tables.remove(Table::Intents, &state::version_key(&id, number))?;
        let intent = &version.intent;
        tables.remove(Table::IntentChains, &state::named_key(&intent.tenant, &intent.chain))?;
        if !intent.request_id.is_empty() {
            tables.remove(Table::Registrations, &state::named_key(&intent.tenant, &intent.request_id))?;
        }
        let Some(head) = state::head(tables, &id)? else { continue };
        let is_last = head.version == number;
        for key in &head.keys {
            let binding = state::binding(tables, &head.tenant, key)?;
            if binding.is_some_and(|b| is_last || b.seq <= range.through) {
                remove_binding(tables, &head.tenant, key)?;
            }
        }
        if is_last {
            tables.remove(Table::Intents, id.as_bytes())?;
        }
    }
    Ok(())
}

fn put_head(tables: &mut dyn Write, head: &Head) -> Result<(), LedgerError> {
    tables.put(Table::Intents, head.id.as_bytes(), &bytes(head)?)
}

fn put_version(tables: &mut dyn Write, version: &Version) -> Result<(), LedgerError> {
    let key = state::version_key(&version.intent.id, version.intent.version);
    tables.put(Table::Intents, &key, &bytes(version)?)
}
