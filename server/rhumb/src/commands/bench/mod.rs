//! `rhumb bench`: the encoder by batch, length, precision and threads; the tokenizer; and one score with a cached intent.

mod encoder;
mod print;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use rhumb_drift::{Action, Intent};
use rhumb_engine::{Call, Engine, ScoreInput};
use serde::Serialize;

use self::encoder::{Cell, LEAST_CALLS, Measured, Plan, TokenizerCell, WORDS};
use crate::cli::BenchArgs;
use crate::failure::Failure;
use crate::startup::{Wanted, start_off_thread};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    version: &'static str,
    commit: &'static str,
    machine: Machine,
    model: String,
    digest: String,
    device: String,
    /// Why this device.
    device_reason: String,
    precision: String,
    backend: &'static str,
    threads: usize,
    encoder: Vec<Cell>,
    tokenizer: Vec<TokenizerCell>,
    score: ScoreCell,
}

#[derive(Debug, Serialize)]
struct Machine {
    cpu: String,
    cores: usize,
    os: &'static str,
    arch: &'static str,
}

/// One score in process, with the intent cached and the action new: tokenizing, encoding, features, verdict.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ScoreCell {
    calls: usize,
    p50_ms: f64,
    p99_ms: f64,
    /// Of it features, calibration and policy.
    drift_p50_ms: f64,
}

/// Measures and prints.
pub async fn run(args: BenchArgs) -> Result<ExitCode, Failure> {
    if args.batch.contains(&0)
        || args.length.iter().any(|l| *l < 3)
        || !(0.01..=600.0).contains(&args.seconds)
    {
        return Err(Failure::input(
            "--batch needs numbers from 1, --length from 3, --seconds from 0.01 to 600",
        ));
    }
    let wanted = Wanted::from(&args.engine);
    let wait = Duration::from_secs_f64(args.seconds);
    let plan = Plan {
        wanted: wanted.clone(),
        precisions: args.precisions,
        threads: args.thread_counts,
        batches: args.batch,
        lengths: args.length,
        wait,
    };
    let measured = tokio::task::spawn_blocking(move || plan.run()).await.map_err(Failure::check)??;
    let started = start_off_thread(wanted).await?;
    let score = bench_score(&started.engine, wait).await?;
    started.stop();
    let report = report(measured, score);
    if args.json {
        anstream::println!("{}", serde_json::to_string_pretty(&report).map_err(Failure::check)?);
    } else {
        print::print(&report);
    }
    Ok(ExitCode::SUCCESS)
}

fn report(measured: Measured, score: ScoreCell) -> Report {
    let Measured { info, why, cells, tokenizer } = measured;
    Report {
        version: env!("CARGO_PKG_VERSION"),
        commit: env!("RHUMB_COMMIT"),
        machine: machine(),
        model: info.model,
        digest: info.digest,
        device: info.device,
        device_reason: why,
        precision: info.precision,
        backend: info.backend,
        threads: info.threads,
        encoder: cells,
        tokenizer,
        score,
    }
}

fn machine() -> Machine {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|l| l.strip_prefix("model name")?.split_once(':'));
    Machine {
        cpu: model.map_or_else(|| "unknown".to_owned(), |(_, name)| name.trim().to_owned()),
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        os: std::env::consts::OS,
        arch: std::env::consts::ARCH,
    }
}

/// By nearest rank.
fn quantile_ms(times: &mut [Duration], q: f64) -> f64 {
    times.sort_unstable();
    let rank = (q * times.len().saturating_sub(1) as f64).round() as usize;
    times.get(rank).map_or(0.0, |t| t.as_secs_f64() * 1e3)
}

async fn bench_score(engine: &Engine, wait: Duration) -> Result<ScoreCell, Failure> {
    let (mut totals, mut drifts) = (Vec::new(), Vec::new());
    let started = Instant::now();
    let mut n = 0usize;
    while started.elapsed() < wait || totals.len() < LEAST_CALLS {
        let answer = engine.score(new_action(n), &Call::bulk()).await.map_err(Failure::check)?;
        n += 1;
        if answer.timings.intent_cached {
            totals.push(answer.timings.total);
            drifts.push(answer.timings.drift);
        }
    }
    Ok(ScoreCell {
        calls: totals.len(),
        p50_ms: quantile_ms(&mut totals, 0.5),
        p99_ms: quantile_ms(&mut totals, 0.99),
        drift_p50_ms: quantile_ms(&mut drifts, 0.5),
    })
}

/// An action of about 30 tokens that was never seen before, under one intent.
fn new_action(n: usize) -> ScoreInput {
    let subject: Vec<&str> = (0..6).filter_map(|i| WORDS.get((n / 8usize.pow(i)) % 8).copied()).collect();
    let arguments =
        serde_json::json!({"recipient": "UK12345678901234567890", "amount": n, "subject": subject.join(" ")});
    ScoreInput {
        intent: Intent {
            text: "Pay 98.70 to my friend in London for the concert tickets.".into(),
            ..Intent::default()
        },
        action: Action {
            tool: "send_money".into(),
            tool_description: "Sends money to a recipient.".into(),
            arguments: arguments.as_object().cloned().unwrap_or_default(),
            ..Action::default()
        },
        context: Vec::new(),
    }
}
