//! The ledger as the rest of the server sees it.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use crate::accepted;
use crate::config::{Durability, LedgerConfig};
use crate::error::LedgerError;
use crate::folder;
use crate::folder::Lock;
use crate::keys::{Keys, PublicKeys};
use crate::log::append::Start;
use crate::log::{Log, Nowhere, Place};
use crate::lookup::{self, Stored};
use crate::record::{Content, Decision, Event, IntentVersion};
use crate::recover::{self, LogEnd, Opened};
use crate::store::Tables;
use crate::tables::{MemoryTables, Read};
use crate::text::{self, Texts};
use crate::writer::{Command, Decide, Health, Receipt, Rules, Writer};

const QUEUE_WITHOUT_FILES: usize = 4096;

/// What a change comes to: events to record, and the answer, which may be a refusal that is itself recorded.
#[derive(Debug)]
pub struct Outcome<R> {
    /// To be recorded, in this order.
    pub events: Vec<Event>,
    /// For the caller, once they are.
    pub reply: Result<R, LedgerError>,
}

impl<R> Outcome<R> {
    /// Done.
    pub fn done(events: Vec<Event>, reply: R) -> Self {
        Self { events, reply: Ok(reply) }
    }

    /// Not done, and nothing to record.
    pub fn refused(error: impl Into<LedgerError>) -> Self {
        Self { events: Vec::new(), reply: Err(error.into()) }
    }
}

/// A handle on the ledger; a clone is one more handle on the same.
#[derive(Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
}

struct Shared {
    commands: SyncSender<Command>,
    tables: Arc<Tables>,
    texts: Arc<Texts>,
    dir: Option<PathBuf>,
    health: watch::Receiver<Option<String>>,
    thread: Mutex<Option<JoinHandle<Result<(), LedgerError>>>>,
}

impl Ledger {
    /// Opens a ledger, makes it if there is none, and starts its thread. Blocks while the log is checked.
    ///
    /// # Errors
    /// [`LedgerError::Damaged`] names what is not as it was written; then nothing is touched.
    pub fn open(config: &LedgerConfig, keys: Arc<Keys>) -> Result<Self, LedgerError> {
        Self::on(config, &keys, recover::open(config, &keys)?)
    }

    /// Where the log of a ledger that is not in use ends, and where it should.
    ///
    /// # Errors
    /// If a record before the end is damaged, or the log cannot be read.
    pub fn log_end(config: &LedgerConfig, keys: &PublicKeys) -> Result<LogEnd, LedgerError> {
        recover::log_end(config, keys)
    }

    /// Signs a head where the log ends, at record `last`. For a person who knows why it ends too early: power was lost under
    /// [`Durability::Os`], or the log was put back from a copy.
    ///
    /// # Errors
    /// If it ends elsewhere or nothing is missing, a record before the end is damaged, or the ledger is in use.
    pub fn accept_end(config: &LedgerConfig, keys: &Keys, last: u64) -> Result<(), LedgerError> {
        recover::accept_end(config, keys, last)
    }

    /// A ledger on what was opened.
    pub(crate) fn on(config: &LedgerConfig, keys: &Keys, opened: Opened) -> Result<Self, LedgerError> {
        let dir = folder::log(&config.path);
        let (tables, texts) = (opened.tables, opened.texts);
        let writer = Writer::new(opened.log, tables, texts, rules(config), Some(&dir)).after(opened.accepted);
        let ledger = Self::start(writer, keys, Some(dir.clone()), Some(opened.lock), config.queue)?;
        accepted::forget(&dir)?;
        Ok(ledger)
    }

    /// A ledger for a server that keeps none: intents and bindings live as long as it, decisions are not kept.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn in_memory(keys: Arc<Keys>) -> Result<Self, LedgerError> {
        let texts = Arc::new(Texts::nowhere());
        let disk = Box::new(Nowhere);
        let log = Log::new(disk, Arc::clone(&keys), Arc::clone(&texts), Durability::Os, Start::default());
        let tables = Arc::new(Tables::Memory(RwLock::new(MemoryTables::default())));
        let writer = Writer::new(log, tables, texts, rules(&LedgerConfig::at("")), None);
        Self::start(writer, &keys, None, None, QUEUE_WITHOUT_FILES)
    }

    /// Starts the thread of a writer.
    fn start(
        mut writer: Writer,
        keys: &Keys,
        dir: Option<PathBuf>,
        lock: Option<Lock>,
        queue: usize,
    ) -> Result<Self, LedgerError> {
        writer.open(keys)?;
        let (commands, waiting) = sync_channel(queue);
        let (report, health) = watch::channel(None);
        let (tables, texts) = (Arc::clone(&writer.tables), Arc::clone(&writer.texts));
        let thread = std::thread::Builder::new().name("rhumb-ledger".to_owned());
        let thread = thread.spawn(move || work(writer, waiting, report, lock));
        let thread = thread.map_err(|e| LedgerError::store(format!("no thread for the ledger: {e}")))?;
        let thread = Mutex::new(Some(thread));
        Ok(Self { shared: Arc::new(Shared { commands, tables, texts, dir, health, thread }) })
    }

    /// Whether decisions are kept.
    pub fn is_kept(&self) -> bool {
        self.shared.dir.is_some()
    }

    /// Whether the ledger still records.
    pub fn is_healthy(&self) -> bool {
        self.shared.health.borrow().is_none()
    }

    /// Says why the ledger records no more, when it does; `None` while it records.
    pub fn health(&self) -> watch::Receiver<Option<String>> {
        self.shared.health.clone()
    }

    /// Records a decision; returns when it is as safe as the configuration asks for.
    ///
    /// # Errors
    /// [`LedgerError::Full`] at once if too much waits; [`LedgerError::Closed`] if it is not recorded, or it is not
    /// known whether it is.
    pub async fn record(&self, decision: Decision) -> Result<Receipt, LedgerError> {
        let events = vec![Event::Decision(Box::new(decision))];
        let (receipts, ()) = self.submit(move |_, _| Outcome::done(events, ())).await?;
        receipts.first().copied().ok_or_else(|| LedgerError::store("a decision was not recorded"))
    }

    /// Records decisions together: all of them, or none.
    ///
    /// # Errors
    /// As [`Ledger::record`].
    pub async fn record_all(&self, decisions: Vec<Decision>) -> Result<(), LedgerError> {
        let events = decisions.into_iter().map(|decision| Event::Decision(Box::new(decision))).collect();
        self.submit(move |_, _| Outcome::done(events, ())).await.map(|_| ())
    }

    /// Decides on the state as it is, the clock (ms since 1970) included, and records what comes of it. Nothing else
    /// is decided in between.
    ///
    /// # Errors
    /// Those of `decide`, once its events are recorded; and those of [`Ledger::record`].
    pub async fn change<R: Send + 'static>(
        &self,
        decide: impl FnOnce(&dyn Read, u64) -> Outcome<R> + Send + 'static,
    ) -> Result<R, LedgerError> {
        self.submit(decide).await.map(|(_, reply)| reply)
    }

    async fn submit<R: Send + 'static>(
        &self,
        decide: impl FnOnce(&dyn Read, u64) -> Outcome<R> + Send + 'static,
    ) -> Result<(Vec<Receipt>, R), LedgerError> {
        let (answer, answered) = oneshot::channel();
        let decide: Decide = Box::new(move |tables, now_ms| {
            let decided = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| decide(tables, now_ms)));
            let failed = |_| Outcome::refused(LedgerError::store("a command failed before it was decided"));
            let Outcome { events, reply } = decided.unwrap_or_else(failed);
            let tell = move |recorded: Result<Vec<Receipt>, LedgerError>| {
                // Nobody waits any more: the events are recorded all the same.
                let _ = answer.send(recorded.and_then(|receipts| Ok((receipts, reply?))));
            };
            (events, Box::new(tell))
        });
        self.shared.commands.try_send(Command::Do(decide)).map_err(|e| match e {
            TrySendError::Full(_) => LedgerError::Full,
            TrySendError::Disconnected(_) => self.closed(),
        })?;
        match answered.await {
            Ok(answer) => answer,
            // Only a ledger that ends leaves a command without an answer; its reason may be on the way.
            Err(_) => {
                let _ = self.health().wait_for(Option::is_some).await;
                Err(self.closed())
            }
        }
    }

    fn closed(&self) -> LedgerError {
        LedgerError::Closed(self.shared.health.borrow().clone().unwrap_or_else(|| "it was closed".to_owned()))
    }

    /// Reads the tables; sees everything that was acknowledged.
    ///
    /// # Errors
    /// Those of `f`, and of the store.
    pub fn read<R>(&self, f: impl FnOnce(&dyn Read) -> Result<R, LedgerError>) -> Result<R, LedgerError> {
        self.shared.tables.read(f)
    }

    /// A decision by its id.
    ///
    /// # Errors
    /// If what is stored is damaged or cannot be read.
    pub fn decision(&self, id: &str) -> Result<Option<Stored<Decision>>, LedgerError> {
        let place = self.read(|tables| lookup::place(tables, id.as_bytes()))?;
        place.map_or(Ok(None), |place| self.at(&place))
    }

    /// The newest decision on a request; of any tenant if none is named.
    ///
    /// # Errors
    /// If what is stored is damaged or cannot be read.
    pub fn by_request(
        &self,
        tenant: Option<&str>,
        request: &str,
    ) -> Result<Option<Stored<Decision>>, LedgerError> {
        let place = self.read(|tables| lookup::by_request(tables, tenant, request))?;
        place.map_or(Ok(None), |place| self.at(&place))
    }

    /// The last `limit` decisions of a chain in order of arrival, one at a time; of any tenant if none is named. Words of
    /// users are opened where `words` asks for them.
    ///
    /// # Errors
    /// If what is stored is damaged or cannot be read, and what `take` says.
    pub fn chain<E: From<LedgerError>>(
        &self,
        tenant: Option<&str>,
        chain: &str,
        limit: usize,
        words: bool,
        mut take: impl FnMut(Stored<Decision>) -> Result<(), E>,
    ) -> Result<(), E> {
        let places = self.read(|tables| lookup::chain(tables, tenant, chain))?;
        let Some(dir) = &self.shared.dir else { return Ok(()) };
        for place in places.iter().skip(places.len().saturating_sub(limit)) {
            let stored = if words { self.at(place)? } else { lookup::decision(dir, place)? };
            stored.map_or(Ok(()), &mut take)?;
        }
        Ok(())
    }

    /// Decisions of a chain.
    ///
    /// # Errors
    /// If what is stored cannot be read.
    pub fn chain_len(&self, tenant: Option<&str>, chain: &str) -> Result<usize, LedgerError> {
        self.read(|tables| lookup::chain(tables, tenant, chain)).map(|places| places.len())
    }

    fn at(&self, place: &Place) -> Result<Option<Stored<Decision>>, LedgerError> {
        let Some(dir) = &self.shared.dir else { return Ok(None) };
        let Some(mut stored) = lookup::decision(dir, place)? else { return Ok(None) };
        stored.value.content = self.reveal(&text::decision_name(&stored.value), &stored.value.content);
        Ok(Some(stored))
    }

    /// Words of users, decrypted if they can be; `name` is that of [`text::decision_name`] or
    /// [`text::intent_name`].
    pub fn reveal(&self, name: &str, content: &Content) -> Content {
        self.shared.texts.reveal(name, content)
    }

    /// The text of a registered intent, if it is kept and can be decrypted.
    pub fn text_of(&self, version: &IntentVersion) -> Option<String> {
        match self.reveal(&text::intent_name(version), &version.text) {
            Content::Plain(serde_json::Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// Records what waits, signs a checkpoint, brings everything to the disk and ends the thread. Other handles then
    /// only read. Blocks.
    ///
    /// # Errors
    /// What failed, now or before.
    pub fn close(self) -> Result<(), LedgerError> {
        let _ = self.shared.commands.send(Command::Close);
        let thread = self.shared.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        match thread.map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(LedgerError::Closed("its thread failed".to_owned())),
            None => Ok(()),
        }
    }
}

fn rules(config: &LedgerConfig) -> Rules {
    let days = |days: u32| (days > 0).then(|| Duration::from_secs(u64::from(days) * 86_400));
    Rules {
        segment_bytes: config.segment_mb << 20,
        checkpoint_records: config.checkpoint_records,
        checkpoint_every: Duration::from_secs(config.checkpoint_seconds),
        retain: days(config.retain_days),
        retain_text: days(config.retain_text_days),
    }
}

/// The thread. Health is told before the queue goes, so that whoever finds the queue gone finds the reason.
fn work(
    writer: Writer,
    waiting: Receiver<Command>,
    report: Health,
    lock: Option<Lock>,
) -> Result<(), LedgerError> {
    let run = std::panic::AssertUnwindSafe(|| writer.run(&waiting));
    let result = std::panic::catch_unwind(run)
        .unwrap_or_else(|_| Err(LedgerError::Closed("its thread failed".to_owned())));
    let reason = match &result {
        Ok(()) => "it was closed".to_owned(),
        Err(e) => {
            tracing::error!("the ledger records no more: {e}");
            e.to_string()
        }
    };
    report.send_replace(Some(reason));
    drop(waiting);
    drop(lock);
    result
}

#[cfg(test)]
mod kill;
#[cfg(test)]
mod tests;
