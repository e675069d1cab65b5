//! Rhumb says, for every action of an AI agent, how far it has drifted from what a human asked for.

mod calibrations;
mod cli;
mod client;
mod commands;
mod config;
mod explain;
mod failure;
mod lines;
mod progress;
mod service;
mod startup;
mod table;
mod telemetry;
mod trace;

use std::process::ExitCode;

use clap::Parser as _;
use rhumb_gateway::convert;

use cli::{Cli, Command};
use failure::Failure;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    telemetry::init(&cli.log);
    match run(cli) {
        Ok(code) => code,
        Err(failure) => {
            anstream::eprintln!("rhumb: {failure}");
            failure.exit_code()
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::io("runtime"))?;
    runtime.block_on(async {
        match cli.command {
            Command::Demo(args) => commands::demo::run(args).await,
            Command::Serve(args) => commands::serve::run(args).await,
            Command::Score(args) => commands::score::run(args).await,
            Command::Embed(args) => commands::embed::run(args).await,
            Command::Eval(args) => commands::eval::run(args).await,
            Command::EvalChains(args) => commands::chains::run(args).await,
            Command::TrainChains(args) => commands::chains::train(args).await,
            Command::Train(args) => commands::train::run(args).await,
            Command::TrainDelegation(args) => commands::train::run_delegation(args).await,
            Command::TrainAdapter(args) => commands::train::run_adapter(args).await,
            Command::TrainSmoothing(args) => commands::train::run_smoothing(args).await,
            Command::Calibrate(args) => commands::calibrate::run(args).await,
            Command::Bench(args) => commands::bench::run(args).await,
            Command::Keys(args) => commands::keys::run(args),
            Command::Ledger(args) => commands::ledger::run(args),
            Command::Trace(args) => commands::trace::run(args).await,
            Command::Policy(args) => commands::policy::run(args),
            Command::Model(args) => commands::model::run(args),
        }
    })
}
