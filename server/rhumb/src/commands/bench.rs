//! `rhumb bench`: the encoder by batch and length, and one score with a cached intent.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use rhumb_drift::{Action, Intent};
use rhumb_engine::{Call, Engine, ScoreInput};
use rhumb_models::encoder::{Encoder, EncoderInfo};
use serde::Serialize;

use crate::cli::BenchArgs;
use crate::failure::Failure;
use crate::startup::{Wanted, load, start_off_thread};
use crate::table::Table;

/// Calls of the encoder in a cell at least, however slow.
const LEAST_CALLS: usize = 5;
/// Words that are one token each in an English WordPiece vocabulary.
const WORDS: [&str; 8] = ["send", "money", "to", "the", "account", "of", "my", "friend"];

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    version: &'static str,
    commit: &'static str,
    machine: Machine,
    model: String,
    digest: String,
    device: String,
    precision: String,
    backend: &'static str,
    threads: usize,
    encoder: Vec<Cell>,
    score: ScoreCell,
}

#[derive(Debug, Serialize)]
struct Machine {
    cpu: String,
    cores: usize,
    os: &'static str,
    arch: &'static str,
}

/// The encoder alone, token ids in, vectors out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cell {
    batch: usize,
    length: usize,
    calls: usize,
    p50_ms: f64,
    p99_ms: f64,
    texts_per_second: f64,
    tokens_per_second: f64,
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
    let for_score = wanted.clone();
    let (batches, lengths) = (args.batch.clone(), args.length.clone());
    let wait = Duration::from_secs_f64(args.seconds);
    let encoder = tokio::task::spawn_blocking(move || bench_encoder(&wanted, &batches, &lengths, wait));
    let (info, encoder) = encoder.await.map_err(Failure::check)??;
    let started = start_off_thread(for_score).await?;
    let score = bench_score(&started.engine, wait).await?;
    started.stop();
    let report = report(info, encoder, score);
    if args.json {
        anstream::println!("{}", serde_json::to_string_pretty(&report).map_err(Failure::check)?);
    } else {
        print(&report);
    }
    Ok(ExitCode::SUCCESS)
}

fn report(info: EncoderInfo, encoder: Vec<Cell>, score: ScoreCell) -> Report {
    Report {
        version: env!("CARGO_PKG_VERSION"),
        commit: env!("RHUMB_COMMIT"),
        machine: machine(),
        model: info.model,
        digest: info.digest,
        device: info.device,
        precision: info.precision,
        backend: info.backend,
        threads: info.threads,
        encoder,
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

fn bench_encoder(
    wanted: &Wanted,
    batches: &[usize],
    lengths: &[usize],
    wait: Duration,
) -> Result<(EncoderInfo, Vec<Cell>), Failure> {
    let mut loaded = load(wanted)?;
    let info = loaded.encoder.info().clone();
    let mut cells = Vec::new();
    for length in lengths.iter().copied().filter(|l| *l <= info.max_length) {
        for batch in batches.iter().copied() {
            let texts: Vec<Vec<u32>> = (0..batch).map(|i| token_ids(length, i)).collect();
            cells.push(bench_cell(loaded.encoder.as_mut(), &texts, wait)?);
        }
    }
    Ok((info, cells))
}

/// Ids from the middle of the vocabulary, different from text to text, between the special tokens of BERT.
fn token_ids(length: usize, seed: usize) -> Vec<u32> {
    let inner = (0..length.saturating_sub(2)).map(|i| 2000 + ((i * 7919 + seed * 104_729) % 20_000) as u32);
    std::iter::once(101).chain(inner).chain([102]).collect()
}

fn bench_cell(encoder: &mut dyn Encoder, texts: &[Vec<u32>], wait: Duration) -> Result<Cell, Failure> {
    let batch: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    encoder.encode(&batch).map_err(Failure::check)?;
    let mut times = Vec::new();
    let started = Instant::now();
    while started.elapsed() < wait || times.len() < LEAST_CALLS {
        let call = Instant::now();
        encoder.encode(&batch).map_err(Failure::check)?;
        times.push(call.elapsed());
    }
    let seconds: f64 = times.iter().map(Duration::as_secs_f64).sum();
    let length = texts.first().map_or(0, Vec::len);
    let done = (times.len() * texts.len()) as f64 / seconds;
    Ok(Cell {
        batch: texts.len(),
        length,
        calls: times.len(),
        p50_ms: quantile_ms(&mut times, 0.5),
        p99_ms: quantile_ms(&mut times, 0.99),
        texts_per_second: done,
        tokens_per_second: done * length as f64,
    })
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

fn print(report: &Report) {
    let Report { machine, .. } = report;
    anstream::println!(
        "{} ({} cores), rhumb {} {}",
        machine.cpu,
        machine.cores,
        report.version,
        report.commit
    );
    anstream::println!(
        "{} on {} in {} by {}, {} threads",
        report.model,
        report.device,
        report.precision,
        report.backend,
        report.threads
    );
    let mut table = Table::new(&["batch x tokens", "p50 ms", "p99 ms", "texts/s", "tokens/s"]);
    for cell in &report.encoder {
        table.row(vec![
            format!("{} x {}", cell.batch, cell.length),
            format!("{:.2}", cell.p50_ms),
            format!("{:.2}", cell.p99_ms),
            format!("{:.0}", cell.texts_per_second),
            format!("{:.0}", cell.tokens_per_second),
        ]);
    }
    anstream::print!("{table}");
    let score = &report.score;
    anstream::println!(
        "one score, intent cached, action new: p50 {:.2} ms, p99 {:.2} ms, of it features {:.3} ms",
        score.p50_ms,
        score.p99_ms,
        score.drift_p50_ms
    );
}
