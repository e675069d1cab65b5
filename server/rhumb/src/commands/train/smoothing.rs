//! `rhumb train-smoothing`: measures what int8 needs to know about a model's activations.

use std::collections::BTreeMap;
use std::process::ExitCode;

use rhumb_drift::{IntentText, Prepared};
use rhumb_models::Bundle;
use rhumb_models::encoder::cpu::CpuEncoder;
use rhumb_models::tokenizer::{Tokenizer, WindowRule};

use super::super::labelled::{Labelled, digest, read};
use crate::cli::TrainSmoothingArgs;
use crate::failure::Failure;
use crate::startup::read_bundle;

/// Requests, and as many actions: the largest values hardly grow with more.
const LINES: usize = 200;
/// Bytes of a text.
const BYTES: usize = 1024;
/// Texts as an action never is, but may come to be: what stands alone is what int8 finds hardest.
const ODD: [&str; 10] =
    ["", ".", "!?", "....", "hello", "no no no no", "12345", "a b c d", "привет, мир", "你好，世界"];

/// Measures and writes.
pub async fn run(args: TrainSmoothingArgs) -> Result<ExitCode, Failure> {
    let lines = read(&args.input, &[])?;
    let bundle = read_bundle(&args.model)?;
    let tokenizer = Tokenizer::from_bytes(&bundle.tokenizer).map_err(Failure::check)?;
    let texts = texts(&lines).into_iter().chain(ODD.iter().map(|t| (*t).to_owned()));
    let ids = texts.map(|text| ids(&bundle, &tokenizer, &text)).collect::<Result<Vec<_>, _>>()?;
    let measured = tokio::task::spawn_blocking(move || CpuEncoder::measure_smoothing(&bundle, &ids)).await;
    let smoothing = measured.map_err(Failure::check)?.map_err(Failure::check)?;
    let json = smoothing.to_json().map_err(Failure::check)?;
    std::fs::write(&args.output, json).map_err(Failure::file(&args.output))?;
    anstream::println!("{} texts, written to {}", smoothing.texts, args.output.display());
    Ok(ExitCode::SUCCESS)
}

/// Requests and an action of each, by digest of the request, so that the order of the lines does not decide.
fn texts(lines: &[Labelled]) -> Vec<String> {
    let by_digest: BTreeMap<String, &Labelled> =
        lines.iter().rev().map(|l| (digest(&l.input.intent.text), l)).collect();
    let both = |line: &Labelled| {
        let intent = IntentText::of(&line.input.intent.text);
        let action = Prepared::of(&line.input.action, &IntentText::default(), BYTES);
        [intent.text, action.main.text]
    };
    by_digest.into_values().take(LINES).flat_map(both).collect()
}

/// The first window of a text.
fn ids(bundle: &Bundle, tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>, Failure> {
    let rule = WindowRule { max_length: bundle.manifest.encoder.max_length, overlap: 0, max_windows: 1 };
    let windows = tokenizer.windows(text, rule).map_err(Failure::check)?.windows;
    windows.into_iter().next().map(|w| w.ids).ok_or_else(|| Failure::check("a text without a window"))
}
