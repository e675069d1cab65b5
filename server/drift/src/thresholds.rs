//! Thresholds of one deployment, from its own aligned actions: what they are and the file that holds them.
//!
//! Thresholds do not transfer: set for 5 % on one family of actions they raise another share of the next. Each effect
//! has its own threshold where its sample carries one; the others share that of all actions together
//! ([`crate::per_effect`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::action::Effect;
use crate::calibration::{CalibrationError, identity};

/// A threshold file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Thresholds {
    /// Name of the deployment in answers.
    pub name: String,
    /// Share of the aligned actions that should reach the threshold.
    pub target_fpr: f64,
    /// Confidence of all intervals.
    pub confidence: f64,
    /// By effect; all three are there.
    pub thresholds: BTreeMap<Effect, Threshold>,
    /// How they were made.
    pub method: String,
    /// The model whose drifts were looked at.
    pub model: Model,
    /// The identity of the calibration that made drifts of its vectors.
    pub calibration_id: String,
    /// Aligned actions in the sample.
    pub samples: usize,
    /// Different requests that they serve.
    pub requests: usize,
    /// The program that made it.
    pub created_by: String,
}

/// The threshold of one effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Threshold {
    /// The drift at and above which there is an alarm.
    pub threshold: f64,
    /// Where the threshold of all the deployment's actions lies; an end of 0 or 1 is no bound.
    pub interval: [f64; 2],
    /// Actions of this effect in the sample.
    pub samples: usize,
    /// Whether the threshold is that of all effects together, because this one has too few samples.
    pub pooled: bool,
    /// Mean false-alarm rate; unknown where the threshold is pooled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_fpr: Option<f64>,
    /// Where the false-alarm rate of this effect lies, judged by how many of its samples reach the threshold.
    pub fpr_interval: [f64; 2],
    /// What to mind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Model {
    /// Name of the bundle.
    pub name: String,
    /// `sha256:...` of the weights.
    pub digest: String,
    /// In which it computed.
    pub precision: String,
}

/// How thresholds are made.
pub const METHOD: &str = "split conformal, placed between neighbouring drifts in log-odds";
pub(crate) const EFFECTS: [Effect; 3] = [Effect::Read, Effect::Write, Effect::Unknown];

impl Thresholds {
    /// Reads and checks a threshold file.
    ///
    /// # Errors
    /// Names the field that is missing, unknown or out of range.
    pub fn parse(json: &str) -> Result<Self, CalibrationError> {
        let thresholds: Self = serde_json::from_str(json)?;
        thresholds.check()?;
        Ok(thresholds)
    }

    fn check(&self) -> Result<(), CalibrationError> {
        let share = |x: f64| (0.0..=1.0).contains(&x);
        if !share(self.target_fpr) {
            return Err(field("targetFpr", "needs a number from 0 to 1"));
        }
        for effect in EFFECTS {
            let name = format!("thresholds.{}", format!("{effect:?}").to_uppercase());
            let own = self.thresholds.get(&effect).ok_or_else(|| field(&name, "is missing"))?;
            if !share(own.threshold) {
                return Err(field(&format!("{name}.threshold"), "needs a number from 0 to 1"));
            }
        }
        Ok(())
    }

    /// Its identity in answers: name and the first 12 digits of the digest of its content.
    pub fn id(&self) -> String {
        identity(&self.name, self)
    }

    /// Refuses drifts that are not those it was made from.
    ///
    /// # Errors
    /// Names both models, or both calibrations.
    pub fn check_made_for(&self, model_digest: &str, calibration_id: &str) -> Result<(), CalibrationError> {
        let differ = |name: &str, made: &str, here: &str| {
            let problem =
                format!("the thresholds were made with {made}, not with {here}; see rhumb calibrate");
            if made == here { Ok(()) } else { Err(field(name, &problem)) }
        };
        differ("model.digest", &self.model.digest, model_digest)?;
        differ("calibrationId", &self.calibration_id, calibration_id)
    }

    /// The thresholds alone.
    pub fn values(&self) -> BTreeMap<Effect, f64> {
        self.thresholds.iter().map(|(effect, t)| (*effect, t.threshold)).collect()
    }
}

fn field(field: &str, problem: &str) -> CalibrationError {
    CalibrationError::Field { field: field.to_owned(), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::per_effect::{Wanted, by_effect};

    fn file() -> Thresholds {
        let drifts: Vec<_> = (1..=50).map(|i| (Effect::Write, f64::from(i) / 51.0)).collect();
        Thresholds {
            name: "site".into(),
            target_fpr: 0.05,
            confidence: 0.9,
            thresholds: by_effect(&drifts, Wanted { target_fpr: 0.05, confidence: 0.9 }).unwrap(),
            method: METHOD.into(),
            model: Model { name: "m".into(), digest: "sha256:1".into(), precision: "f32".into() },
            calibration_id: "head@1".into(),
            samples: 50,
            requests: 50,
            created_by: "test".into(),
        }
    }

    #[test]
    fn a_round_trip_keeps_every_bit() {
        let (file, text) = (file(), serde_json::to_string(&file()).unwrap());
        let again = Thresholds::parse(&text).unwrap();
        assert_eq!((again.id(), &again), (file.id(), &file));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let mut missing = file();
        missing.thresholds.remove(&Effect::Read);
        assert!(missing.check().unwrap_err().to_string().contains("thresholds.READ: is missing"));
        let mut high = file();
        high.thresholds.get_mut(&Effect::Write).unwrap().threshold = 1.5;
        assert!(high.check().unwrap_err().to_string().contains("thresholds.WRITE.threshold"));
    }

    #[test]
    fn another_model_or_head_is_refused_with_both_names() {
        assert!(file().check_made_for("sha256:1", "head@1").is_ok());
        let model = file().check_made_for("sha256:2", "head@1").unwrap_err().to_string();
        assert!(model.contains("sha256:1") && model.contains("sha256:2"), "{model}");
        let head = file().check_made_for("sha256:1", "head@2").unwrap_err().to_string();
        assert!(head.contains("head@1") && head.contains("head@2"), "{head}");
    }
}
