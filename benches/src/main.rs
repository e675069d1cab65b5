//! `load`: sends actions to a running server and says how long the answers took.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use rhumb_benches::load::args::Args;
use rhumb_benches::load::error::LoadError;
use rhumb_benches::load::{report, run};

fn main() -> ExitCode {
    match load(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("load: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn load(args: &Args) -> Result<(), LoadError> {
    let plan = args.plan()?;
    // One thread by default: the server under load shares the machine.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(args.threads).enable_all().build()?;
    // On a worker: a future on the main thread would wake it for every answer.
    let json = args.json;
    let report = runtime.block_on(async move {
        tokio::select! {
            report = tokio::spawn(run::run(plan)) => report.map_err(|e| LoadError::Server(e.to_string()))?,
            () = interrupted() => Err(LoadError::Interrupted),
        }
    });
    // Calls that were never answered must not hold up the end; a spawned server is stopped by its owner's drop.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    let text = if json { report::json(&report?)? } else { report::table(&report?) };
    Ok(writeln!(anstream::stdout(), "{text}")?)
}

/// Resolves at SIGINT or SIGTERM, so that a server of ours is stopped with us.
#[cfg(unix)]
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Resolves at an interrupt.
#[cfg(not(unix))]
async fn interrupted() {
    // Without a handler there is nothing to wait for.
    let _ = tokio::signal::ctrl_c().await;
}
