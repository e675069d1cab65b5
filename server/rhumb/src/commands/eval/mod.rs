//! `rhumb eval`: figures on labelled actions, with controls beside them, for chains, and under attack.

mod attacks;
mod bootstrap;
mod case;
mod chain;
mod controls;
mod features;
mod metrics;
mod print;
mod report;

use std::process::ExitCode;

use rhumb_drift::attack::Attack;
use rhumb_engine::Engine;

use self::attacks::{Target, chosen};
use self::bootstrap::Bootstrap;
use self::case::{Case, Scored, cases};
use self::features::FeatureFile;
use self::report::{Measure, Report};
use super::labelled::{check_both_labels, read, score};
use crate::cli::EvalArgs;
use crate::failure::Failure;
use crate::startup::{Wanted, start_off_thread};

/// Measures.
pub async fn run(args: EvalArgs) -> Result<ExitCode, Failure> {
    let attacks = chosen(args.attacks, &args.attack)?;
    let lines = read(&args.input, &args.family)?;
    check_both_labels(&lines)?;
    let mut features = FeatureFile::create(args.features.as_deref())?;
    let started = start_off_thread(Wanted::from(&args.engine)).await?;
    let scored = score(&started.engine, lines).await?;
    for (line, answer) in &scored {
        features.add(line, answer, None)?;
    }
    let report = report(&args, &started.engine, &scored, &attacks, &mut features).await?;
    features.finish()?;
    if args.json {
        anstream::println!("{}", serde_json::to_string(&report).map_err(Failure::check)?);
    } else {
        print::print(&report);
    }
    started.stop();
    Ok(ExitCode::SUCCESS)
}

async fn report(
    args: &EvalArgs,
    engine: &Engine,
    scored: &[Scored],
    attacks: &[&'static Attack],
    features: &mut FeatureFile,
) -> Result<Report, Failure> {
    let cases = cases(scored);
    let all: Vec<&Case> = cases.iter().map(|(_, case)| case).collect();
    let bootstrap = Bootstrap::of(&all, usize::from(args.bootstrap));
    let measure = Measure { bootstrap: &bootstrap, is_probability: true };
    let target = Target { engine, lines: scored, cases: &cases, measure, all_effects: args.attack_all };
    let attacks = target.run(attacks, features).await?;
    Ok(Report {
        model: engine.info().model.clone(),
        digest: engine.info().digest.clone(),
        calibration_id: engine.calibration_id().to_owned(),
        unscored: scored.len() - cases.len(),
        bootstrap: args.bootstrap,
        attacks,
        ..Report::of(&all, &bootstrap)
    })
}
