//! HOOKS: where the registry of intents and the key store are wired in.

use crate::error::LedgerError;
use crate::keys::Keys;
use crate::record::{KeyIntroduced, Record};
use crate::tables::Write;

/// Brings an event about intents, bindings or tokens into the tables. HOOK: `crate::intent::apply(tables, record)`.
pub fn apply_intent(_tables: &mut dyn Write, _record: &Record) -> Result<(), LedgerError> {
    Ok(())
}

/// The event that introduces the signing key. HOOK: `keys.introduced()`.
pub fn introduced(keys: &Keys) -> KeyIntroduced {
    KeyIntroduced { kid: keys.kid().to_owned(), x: String::new() }
}
