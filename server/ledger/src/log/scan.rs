//! Reads the log from end to end and checks digest, number and link of every record, and the head.
//!
//! Memory is bounded by one line. Where the first files were retired, the digest to begin with is not known until
//! the `retired` record is met, so the first record is remembered until then.

use std::path::{Path, PathBuf};

use super::head::Head;
use super::line::{Digest, Frame, chained, hex, split, unhex};
use super::lines::{self, Lines, Raw};
use super::lookahead::{self, Bad};
use super::place::{Place, Position};
use crate::problem::Problem;
use crate::record::{Retired, SegmentBegun};

/// A record that was checked.
#[derive(Debug, Clone, Copy)]
pub struct Checked<'a> {
    /// What it begins with.
    pub frame: Frame<'a>,
    /// The whole record.
    pub json: &'a [u8],
    /// Where it stands.
    pub place: Place,
    /// Its line, from 1; 0: not known.
    pub line: u64,
}

impl Checked<'_> {
    /// A problem with this record.
    pub fn problem(&self, what: impl Into<String>) -> Problem {
        Problem::record(lines::name(self.place.segment), self.line, self.place.seq, what)
    }
}

/// Where the log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// After the last good record.
    pub at: Position,
    /// The time of the last record.
    pub time_ms: u64,
    /// The first record there is.
    pub first_seq: u64,
    /// Good records beyond the head: a crash came between log and head.
    pub tail_records: u64,
    /// Bytes after the last good record: a crash came while they were written.
    pub tail_bytes: u64,
}

/// The first record there is, where those before it are gone.
#[derive(Debug)]
struct First {
    seq: u64,
    json: Vec<u8>,
    stated: Digest,
}

/// A walk over the log.
#[derive(Debug)]
pub struct Scan {
    dir: PathBuf,
    segments: Vec<u32>,
    next_segment: usize,
    segment: u32,
    lines: Option<Lines>,
    head: Head,
    first: Option<First>,
    end: End,
    done: bool,
}

impl Scan {
    /// From the record after `from` on; from the first there is if `from.seq` is 0.
    ///
    /// # Errors
    /// If the log cannot be read, or ends before `from`.
    pub fn new(dir: &Path, head: Head, from: Position) -> Result<Self, Problem> {
        let mut segments = lines::list(dir).map_err(|e| Problem::file("log", e.to_string()))?;
        segments.retain(|s| *s >= from.segment);
        let end = End {
            at: from,
            time_ms: 0,
            first_seq: from.seq.min(head.newest.seq),
            tail_records: 0,
            tail_bytes: 0,
        };
        let dir = dir.to_owned();
        let mut scan = Self {
            dir,
            segments,
            next_segment: 0,
            segment: from.segment,
            lines: None,
            head,
            first: None,
            end,
            done: false,
        };
        if from.seq > 0 && scan.segments.first() == Some(&from.segment) {
            scan.next_segment = 1;
            scan.lines = Some(scan.open(from.segment, from.offset)?);
        }
        if from.seq > 0 {
            scan.reaches(&from)?;
        }
        Ok(scan)
    }

    /// Refuses a log that ends before the place at which it is to be read on: nothing that follows would show it.
    fn reaches(&self, from: &Position) -> Result<(), Problem> {
        let length = self.lines.as_ref().and_then(|lines| lines.file_len().ok());
        if length.unwrap_or(0) >= from.offset {
            return Ok(());
        }
        let file = lines::name(from.segment);
        let what = match length {
            Some(length) => {
                format!("ends at byte {length}, but record {} ended at byte {}", from.seq, from.offset)
            }
            None => format!("is missing; record {} stood in it", from.seq),
        };
        Err(Problem { file, line: None, seq: Some(from.seq), what })
    }

    fn open(&self, segment: u32, offset: u64) -> Result<Lines, Problem> {
        let unreadable =
            |e: std::io::Error| Problem::file(lines::name(segment), format!("cannot be read: {e}"));
        Lines::open(&self.dir, segment, offset).map_err(unreadable)
    }

    /// The next record; `None` at the end, of which [`Scan::finish`] tells.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn record(&mut self) -> Result<Option<Checked<'_>>, Problem> {
        if self.done || !self.advance()? {
            self.done = true;
            return Ok(None);
        }
        // The first file says itself where it begins, unless it is the first of all.
        let beginning = self.end.at.seq == 0 && self.segment > 1;
        let read = self.read(beginning)?;
        let Some(place) = read.place else {
            return self.bad(read.offset, read.line).map(|()| None);
        };
        let before = std::mem::replace(&mut self.end.at, place.end());
        if before.seq == 0 {
            self.end.first_seq = place.seq;
        }
        self.end.tail_records += u64::from(place.seq > self.head.newest.seq);
        let Some(good) = self.lines.as_ref().and_then(|lines| current(lines, place, read.line)) else {
            return Ok(None);
        };
        self.end.time_ms = good.frame.time_ms;
        agrees(&good, &self.head)?;
        if good.frame.kind == "segment" {
            numbered(&good)?;
        }
        if beginning {
            self.first = Some(First { seq: place.seq, json: good.json.to_vec(), stated: place.digest });
        }
        if let Some(first) =
            self.first.take_if(|first| good.frame.kind == "retired" && leads_to(&good, first))
        {
            begins_well(&first, &good)?;
        }
        Ok(Some(good))
    }

    /// Reads a line and says whether it is the next record.
    fn read(&mut self, beginning: bool) -> Result<Line, Problem> {
        let segment = self.segment;
        let unreadable =
            |e: std::io::Error| Problem::file(lines::name(segment), format!("cannot be read: {e}"));
        let raw = match &mut self.lines {
            Some(lines) => lines.read().map_err(unreadable)?,
            None => None,
        };
        // A file that was made shorter between two looks: as one that was cut off.
        let Some(raw) = raw else { return Ok(Line { place: None, offset: 0, line: 0 }) };
        let place = check(&raw, &self.end.at, segment, beginning);
        Ok(Line { place, offset: raw.offset, line: raw.number })
    }

    /// Makes sure that there is a line to read; false at the end of the last file.
    fn advance(&mut self) -> Result<bool, Problem> {
        loop {
            if let Some(lines) = &mut self.lines
                && !lines.at_end().unwrap_or(false)
            {
                return Ok(true);
            }
            let Some(segment) = self.segments.get(self.next_segment).copied() else { return Ok(false) };
            self.lines = Some(self.open(segment, 0)?);
            self.segment = segment;
            self.next_segment += 1;
        }
    }

    /// A line that is not the next record: the end of a crash's log, or a problem.
    fn bad(&mut self, offset: u64, number: u64) -> Result<(), Problem> {
        let later = self.segments.get(self.next_segment..).unwrap_or_default();
        let expected = self.end.at.seq + 1;
        if expected > self.head.newest.seq && later.is_empty() {
            self.done = true;
            let length = self.lines.as_ref().and_then(|lines| lines.file_len().ok()).unwrap_or(offset);
            self.end.tail_bytes = length.saturating_sub(offset);
            return Ok(());
        }
        let (dir, segment, head) = (self.dir.as_path(), self.segment, self.head.newest.seq);
        let what = lookahead::explain(&Bad { dir, segment, later, offset, expected, head });
        Err(Problem::record(lines::name(segment), number, expected, what))
    }

    /// Where the log ends, once [`Scan::record`] returned `None`.
    ///
    /// # Errors
    /// If it ends before its head, or does not begin where it should.
    pub fn finish(self) -> Result<End, Problem> {
        let (at, head) = (self.end.at, self.head.newest);
        let file = lines::name(at.segment.max(1));
        if let Some(First { seq, .. }) = self.first {
            let from = lines::name(self.segments.first().copied().unwrap_or(1));
            let what = format!("records 1 to {} are missing: no record says that they were retired", seq - 1);
            return Err(Problem { file: from, line: None, seq: Some(1), what });
        }
        if head.seq > 0 && self.end.first_seq > head.seq + 1 {
            let what = format!(
                "the signed head says {}, but the log begins at record {}",
                head.seq, self.end.first_seq
            );
            return Err(Problem::file("log/HEAD", what));
        }
        if at.seq < head.seq {
            let (last, missing) = (at.seq, head.seq - at.seq);
            let what = format!(
                "the log ends at record {last}, but the signed head says {}: {missing} {} missing",
                head.seq,
                if missing == 1 { "is" } else { "are" }
            );
            return Err(Problem { file, line: None, seq: Some(last + 1), what });
        }
        Ok(self.end)
    }
}

/// A line, and the place of the record if it is the one that should stand there.
struct Line {
    place: Option<Place>,
    offset: u64,
    line: u64,
}

/// The place of a line's record, if it is the one that follows `at`.
fn check(raw: &Raw<'_>, at: &Position, segment: u32, beginning: bool) -> Option<Place> {
    let (stated, json) = split(raw.bytes).filter(|_| raw.whole)?;
    let frame = Frame::parse(json)?;
    if !beginning && (frame.seq != at.seq + 1 || chained(&at.digest, json) != stated) {
        return None;
    }
    let len = u32::try_from(raw.bytes.len()).ok()?;
    Some(Place { seq: frame.seq, segment, offset: raw.offset, len, previous: at.digest, digest: stated })
}

/// The line that was checked just now.
fn current(lines: &Lines, place: Place, line: u64) -> Option<Checked<'_>> {
    let (_, json) = split(lines.current())?;
    Some(Checked { frame: Frame::parse(json)?, json, place, line })
}

/// Where the head speaks of this record, it must be this one.
fn agrees(good: &Checked<'_>, head: &Head) -> Result<(), Problem> {
    for said in [Some(head.newest), head.other].into_iter().flatten() {
        if said.seq == good.place.seq && said != good.place.end() {
            let what = format!("is not the record that the signed head names ({})", hex(&said.digest));
            return Err(good.problem(what));
        }
    }
    Ok(())
}

/// A file must be the one that its first record says: its name is no part of the chain.
fn numbered(good: &Checked<'_>) -> Result<(), Problem> {
    let begun: Option<SegmentBegun> = serde_json::from_slice(good.frame.data).ok();
    match begun {
        Some(begun) if begun.number == good.place.segment => Ok(()),
        Some(begun) => Err(good.problem(format!("belongs to {}", lines::name(begun.number)))),
        None => Err(good.problem("is not a record of the ledger")),
    }
}

fn leads_to(good: &Checked<'_>, first: &First) -> bool {
    let retired: Option<Retired> = serde_json::from_slice(good.frame.data).ok();
    retired.is_some_and(|retired| retired.through + 1 == first.seq)
}

/// The first record must follow the last one that was retired.
fn begins_well(first: &First, good: &Checked<'_>) -> Result<(), Problem> {
    let retired: Option<Retired> = serde_json::from_slice(good.frame.data).ok();
    let previous = retired.and_then(|retired| unhex(retired.digest.as_bytes()));
    if previous.is_some_and(|previous| chained(&previous, &first.json) == first.stated) {
        return Ok(());
    }
    let what = "its digest does not match that of the retired record before it";
    Err(Problem { file: "log".to_owned(), line: None, seq: Some(first.seq), what: what.to_owned() })
}
