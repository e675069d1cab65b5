//! `rhumb serve`

use std::process::ExitCode;

use rhumb_models::{Device, LoadOptions, Precision};

use crate::cli::ServeArgs;
use crate::config::Config;
use crate::failure::Failure;
use crate::service::server::serve;
use crate::startup::Wanted;

/// Runs the server until SIGTERM or SIGINT.
pub async fn run(args: ServeArgs) -> Result<ExitCode, Failure> {
    let mut config = Config::load(args.config.as_deref())?;
    config.server.listen = args.listen.unwrap_or(config.server.listen);
    let wanted = wanted(&args, &config)?;
    ignore_file_size_signal()?;
    serve(config, wanted, stop_signal()?).await?;
    Ok(ExitCode::SUCCESS)
}

fn wanted(args: &ServeArgs, config: &Config) -> Result<Wanted, Failure> {
    let model = &config.model;
    let device: Device = model.device.parse().map_err(|e| Failure::input(format!("model.device: {e}")))?;
    let precision: Precision =
        model.precision.parse().map_err(|e| Failure::input(format!("model.precision: {e}")))?;
    Ok(Wanted {
        model: args.model.clone().unwrap_or_else(|| model.name.clone()),
        options: LoadOptions {
            device: args.device.unwrap_or(device),
            precision: args.precision.unwrap_or(precision),
            threads: args.threads.unwrap_or(model.threads),
            reference: false,
            gpu_memory_mb: model.gpu_memory_mb,
        },
        calibration: match args.calibration.as_slice() {
            [] => model.calibration.clone(),
            given => given.to_vec(),
        },
        policy: config.policy.clone(),
        engine: config.engine.clone(),
        on_device_error: model.on_device_error,
    })
}

/// A limit on the size of files is an error of the write, like a full disk, and no end of the process.
#[cfg(unix)]
fn ignore_file_size_signal() -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    // SIGXFSZ has this number wherever Rust's standard library runs on Linux and the BSDs.
    const SIGXFSZ: i32 = 25;
    // The handler stays when what listens to it is dropped.
    signal(SignalKind::from_raw(SIGXFSZ)).map(drop).map_err(Failure::io("SIGXFSZ"))
}

/// There is no such signal.
#[cfg(not(unix))]
fn ignore_file_size_signal() -> Result<(), Failure> {
    Ok(())
}

/// Resolves at the first SIGTERM or SIGINT.
#[cfg(unix)]
fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::io("SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::io("SIGINT"))?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Resolves at the first interrupt.
#[cfg(not(unix))]
fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    Ok(async {
        // Without a handler there is nothing to wait for.
        let _ = tokio::signal::ctrl_c().await;
    })
}
