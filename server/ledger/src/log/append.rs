//! The end of the log, where the one writer adds to it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::disk::Disk;
use super::head;
use super::line::{MAX_JSON, PREFIX, chained, hex};
use super::place::{Place, Position};
use crate::config::Durability;
use crate::error::LedgerError;
use crate::keys::Keys;
use crate::record::{Checkpoint, Event, Record, SegmentBegun};
use crate::text::Texts;

/// What the signature of a checkpoint is over.
pub fn checkpoint_message(digest: &str) -> Vec<u8> {
    format!("rhumb-checkpoint-1 {digest}").into_bytes()
}

/// The log's end.
pub struct Log {
    disk: Box<dyn Disk>,
    keys: Arc<Keys>,
    texts: Arc<Texts>,
    durability: Durability,
    at: Position,
    time_ms: u64,
    slot: usize,
    buffer: Vec<u8>,
    since_checkpoint: u64,
    synced: bool,
}

/// Where and when a log goes on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Start {
    /// After this record.
    pub at: Position,
    /// The time of it.
    pub time_ms: u64,
    /// The slot that the next head goes to.
    pub slot: usize,
}

impl Log {
    /// Goes on.
    pub fn new(
        disk: Box<dyn Disk>,
        keys: Arc<Keys>,
        texts: Arc<Texts>,
        durability: Durability,
        start: Start,
    ) -> Self {
        let Start { at, time_ms, slot } = start;
        let (buffer, since_checkpoint, synced) = (Vec::new(), 0, true);
        Self { disk, keys, texts, durability, at, time_ms, slot, buffer, since_checkpoint, synced }
    }

    /// How far it goes, what is not yet written included.
    pub fn at(&self) -> Position {
        self.at
    }

    /// Records since the last checkpoint.
    pub fn since_checkpoint(&self) -> u64 {
        self.since_checkpoint
    }

    /// Whether what was appended must be signed before it is acknowledged.
    pub fn needs_checkpoint(&self) -> bool {
        self.durability == Durability::Disk && self.since_checkpoint > 0
    }

    /// Bytes that wait for [`Log::commit`].
    pub fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// Adds an event to what the next [`Log::commit`] writes.
    ///
    /// # Errors
    /// If it is too long for a record; then nothing is added.
    pub fn append(&mut self, mut event: Event, now_ms: u64) -> Result<(Record, Place), LedgerError> {
        self.texts.protect(&mut event, self.at.segment)?;
        // Clocks go back; the log does not.
        let time_ms = self.time_ms.max(now_ms);
        let record = Record { seq: self.at.seq + 1, time_ms, event };
        let json = serde_json::to_vec(&record).map_err(LedgerError::store)?;
        if json.len() > MAX_JSON {
            let problem = format!("{} bytes are more than a record may have", json.len());
            return Err(rhumb_drift::InputError::new("request", problem).into());
        }
        let place = self.place(&json);
        self.buffer.extend_from_slice(hex(&place.digest).as_bytes());
        self.buffer.push(b' ');
        self.buffer.extend_from_slice(&json);
        self.buffer.push(b'\n');
        self.at = place.end();
        self.time_ms = time_ms;
        self.since_checkpoint =
            if matches!(record.event, Event::Checkpoint(_)) { 0 } else { self.since_checkpoint + 1 };
        Ok((record, place))
    }

    fn place(&self, json: &[u8]) -> Place {
        let Position { seq, segment, offset, digest: previous } = self.at;
        let digest = chained(&previous, json);
        let len = u32::try_from(PREFIX + json.len()).unwrap_or(u32::MAX);
        Place { seq: seq + 1, segment, offset, len, previous, digest }
    }

    /// The signature over everything so far, to be appended.
    pub fn checkpoint(&self) -> Event {
        let digest = hex(&self.at.digest);
        let signature = URL_SAFE_NO_PAD.encode(self.keys.sign(&checkpoint_message(&digest)));
        Event::Checkpoint(Checkpoint { kid: self.keys.kid().to_owned(), digest, signature })
    }

    /// Begins a new file. What was appended must be committed before. Returns the event that must come first.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn begin(&mut self) -> Result<Event, LedgerError> {
        // A file that is not the last must be whole after any crash.
        self.sync()?;
        let number = self.at.segment + 1;
        let text_key = self.texts.begin(number)?;
        self.disk.begin(number)?;
        self.at = Position { segment: number, offset: 0, ..self.at };
        Ok(Event::Segment(SegmentBegun { number, text_key }))
    }

    /// Writes what waits, and the head.
    ///
    /// # Errors
    /// If the file system refuses: then nothing of it may be acknowledged, and the log must not be used again.
    pub fn commit(&mut self) -> Result<(), LedgerError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.disk.append(&self.buffer)?;
        self.buffer.clear();
        self.synced = self.durability == Durability::Disk;
        if self.synced {
            self.disk.sync()?;
        }
        self.head()
    }

    /// Writes the head where the log is.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn head(&mut self) -> Result<(), LedgerError> {
        self.disk.head(self.slot, &head::slot(&self.at, &self.keys)?)?;
        self.slot = 1 - self.slot;
        Ok(())
    }

    /// Brings everything committed to the disk, the head too.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn sync(&mut self) -> Result<(), LedgerError> {
        if !self.synced {
            self.disk.sync()?;
            self.synced = true;
        }
        self.disk.sync_head()
    }
}
