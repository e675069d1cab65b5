//! From names and flags to a running engine.

use std::path::PathBuf;
use std::thread::JoinHandle;

use rhumb_drift::{Calibration, Policy};
use rhumb_engine::{Encoders, Engine, EngineConfig, Fallback};
use rhumb_models::bundle::BundleError;
use rhumb_models::encoder::{EncoderError, EncoderInfo};
use rhumb_models::{Bundle, Device, LoadOptions, Loaded, Precision, Store};

use crate::calibrations;
use crate::cli::EngineArgs;
use crate::config::OnDeviceError;
use crate::failure::Failure;

/// What to start.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Bundle.
    pub model: String,
    /// Device, precision, threads.
    pub options: LoadOptions,
    /// A head in place of the bundle's own, thresholds of the deployment, or both.
    pub calibration: Vec<PathBuf>,
    /// Verdicts.
    pub policy: Policy,
    /// The engine's numbers.
    pub engine: EngineConfig,
    /// What becomes of the work of a device that is lost.
    pub on_device_error: OnDeviceError,
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
                gpu_memory_mb: args.gpu_memory_mb,
            },
            calibration: args.calibration.clone(),
            policy: Policy::default(),
            engine: EngineConfig::default(),
            // Who measures a device, or waits for a file, wants no figures of another.
            on_device_error: OnDeviceError::Stop,
        }
    }
}

/// A running engine and the threads that end with it.
pub struct Started {
    /// The engine.
    pub engine: Engine,
    threads: Vec<JoinHandle<()>>,
}

impl Started {
    /// Lets the encoder threads finish: drops the engine and waits.
    pub fn stop(self) {
        drop(self.engine);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("an encoder thread panicked");
            }
        }
    }
}

/// Loads bundle and calibration, runs the self-test and starts the engine. Takes a second; not for an async thread.
///
/// # Errors
/// One line that says what is missing or wrong.
pub fn start(wanted: &Wanted) -> Result<Started, Failure> {
    let loaded = load(wanted)?;
    let calibration =
        calibrations::read(&wanted.calibration, &loaded.info().map_err(Failure::check)?.digest)?;
    start_with(wanted, loaded, calibration)
}

/// Starts the engine on what is loaded.
///
/// # Errors
/// If the encoders' threads cannot be started.
pub fn start_with(wanted: &Wanted, loaded: Loaded, calibration: Calibration) -> Result<Started, Failure> {
    let info = loaded.info().map_err(Failure::check)?;
    tracing::info!(
        model = %info.model, digest = %info.digest, device = %info.device, precision = %info.precision,
        backend = info.backend, threads = info.threads, encoders = loaded.encoders.len(), calibration = %calibration.id(),
        self_test = ?loaded.self_test, chosen = %loaded.why, "model loaded"
    );
    let fallback = fallback(wanted, info);
    let (engine, threads) = Engine::start(
        loaded.tokenizer,
        Encoders::from(loaded.encoders).or(fallback),
        calibration,
        wanted.policy.clone(),
        wanted.engine.clone(),
    )
    .map_err(Failure::io("encoder threads"))?;
    Ok(Started { engine, threads })
}

/// What computes where the device is lost: the same bundle on the CPU, read again then. The engine refuses it if it is not
/// the same model any more.
fn fallback(wanted: &Wanted, info: &EncoderInfo) -> Option<Fallback> {
    if wanted.on_device_error == OnDeviceError::Stop || info.device == Device::Cpu.to_string() {
        return None;
    }
    // The CPU has no 16-bit path.
    let precision = match wanted.options.precision {
        Precision::F16 => Precision::Auto,
        other => other,
    };
    let options = LoadOptions { device: Device::Cpu, precision, ..wanted.options };
    let wanted = Wanted { options, ..wanted.clone() };
    Some(Box::new(move || {
        let loaded = load(&wanted).map_err(|failure| EncoderError::Unavailable(failure.to_string()))?;
        let none = || EncoderError::Unavailable("no encoder was loaded".to_owned());
        loaded.encoders.into_iter().next().ok_or_else(none)
    }))
}

/// Loads the bundle and runs the self-test.
///
/// # Errors
/// As [`start`].
pub fn load(wanted: &Wanted) -> Result<Loaded, Failure> {
    check(&wanted.options)?;
    let bundle = read_bundle(&wanted.model)?;
    rhumb_models::load(&bundle, wanted.options)
        .map_err(|e| Failure::encoder(&e).of(format_args!("model {}", wanted.model)))
}

/// Before any weight is read: what no bundle can mend.
fn check(options: &LoadOptions) -> Result<(), Failure> {
    match options.precision {
        _ if !options.reference => Ok(()),
        Precision::Auto | Precision::F32 => Ok(()),
        other => Err(Failure::input(format!(
            "--precision {other}: the reference encoder computes in f32; leave out --reference or --precision"
        ))),
    }
}

/// Reads and verifies a bundle.
///
/// # Errors
/// If it is absent or not what its manifest says.
pub fn read_bundle(name: &str) -> Result<Bundle, Failure> {
    let fail = |e: BundleError| Failure::bundle(&e).of(format_args!("model {name}"));
    Store::open(None).map_err(fail)?.load(name).map_err(fail)
}

/// Runs [`start`] where it may block.
///
/// # Errors
/// As [`start`].
pub async fn start_off_thread(wanted: Wanted) -> Result<Started, Failure> {
    let started = tokio::task::spawn_blocking(move || start(&wanted)).await;
    started.map_err(Failure::check)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_encoder_is_asked_for_f32_or_nothing() {
        let asked = |precision, reference| {
            check(&LoadOptions { precision, reference, ..LoadOptions::default() })
                .map_err(|failure| (failure.exit_code(), failure.to_string()))
        };
        assert_eq!(asked(Precision::F32, true), Ok(()));
        assert_eq!(asked(Precision::Auto, true), Ok(()));
        assert_eq!(asked(Precision::Int8, false), Ok(()));
        for precision in [Precision::Int8, Precision::F16] {
            let (code, told) = asked(precision, true).unwrap_err();
            assert_eq!(code, std::process::ExitCode::from(2));
            assert!(told.starts_with(&format!("--precision {precision}: ")), "{told}");
        }
    }
}
