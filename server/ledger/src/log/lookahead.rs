//! What happened to a record that is not what should stand there: altered, removed, swapped. Reads on from the bad
//! line; the hot path knows nothing of this.

use std::path::Path;

use super::line::{Frame, split};
use super::lines::Lines;

/// A line that is not the record that should stand there.
#[derive(Debug)]
pub struct Bad<'a> {
    /// The log's folder.
    pub dir: &'a Path,
    /// The file.
    pub segment: u32,
    /// The files after it.
    pub later: &'a [u32],
    /// The first byte of the line.
    pub offset: u64,
    /// The record that should stand there.
    pub expected: u64,
    /// The last record that the signed head knows of.
    pub head: u64,
}

/// Says what is wrong.
pub fn explain(bad: &Bad<'_>) -> String {
    let seqs = seqs(bad);
    let mut ahead = seqs.iter().copied();
    match (ahead.next(), ahead.next()) {
        (None | Some(Seen::Cut), _) => cut(bad),
        (Some(Seen::Strange), _) => "is not a record of the ledger".to_owned(),
        (Some(Seen::Record(seq)), next) => misplaced(bad, seq, next, &seqs),
    }
}

/// The log ends in the middle of a line.
fn cut(bad: &Bad<'_>) -> String {
    let missing = bad.head.saturating_sub(bad.expected) + 1;
    format!("the file ends inside this record, but the signed head says {}: {missing} are missing", bad.head)
}

fn misplaced(bad: &Bad<'_>, seq: u64, next: Option<Seen>, seqs: &[Seen]) -> String {
    let expected = bad.expected;
    let altered = "its digest does not match".to_owned();
    if seq == expected {
        return altered;
    }
    if next == Some(Seen::Record(expected)) && seq == expected + 1 {
        return format!("records {expected} and {seq} are swapped");
    }
    if seqs.contains(&Seen::Record(expected)) {
        return format!("out of order: record {seq} stands in its place");
    }
    // The number itself was altered: what follows goes on as if nothing had happened.
    if next == Some(Seen::Record(expected + 1)) || (next.is_none() && bad.head == expected) {
        return altered;
    }
    match seq.checked_sub(expected) {
        None => format!("record {seq} stands in its place again"),
        Some(1) => format!("missing: record {seq} follows {}", expected - 1),
        Some(_) => format!("records {expected} to {} are missing: {seq} follows {}", seq - 1, expected - 1),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Record(u64),
    Strange,
    Cut,
}

/// The numbers that the lines from the bad one on claim.
fn seqs(bad: &Bad<'_>) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut from = bad.offset;
    for segment in std::iter::once(&bad.segment).chain(bad.later) {
        let Ok(mut lines) = Lines::open(bad.dir, *segment, from) else { break };
        from = 0;
        while let Ok(Some(raw)) = lines.read() {
            let frame = split(raw.bytes).and_then(|(_, json)| Frame::parse(json));
            seen.push(match frame {
                _ if !raw.whole => Seen::Cut,
                Some(frame) => Seen::Record(frame.seq),
                None => Seen::Strange,
            });
        }
    }
    seen
}
