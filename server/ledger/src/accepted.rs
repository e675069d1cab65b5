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

/// Adds an end to the note.
pub fn note(dir: &Path, end: EndAccepted) -> Result<(), LedgerError> {
    let mut all = noted(dir)?;
    all.push(end);
    let bytes = serde_json::to_vec(&all).map_err(LedgerError::store)?;
    folder::write_whole(&path(dir), &bytes)
}

/// What a start has to record where the head signs for record `signed`. A note of another end is of an acceptance that was
/// broken off, or is recorded already.
pub fn unrecorded(dir: &Path, signed: u64) -> Result<Vec<EndAccepted>, LedgerError> {
    let all = noted(dir)?;
    match all.last() {
        Some(end) if end.last == signed => Ok(all),
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
    let path = path(dir);
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(LedgerError::io(&path)(e)),
        _ => Ok(()),
    }
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
