//! `rhumb train`: fits the head on labelled actions.

use std::collections::BTreeMap;
use std::process::ExitCode;

use rhumb_drift::train::{Example, balance, fit, threshold};
use rhumb_drift::{Calibration, Effect, Policy};
use rhumb_engine::{Answer, Engine, EngineConfig};

use super::labelled::{Labelled, read, score};
use crate::cli::TrainArgs;
use crate::failure::Failure;
use crate::startup::{Wanted, load};

/// Fits and writes a calibration.
pub async fn run(args: TrainArgs) -> Result<ExitCode, Failure> {
    if !(0.0..1.0).contains(&args.target_fpr) || args.l2 < 0.0 {
        return Err(Failure::input("--target-fpr needs a number from 0 to 1, --l2 one that is not negative"));
    }
    let lines = read(&args.input, &[])?;
    let engine = engine_without_calibration(&args).await?;
    let scored = score(&engine, lines).await?;
    let calibration = calibration(&args, &scored, engine.info().digest.clone())?;
    let text = serde_json::to_string_pretty(&calibration).map_err(Failure::check)?;
    std::fs::write(&args.output, text + "\n").map_err(Failure::file(&args.output))?;
    anstream::println!("{} written to {}", calibration.id(), args.output.display());
    Ok(ExitCode::SUCCESS)
}

/// Features do not depend on the calibration, so any will do.
async fn engine_without_calibration(args: &TrainArgs) -> Result<Engine, Failure> {
    let wanted = Wanted::from(&args.engine);
    let loaded = tokio::task::spawn_blocking(move || load(&wanted)).await.map_err(Failure::check)??;
    let neutral = Calibration::neutral(&loaded.encoder.info().digest);
    let (engine, _) =
        Engine::start(loaded.tokenizer, loaded.encoder, neutral, Policy::default(), EngineConfig::default())
            .map_err(Failure::io("encoder thread"))?;
    Ok(engine)
}

fn calibration(
    args: &TrainArgs,
    scored: &[(Labelled, Answer)],
    digest: String,
) -> Result<Calibration, Failure> {
    let usable: Vec<_> = scored.iter().filter(|(_, a)| a.features.is_some()).collect();
    let cells: Vec<_> = usable.iter().map(|(l, _)| (l.family.as_str(), l.drifted, l.kind.as_str())).collect();
    let examples: Vec<Example> = usable
        .iter()
        .zip(balance(&cells))
        .filter_map(|((l, a), weight)| {
            Some(Example { features: a.features.clone()?, drifted: l.drifted, weight })
        })
        .collect();
    let (bias, features) = fit(&examples, args.l2).map_err(Failure::check)?;
    let neutral = Calibration::neutral(&digest);
    let mut calibration = Calibration { name: args.name.clone(), bias, features, ..neutral };
    calibration.thresholds = thresholds(&calibration, &usable, args.target_fpr);
    Ok(calibration)
}

fn thresholds(calibration: &Calibration, scored: &[&(Labelled, Answer)], fpr: f64) -> BTreeMap<Effect, f64> {
    let drifts = |effect: Option<Effect>| -> Vec<f64> {
        let aligned = scored.iter().filter(|(l, _)| !l.drifted && effect.is_none_or(|e| l.effect() == e));
        aligned.filter_map(|(_, a)| Some(calibration.drift(a.features.as_ref()?).0)).collect()
    };
    let of =
        |effect| threshold(drifts(Some(effect)), fpr).or_else(|| threshold(drifts(None), fpr)).unwrap_or(0.5);
    [Effect::Read, Effect::Write, Effect::Unknown].into_iter().map(|e| (e, of(e))).collect()
}
