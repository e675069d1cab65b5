//! Intents, bindings and decisions that survive a crash and show tampering.
//!
//! The log  is the truth: every event is a line of a file, chained to the line before by its digest, and the head
//! of the chain is signed with every commit. Everything that is looked up ([`tables`]) is made from the log by
//! replaying it and can be made again. One thread writes both.

pub mod error;
pub mod intent;
pub mod keys;
pub mod record;
pub mod tables;

pub use error::{LedgerError, Refusal, RefusalKind};
pub use keys::{Keys, PublicKeys};
pub use record::{BindingKey, BindingKind, Content, Decision, Event, IntentVersion, Record};
pub use tables::{MemoryTables, Read, Table, Write};
