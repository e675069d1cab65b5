//! Where the registry of intents and the key store are wired in.

use crate::error::LedgerError;
use crate::keys::Keys;
use crate::record::{KeyIntroduced, Record};
use crate::tables::Write;

/// Brings an event about intents, bindings or tokens into the tables.
pub fn apply_intent(tables: &mut dyn Write, record: &Record) -> Result<(), LedgerError> {
    crate::intent::apply::apply(tables, record)
}

/// The event that introduces the signing key.
pub fn introduced(keys: &Keys) -> KeyIntroduced {
    keys.introduced()
}
