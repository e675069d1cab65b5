//! `rhumb train-adapter`: tunes a bundle's encoder on labelled actions and writes the outcome as another bundle.

mod draw;
mod negatives;

use std::process::ExitCode;

use rhumb_models::adapter::{Settings, Training};
use rhumb_models::tokenizer::Tokenizer;

use self::draw::Draw;
use super::super::labelled::read;
use super::super::random::SplitMix;
use crate::cli::TrainAdapterArgs;
use crate::failure::Failure;
use crate::startup::read_bundle;

/// Steps between two lines of the log.
const REPORT_EVERY: usize = 10;

/// Trains and writes.
pub async fn run(args: TrainAdapterArgs) -> Result<ExitCode, Failure> {
    if args.rank == 0 || args.batch < 2 || args.temperature <= 0.0 || args.keep < 0.0 {
        return Err(Failure::input(
            "--rank needs 1 or more, --batch 2 or more, --temperature a number above 0, --keep one that is not negative",
        ));
    }
    tokio::task::spawn_blocking(move || train(&args)).await.map_err(Failure::check)?
}

fn train(args: &TrainAdapterArgs) -> Result<ExitCode, Failure> {
    let lines = read(&args.input, &[])?;
    let bundle = read_bundle(&args.model)?;
    let tokenizer = Tokenizer::from_bytes(&bundle.tokenizer).map_err(Failure::check)?;
    let mut draw = Draw::of(&lines, &args.wrong, &tokenizer, args.seed)?;
    let settings = Settings {
        rank: args.rank,
        steps: args.steps,
        rate: args.rate,
        temperature: args.temperature,
        keep: args.keep,
    };
    let mut random = SplitMix::named(args.seed, "start");
    let mut training =
        Training::of(&bundle, settings, &mut || between(random.draw())).map_err(Failure::check)?;
    let mut losses = Vec::new();
    for step in 1..=args.steps {
        let done = training.step(&draw.batch(args.batch)?).map_err(Failure::check)?;
        losses.push(done.loss);
        if step.is_multiple_of(REPORT_EVERY) || step == args.steps {
            let mean = losses.iter().sum::<f32>() / losses.len() as f32;
            tracing::info!(step, of = args.steps, loss = mean, moved = done.moved, "training");
            losses.clear();
        }
    }
    let adapter = training.finish(&bundle.manifest.digest()).map_err(Failure::check)?;
    let weights = adapter.merged(&bundle, args.scale).map_err(Failure::check)?;
    let tuned = bundle.with_weights(&args.name, "tuned", weights).map_err(Failure::check)?;
    tuned.write(&args.output).map_err(Failure::check)?;
    anstream::println!(
        "{} numbers trained; {} written to {}: `rhumb model import {}` installs it",
        adapter.parameters(),
        args.name,
        args.output.display(),
        args.output.display()
    );
    Ok(ExitCode::SUCCESS)
}

/// From -1 to 1, by the 24 bits that an f32 holds exactly.
fn between(bits: u64) -> f32 {
    (bits >> 40) as f32 / (1u64 << 23) as f32 - 1.0
}
