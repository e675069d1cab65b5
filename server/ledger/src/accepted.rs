//! Ends of the log that a person accepted, until the log itself says so.
//!
//! Whoever accepts an end has no writer at hand, so it is noted beside the head first; the next start records it and takes
//! the note away.

use std::path::{Path, PathBuf};

use crate::error::LedgerError;
use crate::folder;
use crate::record::EndAccepted;

fn path(dir: &Path) -> PathBuf {
    dir.join("ACCEPTED")
}

/// Adds an end to the note. Those before it stay only if the last of them is the signed end: otherwise they were broken off.
pub fn note(dir: &Path, end: EndAccepted) -> Result<(), LedgerError> {
    let mut all = noted(dir)?;
    if all.last().map(|before| before.last) != end.signed {
        all.clear();
    }
    all.push(end);
    let bytes = serde_json::to_vec(&all).map_err(LedgerError::store)?;
    folder::write_whole(&path(dir), &bytes)
}

/// What a start has to record where the head signs for record `signed` and the log ends at `last`. A note of another end is
/// of an acceptance that was broken off, or is recorded already: records beyond the head are of a start that began with it.
pub fn unrecorded(dir: &Path, signed: u64, last: u64) -> Result<Vec<EndAccepted>, LedgerError> {
    let all = noted(dir)?;
    match all.last() {
        Some(end) if end.last == signed && signed == last => Ok(all),
        Some(end) => {
            tracing::warn!(
                last = end.last,
                signed,
                "a note of an accepted end that is not the log's is dropped"
            );
            forget(dir)?;
            Ok(Vec::new())
        }
        None => Ok(Vec::new()),
    }
}

/// Takes the note away.
pub fn forget(dir: &Path) -> Result<(), LedgerError> {
    folder::remove(&path(dir))
}

fn noted(dir: &Path) -> Result<Vec<EndAccepted>, LedgerError> {
    let path = path(dir);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(LedgerError::io(&path)(e)),
    };
    serde_json::from_slice(&bytes).map_err(|e| LedgerError::damaged("log/ACCEPTED", e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(last: u64, signed: u64) -> EndAccepted {
        EndAccepted { last, signed: Some(signed), time_ms: 1 }
    }

    #[test]
    fn only_what_took_effect_and_is_not_recorded_yet_is_to_be_recorded() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        note(dir, end(30, 40)).unwrap();
        note(dir, end(30, 40)).unwrap();
        assert_eq!(unrecorded(dir, 30, 30).unwrap(), [end(30, 40)], "the first was broken off");
        note(dir, end(20, 30)).unwrap();
        assert_eq!(unrecorded(dir, 20, 20).unwrap(), [end(30, 40), end(20, 30)], "both took effect");
        assert_eq!(unrecorded(dir, 20, 22).unwrap(), [], "a start recorded them and died");
        assert_eq!(unrecorded(dir, 20, 20).unwrap(), [], "the note is gone");
    }
}
