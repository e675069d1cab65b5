//! The files of `--calibration`: a head (`rhumb train`), thresholds of one deployment (`rhumb calibrate`), or one of each.
//! Their content says which is which.

use std::path::PathBuf;

use rhumb_drift::{Calibration, CalibrationError, Thresholds};
use serde_json::Value;

use crate::failure::Failure;

const MINILM_CALIBRATION: &str = include_str!("../../../models/bundles/minilm.calibration.json");

/// The calibration that the files make for the model with this digest; without a head among them, the built-in one.
///
/// # Errors
/// A file that is neither, two of a kind, and what was made for another model or another head.
pub fn read(paths: &[PathBuf], model_digest: &str) -> Result<Calibration, Failure> {
    let (head, thresholds) = load(paths)?;
    let head = checked(head, model_digest)?;
    let Some((origin, thresholds)) = thresholds else { return Ok(head) };
    thresholds.check_made_for(model_digest, &head.id()).map_err(bad(&origin))?;
    Ok(head.with_thresholds(&thresholds.values(), &thresholds.id()))
}

/// The head alone, for making thresholds.
///
/// # Errors
/// As [`read`], and thresholds among the files.
pub fn read_head(paths: &[PathBuf], model_digest: &str) -> Result<Calibration, Failure> {
    match load(paths)? {
        (head, None) => checked(head, model_digest),
        (_, Some((origin, _))) => {
            Err(Failure::input(format!("{origin}: holds thresholds; new ones are made from a head alone")))
        }
    }
}

/// What a file holds, and its name.
type Named<T> = Option<(String, T)>;

fn load(paths: &[PathBuf]) -> Result<(Named<Calibration>, Named<Thresholds>), Failure> {
    let (mut head, mut thresholds) = (None, None);
    for path in paths {
        let origin = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(Failure::file(path))?;
        let value: Value = serde_json::from_str(&text).map_err(|e| bad(&origin)(e.into()))?;
        let doubled = if value.get("targetFpr").is_some() {
            let read = Thresholds::parse(&text).map_err(bad(&origin))?;
            thresholds.replace((origin.clone(), read)).map(|(first, _)| ("thresholds", first))
        } else if value.get("modelDigest").is_some() {
            let read = Calibration::parse(&text).map_err(bad(&origin))?;
            head.replace((origin.clone(), read)).map(|(first, _)| ("a head", first))
        } else {
            return Err(Failure::input(format!(
                "{origin}: neither a head (rhumb train: modelDigest) nor thresholds (rhumb calibrate: targetFpr)"
            )));
        };
        if let Some((what, first)) = doubled {
            return Err(Failure::input(format!(
                "{origin}: holds {what}, and so does {first}; one is needed"
            )));
        }
    }
    Ok((head, thresholds))
}

fn checked(head: Named<Calibration>, model_digest: &str) -> Result<Calibration, Failure> {
    let (origin, head) = match head {
        Some(head) => head,
        None => {
            let built_in = "built-in".to_owned();
            let head = Calibration::parse(MINILM_CALIBRATION).map_err(bad(&built_in))?;
            (built_in, head)
        }
    };
    if head.model_digest != model_digest {
        let made_for = &head.model_digest;
        return Err(Failure::input(format!(
            "{origin}: this calibration was made for the model {made_for}, not for {model_digest}; see rhumb train"
        )));
    }
    Ok(head)
}

fn bad(origin: &str) -> impl Fn(CalibrationError) -> Failure {
    move |e| Failure::input(format!("{origin}: {e}"))
}
