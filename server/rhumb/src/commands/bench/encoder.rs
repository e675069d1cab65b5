//! The encoder alone, and the tokenizer beside it.

use std::time::{Duration, Instant};

use rhumb_models::encoder::{Encoder, EncoderInfo};
use rhumb_models::tokenizer::Tokenizer;
use rhumb_models::{LoadOptions, Precision};
use serde::Serialize;

use super::quantile_ms;
use crate::failure::Failure;
use crate::startup::{Wanted, load};

/// Calls in a cell at least, however slow.
pub(super) const LEAST_CALLS: usize = 5;
/// Words that are one token each in an English WordPiece vocabulary.
pub(super) const WORDS: [&str; 8] = ["send", "money", "to", "the", "account", "of", "my", "friend"];

/// Token ids in, vectors out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cell {
    pub precision: String,
    pub backend: &'static str,
    pub threads: usize,
    pub batch: usize,
    pub length: usize,
    pub calls: usize,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub texts_per_second: f64,
    pub tokens_per_second: f64,
}

/// Text in, token ids out, on one thread. Callers tokenize, never the encoder's thread.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TokenizerCell {
    pub length: usize,
    pub p50_ms: f64,
    pub texts_per_second: f64,
    pub tokens_per_second: f64,
}

/// What to measure.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub wanted: Wanted,
    /// Empty: that of `wanted`.
    pub precisions: Vec<Precision>,
    /// Empty: those of `wanted`.
    pub threads: Vec<usize>,
    pub batches: Vec<usize>,
    pub lengths: Vec<usize>,
    pub wait: Duration,
}

/// What was measured, and the encoder that `wanted` means.
pub(super) struct Measured {
    pub info: EncoderInfo,
    /// Why this device.
    pub why: String,
    pub cells: Vec<Cell>,
    pub tokenizer: Vec<TokenizerCell>,
}

impl Plan {
    /// Every precision with every number of threads.
    fn options(&self) -> Vec<LoadOptions> {
        let own = self.wanted.options;
        let precisions =
            if self.precisions.is_empty() { vec![own.precision] } else { self.precisions.clone() };
        let threads = if self.threads.is_empty() { vec![own.threads] } else { self.threads.clone() };
        let all = precisions.into_iter().flat_map(|p| threads.iter().map(move |t| (p, *t)));
        all.map(|(precision, threads)| LoadOptions { precision, threads, ..own }).collect()
    }

    pub(super) fn run(&self) -> Result<Measured, Failure> {
        let first = load(&self.wanted)?;
        let info = first.info().map_err(Failure::check)?.clone();
        let mut measured =
            Measured { info, why: first.why.clone(), cells: Vec::new(), tokenizer: Vec::new() };
        let longest = measured.info.max_length;
        for length in self.lengths.iter().copied().filter(|l| *l <= longest) {
            measured.tokenizer.push(tokenizer_cell(&first.tokenizer, length, self.wait)?);
        }
        drop(first);
        for options in self.options() {
            let mut loaded = load(&Wanted { options, ..self.wanted.clone() })?;
            self.cells(loaded.encoder().map_err(Failure::check)?, &mut measured.cells)?;
        }
        Ok(measured)
    }

    fn cells(&self, encoder: &mut dyn Encoder, cells: &mut Vec<Cell>) -> Result<(), Failure> {
        let longest = encoder.info().max_length;
        for length in self.lengths.iter().copied().filter(|l| *l <= longest) {
            for batch in self.batches.iter().copied() {
                let texts: Vec<Vec<u32>> = (0..batch).map(|i| token_ids(length, i)).collect();
                cells.push(cell(encoder, &texts, self.wait)?);
            }
        }
        Ok(())
    }
}

/// Ids from the middle of the vocabulary, different from text to text, between the special tokens of BERT.
fn token_ids(length: usize, seed: usize) -> Vec<u32> {
    let inner = (0..length.saturating_sub(2)).map(|i| 2000 + ((i * 7919 + seed * 104_729) % 20_000) as u32);
    std::iter::once(101).chain(inner).chain([102]).collect()
}

/// Calls again and again for `wait`; the times, sorted.
fn repeat(wait: Duration, mut call: impl FnMut() -> Result<(), Failure>) -> Result<Vec<Duration>, Failure> {
    call()?;
    let mut times = Vec::new();
    let started = Instant::now();
    while started.elapsed() < wait || times.len() < LEAST_CALLS {
        let begun = Instant::now();
        call()?;
        times.push(begun.elapsed());
    }
    Ok(times)
}

fn rate(times: &[Duration]) -> f64 {
    times.len() as f64 / times.iter().map(Duration::as_secs_f64).sum::<f64>()
}

fn cell(encoder: &mut dyn Encoder, texts: &[Vec<u32>], wait: Duration) -> Result<Cell, Failure> {
    let batch: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    let mut times = repeat(wait, || encoder.encode(&batch).map(drop).map_err(Failure::check))?;
    let length = texts.first().map_or(0, Vec::len);
    let done = rate(&times) * texts.len() as f64;
    let info = encoder.info();
    Ok(Cell {
        precision: info.precision.clone(),
        backend: info.backend,
        threads: info.threads,
        batch: texts.len(),
        length,
        calls: times.len(),
        p50_ms: quantile_ms(&mut times, 0.5),
        p99_ms: quantile_ms(&mut times, 0.99),
        texts_per_second: done,
        tokens_per_second: done * length as f64,
    })
}

fn tokenizer_cell(tokenizer: &Tokenizer, length: usize, wait: Duration) -> Result<TokenizerCell, Failure> {
    let words = WORDS.iter().cycle().take(length.saturating_sub(2)).copied().collect::<Vec<_>>();
    let text = words.join(" ");
    let mut times = repeat(wait, || tokenizer.tokenize(&text).map(drop).map_err(Failure::check))?;
    let done = rate(&times);
    let p50_ms = quantile_ms(&mut times, 0.5);
    Ok(TokenizerCell { length, p50_ms, texts_per_second: done, tokens_per_second: done * length as f64 })
}
