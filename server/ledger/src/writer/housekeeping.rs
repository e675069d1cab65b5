//! What the writer does by itself, between batches.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Writer;
use crate::error::LedgerError;

/// What was written is on the disk after about this long, whatever `durability` says; a start after a crash replays
/// no more than this.
const SYNC: Duration = Duration::from_secs(1);

impl Writer {
    /// Checkpoints, syncs and retires, each when it is due.
    pub(super) fn keep_house(&mut self) -> Result<(), LedgerError> {
        if self.log.since_checkpoint() > 0 && self.checkpointed.elapsed() >= self.rules.checkpoint_every {
            self.sign()?;
        }
        if self.dirty && self.synced.elapsed() >= SYNC {
            self.sync()?;
        }
        self.retire()
    }

    /// Writes a checkpoint by itself.
    pub(super) fn sign(&mut self) -> Result<(), LedgerError> {
        let tables = Arc::clone(&self.tables);
        tables.write(|tables| {
            self.checkpoint(tables)?;
            self.commit(tables)
        })
    }

    /// Brings log, head and tables to the disk, in this order: tables that know more than the log are then no crash,
    /// but a log that somebody cut off.
    pub(super) fn sync(&mut self) -> Result<(), LedgerError> {
        self.log.sync()?;
        self.tables.sync()?;
        self.synced = Instant::now();
        self.dirty = false;
        Ok(())
    }

    /// An orderly end.
    pub(super) fn close(&mut self) -> Result<(), LedgerError> {
        if self.log.since_checkpoint() > 0 {
            self.sign()?;
        }
        self.sync()
    }
}
