//! The one thread that writes.
//!
//! It takes what waits, decides each command against tables that already hold what the commands before it did,
//! writes all of it at once, brings it to the disk as `durability` says, writes the head, commits the tables, and
//! only then answers. While the disk works, the next batch gathers: the more is asked, the more one sync carries.
//!
//! If anything fails, nothing of the batch is answered with success and the ledger closes for good: what is on the
//! disk is no longer known, and only a new start finds out.

mod command;
mod housekeeping;
mod retention;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

pub use self::command::{Command, Decide, Receipt, Reply};
use self::retention::Retention;
use crate::apply;
use crate::error::LedgerError;
use crate::keys::Keys;
use crate::log::{Log, Place};
use crate::record::{EndAccepted, Event, Opened, Record};
use crate::store::Tables;
use crate::tables::Write;
use crate::text::Texts;

/// Commands in one batch.
const BATCH: usize = 1024;
/// Bytes that wait in memory before they are written, within a batch.
const BUFFER: usize = 8 << 20;
/// How long the thread sleeps at most when nothing is asked.
const TICK: Duration = Duration::from_millis(250);

/// Why the ledger writes no more; `None` while it does.
pub type Health = watch::Sender<Option<String>>;

/// When the writer does things by itself.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// A file of the log ends at about this size.
    pub segment_bytes: u64,
    /// A checkpoint after this many records ...
    pub checkpoint_records: u64,
    /// ... or after this long.
    pub checkpoint_every: Duration,
    /// Records older than this are removed.
    pub retain: Option<Duration>,
    /// Texts older than this are erased.
    pub retain_text: Option<Duration>,
}

/// The writing thread's state.
pub struct Writer {
    /// The end of the log.
    pub log: Log,
    /// What is made from it.
    pub tables: Arc<Tables>,
    /// Keys of texts.
    pub texts: Arc<Texts>,
    /// When to do what.
    pub rules: Rules,
    /// Whether decisions are kept.
    pub kept: bool,
    /// Ends that were accepted before the ledger was opened.
    accepted: Vec<EndAccepted>,
    retention: Option<Retention>,
    checkpointed: Instant,
    synced: Instant,
    dirty: bool,
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Writer {
    /// A writer at the end of its log.
    pub fn new(
        log: Log,
        tables: Arc<Tables>,
        texts: Arc<Texts>,
        rules: Rules,
        dir: Option<&std::path::Path>,
    ) -> Self {
        let now = Instant::now();
        let retention = dir.map(|dir| Retention::new(dir, &rules));
        let kept = dir.is_some();
        Self {
            log,
            tables,
            texts,
            rules,
            kept,
            accepted: Vec::new(),
            retention,
            checkpointed: now,
            synced: now,
            dirty: false,
        }
    }

    /// That a person accepted these ends is recorded when it opens.
    #[must_use]
    pub fn after(self, accepted: Vec<EndAccepted>) -> Self {
        Self { accepted, ..self }
    }

    /// Records that a server opened the ledger, and what was accepted before it did, and makes both slots of the head good.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn open(&mut self, keys: &Keys) -> Result<(), LedgerError> {
        let tables = Arc::clone(&self.tables);
        tables.write(|tables| {
            self.make_room(tables)?;
            if apply::key_introduced(tables)?.as_deref() != Some(keys.kid()) {
                self.add(Event::Key(keys.introduced()), tables)?;
            }
            for end in std::mem::take(&mut self.accepted) {
                self.add(Event::EndAccepted(end), tables)?;
            }
            let version = env!("CARGO_PKG_VERSION").to_owned();
            self.add(Event::Opened(Opened { version, text: self.texts.mode().name().to_owned() }), tables)?;
            self.commit(tables)
        })?;
        self.log.head()?;
        self.sync()
    }

    /// Works until it is told to close, or nobody is left who could ask, or something fails.
    ///
    /// # Errors
    /// What failed.
    pub fn run(mut self, commands: &Receiver<Command>) -> Result<(), LedgerError> {
        loop {
            let (batch, last) = gather(commands, self.patience());
            if !batch.is_empty() {
                let replies = self.batch(batch)?;
                replies.into_iter().for_each(|(reply, result)| reply(result));
            }
            if last {
                return self.close();
            }
            self.keep_house()?;
        }
    }

    fn batch(&mut self, batch: Vec<Decide>) -> Result<Vec<Answer>, LedgerError> {
        let tables = Arc::clone(&self.tables);
        tables.write(|tables| {
            self.make_room(tables)?;
            let mut answers = Vec::with_capacity(batch.len());
            for decide in batch {
                answers.push(self.decide(decide, tables)?);
                if self.log.waiting() > BUFFER {
                    self.log.commit()?;
                }
            }
            if self.log.since_checkpoint() >= self.rules.checkpoint_records {
                self.checkpoint(tables)?;
            }
            self.commit(tables)?;
            Ok(answers)
        })
    }

    /// One command.
    fn decide(&mut self, decide: Decide, tables: &mut dyn Write) -> Result<Answer, LedgerError> {
        let (events, reply) = decide(tables, now_ms());
        let mut receipts = Vec::with_capacity(events.len());
        for event in events {
            match self.add(event, tables) {
                Ok((record, place)) => receipts.push(Receipt::new(&record, &place)),
                // Too long: this command's own fault, and nothing of the event was added.
                Err(e @ LedgerError::Input(_)) => return Ok((reply, Err(e))),
                Err(e) => return Err(e),
            }
        }
        Ok((reply, Ok(receipts)))
    }

    fn add(&mut self, event: Event, tables: &mut dyn Write) -> Result<(Record, Place), LedgerError> {
        let (record, place) = self.log.append(event, now_ms())?;
        apply::apply(tables, &record, self.kept.then_some(&place))?;
        Ok((record, place))
    }

    fn checkpoint(&mut self, tables: &mut dyn Write) -> Result<(), LedgerError> {
        let event = self.log.checkpoint();
        self.add(event, tables)?;
        self.checkpointed = Instant::now();
        Ok(())
    }

    fn commit(&mut self, tables: &mut dyn Write) -> Result<(), LedgerError> {
        // What must survive the loss of power is signed in the log itself: the head may not have reached the disk.
        if self.log.needs_checkpoint() {
            self.checkpoint(tables)?;
        }
        apply::set_progress(tables, self.log.at())?;
        self.dirty = true;
        self.log.commit()
    }

    /// Goes on with a new file if the current one is full, or has no key for texts that are to be encrypted.
    fn make_room(&mut self, tables: &mut dyn Write) -> Result<(), LedgerError> {
        let at = self.log.at();
        if at.segment > 0 && at.offset < self.rules.segment_bytes && self.texts.ready(at.segment) {
            return Ok(());
        }
        if at.segment > 0 && self.log.since_checkpoint() > 0 {
            self.checkpoint(tables)?;
        }
        self.log.commit()?;
        let begun = self.log.begin()?;
        self.add(begun, tables).map(drop)
    }

    /// How long to wait for commands.
    fn patience(&self) -> Duration {
        match &self.retention {
            Some(retention) if retention.busy() => Duration::ZERO,
            _ => TICK,
        }
    }
}

type Answer = (Reply, Result<Vec<Receipt>, LedgerError>);

/// Waits for a command and takes those behind it; says whether they are the last.
fn gather(commands: &Receiver<Command>, patience: Duration) -> (Vec<Decide>, bool) {
    let mut batch = Vec::new();
    match commands.recv_timeout(patience) {
        Ok(Command::Do(decide)) => batch.push(decide),
        Ok(Command::Close) | Err(RecvTimeoutError::Disconnected) => return (batch, true),
        Err(RecvTimeoutError::Timeout) => return (batch, false),
    }
    while batch.len() < BATCH {
        match commands.try_recv() {
            Ok(Command::Do(decide)) => batch.push(decide),
            Ok(Command::Close) | Err(TryRecvError::Disconnected) => return (batch, true),
            Err(TryRecvError::Empty) => break,
        }
    }
    (batch, false)
}
