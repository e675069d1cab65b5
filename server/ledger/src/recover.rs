//! From a folder to a log that can be written and tables that agree with it.

use std::path::Path;
use std::sync::Arc;

use crate::accepted;
use crate::apply;
use crate::config::{LedgerConfig, StartCheck};
use crate::error::LedgerError;
use crate::folder::{self, Lock};
use crate::keys::{Keys, PublicKeys};
use crate::log::append::Start;
use crate::log::head::{self, Found};
use crate::log::line::{Frame, split};
use crate::log::lines::Lines;
use crate::log::{Disk, End, Files, Head, Log, Position, Scan, Signed, lines};
use crate::record::{EndAccepted, Record};
use crate::store::{Store, Tables};
use crate::text::Texts;
use crate::writer::now_ms;

/// Records that are replayed into the tables in one commit.
const REPLAY: u64 = 1000;

/// What was opened.
pub struct Opened {
    /// The end of the log.
    pub log: Log,
    /// The tables.
    pub tables: Arc<Tables>,
    /// The keys of texts.
    pub texts: Arc<Texts>,
    /// Ends that were accepted since the last start.
    pub accepted: Vec<EndAccepted>,
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
    let (store, end) = agree(config, &dir, head, keys.public())?;
    let accepted = accepted::unrecorded(&dir, head.newest.seq, end.at.seq)?;
    if end.tail_records > 0 {
        tracing::warn!(
            records = end.tail_records,
            after = end.at.seq,
            "records that nobody signed are cut off the log: of a crash, before anybody was told of them, or a stranger's"
        );
    }
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
    Ok(Opened { log, tables: Arc::new(Tables::Disk(Box::new(store))), texts, accepted, lock })
}

/// Where a log ends, and where it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEnd {
    /// The last whole record that is there.
    pub last: u64,
    /// The last one that was signed for; absent where the head cannot be read.
    pub signed: Option<u64>,
}

impl LogEnd {
    /// Whether records that were signed for are gone, or nobody signed at all.
    pub fn is_short(&self) -> bool {
        self.signed.is_none_or(|signed| signed > self.last)
    }
}

/// Where the log of a ledger ends. Reads only.
///
/// # Errors
/// If a record before the end is damaged, whole ones follow it, or the log cannot be read.
pub fn log_end(config: &LedgerConfig, keys: &PublicKeys) -> Result<LogEnd, LedgerError> {
    let dir = folder::log(&config.path);
    Ok(LogEnd { last: end_without_head(&dir)?.seq, signed: signed(&dir, keys)? })
}

/// The record that the head signs for; absent where it cannot be read.
fn signed(dir: &Path, keys: &PublicKeys) -> Result<Option<u64>, LedgerError> {
    let found = read_head(dir, keys)?.and_then(|found| found.head);
    Ok(found.map(|head| head.newest.seq))
}

fn end_without_head(dir: &Path) -> Result<Position, LedgerError> {
    let nobody = Head { newest: Position::default(), slot: 0, other: None };
    let mut scan = Scan::new(dir, nobody, Position::default())?;
    while scan.record()?.is_some() {}
    let at = scan.finish()?.at;
    nothing_follows(dir, &at)?;
    Ok(at)
}

/// Refuses an end that is none: whole records after it say that one before them is damaged or gone, and whoever signed it
/// would have the rest thrown away.
fn nothing_follows(dir: &Path, end: &Position) -> Result<(), LedgerError> {
    for segment in lines::list(dir)?.into_iter().filter(|segment| *segment >= end.segment) {
        let from = if segment == end.segment { end.offset } else { 0 };
        let unreadable = |e| LedgerError::io(&lines::path(dir, segment))(e);
        let mut lines = Lines::open(dir, segment, from).map_err(unreadable)?;
        while let Some(raw) = lines.read().map_err(unreadable)? {
            let record = split(raw.bytes).filter(|_| raw.whole).and_then(|(_, json)| Frame::parse(json));
            if let Some(Frame { seq, .. }) = record {
                let what = format!(
                    "record {} is damaged or missing, and record {seq} follows it: this is no end",
                    end.seq + 1
                );
                return Err(LedgerError::damaged(lines::name(segment), what));
            }
        }
    }
    Ok(())
}

/// Signs a head where the log ends, which must be at record `last`. What was cut off stays lost; a damaged record before the
/// end is still an error. The tables may know of what is lost: they go, and are made again at the next start, which also
/// records that the end was accepted.
///
/// # Errors
/// If the log ends elsewhere, nothing is missing, the log is damaged, or cannot be read or written.
pub fn accept_end(config: &LedgerConfig, keys: &Keys, last: u64) -> Result<(), LedgerError> {
    let _lock = Lock::writer(&config.path)?;
    let dir = folder::log(&config.path);
    let at = end_without_head(&dir)?;
    let end = LogEnd { last: at.seq, signed: signed(&dir, keys.public())? };
    if end.last != last {
        return Err(LedgerError::damaged("log", format!("ends at record {}, and not at {last}", end.last)));
    }
    if !end.is_short() {
        return Err(LedgerError::damaged("log", "lacks nothing: its end is the signed one"));
    }
    let slot = head::slot(&at, keys)?;
    accepted::note(&dir, EndAccepted { last, signed: end.signed, time_ms: now_ms() })?;
    // Before the head: tables beyond the end would refuse the next start, and nothing would be missing any more.
    folder::remove(&folder::tables(&config.path))?;
    folder::write_whole(&dir.join("HEAD"), &[slot.clone(), slot].concat())?;
    tracing::warn!(last, signed = end.signed, "the ledger's head was signed anew where the log ends");
    Ok(())
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
fn agree(
    config: &LedgerConfig,
    dir: &Path,
    head: Head,
    keys: &PublicKeys,
) -> Result<(Store, End), LedgerError> {
    let path = folder::tables(&config.path);
    let secret = folder::secret_or_new(&folder::state_key(&config.path))?;
    let opened = Store::open(&path, &secret).and_then(|store| {
        let progress = store.read(|tables| apply::progress(tables))?;
        Ok((store, progress))
    });
    let progress = opened.as_ref().map_or(Position::default(), |(_, progress)| *progress);
    let (end, met) = check(dir, head, keys, config.check, progress)?;
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
    folder::remove(path)?;
    Store::open(path, secret)
}

/// Where the log ends, and whether it passes through the place where the tables are.
fn check(
    dir: &Path,
    head: Head,
    keys: &PublicKeys,
    how: StartCheck,
    tables: Position,
) -> Result<(End, bool), LedgerError> {
    // Tables beyond the head are no start: a crash can have left them, but nobody signed for their place.
    let skip = how == StartCheck::Recent && tables.seq <= head.newest.seq;
    let from = if skip { tables } else { Position::default() };
    let mut scan = Scan::new(dir, head, from)?;
    let mut met = tables == from;
    let mut signed = Signed::by(&head, keys);
    while let Some(record) = scan.record()? {
        met |= record.place.end() == tables;
        signed.see(&record);
    }
    Ok((signed.end(scan.finish()?), met))
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
            for _ in 0..REPLAY.min(to.seq - done.seq) {
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
