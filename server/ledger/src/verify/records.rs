//! What must hold of single records beyond the chain: signatures, keys of texts, a remembered head.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::Options;
use crate::keys::PublicKeys;
use crate::log::append::checkpoint_message;
use crate::log::scan::Checked;
use crate::log::{End, hex};
use crate::problem::Problem;
use crate::record::{Checkpoint, SegmentBegun};
use crate::text;

/// What was seen so far.
pub struct Records<'a> {
    text_keys: PathBuf,
    keys: &'a PublicKeys,
    expect: Option<&'a (u64, String)>,
    met: bool,
    pub records: u64,
    pub checkpoints: u64,
    pub decisions: u64,
}

impl<'a> Records<'a> {
    pub fn new(root: &Path, keys: &'a PublicKeys, options: &'a Options) -> Self {
        let (text_keys, expect) = (root.join("text-keys"), options.expect.as_ref());
        Self { text_keys, keys, expect, met: false, records: 0, checkpoints: 0, decisions: 0 }
    }

    pub fn check(&mut self, record: &Checked<'_>) -> Result<(), Problem> {
        self.records += 1;
        match record.frame.kind {
            "decision" => self.decisions += 1,
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
        let strange = |_| record.problem("is not a checkpoint of the ledger");
        let Checkpoint { kid, digest, signature } =
            serde_json::from_slice(record.frame.data).map_err(strange)?;
        if digest != hex(&record.place.previous) && record.place.previous != [0; 32] {
            return Err(record.problem("the checkpoint signs another digest than that of the record before"));
        }
        if !self.keys.contains(&kid) {
            return Err(
                record.problem(format!("signed with the key {kid}, which is not among the public keys"))
            );
        }
        let signature = URL_SAFE_NO_PAD.decode(&signature).unwrap_or_default();
        if !self.keys.verify(&kid, &checkpoint_message(&digest), &signature) {
            return Err(record.problem("the signature of the checkpoint is not valid"));
        }
        self.checkpoints += 1;
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
