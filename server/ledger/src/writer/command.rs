//! What the writer is asked to do.

use crate::error::LedgerError;
use crate::log::{Digest, Place};
use crate::record::{Event, Record};
use crate::tables::Read;

/// Where and when something was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Number of the record.
    pub seq: u64,
    /// Its digest.
    pub digest: Digest,
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
}

impl Receipt {
    /// Of a record.
    pub fn new(record: &Record, place: &Place) -> Self {
        Self { seq: record.seq, digest: place.digest, time_ms: record.time_ms }
    }
}

/// Called when the events are recorded. Dropped without a call if they may not be.
pub type Reply = Box<dyn FnOnce(Result<Vec<Receipt>, LedgerError>) + Send>;

/// Looks at the tables and the clock (ms) and says what to record.
pub type Decide = Box<dyn FnOnce(&dyn Read, u64) -> (Vec<Event>, Reply) + Send>;

/// A command.
pub enum Command {
    /// Decide and record.
    Do(Decide),
    /// Finish and end.
    Close,
}
