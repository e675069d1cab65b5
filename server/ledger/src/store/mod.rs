//! The tables on the disk: redb, every value with a tag.
//!
//! What others depend on (who a key is bound to, which version of an intent is in force) is looked up here and not
//! in the log, so a value that was changed behind the ledger's back must not pass: each carries an HMAC-SHA256 over
//! table, key and value, under a secret that only the ledger has. The tag does not show a value that was put back to
//! an older one, or an entry that was removed; `verify` compares the decisions with the log, and to delete the file
//! is to have it made again.
//!
//! Commits are not made durable one by one: the log is, and what the tables lack after a crash is replayed.

mod overlay;
mod tables;

use std::path::Path;

use redb::{
    Builder, Database, Durability, ReadOnlyTable, ReadTransaction, ReadableDatabase as _, ReadableTable,
    Table as RedbTable, TableDefinition, TableError, WriteTransaction,
};
use ring::hmac;

use crate::error::LedgerError;
use crate::tables::{Entry, Read, Table, Write};

pub use overlay::Overlay;
pub use tables::Tables;

const CACHE: usize = 64 << 20;
const TAG: usize = 32;

type Bytes = &'static [u8];

fn name(table: Table) -> &'static str {
    match table {
        Table::Intents => "intents",
        Table::Bindings => "bindings",
        Table::Counts => "counts",
        Table::Registrations => "registrations",
        Table::IntentChains => "intent_chains",
        Table::Decisions => "decisions",
        Table::Requests => "requests",
        Table::Chains => "chains",
        Table::Tools => "tools",
        Table::Progress => "progress",
    }
}

fn definition(table: Table) -> TableDefinition<'static, Bytes, Bytes> {
    TableDefinition::new(name(table))
}

/// The tables' file.
pub struct Store {
    db: Database,
    key: hmac::Key,
}

impl Store {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// If it cannot be used.
    pub fn open(path: &Path, secret: &[u8; 32]) -> Result<Self, LedgerError> {
        drop(
            crate::folder::private()
                .create(true)
                .truncate(false)
                .read(true)
                .open(path)
                .map_err(LedgerError::io(path))?,
        );
        // redb may panic on a file that was changed behind its back; here that is only one more reason to make it anew.
        let opened = std::panic::catch_unwind(|| Builder::new().set_cache_size(CACHE).create(path));
        let db =
            opened.map_err(|_| LedgerError::store("the file is damaged"))?.map_err(LedgerError::store)?;
        Self::with(db, secret)
    }

    /// A copy of the file that is checked whole and never written.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn inspect(path: &Path, secret: &[u8; 32]) -> Result<Self, LedgerError> {
        let overlay = Overlay::open(path).map_err(LedgerError::io(path))?;
        let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            Builder::new()
                .set_cache_size(CACHE)
                .set_check_integrity_on_open(true)
                .create_with_backend(overlay)
        }));
        let db =
            opened.map_err(|_| LedgerError::store("the file is damaged"))?.map_err(LedgerError::store)?;
        Ok(Self { db, key: hmac::Key::new(hmac::HMAC_SHA256, secret) })
    }

    fn with(db: Database, secret: &[u8; 32]) -> Result<Self, LedgerError> {
        let store = Self { db, key: hmac::Key::new(hmac::HMAC_SHA256, secret) };
        store.write(|_| Ok(()))?;
        Ok(store)
    }

    /// Checks the tag of every value. Returns the number of decisions.
    ///
    /// # Errors
    /// Names the table of the first bad value.
    pub fn audit(&self) -> Result<u64, LedgerError> {
        let snapshot = Snapshot { txn: self.db.begin_read().map_err(LedgerError::store)?, key: &self.key };
        let mut decisions = 0;
        for table in Table::ALL {
            let Some(open) = snapshot.table(table)? else { continue };
            for entry in open.iter().map_err(LedgerError::store)? {
                let (name, value) = entry.map_err(LedgerError::store)?;
                opened(&self.key, table, name.value(), value.value())?;
                decisions += u64::from(table == Table::Decisions);
            }
        }
        Ok(decisions)
    }

    /// Reads what is committed.
    ///
    /// # Errors
    /// Those of `f`, and of the store.
    pub fn read<R>(&self, f: impl FnOnce(&dyn Read) -> Result<R, LedgerError>) -> Result<R, LedgerError> {
        let txn = self.db.begin_read().map_err(LedgerError::store)?;
        f(&Snapshot { txn, key: &self.key })
    }

    /// Changes the tables; nothing is changed if `f` fails.
    ///
    /// # Errors
    /// Those of `f`, and of the store.
    pub fn write<R>(
        &self,
        f: impl FnOnce(&mut dyn Write) -> Result<R, LedgerError>,
    ) -> Result<R, LedgerError> {
        let mut txn = self.db.begin_write().map_err(LedgerError::store)?;
        txn.set_durability(Durability::None).map_err(LedgerError::store)?;
        let result = Changes::new(&txn, &self.key).and_then(|mut changes| f(&mut changes));
        match result {
            Ok(value) => txn.commit().map_err(LedgerError::store).map(|()| value),
            Err(e) => {
                txn.abort().map_err(LedgerError::store)?;
                Err(e)
            }
        }
    }

    /// Brings what is committed to the disk, with what a start after a crash needs so as not to read the whole file.
    ///
    /// # Errors
    /// If the store fails.
    pub fn sync(&self) -> Result<(), LedgerError> {
        let mut txn = self.db.begin_write().map_err(LedgerError::store)?;
        txn.set_durability(Durability::Immediate).map_err(LedgerError::store)?;
        txn.set_quick_repair(true);
        txn.commit().map_err(LedgerError::store)
    }
}

/// Table, key and value with their lengths, so that no two triples are the same bytes.
fn tagged(key: &hmac::Key, table: Table, name: &[u8], value: &[u8]) -> hmac::Context {
    let mut context = hmac::Context::with_key(key);
    context.update(self::name(table).as_bytes());
    context.update(&(name.len() as u64).to_be_bytes());
    context.update(name);
    context.update(value);
    context
}

fn sealed(key: &hmac::Key, table: Table, name: &[u8], value: &[u8]) -> Vec<u8> {
    let tag = tagged(key, table, name, value).sign();
    [tag.as_ref(), value].concat()
}

fn opened(key: &hmac::Key, table: Table, name: &[u8], stored: &[u8]) -> Result<Vec<u8>, LedgerError> {
    let parts = stored.split_first_chunk::<TAG>();
    // Whoever can time this comparison can read the secret from the same folder.
    match parts {
        Some((tag, value)) if tagged(key, table, name, value).sign().as_ref() == tag => Ok(value.to_vec()),
        _ => Err(LedgerError::damaged(
            format!("tables.redb, table {}", self::name(table)),
            "a value was changed by somebody else than the ledger; delete the file, it is made again from the log",
        )),
    }
}

fn one(
    key: &hmac::Key,
    table: Table,
    from: &impl ReadableTable<Bytes, Bytes>,
    name: &[u8],
) -> Result<Option<Vec<u8>>, LedgerError> {
    let found = from.get(name).map_err(LedgerError::store)?;
    found.map(|value| opened(key, table, name, value.value())).transpose()
}

fn many(
    key: &hmac::Key,
    table: Table,
    from: &impl ReadableTable<Bytes, Bytes>,
    prefix: &[u8],
    limit: usize,
) -> Result<Vec<Entry>, LedgerError> {
    let mut entries = Vec::new();
    for entry in from.range(prefix..).map_err(LedgerError::store)?.take(limit) {
        let (name, value) = entry.map_err(LedgerError::store)?;
        if !name.value().starts_with(prefix) {
            break;
        }
        entries.push((name.value().to_vec(), opened(key, table, name.value(), value.value())?));
    }
    Ok(entries)
}

struct Snapshot<'a> {
    txn: ReadTransaction,
    key: &'a hmac::Key,
}

impl Snapshot<'_> {
    fn table(&self, table: Table) -> Result<Option<ReadOnlyTable<Bytes, Bytes>>, LedgerError> {
        match self.txn.open_table(definition(table)) {
            Ok(table) => Ok(Some(table)),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(e) => Err(LedgerError::store(e)),
        }
    }
}

impl Read for Snapshot<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerError> {
        self.table(table)?.map_or(Ok(None), |from| one(self.key, table, &from, key))
    }

    fn scan(&self, table: Table, prefix: &[u8], limit: usize) -> Result<Vec<Entry>, LedgerError> {
        self.table(table)?.map_or(Ok(Vec::new()), |from| many(self.key, table, &from, prefix, limit))
    }
}

/// Tables opened once for a batch.
struct Changes<'t> {
    tables: Vec<(Table, RedbTable<'t, Bytes, Bytes>)>,
    key: &'t hmac::Key,
}

impl<'t> Changes<'t> {
    fn new(txn: &'t WriteTransaction, key: &'t hmac::Key) -> Result<Self, LedgerError> {
        let open = |table| Ok((table, txn.open_table(definition(table)).map_err(LedgerError::store)?));
        Ok(Self { tables: Table::ALL.into_iter().map(open).collect::<Result<_, LedgerError>>()?, key })
    }

    fn of(&self, table: Table) -> Result<&RedbTable<'t, Bytes, Bytes>, LedgerError> {
        let found = self.tables.iter().find(|(t, _)| *t == table);
        found.map(|(_, open)| open).ok_or_else(|| LedgerError::store("no such table"))
    }

    fn of_mut(&mut self, table: Table) -> Result<&mut RedbTable<'t, Bytes, Bytes>, LedgerError> {
        let found = self.tables.iter_mut().find(|(t, _)| *t == table);
        found.map(|(_, open)| open).ok_or_else(|| LedgerError::store("no such table"))
    }
}

impl Read for Changes<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerError> {
        one(self.key, table, self.of(table)?, key)
    }

    fn scan(&self, table: Table, prefix: &[u8], limit: usize) -> Result<Vec<Entry>, LedgerError> {
        many(self.key, table, self.of(table)?, prefix, limit)
    }
}

impl Write for Changes<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), LedgerError> {
        let stored = sealed(self.key, table, key, value);
        self.of_mut(table)?.insert(key, stored.as_slice()).map_err(LedgerError::store).map(drop)
    }

    fn remove(&mut self, table: Table, key: &[u8]) -> Result<(), LedgerError> {
        self.of_mut(table)?.remove(key).map_err(LedgerError::store).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_read_by_key_and_by_prefix_and_a_failure_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("t"), &[1; 32]).unwrap();
        store
            .write(|w| w.put(Table::Intents, b"ab", b"1").and_then(|()| w.put(Table::Intents, b"b", b"2")))
            .unwrap();
        store.write(|w| w.put(Table::Intents, b"ab", b"3").and(Err::<(), _>(LedgerError::Full))).unwrap_err();
        let (one, many) =
            store.read(|r| Ok((r.get(Table::Intents, b"ab")?, r.scan(Table::Intents, b"a", 9)?))).unwrap();
        assert_eq!(one.as_deref(), Some(&b"1"[..]));
        assert_eq!(many, vec![(b"ab".to_vec(), b"1".to_vec())]);
    }

    #[test]
    fn a_value_under_another_secret_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t");
        let store = Store::open(&path, &[1; 32]).unwrap();
        store.write(|w| w.put(Table::Intents, b"a", b"1")).unwrap();
        store.sync().unwrap();
        drop(store);
        let other = Store::open(&path, &[2; 32]).unwrap();
        let result = other.read(|r| r.get(Table::Intents, b"a"));
        assert!(matches!(result, Err(LedgerError::Damaged { .. })), "{result:?}");
    }
}
