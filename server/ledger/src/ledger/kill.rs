//! `kill -9` at random moments: the test binary runs itself as the server that dies.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::config::{Durability, LedgerConfig};
use crate::keys::Keys;
use crate::ledger::Ledger;
use crate::testing::{decision, large_decision, runtime};
use crate::verify::{Options, TablesState, verify};

const DIR: &str = "RHUMB_TEST_LEDGER";
const FROM: &str = "RHUMB_TEST_FROM";

fn config(path: &Path, round: u64) -> LedgerConfig {
    let durability = if round.is_multiple_of(2) { Durability::Disk } else { Durability::Os };
    LedgerConfig { durability, segment_mb: 1, checkpoint_records: 50, ..LedgerConfig::at(path) }
}

fn keys(path: &Path) -> Arc<Keys> {
    Arc::new(Keys::open(&path.join("keys")).unwrap())
}

/// Not a test: the server. Prints the number of each decision once it is acknowledged.
#[test]
#[ignore = "run by the test below"]
fn server_that_dies() {
    let Some(path) = std::env::var_os(DIR) else { return };
    let path = Path::new(&path);
    let from: u64 = std::env::var(FROM).unwrap().parse().unwrap();
    let ledger = Ledger::open(&config(path, from), keys(path)).unwrap();
    let next = Arc::new(AtomicU64::new(from));
    runtime().block_on(async {
        let load = (0..16).map(|_| {
            let (ledger, next) = (ledger.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::SeqCst);
                    ledger.record(large_decision(n)).await.unwrap();
                    let mut out = std::io::stdout().lock();
                    out.write_all(format!("\nack {n}\n").as_bytes()).unwrap();
                    out.flush().unwrap();
                }
            })
        });
        let _load: Vec<_> = load.collect();
        std::future::pending::<()>().await;
    });
}

/// Starts the server, kills it some milliseconds after its first acknowledgement, or after its start where
/// `at_once`, and returns what it acknowledged.
fn killed_after(path: &Path, from: u64, ms: u64, at_once: bool) -> Vec<u64> {
    let mut server = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ledger::kill::server_that_dies", "--ignored", "--nocapture"])
        .env(DIR, path)
        .env(FROM, from.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = BufReader::new(server.stdout.take().unwrap());
    let (first, begun) = std::sync::mpsc::sync_channel(1);
    let reader = std::thread::spawn(move || {
        let numbers = out.lines().map_while(Result::ok).filter_map(|l| l.strip_prefix("ack ")?.parse().ok());
        let told = numbers.inspect(|_| {
            let _ = first.try_send(());
        });
        told.collect::<Vec<u64>>()
    });
    if !at_once {
        begun.recv_timeout(Duration::from_secs(30)).unwrap();
    }
    std::thread::park_timeout(Duration::from_millis(ms));
    server.kill().unwrap();
    server.wait().unwrap();
    reader.join().unwrap()
}

#[test]
fn fifty_kills_lose_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    let mut all: Vec<u64> = Vec::new();
    let mut seen = 0;
    for round in 0..50_u64 {
        // Every fifth dies while it starts.
        let acknowledged =
            killed_after(path, round * 1_000_000 + round % 2, (round * 7919) % 151, round % 5 == 4);
        seen += usize::from(!acknowledged.is_empty());
        all.extend(acknowledged);
        if !path.join("log/HEAD").exists() {
            continue;
        }
        // As the dead server left it, then as the next one finds it.
        let keys = keys(path);
        verify(path, keys.public(), &Options::default()).unwrap();
        let ledger = Ledger::open(&config(path, round), Arc::clone(&keys)).unwrap();
        for n in all.iter().rev().take(500) {
            assert!(ledger.decision(&decision(*n).id).unwrap().is_some(), "round {round}: {n}");
        }
        ledger.close().unwrap();
        let verified = verify(path, keys.public(), &Options::default()).unwrap();
        assert!(verified.decisions >= all.len() as u64 && verified.tables == TablesState::Checked);
    }
    assert!(seen >= 40, "only {seen} rounds got as far as an acknowledgement");
    let ledger = Ledger::open(&config(path, 0), keys(path)).unwrap();
    assert!(all.iter().all(|n| ledger.decision(&decision(*n).id).unwrap().is_some()));
}
