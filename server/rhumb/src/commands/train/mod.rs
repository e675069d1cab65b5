//! `rhumb train`: fits the head on labelled actions.

mod adapter;
mod bank;
mod delegation;
mod examples;
mod smoothing;

use std::collections::BTreeMap;
use std::process::ExitCode;

use rhumb_drift::bank::Bank;
use rhumb_drift::calibration::Head;
use rhumb_drift::train::{Example, fit, threshold};
use rhumb_drift::{Calibration, Effect, Policy};
use rhumb_engine::{Engine, EngineConfig};

use self::examples::Examples;
use super::labelled::{read, score};
use crate::cli::TrainArgs;
use crate::failure::Failure;
use crate::startup::{Wanted, load};

pub use self::adapter::run as run_adapter;
pub use self::delegation::run as run_delegation;
pub use self::smoothing::run as run_smoothing;

/// Fits and writes a calibration.
pub async fn run(args: TrainArgs) -> Result<ExitCode, Failure> {
    if !(0.0..1.0).contains(&args.target_fpr) || args.l2 < 0.0 || args.attacks < 0.0 {
        return Err(Failure::input(
            "--target-fpr needs a number from 0 to 1, --l2 and --attacks one that is not negative",
        ));
    }
    let lines = read(&args.input, &[])?;
    let bank = bank::of(&engine(&args, Bank::default()).await?, &lines).await?;
    let engine = engine(&args, bank.clone()).await?;
    let attacked = score(&engine, examples::attacked(&lines)).await?;
    let scored = score(&engine, lines).await?;
    let examples = Examples::of(&scored, &attacked, args.attacks);
    let calibration = Calibration {
        name: args.name.clone(),
        model_digest: engine.info().digest.clone(),
        call: head(&args, &examples.call, &examples.effects)?,
        bare: head(&args, &examples.bare, &examples.effects)?,
        bank,
        chain: None,
        id_with_thresholds: None,
    };
    let text = serde_json::to_string_pretty(&calibration).map_err(Failure::check)?;
    std::fs::write(&args.output, text + "\n").map_err(Failure::file(&args.output))?;
    anstream::println!("{} written to {}", calibration.id(), args.output.display());
    Ok(ExitCode::SUCCESS)
}

/// Features depend on the bank, and on nothing else of a calibration.
async fn engine(args: &TrainArgs, bank: Bank) -> Result<Engine, Failure> {
    let wanted = Wanted::from(&args.engine);
    let loaded = tokio::task::spawn_blocking(move || load(&wanted)).await.map_err(Failure::check)??;
    let neutral =
        Calibration { bank, ..Calibration::neutral(&loaded.info().map_err(Failure::check)?.digest) };
    let (engine, _) =
        Engine::start(loaded.tokenizer, loaded.encoders, neutral, Policy::default(), EngineConfig::default())
            .map_err(Failure::io("encoder threads"))?;
    Ok(engine)
}

fn head(args: &TrainArgs, examples: &[Example], effects: &[Effect]) -> Result<Head, Failure> {
    let (bias, features) = fit(examples, args.l2).map_err(Failure::check)?;
    let mut head = Head { bias, features, thresholds: BTreeMap::new() };
    let drifts = |effect: Option<Effect>| -> Vec<f64> {
        let aligned =
            examples.iter().zip(effects).filter(|(e, own)| !e.drifted && effect.is_none_or(|e| e == **own));
        aligned.map(|(e, _)| head.drift(&e.features, 0.0).0).collect()
    };
    let of = |effect| {
        threshold(drifts(Some(effect)), args.target_fpr)
            .or_else(|| threshold(drifts(None), args.target_fpr))
            .unwrap_or(0.5)
    };
    let thresholds = [Effect::Read, Effect::Write, Effect::Unknown].map(|e| (e, of(e)));
    head.thresholds = thresholds.into();
    Ok(head)
}
