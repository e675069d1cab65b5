//! The tables, wherever they are.

use std::sync::{PoisonError, RwLock};

use super::Store;
use crate::error::LedgerError;
use crate::tables::{MemoryTables, Read, Write};

/// On the disk, or in memory.
pub enum Tables {
    /// A ledger that is kept.
    Disk(Box<Store>),
    /// A server without a ledger.
    Memory(RwLock<MemoryTables>),
}

impl Tables {
    /// Reads what is committed.
    ///
    /// # Errors
    /// Those of `f`, and of the store.
    pub fn read<R>(&self, f: impl FnOnce(&dyn Read) -> Result<R, LedgerError>) -> Result<R, LedgerError> {
        match self {
            Self::Disk(store) => store.read(f),
            Self::Memory(tables) => f(&*tables.read().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    /// Changes the tables. A failure closes the ledger, so tables in memory need not be put back.
    ///
    /// # Errors
    /// Those of `f`, and of the store.
    pub fn write<R>(
        &self,
        f: impl FnOnce(&mut dyn Write) -> Result<R, LedgerError>,
    ) -> Result<R, LedgerError> {
        match self {
            Self::Disk(store) => store.write(f),
            Self::Memory(tables) => f(&mut *tables.write().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    /// Brings what is committed to the disk.
    ///
    /// # Errors
    /// If the store fails.
    pub fn sync(&self) -> Result<(), LedgerError> {
        match self {
            Self::Disk(store) => store.sync(),
            Self::Memory(_) => Ok(()),
        }
    }
}
