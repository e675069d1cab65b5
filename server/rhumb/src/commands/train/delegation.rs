//! `rhumb train-delegation`: fits the weights that recognise requests which hand over what is to be done.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rhumb_drift::delegation::{DELEGATING, Delegation, Example, fit};
use serde::Deserialize;

use super::super::labelled::read;
use crate::cli::TrainDelegationArgs;
use crate::failure::Failure;
use crate::lines::{self, Lines};

/// Requests of labelled actions tell what ordinary requests look like; each counts this much.
const BACKGROUND_WEIGHT: f64 = 0.15;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    text: String,
    delegating: bool,
}

/// Fits, writes and, where there is something to test on, tests.
pub async fn run(args: TrainDelegationArgs) -> Result<ExitCode, Failure> {
    let mut examples = Vec::new();
    for path in &args.input {
        examples.extend(requests(path)?.into_iter().map(|r| example(r.text, r.delegating, 1.0)));
    }
    examples.extend(background(&args.background)?);
    let model = fit(&examples);
    std::fs::write(&args.output, model.to_text()).map_err(Failure::file(&args.output))?;
    anstream::println!("{} requests, written to {}", examples.len(), args.output.display());
    // Tested as it was written, with its weights rounded.
    let written = Delegation::parse(&model.to_text()).map_err(Failure::check)?;
    if let Some(path) = &args.test {
        let (hits, alarms) = test(&written, &requests(path)?);
        anstream::println!(
            "test: {hits:.3} of the delegating requests found, {alarms:.3} of the others taken for such"
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn example(text: String, delegating: bool, weight: f64) -> Example {
    Example { text, delegating, weight }
}

fn requests(path: &Path) -> Result<Vec<Request>, Failure> {
    let mut requests = Vec::new();
    for line in Lines::new(lines::open(path)?) {
        let line = line.map_err(Failure::file(path))?;
        let bad =
            |problem: String| Failure::input(format!("{}: line {}: {problem}", path.display(), line.number));
        let text = line.text.as_ref().map_err(|e| bad(e.clone()))?;
        requests.push(serde_json::from_str(text).map_err(|e| bad(e.to_string()))?);
    }
    Ok(requests)
}

/// The requests of labelled actions, each once; they do not delegate, but for a few.
fn background(paths: &[PathBuf]) -> Result<Vec<Example>, Failure> {
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    let texts: BTreeSet<String> = read(paths, &[])?.into_iter().map(|l| l.input.intent.text).collect();
    Ok(texts.into_iter().map(|text| example(text, false, BACKGROUND_WEIGHT)).collect())
}

fn test(model: &Delegation, requests: &[Request]) -> (f64, f64) {
    let share = |delegating: bool| {
        let of_label: Vec<bool> = requests
            .iter()
            .filter(|r| r.delegating == delegating)
            .map(|r| model.probability(&r.text) >= DELEGATING)
            .collect();
        of_label.iter().filter(|found| **found).count() as f64 / of_label.len().max(1) as f64
    };
    (share(true), share(false))
}
