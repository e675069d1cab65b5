//! `rhumb calibrate`: thresholds for one deployment from its own aligned actions.

use std::collections::HashSet;
use std::path::Path;
use std::process::ExitCode;

use rhumb_drift::per_effect::{FEWEST, Wanted as Asked, by_effect};
use rhumb_drift::thresholds::{METHOD, Model};
use rhumb_drift::{Effect, Thresholds};
use rhumb_engine::{Answer, Engine};

use super::labelled::{Labelled, Unlabelled, read_with, score};
use crate::calibrations::read_head;
use crate::cli::CalibrateArgs;
use crate::failure::Failure;
use crate::lines;
use crate::startup::{Started, Wanted, load, start_with};
use crate::table::Table;

/// Makes and writes thresholds.
pub async fn run(args: CalibrateArgs) -> Result<ExitCode, Failure> {
    let asked = asked(&args)?;
    args.input.iter().try_for_each(|input| lines::check_not_same(input, &args.output))?;
    let aligned = aligned(&args)?;
    let wanted = Wanted::from(&args.engine);
    let (started, head) =
        tokio::task::spawn_blocking(move || start_level(&wanted)).await.map_err(Failure::check)??;
    let scored = score(&started.engine, aligned).await?;
    let thresholds = thresholds(&args, asked, &scored, &started.engine, head)?;
    started.stop();
    write(&args.output, &thresholds)?;
    report(&args, &thresholds)
}

fn asked(args: &CalibrateArgs) -> Result<Asked, Failure> {
    let share = |x: f64| x > 0.0 && x < 1.0;
    if !share(args.target_fpr) || !share(args.confidence) {
        return Err(Failure::input("--target-fpr and --confidence need a number between 0 and 1"));
    }
    Ok(Asked { target_fpr: args.target_fpr, confidence: args.confidence })
}

fn aligned(args: &CalibrateArgs) -> Result<Vec<Labelled>, Failure> {
    let unlabelled = if args.all_aligned { Unlabelled::Aligned } else { Unlabelled::Refused };
    let mut read = read_with(&args.input, &[], unlabelled)?;
    let all = read.len();
    read.retain(|line| !line.drifted);
    if read.len() < all {
        anstream::eprintln!("rhumb: {} drifted lines are left out", all - read.len());
    }
    check_enough(args, read.len())?;
    Ok(read)
}

/// Fewer say next to nothing of a tail, whatever is done with them.
fn check_enough(args: &CalibrateArgs, aligned: usize) -> Result<(), Failure> {
    if aligned >= FEWEST {
        return Ok(());
    }
    let names: Vec<String> = args.input.iter().map(|input| lines::name(input)).collect();
    let names = names.join(", ");
    Err(Failure::input(format!(
        "{names}: {aligned} aligned actions with a request; at least {FEWEST} are needed"
    )))
}

/// An engine whose heads have the same thresholds, as they will have with the ones that are made now: the drift of an
/// agent's free text is moved to the scale of the head of the call, which is none then. Also the identity of the head.
fn start_level(wanted: &Wanted) -> Result<(Started, String), Failure> {
    let loaded = load(wanted)?;
    let head = read_head(&wanted.calibration, &loaded.info().map_err(Failure::check)?.digest)?;
    let id = head.id();
    let level = [Effect::Read, Effect::Write, Effect::Unknown].map(|effect| (effect, 0.5)).into();
    let started = start_with(wanted, loaded, head.with_thresholds(&level, "level"))?;
    Ok((started, id))
}

fn thresholds(
    args: &CalibrateArgs,
    asked: Asked,
    scored: &[(Labelled, Answer)],
    engine: &Engine,
    calibration_id: String,
) -> Result<Thresholds, Failure> {
    let drifts: Vec<(Effect, f64)> =
        scored.iter().filter_map(|(line, answer)| Some((line.effect(), answer.drift?))).collect();
    if drifts.len() < scored.len() {
        let unscored = scored.len() - drifts.len();
        anstream::eprintln!(
            "rhumb: {unscored} aligned lines have no request to compare with and are left out"
        );
    }
    check_enough(args, drifts.len())?;
    let compared = scored.iter().filter(|(_, answer)| answer.drift.is_some());
    let requests: HashSet<&str> = compared.map(|(line, _)| line.input.intent.text.as_str()).collect();
    let info = engine.info();
    let by_effect = by_effect(&drifts, asked).ok_or_else(|| Failure::input("too few aligned actions"))?;
    Ok(Thresholds {
        name: args.name.clone(),
        target_fpr: asked.target_fpr,
        confidence: asked.confidence,
        thresholds: by_effect,
        method: METHOD.to_owned(),
        model: Model {
            name: info.model.clone(),
            digest: info.digest.clone(),
            precision: info.precision.clone(),
        },
        calibration_id,
        samples: drifts.len(),
        requests: requests.len(),
        created_by: concat!("rhumb ", env!("CARGO_PKG_VERSION")).to_owned(),
    })
}

fn write(path: &Path, thresholds: &Thresholds) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(thresholds).map_err(Failure::check)?;
    let mut output = lines::create(path)?;
    writeln!(output, "{text}").and_then(|()| output.flush()).map_err(Failure::file(path))
}

/// For people, unless the file went to standard output already.
fn report(args: &CalibrateArgs, thresholds: &Thresholds) -> Result<ExitCode, Failure> {
    if args.json && !lines::is_stream(&args.output) {
        anstream::println!("{}", serde_json::to_string(thresholds).map_err(Failure::check)?);
    } else if !lines::is_stream(&args.output) {
        print(args, thresholds);
    }
    let Thresholds { samples, requests, .. } = thresholds;
    if requests * 2 < *samples {
        anstream::eprintln!(
            "rhumb: {samples} actions serve {requests} requests only; actions of one request are alike, so the intervals are too narrow"
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn print(args: &CalibrateArgs, thresholds: &Thresholds) {
    let mut table =
        Table::new(&["effect", "samples", "threshold", "interval", "expected FPR", "FPR interval"]);
    let range = |[low, high]: [f64; 2]| format!("{low:.3}-{high:.3}");
    for (effect, t) in &thresholds.thresholds {
        table.row(vec![
            name(*effect),
            t.samples.to_string(),
            format!("{:.3}", t.threshold),
            range(t.interval),
            t.expected_fpr.map(|e| format!("{e:.3}")).unwrap_or_default(),
            range(t.fpr_interval),
        ]);
    }
    anstream::println!(
        "{} for {}, written to {}",
        thresholds.id(),
        thresholds.calibration_id,
        args.output.display()
    );
    anstream::print!("{table}");
    for (effect, t) in &thresholds.thresholds {
        t.note.iter().for_each(|note| anstream::println!("{}: {note}", name(*effect)));
    }
}

fn name(effect: Effect) -> String {
    format!("{effect:?}").to_uppercase()
}
