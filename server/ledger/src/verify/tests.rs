use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::config::{Durability, LedgerConfig};
use crate::keys::Keys;
use crate::ledger::Ledger;
use crate::log::line::{chained, unhex};
use crate::record::{Event, Record};
use crate::testing::{copied, filled, filled_as, keys};

const DECISIONS: u64 = 7;
const LOG: &str = "log/00000001.log";

fn check(root: &Path, keys: &Keys) -> Result<Verified, String> {
    verify(root, keys.public(), &Options::default()).map_err(|problem| problem.to_string())
}

fn log_only(root: &Path, keys: &Keys) -> Result<Verified, String> {
    let options = Options { log_only: true, ..Options::default() };
    verify(root, keys.public(), &options).map_err(|problem| problem.to_string())
}

/// A ledger of some decisions, its lines, and its keys.
fn ledger() -> (tempfile::TempDir, Arc<Keys>, Vec<Vec<u8>>) {
    let (dir, keys) = (tempfile::tempdir().unwrap(), keys());
    filled(dir.path(), &keys, DECISIONS);
    let text = std::fs::read(dir.path().join(LOG)).unwrap();
    let lines = text.split_inclusive(|c| *c == b'\n').map(<[u8]>::to_vec).collect();
    (dir, keys, lines)
}

fn put(dir: &Path, lines: &[Vec<u8>]) {
    std::fs::write(dir.join(LOG), lines.concat()).unwrap();
}

#[test]
fn a_good_ledger_is_good() {
    let (dir, keys, lines) = ledger();
    let verified = check(dir.path(), &keys).unwrap();
    assert_eq!(
        (verified.records, verified.decisions, verified.first_seq),
        (lines.len() as u64, DECISIONS, 1)
    );
    assert_eq!((verified.head_seq, verified.tail_bytes, verified.tail_records), (lines.len() as u64, 0, 0));
    assert_eq!(verified.tables, TablesState::Checked);
    assert!(verified.checkpoints >= 1);
    assert_eq!(verified.head_digest.as_bytes(), &lines.last().unwrap()[..64]);
}

#[test]
fn every_flipped_byte_of_the_log_is_found_and_its_record_named() {
    let (dir, keys, lines) = ledger();
    let mut text = lines.concat();
    let mut record = 1;
    for at in 0..text.len() {
        // Another digit, another case, another control character: by turns.
        let bit = if at.is_multiple_of(2) { 1 } else { 0x20 };
        text[at] ^= bit;
        std::fs::write(dir.path().join(LOG), &text).unwrap();
        let problem = log_only(dir.path(), &keys).unwrap_err();
        assert!(
            problem.starts_with(&format!("record {record} ({LOG} line {record}): ")),
            "byte {at}: {problem}"
        );
        text[at] ^= bit;
        record += u64::from(text[at] == b'\n');
    }
}

#[test]
fn every_flipped_byte_of_the_head_is_found() {
    let (dir, keys, _) = ledger();
    let path = dir.path().join("log/HEAD");
    let mut head = std::fs::read(&path).unwrap();
    for at in 0..head.len() {
        head[at] ^= 1;
        std::fs::write(&path, &head).unwrap();
        let problem = log_only(dir.path(), &keys).unwrap_err();
        assert!(problem.starts_with("log/HEAD: "), "byte {at}: {problem}");
        head[at] ^= 1;
    }
}

#[test]
fn a_removed_record_is_named() {
    let (dir, keys, lines) = ledger();
    for gone in 0..lines.len() - 1 {
        let rest: Vec<_> =
            lines.iter().enumerate().filter(|(n, _)| *n != gone).map(|(_, l)| l.clone()).collect();
        put(dir.path(), &rest);
        let (seq, problem) = (gone + 1, log_only(dir.path(), &keys).unwrap_err());
        let expected = format!("record {seq} ({LOG} line {seq}): missing: record {} follows {gone}", seq + 1);
        assert_eq!(problem, expected);
    }
}

#[test]
fn two_removed_records_are_named() {
    let (dir, keys, mut lines) = ledger();
    lines.drain(4..6);
    put(dir.path(), &lines);
    let problem = log_only(dir.path(), &keys).unwrap_err();
    assert!(problem.contains("records 5 to 6 are missing: 7 follows 4"), "{problem}");
}

#[test]
fn swapped_records_are_named() {
    let (dir, keys, lines) = ledger();
    for first in 0..lines.len() - 1 {
        let mut swapped = lines.clone();
        swapped.swap(first, first + 1);
        put(dir.path(), &swapped);
        let problem = log_only(dir.path(), &keys).unwrap_err();
        let expected = format!("records {} and {} are swapped", first + 1, first + 2);
        assert!(problem.contains(&expected), "{problem}");
    }
    let mut far = lines.clone();
    far.swap(3, 9);
    put(dir.path(), &far);
    let problem = log_only(dir.path(), &keys).unwrap_err();
    assert!(problem.contains("record 4 ") && problem.contains("record 10 stands in its place"), "{problem}");
}

#[test]
fn a_repeated_record_is_named() {
    let (dir, keys, mut lines) = ledger();
    let again = lines[3].clone();
    lines.insert(7, again);
    put(dir.path(), &lines);
    let problem = log_only(dir.path(), &keys).unwrap_err();
    assert!(problem.contains("record 8 ") && problem.contains("record 4 stands"), "{problem}");
}

#[test]
fn a_file_cut_off_anywhere_is_found() {
    let (dir, keys, lines) = ledger();
    let text = lines.concat();
    for length in 0..text.len() {
        std::fs::write(dir.path().join(LOG), &text[..length]).unwrap();
        let problem = log_only(dir.path(), &keys).unwrap_err();
        let whole = text[..length].iter().filter(|c| **c == b'\n').count();
        assert!(problem.starts_with(&format!("record {} ({LOG}", whole + 1)), "{length}: {problem}");
        assert!(problem.contains(&format!("the signed head says {}", lines.len())), "{length}: {problem}");
    }
}

#[test]
fn a_server_refuses_what_verify_refuses() {
    let (dir, keys, lines) = ledger();
    let mut less = lines.clone();
    less.truncate(10);
    put(dir.path(), &less);
    let error = Ledger::open(&LedgerConfig::at(dir.path()), Arc::clone(&keys)).err().unwrap().to_string();
    assert!(error.contains("the log ends at record 10, but the signed head says"), "{error}");
    let mut flipped = lines;
    flipped[4][80] ^= 1;
    put(dir.path(), &flipped);
    let error = Ledger::open(&LedgerConfig::at(dir.path()), keys).err().unwrap().to_string();
    assert!(error.starts_with("record 5 ("), "{error}");
}

#[test]
fn a_missing_head_and_one_of_another_key_are_found() {
    let (dir, keys, _) = ledger();
    let other = crate::testing::keys();
    let problem = check(dir.path(), &other).unwrap_err();
    assert!(problem.contains("not among the public keys"), "{problem}");
    std::fs::remove_file(dir.path().join("log/HEAD")).unwrap();
    assert_eq!(check(dir.path(), &keys).unwrap_err(), "log/HEAD: is missing");
    assert!(Ledger::open(&LedgerConfig::at(dir.path()), keys).is_err());
}

#[test]
fn everything_written_again_with_another_key_is_found() {
    let (dir, keys, _) = ledger();
    let forger = crate::testing::keys();
    std::fs::remove_dir_all(dir.path()).unwrap();
    filled(dir.path(), &forger, 20);
    assert!(check(dir.path(), &keys).unwrap_err().contains("not among the public keys"));
}

#[test]
fn a_state_put_back_shows_by_the_tables_or_a_remembered_head() {
    let (dir, keys) = (tempfile::tempdir().unwrap(), keys());
    let (now, then) = (dir.path().join("now"), dir.path().join("then"));
    filled(&now, &keys, 5);
    copied(&now.join("log"), &then);
    filled_as(&LedgerConfig::at(&now), &keys, 5..9);
    let verified = check(&now, &keys).unwrap();
    let expect = Some((verified.head_seq, verified.head_digest));
    let options = Options { expect, log_only: true };
    verify(&now, keys.public(), &options).unwrap();

    std::fs::remove_dir_all(now.join("log")).unwrap();
    copied(&then, &now.join("log"));
    let problem = check(&now, &keys).unwrap_err();
    assert!(problem.contains("cut off, or put back"), "{problem}");
    let error = Ledger::open(&LedgerConfig::at(&now), Arc::clone(&keys)).err().unwrap();
    assert!(error.to_string().contains("cut off, or put back"), "{error}");
    log_only(&now, &keys).unwrap();
    let problem = verify(&now, keys.public(), &options).unwrap_err().to_string();
    assert!(problem.contains("was remembered, but the ledger ends at"), "{problem}");
}

#[test]
fn an_older_head_over_the_whole_log_is_a_crash_and_is_healed() {
    let (dir, keys) = (tempfile::tempdir().unwrap(), keys());
    filled(dir.path(), &keys, 5);
    let head = std::fs::read(dir.path().join("log/HEAD")).unwrap();
    filled_as(&LedgerConfig::at(dir.path()), &keys, 5..9);
    std::fs::write(dir.path().join("log/HEAD"), head).unwrap();
    let verified = check(dir.path(), &keys).unwrap();
    assert_eq!(
        (verified.tail_records, verified.decisions),
        (0, 9),
        "checkpoints sign for what the head does not"
    );
    filled_as(&LedgerConfig::at(dir.path()), &keys, 9..10);
    let verified = check(dir.path(), &keys).unwrap();
    assert_eq!((verified.tail_records, verified.decisions), (0, 10));
}

/// A decision that carries on the chain of digests, as anybody can write it.
fn forged(dir: &Path, last: &Verified) -> String {
    let event = Event::Decision(Box::new(crate::testing::decision(99)));
    let json = serde_json::to_vec(&Record { seq: last.head_seq + 1, time_ms: u64::MAX / 2, event }).unwrap();
    let digest = chained(&unhex(last.head_digest.as_bytes()).unwrap(), &json);
    let mut log = std::fs::OpenOptions::new().append(true).open(dir.join(LOG)).unwrap();
    log.write_all(&[hex(&digest).as_bytes(), b" ", &json, b"\n"].concat()).unwrap();
    crate::testing::decision(99).id
}

#[test]
fn a_record_that_nobody_signed_is_not_counted_and_not_taken_in() {
    for durability in [Durability::Disk, Durability::Os] {
        let (dir, keys) = (tempfile::tempdir().unwrap(), keys());
        let config = LedgerConfig { durability, ..LedgerConfig::at(dir.path()) };
        filled_as(&config, &keys, 0..5);
        let before = check(dir.path(), &keys).unwrap();
        let id = forged(dir.path(), &before);
        let found = check(dir.path(), &keys).unwrap();
        assert_eq!((found.tail_records, found.decisions), (1, 5));
        assert_eq!((found.head_seq, &found.head_digest), (before.head_seq, &before.head_digest));
        let ledger = Ledger::open(&config, Arc::clone(&keys)).unwrap();
        assert!(ledger.decision(&id).unwrap().is_none());
        ledger.close().unwrap();
        let after = check(dir.path(), &keys).unwrap();
        assert_eq!((after.tail_records, after.decisions), (0, 5));
    }
}

#[test]
fn tables_that_were_changed_are_found_and_made_again() {
    let (dir, keys, _) = ledger();
    let path = dir.path().join("tables.redb");
    let good = std::fs::read(&path).unwrap();
    let needle = crate::testing::decision(5).id.into_bytes();
    let mut changed = good.clone();
    // All of them: some lie in pages that are no longer part of the tables.
    for at in 0..good.len() - needle.len() {
        changed[at] ^= u8::from(good[at..].starts_with(&needle));
    }
    assert_ne!(changed, good);
    std::fs::write(&path, &changed).unwrap();
    let problem = check(dir.path(), &keys).unwrap_err();
    assert!(problem.starts_with("tables.redb: "), "{problem}");
    assert_eq!(std::fs::read(&path).unwrap(), changed, "verify writes nothing");
    std::fs::write(&path, b"no tables").unwrap();
    assert!(check(dir.path(), &keys).unwrap_err().contains("delete it"));
    let ledger = Ledger::open(&LedgerConfig::at(dir.path()), Arc::clone(&keys)).unwrap();
    assert!(ledger.decision(&crate::testing::decision(5).id).unwrap().is_some());
    ledger.close().unwrap();
    check(dir.path(), &keys).unwrap();
}
