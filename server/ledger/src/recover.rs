//! From a folder to a log that can be written and tables that agree with it.

use std::path::Path;
use std::sync::Arc;

use crate::apply;
use crate::config::{LedgerConfig, StartCheck};
use crate::error::LedgerError;
use crate::folder::{self, Lock};
use crate::keys::{Keys, PublicKeys};
use crate::log::append::Start;
use crate::log::head::{self, Found};
use crate::log::{Disk, End, Files, Head, Log, Position, Scan, lines};
use crate::record::Record;
use crate::store::{Store, Tables};
use crate::text::Texts;

/// Records that are replayed into the tables in one commit.
const REPLAY: usize = 1000;

/// What was opened.
pub struct Opened {
    /// The end of the log.
    pub log: Log,
    /// The tables.
    pub tables: Arc<Tables>,
    /// The keys of texts.
    pub texts: Arc<Texts>,
    /// Held as long as the log is written.
    pub lock: Lock,
}

/// Opens a ledger; makes it if there is none.
///
/// # Errors
/// [`LedgerError::Damaged`] if what lies there is not what was written.
pub fn open(config: &LedgerConfig, keys: &Arc<Keys>) -> Result<Opened, LedgerError> {
    open_on(config, keys, |files| Box::new(files))
}

/// As [`open`]; `on` may put something between the log and its files.
pub(crate) fn open_on(
    config: &LedgerConfig,
    keys: &Arc<Keys>,
    on: impl FnOnce(Files) -> Box<dyn Disk>,
) -> Result<Opened, LedgerError> {
    config.check()?;
    let root = config.path.as_path();
    folder::create(root)?;
    let lock = Lock::writer(root)?;
    let texts = Arc::new(Texts::open(root, config.text, &config.text_key_path())?);
    let dir = folder::log(root);
    let head = head(&dir, keys)?;
    let (store, end) = agree(config, &dir, head)?;
    if end.tail_bytes > 0 {
        tracing::warn!(
            bytes = end.tail_bytes,
            after = end.at.seq,
            "a record that was half written is cut off the log"
        );
    }
    for later in lines::list(&dir)?.into_iter().filter(|segment| *segment > end.at.segment) {
        let path = lines::path(&dir, later);
        std::fs::remove_file(&path).map_err(LedgerError::io(&path))?;
    }
    let disk = on(Files::open(&dir, end.at.segment, end.at.offset)?);
    let start = Start { at: end.at, time_ms: end.time_ms, slot: 1 - head.slot };
    let log = Log::new(disk, Arc::clone(keys), Arc::clone(&texts), config.durability, start);
    Ok(Opened { log, tables: Arc::new(Tables::Disk(Box::new(store))), texts, lock })
}

/// Signs a head where the log ends, after power was lost under `durability = "os"`. Returns the last record that is
/// left. What was cut off stays lost; a damaged record before the end is still an error.
///
/// # Errors
/// If the log is damaged, or cannot be read or written.
pub fn accept_end(config: &LedgerConfig, keys: &Keys) -> Result<u64, LedgerError> {
    let _lock = Lock::writer(&config.path)?;
    let dir = folder::log(&config.path);
    let nobody = Head { newest: Position::default(), slot: 0, other: None };
    let mut scan = Scan::new(&dir, nobody, Position::default())?;
    while scan.record()?.is_some() {}
    let at = scan.finish()?.at;
    let slot = head::slot(&at, keys)?;
    folder::write_whole(&dir.join("HEAD"), &[slot.clone(), slot].concat())?;
    tracing::warn!(last = at.seq, "the ledger's head was signed anew where the log ends");
    Ok(at.seq)
}

/// The signed head; a fresh one where there is no log.
fn head(dir: &Path, keys: &Keys) -> Result<Head, LedgerError> {
    let path = dir.join("HEAD");
    let Some(Found { head, problems }) = head::read(&path, keys.public())? else {
        return fresh(dir, keys);
    };
    let problems = problems.join(", ");
    let Some(head) = head else { return Err(LedgerError::damaged("log/HEAD", problems)) };
    if !problems.is_empty() {
        tracing::warn!("log/HEAD: {problems}; the other slot counts");
    }
    Ok(head)
}

fn fresh(dir: &Path, keys: &Keys) -> Result<Head, LedgerError> {
    if !lines::list(dir)?.is_empty() {
        return Err(LedgerError::damaged("log/HEAD", "is missing"));
    }
    let nothing = Position::default();
    let slot = head::slot(&nothing, keys)?;
    folder::write_whole(&dir.join("HEAD"), &[slot.clone(), slot].concat())?;
    Ok(Head { newest: nothing, slot: 0, other: Some(nothing) })
}

/// Checks the log, and brings the tables to where it ends.
fn agree(config: &LedgerConfig, dir: &Path, head: Head) -> Result<(Store, End), LedgerError> {
    let path = folder::tables(&config.path);
    let secret = folder::secret_or_new(&folder::state_key(&config.path))?;
    let opened = Store::open(&path, &secret).and_then(|store| {
        let progress = store.read(|tables| apply::progress(tables))?;
        Ok((store, progress))
    });
    let progress = opened.as_ref().map_or(Position::default(), |(_, progress)| *progress);
    let (end, met) = check(dir, head, config.check, progress)?;
    if progress.seq > end.at.seq {
        let what = format!(
            "has seen record {}, but the log ends at {}: it was cut off, or put back from a copy; in that case delete \
             tables.redb, it is made again from the log",
            progress.seq, end.at.seq
        );
        return Err(LedgerError::damaged("tables.redb", what));
    }
    let (store, from) = match opened {
        Ok(pair) if met => pair,
        Ok(_) => (anew(&path, &secret, "they disagree with the log")?, Position::default()),
        Err(e) => (anew(&path, &secret, &e.to_string())?, Position::default()),
    };
    replay(&store, dir, head, from, end.at)?;
    Ok((store, end))
}

fn anew(path: &Path, secret: &[u8; 32], why: &str) -> Result<Store, LedgerError> {
    tracing::warn!("the ledger's tables are made again from the log: {why}");
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(LedgerError::io(path)(e)),
    }
    Store::open(path, secret)
}

/// Where the log ends, and whether it passes through the place where the tables are.
fn check(dir: &Path, head: Head, how: StartCheck, tables: Position) -> Result<(End, bool), LedgerError> {
    // Tables beyond the head are no start: a crash can have left them, but nobody signed for their place.
    let skip = how == StartCheck::Recent && tables.seq <= head.newest.seq;
    let from = if skip { tables } else { Position::default() };
    let mut scan = Scan::new(dir, head, from)?;
    let mut met = tables == from;
    while let Some(record) = scan.record()? {
        met |= record.place.end() == tables;
    }
    Ok((scan.finish()?, met))
}

fn replay(store: &Store, dir: &Path, head: Head, from: Position, to: Position) -> Result<(), LedgerError> {
    if from.seq >= to.seq {
        return Ok(());
    }
    let mut scan = Scan::new(dir, head, from)?;
    let mut done = from;
    while done.seq < to.seq {
        let before = done.seq;
        done = store.write(|tables| {
            let mut at = done;
            for _ in 0..REPLAY {
                let Some(line) = scan.record()? else { break };
                let record: Record =
                    serde_json::from_slice(line.json).map_err(|e| line.problem(e.to_string()))?;
                apply::apply(tables, &record, Some(&line.place))?;
                at = line.place.end();
            }
            apply::set_progress(tables, at).map(|()| at)
        })?;
        if done.seq == before {
            return Err(LedgerError::damaged("log", "changed while it was read"));
        }
    }
    tracing::info!(records = to.seq - from.seq, "the ledger's tables caught up with the log");
    store.sync()
}

/// The head for one who only reads.
///
/// # Errors
/// If the file cannot be read.
pub fn read_head(dir: &Path, keys: &PublicKeys) -> Result<Option<Found>, LedgerError> {
    head::read(&dir.join("HEAD"), keys)
}
