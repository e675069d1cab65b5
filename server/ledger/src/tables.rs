//! What is looked up: tables of bytes by bytes, made from the log and nothing else.

use std::collections::BTreeMap;

use crate::error::LedgerError;

/// A table. Keys are built by the module that owns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Registered intents with their versions, by id.
    Intents,
    /// Intent ids by tenant, kind and value of a binding.
    Bindings,
    /// What is counted: bindings by tenant.
    Counts,
    /// Intent ids by tenant and the registering request's id.
    Registrations,
    /// Intent id and version by chain (`txn`).
    IntentChains,
    /// Place of a decision in the log, by its id.
    Decisions,
    /// Places of decisions, by tenant and request id.
    Requests,
    /// Places of a chain's decisions, by tenant, chain and arrival.
    Chains,
    /// What tools say of themselves, by tenant, server and name.
    Tools,
    /// What the log itself keeps: how far the tables have come.
    Progress,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Intents,
        Self::Bindings,
        Self::Counts,
        Self::Registrations,
        Self::IntentChains,
        Self::Decisions,
        Self::Requests,
        Self::Chains,
        Self::Tools,
        Self::Progress,
    ];
}

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// Reads tables.
pub trait Read {
    /// The value of a key.
    ///
    /// # Errors
    /// If the store fails.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerError>;

    /// Entries whose keys begin with `prefix`, in the order of the keys, at most `limit`.
    ///
    /// # Errors
    /// If the store fails.
    fn scan(&self, table: Table, prefix: &[u8], limit: usize) -> Result<Vec<Entry>, LedgerError>;
}

/// Changes tables.
pub trait Write: Read {
    /// Sets a value.
    ///
    /// # Errors
    /// If the store fails.
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), LedgerError>;

    /// Removes a value, if there is one.
    ///
    /// # Errors
    /// If the store fails.
    fn remove(&mut self, table: Table, key: &[u8]) -> Result<(), LedgerError>;
}

/// Tables in memory: for a server without a ledger, and for tests.
#[derive(Debug, Clone, Default)]
pub struct MemoryTables {
    entries: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
}

impl Read for MemoryTables {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerError> {
        Ok(self.entries.get(&(table, key.to_vec())).cloned())
    }

    fn scan(&self, table: Table, prefix: &[u8], limit: usize) -> Result<Vec<Entry>, LedgerError> {
        let from = self.entries.range((table, prefix.to_vec())..);
        let ours = from.take_while(|((t, key), _)| *t == table && key.starts_with(prefix));
        Ok(ours.take(limit).map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }
}

impl Write for MemoryTables {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), LedgerError> {
        self.entries.insert((table, key.to_vec()), value.to_vec());
        Ok(())
    }

    fn remove(&mut self, table: Table, key: &[u8]) -> Result<(), LedgerError> {
        self.entries.remove(&(table, key.to_vec()));
        Ok(())
    }
}
