//! How far a log is signed for: by its head, and beyond it by checkpoints.
//!
//! Digests chain records, and everybody can compute them: a record after the signed end may be of a crash, or of whoever
//! can write the folder. It was acknowledged to nobody, so it does not count.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::append::checkpoint_message;
use super::head::Head;
use super::line::hex;
use super::place::Position;
use super::scan::{Checked, End};
use crate::keys::PublicKeys;
use crate::record::Checkpoint;

/// Follows a walk over the log.
#[derive(Debug)]
pub struct Signed<'a> {
    keys: &'a PublicKeys,
    head: u64,
    at: Position,
    time_ms: u64,
}

impl<'a> Signed<'a> {
    /// At least as far as the head says.
    pub fn by(head: &Head, keys: &'a PublicKeys) -> Self {
        Self { keys, head: head.newest.seq, at: head.newest, time_ms: 0 }
    }

    /// Takes the next record of the walk.
    pub fn see(&mut self, record: &Checked<'_>) {
        let (seq, end) = (record.place.seq, record.place.end());
        if seq <= self.head {
            self.time_ms = record.frame.time_ms;
        } else if record.frame.kind == "checkpoint" && checkpoint(record, self.keys).is_ok() {
            (self.at, self.time_ms) = (end, record.frame.time_ms);
        }
    }

    /// The last record that is signed for.
    pub fn seq(&self) -> u64 {
        self.at.seq
    }

    /// The end of a walk without what nobody signed for.
    pub fn end(&self, end: End) -> End {
        if end.at.seq <= self.at.seq {
            return End { tail_records: 0, ..end };
        }
        End { at: self.at, time_ms: self.time_ms, tail_records: end.at.seq - self.at.seq, ..end }
    }
}

/// Checks a checkpoint; the error says what is wrong with it.
///
/// # Errors
/// If it is none, signs another record, or its signature is not valid.
pub fn checkpoint(record: &Checked<'_>, keys: &PublicKeys) -> Result<(), String> {
    let read: Option<Checkpoint> = serde_json::from_slice(record.frame.data).ok();
    let Some(Checkpoint { kid, digest, signature }) = read else {
        return Err("is not a checkpoint of the ledger".to_owned());
    };
    // After retention the digest before the first record is not known.
    if digest != hex(&record.place.previous) && record.place.previous != [0; 32] {
        return Err("the checkpoint signs another digest than that of the record before".to_owned());
    }
    if !keys.contains(&kid) {
        return Err(format!("signed with the key {kid}, which is not among the public keys"));
    }
    let signature = URL_SAFE_NO_PAD.decode(&signature).unwrap_or_default();
    match keys.verify(&kid, &checkpoint_message(&digest), &signature) {
        true => Ok(()),
        false => Err("the signature of the checkpoint is not valid".to_owned()),
    }
}
