//! `rhumb embed`: texts as vectors, as they are, for other programs.

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use rhumb_models::Loaded;
use rhumb_models::tokenizer::WindowRule;
use serde::{Deserialize, Serialize};

use crate::cli::EmbedArgs;
use crate::failure::Failure;
use crate::lines::{self, Line, Lines};
use crate::startup::{Wanted, load};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    id: serde_json::Value,
    text: String,
}

#[derive(Serialize)]
struct Vector {
    id: serde_json::Value,
    embedding: Vec<f32>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Figures {
    texts: usize,
    tokens: usize,
    seconds: f64,
    texts_per_second: f64,
    tokens_per_second: f64,
    device: String,
    precision: String,
}

/// Embeds a file. A bad line is named on stderr and left out; the exit code is then 2.
pub async fn run(args: EmbedArgs) -> Result<ExitCode, Failure> {
    tokio::task::spawn_blocking(move || embed(&args)).await.map_err(Failure::check)?
}

fn embed(args: &EmbedArgs) -> Result<ExitCode, Failure> {
    lines::check_not_same(&args.input, &args.output)?;
    let input = Lines::new(lines::open(&args.input)?);
    let mut loaded = load(&Wanted::from(&args.engine))?;
    let mut output = lines::create(&args.output)?;
    let name = lines::name(&args.input);
    let mut figures = Figures::default();
    let mut bad = 0usize;
    let mut batch = Vec::new();
    for line in input {
        match text(line.map_err(|e| Failure::input(format!("{name}: {e}")))?) {
            Ok(text) => batch.push(text),
            Err(problem) => {
                bad += 1;
                anstream::eprintln!("rhumb: {name}: {problem}");
            }
        }
        if batch.len() >= usize::from(args.batch_size) {
            flush(&mut loaded, &mut batch, &mut output, &mut figures)?;
        }
    }
    flush(&mut loaded, &mut batch, &mut output, &mut figures)?;
    output.flush().map_err(Failure::io("output"))?;
    report(&loaded, figures)?;
    Ok(if bad > 0 { ExitCode::from(2) } else { ExitCode::SUCCESS })
}

fn text(line: Line) -> Result<Text, String> {
    let number = line.number;
    let parsed = line.text.and_then(|text| serde_json::from_str(&text).map_err(|e| e.to_string()));
    parsed.map_err(|problem| format!("line {number}: {problem}"))
}

/// Embeds what is in `batch` and empties it. Only tokenizing and encoding are timed, not the files.
fn flush(
    loaded: &mut Loaded,
    batch: &mut Vec<Text>,
    output: &mut dyn Write,
    figures: &mut Figures,
) -> Result<(), Failure> {
    if batch.is_empty() {
        return Ok(());
    }
    let started = Instant::now();
    let rule = WindowRule {
        max_length: loaded.info().map_err(Failure::check)?.max_length,
        overlap: 0,
        max_windows: 1,
    };
    let windows = batch.iter().map(|t| loaded.tokenizer.windows(&t.text, rule));
    let windows = windows.collect::<Result<Vec<_>, _>>().map_err(Failure::check)?;
    let ids: Vec<&[u32]> =
        windows.iter().filter_map(|w| w.windows.first()).map(|w| w.ids.as_slice()).collect();
    let encodings = loaded.encoder().and_then(|encoder| encoder.encode(&ids)).map_err(Failure::check)?;
    figures.seconds += started.elapsed().as_secs_f64();
    figures.texts += batch.len();
    figures.tokens += ids.iter().map(|t| t.len()).sum::<usize>();
    for (text, encoding) in batch.drain(..).zip(encodings) {
        let line = Vector { id: text.id, embedding: encoding.pooled };
        serde_json::to_writer(&mut *output, &line).map_err(Failure::check)?;
        output.write_all(b"\n").map_err(Failure::io("output"))?;
    }
    Ok(())
}

fn report(loaded: &Loaded, mut figures: Figures) -> Result<(), Failure> {
    let info = loaded.info().map_err(Failure::check)?;
    let per_second = |n: usize| if figures.seconds > 0.0 { n as f64 / figures.seconds } else { 0.0 };
    figures.texts_per_second = per_second(figures.texts);
    figures.tokens_per_second = per_second(figures.tokens);
    figures.device.clone_from(&info.device);
    figures.precision.clone_from(&info.precision);
    let text = serde_json::to_string(&figures).map_err(Failure::check)?;
    anstream::eprintln!("{text}");
    Ok(())
}
