//! From names and flags to a running engine.

use std::path::PathBuf;
use std::thread::JoinHandle;

use rhumb_drift::{Calibration, Policy};
use rhumb_engine::{Engine, EngineConfig};
use rhumb_models::bundle::BundleError;
use rhumb_models::{Bundle, LoadOptions, Loaded, Store};

use crate::cli::EngineArgs;
use crate::failure::Failure;

const MINILM_CALIBRATION: &str = include_str!("../../../models/bundles/minilm.calibration.json");

/// What to start.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Bundle.
    pub model: String,
    /// Device, precision, threads.
    pub options: LoadOptions,
    /// Calibration in place of the bundle's own.
    pub calibration: Option<PathBuf>,
    /// Verdicts.
    pub policy: Policy,
    /// The engine's numbers.
    pub engine: EngineConfig,
}

impl From<&EngineArgs> for Wanted {
    fn from(args: &EngineArgs) -> Self {
        Self {
            model: args.model.clone(),
            options: LoadOptions {
                device: args.device,
                precision: args.precision,
                threads: args.threads,
                reference: args.reference,
            },
            calibration: args.calibration.clone(),
            policy: Policy::default(),
            engine: EngineConfig::default(),
        }
    }
}

/// A running engine and the thread that ends with it.
pub struct Started {
    /// The engine.
    pub engine: Engine,
    thread: JoinHandle<()>,
}

impl Started {
    /// Lets the encoder thread finish: drops the engine and waits.
    pub fn stop(self) {
        drop(self.engine);
        if self.thread.join().is_err() {
            tracing::error!("the encoder thread panicked");
        }
    }
}

/// Loads bundle and calibration, runs the self-test and starts the engine. Takes a second; not for an async thread.
///
/// # Errors
/// One line that says what is missing or wrong.
pub fn start(wanted: &Wanted) -> Result<Started, Failure> {
    let loaded = load(wanted)?;
    let calibration = calibration(wanted, &loaded)?;
    let info = loaded.encoder.info();
    tracing::info!(
        model = %info.model, digest = %info.digest, device = %info.device, precision = %info.precision,
        backend = info.backend, threads = info.threads, calibration = %calibration.id(),
        self_test = ?loaded.self_test, "model loaded"
    );
    let (engine, thread) = Engine::start(
        loaded.tokenizer,
        loaded.encoder,
        calibration,
        wanted.policy.clone(),
        wanted.engine.clone(),
    )
    .map_err(Failure::io("encoder thread"))?;
    Ok(Started { engine, thread })
}

/// Loads the bundle and runs the self-test.
///
/// # Errors
/// As [`start`].
pub fn load(wanted: &Wanted) -> Result<Loaded, Failure> {
    let bundle = read_bundle(&wanted.model)?;
    rhumb_models::load(&bundle, wanted.options)
        .map_err(|e| Failure::check(format!("model {}: {e}", wanted.model)))
}

fn read_bundle(name: &str) -> Result<Bundle, Failure> {
    let fail = |e: BundleError| Failure::check(format!("model {name}: {e}"));
    Store::open(None).map_err(fail)?.load(name).map_err(fail)
}

fn calibration(wanted: &Wanted, loaded: &Loaded) -> Result<Calibration, Failure> {
    let (origin, text) = match &wanted.calibration {
        Some(path) => {
            (path.display().to_string(), std::fs::read_to_string(path).map_err(Failure::file(path))?)
        }
        None => ("built-in".to_owned(), MINILM_CALIBRATION.to_owned()),
    };
    let calibration = Calibration::parse(&text).map_err(|e| Failure::input(format!("{origin}: {e}")))?;
    let digest = &loaded.encoder.info().digest;
    if calibration.model_digest != *digest {
        let made_for = &calibration.model_digest;
        return Err(Failure::input(format!(
            "{origin}: this calibration was made for the model {made_for}, not for {digest}; see rhumb train"
        )));
    }
    Ok(calibration)
}

/// Runs [`start`] where it may block.
///
/// # Errors
/// As [`start`].
pub async fn start_off_thread(wanted: Wanted) -> Result<Started, Failure> {
    let started = tokio::task::spawn_blocking(move || start(&wanted)).await;
    started.map_err(Failure::check)?
}
