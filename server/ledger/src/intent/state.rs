//! What the tables hold of intents, and under which keys.
//!
//! | table | key | value |
//! |---|---|---|
//! | intents | id | [`Head`] |
//! | intents | id, 0, version | [`Version`] |
//! | intents | 0, record number | id and version: what a retention rule looks for |
//! | bindings | tenant, kind, value | [`Binding`] |
//! | counts | tenant, `n` | bindings of the tenant |
//! | counts | tenant, `e`, end, kind, value | nothing: bindings by their end |
//! | registrations | tenant, request id | id |
//! | intent chains | tenant, chain | id and version |
//!
//! A tenant in a key is its length and its bytes, so that no tenant's keys begin another's.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::LedgerError;
use crate::record::{BindingKey, BindingKind, IntentVersion};
use crate::tables::{Read, Table};

/// An intent without its versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// A ULID.
    pub id: String,
    /// On whose account.
    pub tenant: String,
    /// The accountable human or service.
    pub principal: String,
    /// The current version.
    pub version: u32,
    /// When it ends, in milliseconds since 1970.
    pub expires_ms: u64,
    /// Set where it was revoked.
    pub revoked: Option<Revoked>,
    /// Its keys.
    pub keys: Vec<BindingKey>,
}

/// The end of an intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// In the caller's words.
    pub reason: String,
}

/// A version as it was recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// Number of the record.
    pub seq: u64,
    /// Milliseconds since 1970.
    pub created_ms: u64,
    /// What was recorded.
    pub intent: IntentVersion,
}

/// Where a key leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The intent.
    pub intent: String,
    /// The authenticated caller who bound it.
    pub caller: String,
    /// When it ends, in milliseconds since 1970.
    pub until_ms: u64,
    /// Number of the record.
    pub seq: u64,
}

/// An ended key stays blocked for this long, in milliseconds, so that nobody takes it over.
pub const BLOCKED_MS: u64 = 24 * 3600 * 1000;

impl Binding {
    /// Whether another intent may have the key.
    pub fn is_free(&self, now_ms: u64) -> bool {
        self.until_ms.saturating_add(BLOCKED_MS) <= now_ms
    }
}

/// A version of an intent.
pub(super) type VersionId = (String, u32);

pub(super) fn head(tables: &dyn Read, id: &str) -> Result<Option<Head>, LedgerError> {
    // Ids come from callers; one that is no ULID could be the key of another row.
    if ulid::Ulid::from_string(id).is_err() || id.len() != ulid::ULID_LEN {
        return Ok(None);
    }
    load(tables, Table::Intents, id.as_bytes())
}

pub(super) fn version(tables: &dyn Read, id: &str, version: u32) -> Result<Option<Version>, LedgerError> {
    load(tables, Table::Intents, &version_key(id, version))
}

/// The oldest first.
pub(super) fn versions(tables: &dyn Read, id: &str) -> Result<Vec<Version>, LedgerError> {
    let rows = tables.scan(Table::Intents, &versions_prefix(id), super::register::MAX_VERSIONS as usize)?;
    rows.iter().map(|(_, value)| parse(Table::Intents, value)).collect()
}

pub(super) fn binding(
    tables: &dyn Read,
    tenant: &str,
    key: &BindingKey,
) -> Result<Option<Binding>, LedgerError> {
    load(tables, Table::Bindings, &binding_key(tenant, key))
}

pub(super) fn chain(tables: &dyn Read, tenant: &str, chain: &str) -> Result<Option<VersionId>, LedgerError> {
    load(tables, Table::IntentChains, &named_key(tenant, chain))
}

pub(super) fn registration(
    tables: &dyn Read,
    tenant: &str,
    request_id: &str,
) -> Result<Option<String>, LedgerError> {
    load(tables, Table::Registrations, &named_key(tenant, request_id))
}

pub(super) fn count(tables: &dyn Read, tenant: &str) -> Result<u64, LedgerError> {
    Ok(load(tables, Table::Counts, &count_key(tenant))?.unwrap_or(0))
}

/// Keys of a tenant that another intent may have, those that ended first, at most [`SWEEP`].
pub(super) fn free_keys(
    tables: &dyn Read,
    tenant: &str,
    now_ms: u64,
) -> Result<Vec<(u64, BindingKey)>, LedgerError> {
    let prefix = [tenant_key(tenant).as_slice(), b"e"].concat();
    let rows = tables.scan(Table::Counts, &prefix, SWEEP)?;
    let ends = rows.iter().filter_map(|(key, _)| read_end(key.strip_prefix(prefix.as_slice())?));
    Ok(ends.take_while(|(until, _)| until.saturating_add(BLOCKED_MS) <= now_ms).collect())
}

/// Rows that one record may clear away.
const SWEEP: usize = 256;

fn load<T: DeserializeOwned>(tables: &dyn Read, table: Table, key: &[u8]) -> Result<Option<T>, LedgerError> {
    tables.get(table, key)?.map(|value| parse(table, &value)).transpose()
}

pub(super) fn parse<T: DeserializeOwned>(table: Table, value: &[u8]) -> Result<T, LedgerError> {
    serde_json::from_slice(value)
        .map_err(|e| LedgerError::Damaged { place: format!("table {table:?}"), problem: e.to_string() })
}

pub(super) fn bytes(value: &impl Serialize) -> Result<Vec<u8>, LedgerError> {
    serde_json::to_vec(value).map_err(|e| LedgerError::Store(e.to_string()))
}

fn versions_prefix(id: &str) -> Vec<u8> {
    [id.as_bytes(), &[0]].concat()
}

pub(super) fn version_key(id: &str, version: u32) -> Vec<u8> {
    [versions_prefix(id).as_slice(), &version.to_be_bytes()].concat()
}

/// Prefix of the rows by record number.
pub(super) const BY_RECORD: [u8; 1] = [0];

pub(super) fn record_key(seq: u64) -> Vec<u8> {
    [BY_RECORD.as_slice(), &seq.to_be_bytes()].concat()
}

fn tenant_key(tenant: &str) -> Vec<u8> {
    // Tenants are far shorter than 4 GiB.
    [&u32::try_from(tenant.len()).unwrap_or(u32::MAX).to_be_bytes(), tenant.as_bytes()].concat()
}

pub(super) fn named_key(tenant: &str, name: &str) -> Vec<u8> {
    [tenant_key(tenant).as_slice(), name.as_bytes()].concat()
}

pub(super) fn binding_key(tenant: &str, key: &BindingKey) -> Vec<u8> {
    [tenant_key(tenant).as_slice(), &[kind_byte(key.kind)], key.value.as_bytes()].concat()
}

pub(super) fn count_key(tenant: &str) -> Vec<u8> {
    [tenant_key(tenant).as_slice(), b"n"].concat()
}

pub(super) fn end_key(tenant: &str, until_ms: u64, key: &BindingKey) -> Vec<u8> {
    let end = [b"e".as_slice(), &until_ms.to_be_bytes(), &[kind_byte(key.kind)], key.value.as_bytes()];
    [tenant_key(tenant), end.concat()].concat()
}

fn read_end(rest: &[u8]) -> Option<(u64, BindingKey)> {
    let (until, rest) = rest.split_first_chunk::<8>()?;
    let (kind, value) = rest.split_first()?;
    let kind = *KINDS.get(usize::from(*kind))?;
    let value = String::from_utf8(value.to_vec()).ok()?;
    Some((u64::from_be_bytes(*until), BindingKey { kind, value }))
}

/// INVARIANT: the place of a kind is its byte in stored keys; only add at the end.
const KINDS: [BindingKind; 5] = [
    BindingKind::Trace,
    BindingKind::McpSession,
    BindingKind::OpenshellSandbox,
    BindingKind::A2aContext,
    BindingKind::Chain,
];

fn kind_byte(kind: BindingKind) -> u8 {
    match kind {
        BindingKind::Trace => 0,
        BindingKind::McpSession => 1,
        BindingKind::OpenshellSandbox => 2,
        BindingKind::A2aContext => 3,
        BindingKind::Chain => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_the_byte_of_its_place() {
        for (i, kind) in KINDS.into_iter().enumerate() {
            assert_eq!(usize::from(kind_byte(kind)), i);
        }
    }

    #[test]
    fn no_tenants_keys_begin_another_tenants() {
        assert!(!named_key("ab", "").starts_with(&named_key("a", "")));
        assert_ne!(named_key("a", "bc"), named_key("ab", "c"));
    }

    #[test]
    fn an_end_reads_back() {
        let key = BindingKey { kind: BindingKind::A2aContext, value: "c-1".into() };
        let stored = end_key("t", 77, &key);
        let prefix = [tenant_key("t").as_slice(), b"e"].concat();
        assert_eq!(read_end(stored.strip_prefix(prefix.as_slice()).unwrap()), Some((77, key)));
    }
}
