//! `rhumb eval-chains` and `rhumb train-chains`: where chains drifted, on chains that are put together from labelled
//! actions.

mod build;
mod detect;
mod fit;
mod morph;
mod print;
mod report;
mod scored;
mod vary;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use rhumb_drift::Calibration;

use self::report::Report;
use self::scored::ScoredChain;
use super::labelled::read;
use crate::calibrations;
use crate::cli::{EvalChainsArgs, TrainChainsArgs};
use crate::failure::Failure;
use crate::lines;
use crate::startup::{Wanted, load, start_off_thread, start_with};

/// Measures.
pub async fn run(args: EvalChainsArgs) -> Result<ExitCode, Failure> {
    let lines = read(&args.input, &args.family)?;
    let chains = build::chains(&lines, args.requests, args.seed);
    let started = start_off_thread(Wanted::from(&args.engine)).await?;
    let scored = scored::score(&started.engine, chains).await?;
    if let Some(path) = &args.hops {
        write_hops(path, &scored)?;
    }
    let engine = &started.engine;
    let draws = usize::from(args.bootstrap);
    let report = Report::of(engine.calibration_id(), engine.chain_parameters(), &scored, draws);
    if args.json {
        anstream::println!("{}", serde_json::to_string(&report).map_err(Failure::check)?);
    } else {
        print::print(&report);
    }
    started.stop();
    Ok(ExitCode::SUCCESS)
}

fn write_hops(path: &Path, chains: &[ScoredChain]) -> Result<(), Failure> {
    let mut file = lines::create(path)?;
    for chain in chains {
        let row = serde_json::to_string(chain).map_err(Failure::check)?;
        writeln!(file, "{row}").map_err(Failure::file(path))?;
    }
    file.flush().map_err(Failure::file(path))
}

/// Fits what ordinary chains look like and writes the head with it.
pub async fn train(args: TrainChainsArgs) -> Result<ExitCode, Failure> {
    if !(0.0..1.0).contains(&args.target_fpr) {
        return Err(Failure::input("--target-fpr needs a number from 0 to 1"));
    }
    let lines = read(&args.input, &[])?;
    let chains = build::chains(&lines, args.requests, args.seed);
    let wanted = Wanted::from(&args.engine);
    let (head, started) = tokio::task::spawn_blocking(move || {
        let loaded = load(&wanted)?;
        // Site thresholds would bind the parameters to one deployment.
        let head =
            calibrations::read_head(&wanted.calibration, &loaded.info().map_err(Failure::check)?.digest)?;
        let started = start_with(&wanted, loaded, head.clone())?;
        Ok::<_, Failure>((head, started))
    })
    .await
    .map_err(Failure::check)??;
    let scored = scored::score(&started.engine, chains).await?;
    started.stop();
    let few = || {
        Failure::input("too few chains to fit on: aligned and drifted actions of many requests are needed")
    };
    let (parameters, goodness) = fit::fit(&scored, args.target_fpr).ok_or_else(few)?;
    let calibration = Calibration { chain: Some(parameters), ..head };
    let text = serde_json::to_string_pretty(&calibration).map_err(Failure::check)?;
    std::fs::write(&args.output, text + "\n").map_err(Failure::file(&args.output))?;
    anstream::println!(
        "{} written to {}; on the {} chains it was fitted on, slow caught + first hop exact = {goodness:.3}",
        calibration.id(),
        args.output.display(),
        scored.len()
    );
    Ok(ExitCode::SUCCESS)
}
