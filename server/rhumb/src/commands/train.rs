//! `rhumb train`: fits the head on labelled actions.

use std::collections::BTreeMap;
use std::process::ExitCode;

use rhumb_drift::calibration::Head;
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
    let weights = balance(&cells);
    let examples: Vec<Example> = usable
        .iter()
        .zip(weights)
        .filter_map(|((l, a), weight)| {
            Some(Example { features: a.features.clone()?, drifted: l.drifted, weight })
        })
        .collect();
    let effects: Vec<Effect> = usable.iter().map(|(l, _)| l.effect()).collect();
    // Few training calls have no arguments, so the bare head learns from all, with their arguments out of sight.
    let bare: Vec<Example> =
        examples.iter().map(|e| Example { features: e.features.without_arguments(), ..e.clone() }).collect();
    Ok(Calibration {
        name: args.name.clone(),
        model_digest: digest,
        call: head(args, &examples, &effects)?,
        bare: head(args, &bare, &effects)?,
        id_with_thresholds: None,
    })
}

fn head(args: &TrainArgs, examples: &[Example], effects: &[Effect]) -> Result<Head, Failure> {
    let (bias, features) = fit(examples, args.l2).map_err(Failure::check)?;
    let mut head = Head { bias, features, thresholds: BTreeMap::new() };
    let drifts = |effect: Option<Effect>| -> Vec<f64> {
        let aligned =
            examples.iter().zip(effects).filter(|(e, own)| !e.drifted && effect.is_none_or(|e| e == **own));
        aligned.map(|(e, _)| head.drift(&e.features).0).collect()
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
