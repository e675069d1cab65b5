//! Checks a ledger from outside: read-only, in bounded memory, with the public keys alone, beside a running server
//! or on a copy.
//!
//! What it finds: any changed byte under `log/`, records that were removed, swapped or put in, files cut off or taken
//! away, a head that is missing, older or signed by somebody else, a changed key of texts, and tables that disagree
//! with the log. What only a head remembered elsewhere ([`Options::expect`]) shows: a ledger that was put back to an
//! earlier state with the head of that time, or rewritten by one who holds the signing key.

mod records;
mod tables;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use crate::folder;
use crate::keys::PublicKeys;
use crate::log::{Head, Scan, Signed, hex, lines};
use crate::problem::Problem;
use crate::recover;

use self::records::{Counts, Records};
use self::tables::Tables;

pub use self::tables::TablesState;

/// A head that is being written is read again.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(5);

/// What else is asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// Number and digest (64 hexadecimal digits) of a record that must still be there.
    pub expect: Option<(u64, String)>,
    /// Leave the tables alone: they can be made again from the log.
    pub log_only: bool,
}

/// What was found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Records that are there and signed for.
    pub records: u64,
    /// Checkpoints among them, each with a good signature.
    pub checkpoints: u64,
    /// Decisions among them.
    pub decisions: u64,
    /// The first record there is; more than 1 after retention.
    pub first_seq: u64,
    /// The last record that is signed for.
    pub head_seq: u64,
    /// Its digest, 64 hexadecimal digits.
    pub head_digest: String,
    /// Records after it, which do not count: written when the head was read already, unfinished when the server died, or
    /// put there by a stranger. Nobody was told of them, and a start cuts them off.
    pub tail_records: u64,
    /// Bytes after the last record: one that was half written when the server died, or is being written now.
    pub tail_bytes: u64,
    /// Whether the tables were checked too.
    pub tables: TablesState,
}

/// Checks the ledger in a folder.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify(root: &Path, keys: &PublicKeys, options: &Options) -> Result<Verified, Problem> {
    let dir = folder::log(root);
    for _ in 0..TRIES {
        let before = lines::list(&dir).unwrap_or_default();
        let result = once(root, keys, options);
        // A running server may have retired a file under our eyes: look again.
        if result.is_ok() || before.first() == lines::list(&dir).unwrap_or_default().first() {
            return result;
        }
    }
    once(root, keys, options)
}

fn once(root: &Path, keys: &PublicKeys, options: &Options) -> Result<Verified, Problem> {
    let dir = folder::log(root);
    let mut tables = if options.log_only { Tables::skipped() } else { Tables::open(root)? };
    let head = head(&dir, keys)?;
    let mut scan = Scan::new(&dir, head, crate::log::Position::default())?;
    let mut records = Records::new(root, keys, options);
    let mut signed = Signed::by(&head, keys);
    let mut counts = Counts::default();
    while let Some(record) = scan.record()? {
        records.check(&record)?;
        tables.check(&record)?;
        signed.see(&record);
        if record.place.seq <= signed.seq() {
            counts = records.counts;
        }
    }
    let whole = scan.finish()?;
    let tables = tables.finish(&whole)?;
    let end = signed.end(whole);
    records.finish(&end)?;
    Ok(Verified {
        records: counts.records,
        checkpoints: counts.checkpoints,
        decisions: counts.decisions,
        first_seq: end.first_seq,
        head_seq: end.at.seq,
        head_digest: hex(&end.at.digest),
        tail_records: end.tail_records,
        tail_bytes: end.tail_bytes,
        tables,
    })
}

/// The head; both slots must be good.
fn head(dir: &Path, keys: &PublicKeys) -> Result<Head, Problem> {
    let mut problem = Problem::file("log/HEAD", "is missing");
    for _ in 0..TRIES {
        let found = recover::read_head(dir, keys).map_err(|e| Problem::file("log/HEAD", e.to_string()))?;
        let Some(found) = found else { return Err(problem) };
        match found.head {
            Some(head) if found.problems.is_empty() => return Ok(head),
            _ => problem = Problem::file("log/HEAD", found.problems.join(", ")),
        }
        std::thread::park_timeout(PAUSE);
    }
    Err(problem)
}
