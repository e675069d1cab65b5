//! `rhumb eval-chains` and `rhumb train-chains`: where chains drifted, on chains that are put together from labelled
//! actions.

mod build;
mod morph;
mod scored;
mod vary;

use std::io::Write as _;
use std::process::ExitCode;

use super::labelled::read;
use crate::cli::EvalChainsArgs;
use crate::failure::Failure;
use crate::lines;
use crate::startup::{Wanted, start_off_thread};

/// Measures.
pub async fn run(args: EvalChainsArgs) -> Result<ExitCode, Failure> {
    let lines = read(&args.input, &args.family)?;
    let chains = build::chains(&lines, args.requests, args.seed);
    let started = start_off_thread(Wanted::from(&args.engine)).await?;
    let scored = scored::score(&started.engine, chains).await?;
    if let Some(path) = &args.hops {
        let mut file = lines::create(path)?;
        for chain in &scored {
            let row = serde_json::to_string(chain).map_err(Failure::check)?;
            writeln!(file, "{row}").map_err(Failure::file(path))?;
        }
        file.flush().map_err(Failure::file(path))?;
    }
    started.stop();
    Ok(ExitCode::SUCCESS)
}
