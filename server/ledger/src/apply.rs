//! What a record does to the tables. The same for a record that was just written and for one that is replayed.

use crate::error::LedgerError;
use crate::intent;
use crate::log::{Place, Position};
use crate::record::{Decision, Event, Record};
use crate::tables::{Read, Table, Write};
use crate::tools;

const AT: &[u8] = b"at";
const KID: &[u8] = b"kid";
const RETIRED: &[u8] = b"retired";

/// Brings a record into the tables. Without a place, decisions are not kept.
pub fn apply(tables: &mut dyn Write, record: &Record, place: Option<&Place>) -> Result<(), LedgerError> {
    match &record.event {
        Event::Decision(decision) => return place.map_or(Ok(()), |place| insert(tables, decision, place)),
        Event::Key(key) => tables.put(Table::Progress, KID, key.kid.as_bytes())?,
        Event::Retired(retired) => {
            tables.put(Table::Progress, RETIRED, &retired.through.to_be_bytes())?;
            tools::retire(tables, retired.through)?;
        }
        Event::ToolPinned(seen) => return tools::pinned(tables, seen, record.seq),
        Event::ToolChanged(seen) => return tools::changed(tables, seen),
        _ => {}
    }
    intent::apply::apply(tables, record)
}

fn insert(tables: &mut dyn Write, decision: &Decision, place: &Place) -> Result<(), LedgerError> {
    let id = decision.id.as_bytes();
    tables.put(Table::Decisions, id, &place.to_bytes())?;
    tables.put(Table::Requests, &request_key(&decision.request_id, Some(&decision.tenant)), id)?;
    match &decision.chain {
        Some(chain) => tables.put(Table::Chains, &arrival(&chain.id, &decision.tenant, place.seq), id),
        None => Ok(()),
    }
}

/// Removes what [`apply`] put for a decision.
pub fn forget(tables: &mut dyn Write, decision: &Decision, seq: u64) -> Result<(), LedgerError> {
    let id = decision.id.as_bytes();
    tables.remove(Table::Decisions, id)?;
    let request = request_key(&decision.request_id, Some(&decision.tenant));
    // A later decision on a request of the same id is another one's.
    if tables.get(Table::Requests, &request)?.as_deref() == Some(id) {
        tables.remove(Table::Requests, &request)?;
    }
    match &decision.chain {
        Some(chain) => tables.remove(Table::Chains, &arrival(&chain.id, &decision.tenant, seq)),
        None => Ok(()),
    }
}

/// The request, then the tenant: without a tenant, the beginning of the keys of all tenants.
pub fn request_key(request: &str, tenant: Option<&str>) -> Vec<u8> {
    let mut key = text(request);
    key.extend(tenant.unwrap_or_default().as_bytes());
    key
}

/// The beginning of the keys of a chain's decisions.
pub fn chain_key(chain: &str, tenant: Option<&str>) -> Vec<u8> {
    let mut key = text(chain);
    key.extend(tenant.map(text).unwrap_or_default());
    key
}

fn arrival(chain: &str, tenant: &str, seq: u64) -> Vec<u8> {
    let mut key = chain_key(chain, Some(tenant));
    key.extend(seq.to_be_bytes());
    key
}

/// With its length before it, so that no key is the beginning of another's.
fn text(text: &str) -> Vec<u8> {
    let mut key = u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    key.extend(text.as_bytes());
    key
}

/// Notes how far the tables have come.
pub fn set_progress(tables: &mut dyn Write, at: Position) -> Result<(), LedgerError> {
    tables.put(Table::Progress, AT, &at.to_bytes())
}

/// How far the tables have come; at the beginning where they say nothing.
pub fn progress(tables: &dyn Read) -> Result<Position, LedgerError> {
    let Some(bytes) = tables.get(Table::Progress, AT)? else { return Ok(Position::default()) };
    Position::from_bytes(&bytes)
        .ok_or_else(|| LedgerError::damaged("tables.redb", "says no place in the log"))
}

/// The id of the signing key that was introduced last.
pub fn key_introduced(tables: &dyn Read) -> Result<Option<String>, LedgerError> {
    Ok(tables.get(Table::Progress, KID)?.and_then(|kid| String::from_utf8(kid).ok()))
}

/// The last record that was retired; 0: none.
pub fn retired(tables: &dyn Read) -> Result<u64, LedgerError> {
    let bytes = tables.get(Table::Progress, RETIRED)?;
    Ok(bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes))
}
