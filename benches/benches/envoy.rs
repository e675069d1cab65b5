//! What asking costs an agent: the same call through the same Envoy, with and without a question to Rhumb.
//!
//! One agent, one connection, one call after the other, and the kinds of calls in turn, so that whatever else the machine
//! does falls on all of them alike. The kind `alone` goes over a route on which the example asks nobody.
//!
//! `cargo bench --workspace --bench envoy`, after `cargo build --release --workspace`; `--quick` for a smoke test.

// A bench may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::{Duration, Instant};

use anstream::println;
use rhumb_tests::envoy::{Agent, Change, Site, pay, post};
use serde_json::{Value, json};

const WARM_UP: usize = 200;
const ROUNDS: usize = 2000;
/// Every call passes: the way of an answer is measured, not what it says.
const POLICY: &str = "[defaults]\nthreshold = 1.0\nchain_write = \"ALLOW\"\n";

/// A kind of calls.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    path: &'static str,
    body: fn(usize) -> Value,
}

const KINDS: [Kind; 4] = [
    Kind { name: "alone", path: "/healthz", body: same },
    Kind { name: "asked, not scored (tools/list)", path: "/mcp", body: list },
    Kind { name: "scored, the action seen before", path: "/mcp", body: same },
    Kind { name: "scored, a new action", path: "/mcp", body: new },
];

fn same(_: usize) -> Value {
    pay(1)
}

fn list(_: usize) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
}

fn new(n: usize) -> Value {
    let mut call = pay(1);
    call["params"]["arguments"]["reference"] = json!(format!("electricity bill, part {n}"));
    call
}

fn main() {
    let rounds = if std::env::args().any(|arg| arg == "--quick") { 20 } else { ROUNDS };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for (ledger, config) in [("on disk", "disk"), ("survives a crash of the process alone", "os")] {
            println!("\nledger: {ledger}, durability = \"{config}\"; load average before: {}", load());
            measure(rounds, &format!("durability = \"{config}\"\n")).await;
        }
    });
}

/// The example as it is, its timeouts too.
async fn measure(rounds: usize, ledger: &str) {
    let change = Change { policy: POLICY, server: "hold_ms = 150", config: ledger, envoy: &[] };
    let site = Site::exactly(change).await;
    let token = site.token().await;
    let mut agent = site.envoy.agent().await;
    let mut times = KINDS.map(|_| Vec::with_capacity(rounds));
    let mut failed = 0;
    for n in 0..rounds + WARM_UP {
        for (kind, times) in KINDS.iter().zip(&mut times) {
            let time = timed(&mut agent, *kind, n, &token).await;
            match time {
                Some(time) if n >= WARM_UP => times.push(time),
                Some(_) => {}
                None => failed += usize::from(n >= WARM_UP),
            }
        }
    }
    report(&times.map(Sorted::of), failed);
}

/// `None` where the answer was an error: its time is no latency.
async fn timed(agent: &mut Agent, kind: Kind, n: usize, token: &str) -> Option<Duration> {
    let request = post(kind.path, &[("txn-token", token)], (kind.body)(n).to_string());
    let began = Instant::now();
    let reply = agent.send(request).await;
    (reply.status == 200).then(|| began.elapsed())
}

/// Milliseconds in order.
struct Sorted(Vec<f64>);

impl Sorted {
    fn of(times: Vec<Duration>) -> Self {
        let mut times: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
        times.sort_by(f64::total_cmp);
        Self(times)
    }

    fn at(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
    }
}

fn report(times: &[Sorted; KINDS.len()], failed: usize) {
    println!("| call | answered | p50 ms | p99 ms | added p50 | added p99 |");
    println!("|---|---|---|---|---|---|");
    for (kind, own) in KINDS.iter().zip(times) {
        let (p50, p99) = (own.at(0.5), own.at(0.99));
        let added = (p50 - times[0].at(0.5), p99 - times[0].at(0.99));
        println!(
            "| {} | {} | {p50:.2} | {p99:.2} | {:.2} | {:.2} |",
            kind.name,
            own.0.len(),
            added.0,
            added.1
        );
    }
    println!("{failed} errors");
}

fn load() -> String {
    std::fs::read_to_string("/proc/loadavg")
        .unwrap_or_default()
        .split(' ')
        .take(3)
        .collect::<Vec<_>>()
        .join(" ")
}
