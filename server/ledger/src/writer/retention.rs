//! Removes what is older than it may be: whole files of the log, or the keys of their texts.
//!
//! First the log says so, signed and on the disk; then the entries of the tables go, a few at a time between
//! batches; then the file. A crash in between is made good at the next start. A file in which an intent or a binding
//! is still in force stays, and so do those after it: the tables could not be made again without it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Rules, Writer, now_ms};
use crate::apply;
use crate::error::LedgerError;
use crate::folder;
use crate::log::line::{Frame, split};
use crate::log::lines::{self, Lines};
use crate::log::{Digest, hex};
use crate::record::{Bound, Decision, Event, IntentVersion, Retired};
use crate::text;

const EVERY: Duration = Duration::from_secs(3600);
/// Records whose entries are removed in one go.
const STEP: usize = 256;

/// The state of the sweep.
pub struct Retention {
    dir: PathBuf,
    keys: PathBuf,
    retain: Option<Duration>,
    retain_text: Option<Duration>,
    looked: Option<Instant>,
    sweep: Option<Sweep>,
}

/// A file on its way out.
struct Sweep {
    segment: u32,
    lines: Lines,
}

/// What a file holds.
struct Survey {
    from: u64,
    through: u64,
    digest: Digest,
    alive_until_ms: u64,
}

impl Retention {
    /// For the log in `dir`.
    pub fn new(dir: &Path, rules: &Rules) -> Self {
        let keys = dir.parent().unwrap_or(dir).join("text-keys");
        let (retain, retain_text) = (rules.retain, rules.retain_text);
        Self { dir: dir.to_owned(), keys, retain, retain_text, looked: None, sweep: None }
    }

    /// Whether a file is on its way out.
    pub fn busy(&self) -> bool {
        self.sweep.is_some()
    }

    /// Whether it is time to look.
    fn due(&mut self) -> bool {
        let due = self.looked.is_none_or(|looked| looked.elapsed() >= EVERY);
        if due {
            self.looked = Some(Instant::now());
        }
        due
    }
}

impl Writer {
    /// One step.
    pub(super) fn retire(&mut self) -> Result<(), LedgerError> {
        let Some(mut retention) = self.retention.take() else { return Ok(()) };
        let result = self.retire_with(&mut retention);
        self.retention = Some(retention);
        result
    }

    fn retire_with(&mut self, retention: &mut Retention) -> Result<(), LedgerError> {
        if let Some(sweep) = &mut retention.sweep {
            if self.forget(sweep)? {
                let segment = sweep.segment;
                retention.sweep = None;
                self.remove(retention, segment)?;
                // The next file may be old enough as well.
                retention.looked = None;
            }
            return Ok(());
        }
        if !retention.due() {
            return Ok(());
        }
        self.erase_texts(retention)?;
        retention.sweep = self.choose(retention)?;
        Ok(())
    }

    /// The oldest file, if it may go; recorded as retired by then.
    fn choose(&mut self, retention: &Retention) -> Result<Option<Sweep>, LedgerError> {
        let segments = lines::list(&retention.dir)?;
        let [oldest, next, ..] = segments[..] else { return Ok(None) };
        let begin = first(&retention.dir, next)?;
        // Said before, and not done: a crash came between.
        let said =
            begin.is_some_and(|(seq, _)| seq > 1) && self.retired()? + 1 >= begin.map_or(u64::MAX, |b| b.0);
        if !said {
            if !old(begin, retention.retain) {
                return Ok(None);
            }
            let survey = survey(&retention.dir, oldest)?;
            if survey.alive_until_ms > now_ms() {
                return Ok(None);
            }
            self.say(Event::Retired(survey.retired()))?;
        }
        let path = lines::path(&retention.dir, oldest);
        let lines = Lines::open(&retention.dir, oldest, 0).map_err(LedgerError::io(&path))?;
        Ok(Some(Sweep { segment: oldest, lines }))
    }

    fn retired(&self) -> Result<u64, LedgerError> {
        self.tables.read(|tables| apply::retired(tables))
    }

    /// Erases the texts of all files that are old enough, but the last.
    fn erase_texts(&mut self, retention: &Retention) -> Result<(), LedgerError> {
        let segments = lines::list(&retention.dir)?;
        for pair in segments.windows(2) {
            let &[segment, next] = pair else { continue };
            if !text::key_path(&retention.keys, segment).exists() {
                continue;
            }
            if !old(first(&retention.dir, next)?, retention.retain_text) {
                break;
            }
            let survey = survey(&retention.dir, segment)?;
            if survey.alive_until_ms <= now_ms() {
                self.say(Event::TextErased(survey.retired()))?;
                self.texts.erase(segment)?;
            }
        }
        Ok(())
    }

    /// Records it, with a checkpoint, on the disk.
    fn say(&mut self, event: Event) -> Result<(), LedgerError> {
        let tables = Arc::clone(&self.tables);
        tables.write(|tables| {
            self.add(event, tables)?;
            self.checkpoint(tables)?;
            self.commit(tables)
        })?;
        self.sync()
    }

    /// Removes some entries; says whether they were the last.
    fn forget(&mut self, sweep: &mut Sweep) -> Result<bool, LedgerError> {
        let tables = Arc::clone(&self.tables);
        tables.write(|tables| {
            for _ in 0..STEP {
                let next = sweep.lines.read().map_err(|e| LedgerError::store(format!("log: {e}")))?;
                let Some(raw) = next else { return Ok(true) };
                let Some(frame) = split(raw.bytes).and_then(|(_, json)| Frame::parse(json)) else { continue };
                if frame.kind == "decision"
                    && let Ok(decision) = serde_json::from_slice::<Decision>(frame.data)
                {
                    apply::forget(tables, &decision, frame.seq)?;
                }
            }
            Ok(false)
        })
    }

    fn remove(&mut self, retention: &Retention, segment: u32) -> Result<(), LedgerError> {
        // The entries must be gone from the disk first: they would lead to a file that is not there.
        self.sync()?;
        let path = lines::path(&retention.dir, segment);
        std::fs::remove_file(&path).map_err(LedgerError::io(&path))?;
        folder::sync(&retention.dir)?;
        self.texts.erase(segment)?;
        tracing::info!(segment, "a file of the ledger's log was retired");
        Ok(())
    }
}

impl Survey {
    fn retired(&self) -> Retired {
        Retired { from: self.from, through: self.through, digest: hex(&self.digest) }
    }
}

/// Whether what ended when the next file began is older than it may be.
fn old(begin: Option<(u64, u64)>, retain: Option<Duration>) -> bool {
    let (Some((_, time_ms)), Some(retain)) = (begin, retain) else { return false };
    u128::from(now_ms().saturating_sub(time_ms)) > retain.as_millis()
}

/// Number and time of a file's first record.
fn first(dir: &Path, segment: u32) -> Result<Option<(u64, u64)>, LedgerError> {
    let io = |e| LedgerError::io(&lines::path(dir, segment))(e);
    let mut lines = Lines::open(dir, segment, 0).map_err(io)?;
    let raw = lines.read().map_err(io)?;
    let frame = raw.and_then(|raw| split(raw.bytes)).and_then(|(_, json)| Frame::parse(json));
    Ok(frame.map(|frame| (frame.seq, frame.time_ms)))
}

fn survey(dir: &Path, segment: u32) -> Result<Survey, LedgerError> {
    let io = |e| LedgerError::io(&lines::path(dir, segment))(e);
    let mut lines = Lines::open(dir, segment, 0).map_err(io)?;
    let mut survey = Survey { from: 0, through: 0, digest: [0; 32], alive_until_ms: 0 };
    while let Some(raw) = lines.read().map_err(io)? {
        let Some((digest, json)) = split(raw.bytes) else { continue };
        let Some(frame) = Frame::parse(json) else { continue };
        survey.from = if survey.from == 0 { frame.seq } else { survey.from };
        (survey.through, survey.digest) = (frame.seq, digest);
        survey.alive_until_ms = survey.alive_until_ms.max(alive_until(&frame));
    }
    Ok(survey)
}

/// Until when the tables need this record; 0: not at all.
fn alive_until(frame: &Frame<'_>) -> u64 {
    match frame.kind {
        "intent" => {
            serde_json::from_slice::<IntentVersion>(frame.data).map_or(u64::MAX, |intent| intent.expires_ms)
        }
        "bound" => serde_json::from_slice::<Bound>(frame.data).map_or(u64::MAX, |bound| bound.until_ms),
        _ => 0,
    }
}
