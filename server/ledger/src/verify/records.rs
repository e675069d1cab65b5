//! What must hold of single records beyond the chain: signatures, keys of texts, a remembered head.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::Options;
use crate::keys::PublicKeys;
use crate::log::scan::Checked;
use crate::log::signed;
use crate::log::{End, hex};
use crate::problem::Problem;
use crate::record::SegmentBegun;
use crate::text;

/// How many.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub records: u64,
    pub checkpoints: u64,
    pub decisions: u64,
}

/// What was seen so far.
pub struct Records<'a> {
    text_keys: PathBuf,
    keys: &'a PublicKeys,
    expect: Option<&'a (u64, String)>,
    met: bool,
    pub counts: Counts,
}

impl<'a> Records<'a> {
    pub fn new(root: &Path, keys: &'a PublicKeys, options: &'a Options) -> Self {
        let (text_keys, expect) = (root.join("text-keys"), options.expect.as_ref());
        Self { text_keys, keys, expect, met: false, counts: Counts::default() }
    }

    pub fn check(&mut self, record: &Checked<'_>) -> Result<(), Problem> {
        self.counts.records += 1;
        match record.frame.kind {
            "decision" => self.counts.decisions += 1,
            "checkpoint" => self.checkpoint(record)?,
            "segment" => self.text_key(record)?,
            _ => {}
        }
        if let Some((seq, digest)) = self.expect
            && *seq == record.frame.seq
        {
            self.met = true;
            if hex(&record.place.digest) != digest.trim_start_matches("sha256:") {
                return Err(record.problem(format!("is not the record that was remembered ({digest})")));
            }
        }
        Ok(())
    }

    fn checkpoint(&mut self, record: &Checked<'_>) -> Result<(), Problem> {
        signed::checkpoint(record, self.keys).map_err(|what| record.problem(what))?;
        self.counts.checkpoints += 1;
        Ok(())
    }

    /// The wrapped key of a file's texts may be gone (erased, or not part of a copy), but not changed.
    fn text_key(&self, record: &Checked<'_>) -> Result<(), Problem> {
        let begun: Option<SegmentBegun> = serde_json::from_slice(record.frame.data).ok();
        let Some(SegmentBegun { number, text_key: Some(stated) }) = begun else { return Ok(()) };
        match std::fs::read(text::key_path(&self.text_keys, number)) {
            Ok(bytes) if hex(&Sha256::digest(&bytes)) != stated => {
                let file = format!("text-keys/{number:08}.key");
                Err(Problem::file(file, format!("is not the key that record {} names", record.frame.seq)))
            }
            _ => Ok(()),
        }
    }

    pub fn finish(&self, end: &End) -> Result<(), Problem> {
        let Some((seq, _)) = self.expect.filter(|_| !self.met) else { return Ok(()) };
        let what = match *seq < end.first_seq {
            true => format!("was remembered, but the ledger begins at record {}", end.first_seq),
            false => format!("was remembered, but the ledger ends at record {}", end.at.seq),
        };
        Err(Problem { file: "log".to_owned(), line: None, seq: Some(*seq), what })
    }
}
