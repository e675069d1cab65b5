use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::config::TextMode;
use crate::error::{Refusal, RefusalKind};
use crate::log::{Disk, Files};
use crate::tables::Table;
use crate::testing::{decision, filled, filled_as, keys, large_decision, runtime};
use crate::verify::{Options, TablesState, verify};

fn open(path: &Path, keys: &Arc<Keys>) -> Ledger {
    Ledger::open(&LedgerConfig::at(path), Arc::clone(keys)).unwrap()
}

#[tokio::test]
async fn a_decision_is_found_by_id_by_request_and_in_its_chain_also_after_a_new_start() {
    let (dir, keys) = (tempfile::tempdir().unwrap(), keys());
    for start in 0..2 {
        let ledger = open(dir.path(), &keys);
        if start == 0 {
            for n in 0..10 {
                ledger.record(decision(n)).await.unwrap();
            }
        }
        let expected = decision(4);
        assert_eq!(ledger.decision(&expected.id).unwrap().unwrap().value, expected);
        for tenant in [None, Some("acme")] {
            let found = ledger.by_request(tenant, "request-4").unwrap().unwrap();
            assert_eq!(found.value, expected);
            let mut hops = Vec::new();
            let take = |stored: Stored<Decision>| {
                hops.push(stored.value.id);
                Ok::<_, LedgerError>(())
            };
            ledger.chain(tenant, "chain-1", 2, true, take).unwrap();
            assert_eq!(hops, [decision(4).id, decision(7).id], "the last two, in order");
        }
        assert!(ledger.by_request(Some("other"), "request-4").unwrap().is_none());
        assert!(ledger.decision("none").unwrap().is_none());
        ledger.close().unwrap();
    }
}

#[tokio::test]
async fn the_newest_decision_on_a_request_counts() {
    let (dir, keys) = (tempfile::tempdir().unwrap(), keys());
    let ledger = open(dir.path(), &keys);
    let first = ledger.record(decision(1)).await.unwrap();
    let second = Decision { request_id: decision(1).request_id, ..decision(2) };
    let receipt = ledger.record(second.clone()).await.unwrap();
    assert!(receipt.seq > first.seq);
    let found = ledger.by_request(None, &second.request_id).unwrap().unwrap();
    assert_eq!((found.seq, found.digest, found.time_ms), (receipt.seq, receipt.digest, receipt.time_ms));
}

#[tokio::test]
async fn a_refusal_is_recorded_although_the_caller_gets_an_error() {
    let (dir, keys) = (tempfile::tempdir().unwrap(), keys());
    let ledger = open(dir.path(), &keys);
    let refused = ledger.change(|_, _| Outcome::<()> {
        events: vec![Event::Decision(Box::new(decision(1)))],
        reply: Err(Refusal::new(RefusalKind::PermissionDenied, "no", "no").into()),
    });
    assert!(matches!(refused.await, Err(LedgerError::Refused(_))));
    assert!(ledger.decision(&decision(1).id).unwrap().is_some());
    let boom = ledger.change(|_, _| -> Outcome<()> { panic!("in a command") }).await;
    assert!(matches!(boom, Err(LedgerError::Store(_))), "{boom:?}");
    assert!(ledger.is_healthy());
}

#[tokio::test]
async fn without_files_changes_live_and_decisions_are_not_kept() {
    let ledger = Ledger::in_memory(keys()).unwrap();
    assert!(!ledger.is_kept());
    assert!(ledger.record(decision(1)).await.unwrap().seq > 0);
    assert!(ledger.decision(&decision(1).id).unwrap().is_none());
    assert!(ledger.read(|t| t.scan(Table::Decisions, b"", 9)).unwrap().is_empty());
    ledger.close().unwrap();
}

#[test]
fn a_second_server_is_refused_and_a_closed_ledger_says_so() {
    let (dir, keys) = (tempfile::tempdir().unwrap(), keys());
    let ledger = open(dir.path(), &keys);
    let other = ledger.clone();
    let second = Ledger::open(&LedgerConfig::at(dir.path()), Arc::clone(&keys));
    assert!(second.err().unwrap().to_string().contains("another program"));
    assert_eq!(verify(dir.path(), keys.public(), &Options::default()).unwrap().tables, TablesState::InUse);
    ledger.close().unwrap();
    assert!(!other.is_healthy());
    let late = runtime().block_on(other.record(decision(1)));
    assert!(matches!(late, Err(LedgerError::Closed(_))));
}

#[test]
fn texts_are_encrypted_or_left_out_as_configured_and_the_chain_goes_across_modes_and_files() {
    let (dir, keys) = (tempfile::tempdir().unwrap(), keys());
    let modes = [TextMode::Keep, TextMode::Encrypt, TextMode::Digest, TextMode::Encrypt];
    for (n, text) in (0..).zip(modes) {
        filled_as(&LedgerConfig { text, ..LedgerConfig::at(dir.path()) }, &keys, n..n + 1);
    }
    let log: String = [1, 2]
        .iter()
        .map(|n| std::fs::read_to_string(dir.path().join(format!("log/0000000{n}.log"))).unwrap())
        .collect();
    assert!(log.contains("Pay bill 0") && !log.contains("Pay bill 1") && !log.contains("Pay bill 2"));
    let ledger = open(dir.path(), &keys);
    for (n, readable) in [(0, true), (1, true), (2, false), (3, true)] {
        let content = ledger.decision(&decision(n).id).unwrap().unwrap().value.content;
        assert_eq!(content == decision(n).content, readable, "{n}: {content:?}");
    }
    ledger.close().unwrap();
    verify(dir.path(), keys.public(), &Options::default()).unwrap();
    let key = dir.path().join("text-keys/00000002.key");
    let good = std::fs::read(&key).unwrap();
    std::fs::write(&key, [&[good[0] ^ 1], &good[1..]].concat()).unwrap();
    let problem = verify(dir.path(), keys.public(), &Options::default()).unwrap_err().to_string();
    assert!(problem.starts_with("text-keys/00000002.key: "), "{problem}");
}

/// Fails at the given operation, halfway, and from then on.
struct Failing {
    files: Files,
    left: Arc<AtomicUsize>,
}

impl Failing {
    fn fails(&self) -> bool {
        self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_err()
    }

    fn error() -> LedgerError {
        LedgerError::io(Path::new("log"))(std::io::Error::other("the disk is full"))
    }
}

impl Disk for Failing {
    fn append(&mut self, bytes: &[u8]) -> Result<(), LedgerError> {
        if self.fails() {
            self.files.append(&bytes[..bytes.len() / 2])?;
            return Err(Self::error());
        }
        self.files.append(bytes)
    }
    fn sync(&mut self) -> Result<(), LedgerError> {
        if self.fails() { Err(Self::error()) } else { self.files.sync() }
    }
    fn head(&mut self, slot: usize, text: &[u8]) -> Result<(), LedgerError> {
        if self.fails() { Err(Self::error()) } else { self.files.head(slot, text) }
    }
    fn sync_head(&mut self) -> Result<(), LedgerError> {
        if self.fails() { Err(Self::error()) } else { self.files.sync_head() }
    }
    fn begin(&mut self, segment: u32) -> Result<(), LedgerError> {
        if self.fails() { Err(Self::error()) } else { self.files.begin(segment) }
    }
}

#[test]
fn a_write_that_fails_is_never_acknowledged_and_nothing_acknowledged_is_lost() {
    let keys = keys();
    for fail_at in 0..40 {
        let dir = tempfile::tempdir().unwrap();
        let config = LedgerConfig { checkpoint_records: 4, ..LedgerConfig::at(dir.path()) };
        let left = Arc::new(AtomicUsize::new(fail_at));
        let opened = recover::open_on(&config, &keys, |files| Box::new(Failing { files, left })).unwrap();
        let mut acknowledged = Vec::new();
        if let Ok(ledger) = Ledger::on(&config, &keys, opened) {
            runtime().block_on(async {
                for n in 0..12 {
                    match ledger.record(decision(n)).await {
                        Ok(_) => acknowledged.push(n),
                        Err(e) => assert!(matches!(e, LedgerError::Closed(_)) && !ledger.is_healthy(), "{e}"),
                    }
                }
            });
            assert!(acknowledged.iter().copied().eq(0..acknowledged.len() as u64));
            let _ = ledger.close();
        }
        let ledger = open(dir.path(), &keys);
        for n in acknowledged {
            assert!(ledger.decision(&decision(n).id).unwrap().is_some(), "failed at {fail_at}: {n}");
        }
        ledger.close().unwrap();
        verify(dir.path(), keys.public(), &Options::default()).unwrap();
    }
}

/// What a crash at this moment would leave: the head first, as a head must not be newer than the log.
fn crash_copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.join("log")).unwrap();
    std::fs::copy(from.join("log/HEAD"), to.join("log/HEAD")).unwrap();
    for entry in std::fs::read_dir(from.join("log")).unwrap() {
        let name = entry.unwrap().file_name();
        if name != "HEAD" {
            std::fs::copy(from.join("log").join(&name), to.join("log").join(name)).unwrap();
        }
    }
}

#[test]
fn a_copy_at_any_moment_holds_what_was_acknowledged() {
    let (dir, keys) = (tempfile::tempdir().unwrap(), keys());
    let config = LedgerConfig {
        segment_mb: 1,
        durability: Durability::Os,
        ..LedgerConfig::at(dir.path().join("live"))
    };
    let ledger = Ledger::open(&config, Arc::clone(&keys)).unwrap();
    let (next, acknowledged) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            runtime().block_on(async {
                let until = Instant::now() + Duration::from_secs(3);
                while Instant::now() < until {
                    let n = next.fetch_add(1, Ordering::SeqCst);
                    ledger.record(large_decision(n)).await.unwrap();
                    acknowledged.lock().unwrap().push(n);
                }
            });
        });
        let mut moment = 0;
        while !load.is_finished() {
            let so_far = acknowledged.lock().unwrap().len();
            let copy = dir.path().join(format!("copy-{moment}"));
            moment += 1;
            crash_copy(&config.path, &copy);
            let verified = verify(&copy, keys.public(), &Options::default()).unwrap();
            assert!(verified.decisions >= so_far as u64);
            let again = open(&copy, &keys);
            for n in 0..so_far as u64 {
                if n % 97 == 0 || n + 5 > so_far as u64 {
                    assert!(again.decision(&decision(n).id).unwrap().is_some());
                }
            }
            again.close().unwrap();
            let verified = verify(&copy, keys.public(), &Options::default()).unwrap();
            assert_eq!((verified.tables, verified.tail_bytes), (TablesState::Checked, 0));
            // And the live one, under load.
            verify(&config.path, keys.public(), &Options::default()).unwrap();
            std::fs::remove_dir_all(&copy).unwrap();
        }
        assert!(moment > 2, "{moment} copies");
    });
    ledger.close().unwrap();
}

#[test]
fn old_files_go_and_the_rest_still_verifies() {
    let (dir, keys) = (tempfile::tempdir().unwrap(), keys());
    let config = LedgerConfig {
        segment_mb: 1,
        text: TextMode::Encrypt,
        durability: Durability::Os,
        ..LedgerConfig::at(dir.path())
    };
    let opened = recover::open(&config, &keys).unwrap();
    let log = folder::log(&config.path);
    let rules = Rules { retain: Some(Duration::from_millis(1)), ..rules(&config) };
    let fill = |ledger: &Ledger, from: u64| {
        runtime().block_on(async {
            for n in from..from + 1000 {
                ledger.record(large_decision(n)).await.unwrap();
            }
        });
    };
    let ledger = Ledger::on(&config, &keys, opened).unwrap();
    fill(&ledger, 0);
    ledger.close().unwrap();
    assert!(log.join("00000002.log").exists() && dir.path().join("text-keys/00000001.key").exists());
    std::thread::park_timeout(Duration::from_millis(20));

    let opened = recover::open(&config, &keys).unwrap();
    let writer = Writer::new(opened.log, opened.tables, opened.texts, rules, Some(&log));
    let ledger = Ledger::start(writer, &keys, Some(log.clone()), Some(opened.lock), 100).unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while log.join("00000002.log").exists() && Instant::now() < until {
        std::thread::park_timeout(Duration::from_millis(50));
    }
    assert!(!log.join("00000001.log").exists() && !dir.path().join("text-keys/00000001.key").exists());
    assert!(ledger.decision(&decision(0).id).unwrap().is_none());
    assert!(ledger.by_request(None, "request-0").unwrap().is_none());
    fill(&ledger, 1000);
    ledger.close().unwrap();
    let verified = verify(dir.path(), keys.public(), &Options::default()).unwrap();
    assert!(verified.first_seq > 1);
    // Again from the log alone.
    std::fs::remove_file(dir.path().join("tables.redb")).unwrap();
    let ledger = open(dir.path(), &keys);
    assert!(ledger.decision(&decision(1999).id).unwrap().is_some());
    ledger.close().unwrap();
    verify(dir.path(), keys.public(), &Options::default()).unwrap();
    // A file that is gone without a word.
    let first = crate::log::lines::list(&log).unwrap()[0];
    std::fs::remove_file(crate::log::lines::path(&log, first)).unwrap();
    let problem = verify(dir.path(), keys.public(), &Options::default()).unwrap_err().to_string();
    assert!(problem.contains("are missing: no record says that they were retired"), "{problem}");
}

#[test]
fn old_texts_go_and_their_records_stay() {
    let (dir, keys) = (tempfile::tempdir().unwrap(), keys());
    let config = LedgerConfig { text: TextMode::Encrypt, segment_mb: 1, ..LedgerConfig::at(dir.path()) };
    filled_as(&config, &keys, 0..3);
    // Forces a second file: the first has no key any more, but its texts were sealed.
    let key = dir.path().join("text-keys/00000001.key");
    let kept = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    filled_as(&config, &keys, 3..4);
    std::fs::write(&key, kept).unwrap();
    std::thread::park_timeout(Duration::from_millis(20));

    let opened = recover::open(&config, &keys).unwrap();
    let rules = Rules { retain_text: Some(Duration::from_millis(1)), ..rules(&config) };
    let log = folder::log(&config.path);
    let writer = Writer::new(opened.log, opened.tables, opened.texts, rules, Some(&log));
    let ledger = Ledger::start(writer, &keys, Some(log), Some(opened.lock), 100).unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while key.exists() && Instant::now() < until {
        std::thread::park_timeout(Duration::from_millis(50));
    }
    assert!(!key.exists());
    let content = |n| ledger.decision(&decision(n).id).unwrap().unwrap().value.content;
    assert!(matches!(content(0), Content::Sealed(_)));
    assert_eq!(content(3), decision(3).content);
    ledger.close().unwrap();
    verify(dir.path(), keys.public(), &Options::default()).unwrap();
    let log = std::fs::read_to_string(dir.path().join("log/00000002.log")).unwrap();
    assert!(log.contains("\"text_erased\""));
}

#[test]
fn a_recent_check_leaves_the_rest_to_verify_and_an_end_can_be_accepted() {
    let (dir, keys) = (tempfile::tempdir().unwrap(), keys());
    filled(dir.path(), &keys, 20);
    let path = dir.path().join("log/00000001.log");
    let good = std::fs::read(&path).unwrap();
    let mut bad = good.clone();
    bad[500] ^= 1;
    std::fs::write(&path, &bad).unwrap();
    let recent = LedgerConfig { check: crate::config::StartCheck::Recent, ..LedgerConfig::at(dir.path()) };
    assert!(Ledger::open(&LedgerConfig::at(dir.path()), Arc::clone(&keys)).is_err());
    filled_as(&recent, &keys, 20..21);
    assert!(verify(dir.path(), keys.public(), &Options::default()).is_err());

    // A damaged record in the middle is no end, however the head says otherwise.
    let no_end = Ledger::log_end(&recent, keys.public()).unwrap_err().to_string();
    assert!(no_end.contains("follows it: this is no end"), "{no_end}");

    std::fs::write(&path, &good[..good.len() / 2]).unwrap();
    assert!(Ledger::open(&recent, Arc::clone(&keys)).is_err());
    let end = Ledger::log_end(&recent, keys.public()).unwrap();
    let last = end.last;
    assert!(end.is_short() && end.signed.unwrap() > last);
    assert!(Ledger::accept_end(&recent, &keys, last + 1).is_err());
    Ledger::accept_end(&recent, &keys, last).unwrap();
    assert!(Ledger::accept_end(&recent, &keys, last).unwrap_err().to_string().contains("lacks nothing"));
    filled_as(&recent, &keys, 30..31);
    filled_as(&recent, &keys, 31..32);
    let verified = verify(dir.path(), keys.public(), &Options::default()).unwrap();
    assert!(last > 5 && verified.head_seq > last);
    let log = std::fs::read_to_string(&path).unwrap();
    let accepted = format!("\"end_accepted\",\"data\":{{\"last\":{last},\"signed\":{}", end.signed.unwrap());
    assert_eq!(log.matches(&accepted).count(), 1, "{log}");
    assert!(!dir.path().join("log/ACCEPTED").exists());
}

#[tokio::test]
async fn a_record_that_is_too_long_is_refused_and_the_ledger_goes_on() {
    let (dir, keys) = (tempfile::tempdir().unwrap(), keys());
    let ledger = open(dir.path(), &keys);
    let words = "x".repeat(crate::log::line::MAX_JSON);
    let long = Decision { content: Content::Plain(words.into()), ..decision(1) };
    assert!(matches!(ledger.record(long).await, Err(LedgerError::Input(_))));
    ledger.record(decision(2)).await.unwrap();
    assert!(ledger.decision(&decision(1).id).unwrap().is_none());
    ledger.close().unwrap();
    verify(dir.path(), keys.public(), &Options::default()).unwrap();
}

#[test]
fn a_file_removed_from_the_middle_is_found() {
    let (dir, keys) = (tempfile::tempdir().unwrap(), keys());
    let config = LedgerConfig { segment_mb: 1, durability: Durability::Os, ..LedgerConfig::at(dir.path()) };
    let ledger = Ledger::open(&config, Arc::clone(&keys)).unwrap();
    runtime().block_on(async {
        for n in 0..1500 {
            ledger.record(large_decision(n)).await.unwrap();
        }
    });
    ledger.close().unwrap();
    std::fs::remove_file(dir.path().join("log/00000002.log")).unwrap();
    let problem = verify(dir.path(), keys.public(), &Options::default()).unwrap_err().to_string();
    assert!(problem.contains("log/00000003.log line 1") && problem.contains("are missing"), "{problem}");
}

#[test]
fn too_much_at_once_is_refused_and_a_full_queue_loses_nothing() {
    let (dir, keys) = (tempfile::tempdir().unwrap(), keys());
    filled(dir.path(), &keys, 1);
    let ledger =
        Ledger::open(&LedgerConfig { queue: 1, ..LedgerConfig::at(dir.path()) }, Arc::clone(&keys)).unwrap();
    let results = runtime().block_on(async {
        let tasks: Vec<_> = (10..300)
            .map(|n| {
                let l = ledger.clone();
                tokio::spawn(async move { (n, l.record(decision(n)).await) })
            })
            .collect();
        let mut results = Vec::new();
        for task in tasks {
            results.push(task.await.unwrap());
        }
        results
    });
    for (n, result) in results {
        match result {
            Ok(_) => assert!(ledger.decision(&decision(n).id).unwrap().is_some()),
            Err(e) => assert!(matches!(e, LedgerError::Full)),
        }
    }
    ledger.close().unwrap();
}

/// Figures, not a claim: `cargo test --release -p rhumb-ledger figures -- --ignored --nocapture`.
#[test]
#[ignore = "prints figures"]
fn figures() {
    for durability in [Durability::Disk, Durability::Os] {
        for tasks in [1, 64] {
            let (dir, keys) = (
                tempfile::tempdir_in(std::env::var("RHUMB_FIGURES_DIR").unwrap_or_else(|_| ".".into()))
                    .unwrap(),
                keys(),
            );
            let config = LedgerConfig { durability, ..LedgerConfig::at(dir.path()) };
            let ledger = Ledger::open(&config, Arc::clone(&keys)).unwrap();
            let next = Arc::new(AtomicU64::new(0));
            let began = Instant::now();
            let mut waits: Vec<u128> = runtime().block_on(async {
                let load = (0..tasks).map(|_| tokio::spawn(submit(ledger.clone(), Arc::clone(&next))));
                let mut waits = Vec::new();
                for task in load.collect::<Vec<_>>() {
                    waits.extend(task.await.unwrap());
                }
                waits
            });
            let seconds = began.elapsed().as_secs_f64();
            waits.sort_unstable();
            let at = |q: usize| waits[waits.len() * q / 1000];
            println!(
                "{durability:?}, {tasks} at once: {:.0} records/s, {} us median, {} us p99, {} us p99.9",
                waits.len() as f64 / seconds,
                at(500),
                at(990),
                at(999)
            );
            ledger.close().unwrap();
            let bytes: u64 = std::fs::read_dir(dir.path().join("log"))
                .unwrap()
                .map(|e| e.unwrap().metadata().unwrap().len())
                .sum();
            for log_only in [true, false] {
                let began = Instant::now();
                verify(dir.path(), keys.public(), &Options { log_only, ..Options::default() }).unwrap();
                println!(
                    "  verify (log only: {log_only}): {} MB of log in {} ms",
                    bytes >> 20,
                    began.elapsed().as_millis()
                );
            }
        }
    }
}

async fn submit(ledger: Ledger, next: Arc<AtomicU64>) -> Vec<u128> {
    let until = Instant::now() + Duration::from_secs(5);
    let mut waits = Vec::new();
    while Instant::now() < until {
        let decision = large_decision(next.fetch_add(1, Ordering::Relaxed));
        let began = Instant::now();
        ledger.record(decision).await.unwrap();
        waits.push(began.elapsed().as_micros());
    }
    waits
}
