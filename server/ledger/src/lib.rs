//! Intents, bindings and decisions that survive a crash and show tampering.
//!
//! The [`log`] is the truth: every event is a line of a file, chained to the line before by its digest, and the head
//! of the chain is signed with every commit. Everything that is looked up ([`tables`]) is made from the log by
//! replaying it and can be made again. One thread writes both.

mod accepted;
mod apply;
pub mod config;
pub mod error;
pub mod export;
pub mod folder;
pub mod intent;
pub mod keys;
pub mod ledger;
pub mod log;
mod lookup;
pub mod problem;
pub mod record;
mod recover;
mod store;
pub mod tables;
#[cfg(test)]
mod testing;
pub mod text;
pub mod tools;
pub mod verify;
mod writer;

pub use config::{Durability, LedgerConfig, TextMode};
pub use error::{LedgerError, Refusal, RefusalKind};
pub use keys::{Keys, PublicKeys};
pub use ledger::{Ledger, Outcome};
pub use lookup::Stored;
pub use problem::Problem;
pub use record::{BindingKey, BindingKind, Content, Decision, Event, IntentVersion, Record};
pub use recover::LogEnd;
pub use tables::{MemoryTables, Read, Table, Write};
pub use verify::{Verified, verify};
pub use writer::Receipt;
