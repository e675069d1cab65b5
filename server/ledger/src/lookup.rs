//! From the tables to the log and back: a decision is read where it stands, and must be what the table says.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::apply;
use crate::error::LedgerError;
use crate::log::line::{chained, split};
use crate::log::{Digest, Place, lines};
use crate::record::{Decision, Event, Record};
use crate::tables::{Read, Table};

/// Decisions of one chain that are looked at, some hundred bytes each.
const LONGEST: usize = 1 << 17;

/// Something recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored<T> {
    /// Number of the record.
    pub seq: u64,
    /// Its digest, chained to all before it.
    pub digest: Digest,
    /// When it was recorded, in milliseconds since 1970.
    pub time_ms: u64,
    /// What was recorded.
    pub value: T,
}

/// The place of a decision.
pub fn place(tables: &dyn Read, id: &[u8]) -> Result<Option<Place>, LedgerError> {
    let Some(bytes) = tables.get(Table::Decisions, id)? else { return Ok(None) };
    let damaged = || LedgerError::damaged("tables.redb, table decisions", "an entry is no place in the log");
    Place::from_bytes(&bytes).map(Some).ok_or_else(damaged)
}

/// The place of the newest decision on a request.
pub fn by_request(
    tables: &dyn Read,
    tenant: Option<&str>,
    request: &str,
) -> Result<Option<Place>, LedgerError> {
    let key = apply::request_key(request, tenant);
    let ids = match tenant {
        Some(_) => tables.get(Table::Requests, &key)?.into_iter().collect(),
        None => values(tables.scan(Table::Requests, &key, 64)?),
    };
    Ok(places(tables, ids)?.into_iter().max_by_key(|place| place.seq))
}

/// The places of a chain's decisions in order of arrival.
pub fn chain(tables: &dyn Read, tenant: Option<&str>, chain: &str) -> Result<Vec<Place>, LedgerError> {
    let entries = tables.scan(Table::Chains, &apply::chain_key(chain, tenant), LONGEST)?;
    let mut places = places(tables, values(entries))?;
    places.sort_by_key(|place| place.seq);
    Ok(places)
}

fn values(entries: Vec<crate::tables::Entry>) -> Vec<Vec<u8>> {
    entries.into_iter().map(|(_, value)| value).collect()
}

fn places(tables: &dyn Read, ids: Vec<Vec<u8>>) -> Result<Vec<Place>, LedgerError> {
    ids.iter().filter_map(|id| place(tables, id).transpose()).collect()
}

/// The record at a place; `None` if its file was retired meanwhile.
pub fn record(dir: &Path, place: &Place) -> Result<Option<Record>, LedgerError> {
    let path = lines::path(dir, place.segment);
    let mut line = vec![0; place.len as usize];
    match File::open(&path).and_then(|file| file.read_exact_at(&mut line, place.offset)) {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(LedgerError::io(&path)(e)),
    }
    let here = format!("record {} ({})", place.seq, lines::name(place.segment));
    let json = split(&line)
        .filter(|(stated, json)| *stated == place.digest && chained(&place.previous, json) == *stated);
    let (_, json) = json.ok_or_else(|| LedgerError::damaged(&here, "is not what was written"))?;
    serde_json::from_slice(json)
        .map(Some)
        .map_err(|e| LedgerError::damaged(here, format!("cannot be read: {e}")))
}

/// The decision at a place.
pub fn decision(dir: &Path, place: &Place) -> Result<Option<Stored<Decision>>, LedgerError> {
    let Some(Record { seq, time_ms, event: Event::Decision(value) }) = record(dir, place)? else {
        return Ok(None);
    };
    Ok(Some(Stored { seq, digest: place.digest, time_ms, value: *value }))
}
