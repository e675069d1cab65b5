//! The records of a log, one after the other.

use std::path::{Path, PathBuf};

use crate::error::LedgerError;
use crate::folder;
use crate::log::line::{chained, split};
use crate::log::lines::{self, Lines};
use crate::log::{Digest, hex};
use crate::record::{Event, Record};
use crate::text::{Texts, decision_name, intent_name};

/// A record with its digest.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The record; its words opened if their key is there.
    pub record: Record,
    /// Its digest.
    pub digest: Digest,
}

/// Reads a log from the first record that is there.
///
/// Each record is checked against the one before it; whether the log is whole is for `verify` to say. A last line
/// that is half written ends it.
pub struct Source {
    dir: PathBuf,
    texts: Option<Texts>,
    segments: std::vec::IntoIter<u32>,
    segment: u32,
    lines: Option<Lines>,
    last: Option<Digest>,
}

impl Source {
    /// Of the ledger in a folder. With `texts`, encrypted words are opened.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn open(root: &Path, texts: Option<Texts>) -> Result<Self, LedgerError> {
        let dir = folder::log(root);
        let segments = lines::list(&dir)?.into_iter();
        Ok(Self { dir, texts, segments, segment: 0, lines: None, last: None })
    }

    fn entry(&mut self) -> Result<Option<Entry>, LedgerError> {
        while self.lines.as_mut().is_none_or(|lines| lines.at_end().unwrap_or(true)) {
            let Some(segment) = self.segments.next() else { return Ok(None) };
            let path = lines::path(&self.dir, segment);
            self.lines = Some(Lines::open(&self.dir, segment, 0).map_err(LedgerError::io(&path))?);
            self.segment = segment;
        }
        let path = lines::path(&self.dir, self.segment);
        let Some(lines) = &mut self.lines else { return Ok(None) };
        let Some(raw) = lines.read().map_err(LedgerError::io(&path))?.filter(|raw| raw.whole) else {
            return Ok(None);
        };
        let place = format!("{} line {}", lines::name(self.segment), raw.number);
        let damaged = |what: &str| LedgerError::damaged(place.clone(), what);
        let (digest, json) = split(raw.bytes).ok_or_else(|| damaged("is not a record of the ledger"))?;
        if self.last.is_some_and(|last| chained(&last, json) != digest) {
            return Err(damaged(&format!("its digest {} does not match", hex(&digest))));
        }
        let record = serde_json::from_slice(json).map_err(|e| damaged(&e.to_string()))?;
        self.last = Some(digest);
        Ok(Some(Entry { record: self.revealed(record), digest }))
    }

    fn revealed(&self, mut record: Record) -> Record {
        let Some(texts) = &self.texts else { return record };
        match &mut record.event {
            Event::Decision(decision) => {
                decision.content = texts.reveal(&decision_name(decision), &decision.content)
            }
            Event::Intent(intent) => intent.text = texts.reveal(&intent_name(intent), &intent.text),
            _ => {}
        }
        record
    }
}

impl Iterator for Source {
    type Item = Result<Entry, LedgerError>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.entry();
        if entry.is_err() {
            self.segments = Vec::new().into_iter();
            self.lines = None;
        }
        entry.transpose()
    }
}
