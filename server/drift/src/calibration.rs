//! From features to a probability.
//!
//! There are two heads: one for calls with arguments, and one for actions without any (free text, tools that take
//! nothing), for which half of the features cannot be measured. Had they one head, a missing feature would count like that
//! of an ordinary aligned call, and an action without arguments would look good for having none.
//!
//! A head is a logistic regression on standardised features: `p = 1 / (1 + exp(-(bias + sum w_i z_i)))` with
//! `z_i = clip((x_i - mean_i) / sd_i, -5, 5)` and `z_i = 0` where a feature is missing. Where the request hands over what
//! is to be done, drift falls back to a middling value, the more the surer that is. Weights, thresholds
//! per effect and the reference bank are one JSON file that `rhumb train` makes from labelled pairs; it is bound to the
//! digest of the model whose vectors it was fitted on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::action::Effect;
use crate::bank::Bank;
use crate::chain::ChainParameters;
use crate::features::{FEATURES, Features};

/// A calibration file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Calibration {
    /// Name and version for people.
    pub name: String,
    /// The digest of the weights whose vectors it was fitted on, `sha256:...`.
    pub model_digest: String,
    /// For calls with arguments.
    pub call: Head,
    /// For actions without arguments; looks at no feature of arguments.
    pub bare: Head,
    /// Strangers to compare with.
    pub bank: Bank,
    /// What chains look like; absent in heads that were fitted without, for which [`ChainParameters::default`] stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<ChainParameters>,
    /// The identity in answers where the thresholds are not the heads' own; see [`Calibration::with_thresholds`].
    #[serde(skip)]
    pub id_with_thresholds: Option<String>,
}

/// From features to log-odds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Head {
    /// Log-odds where every feature is at its mean.
    pub bias: f64,
    /// One entry for each of [`FEATURES`], by name.
    pub features: BTreeMap<String, Weight>,
    /// Drift at and above which an action is no longer simply allowed, by effect.
    pub thresholds: BTreeMap<Effect, f64>,
}

/// How one feature counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weight {
    /// Mean over the aligned actions of the training data.
    pub mean: f64,
    /// Standard deviation over the same.
    pub sd: f64,
    /// Log-odds for one standard deviation.
    pub weight: f64,
}

/// Why a calibration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// Not the JSON of a calibration.
    #[error("calibration: {0}")]
    Json(#[from] serde_json::Error),
    /// A field has a value that cannot be used.
    #[error("calibration field {field}: {problem}")]
    Field {
        /// The field.
        field: String,
        /// What is wrong.
        problem: String,
    },
}

/// What each feature added to the log-odds.
pub type Contributions = Vec<(&'static str, f64, f64)>;

/// Standardised values are clipped here, so that no single feature can decide alone.
const CLIP: f64 = 5.0;

impl Calibration {
    /// Reads and checks a calibration.
    ///
    /// # Errors
    /// Names the field that is missing, unknown or out of range.
    pub fn parse(json: &str) -> Result<Self, CalibrationError> {
        let calibration: Self = serde_json::from_str(json)?;
        calibration.check()?;
        Ok(calibration)
    }

    /// A calibration that says 0.5 to everything: for measuring features before there is a head.
    pub fn neutral(model_digest: &str) -> Self {
        let weight = Weight { mean: 0.0, sd: 1.0, weight: 0.0 };
        let head = Head {
            bias: 0.0,
            features: FEATURES.iter().map(|f| (f.name.to_owned(), weight)).collect(),
            thresholds: [Effect::Read, Effect::Write, Effect::Unknown].map(|e| (e, 0.5)).into(),
        };
        Self {
            name: "neutral".into(),
            model_digest: model_digest.to_owned(),
            call: head.clone(),
            bare: head,
            bank: Bank::default(),
            chain: None,
            id_with_thresholds: None,
        }
    }

    fn check(&self) -> Result<(), CalibrationError> {
        self.call.check("call")?;
        self.bare.check("bare")?;
        self.chain.as_ref().map_or(Ok(()), ChainParameters::check)
    }

    /// What chains look like.
    pub fn chain(&self) -> ChainParameters {
        self.chain.clone().unwrap_or_default()
    }

    /// The head for what was measured.
    pub fn head(&self, features: &Features) -> &Head {
        if features.has_arguments() { &self.call } else { &self.bare }
    }

    /// The same drift with other thresholds, one for each effect, whichever head scored. `id` names them: the identity
    /// becomes `HEAD+THRESHOLDS`.
    pub fn with_thresholds(mut self, thresholds: &BTreeMap<Effect, f64>, id: &str) -> Self {
        self.id_with_thresholds = Some(format!("{}+{id}", self.id()));
        self.call.thresholds.extend(thresholds);
        self.bare.thresholds.extend(thresholds);
        self
    }

    /// Its identity in answers: name and the first 12 digits of the digest of its content.
    pub fn id(&self) -> String {
        self.id_with_thresholds.clone().unwrap_or_else(|| identity(&self.name, self))
    }
}

/// `NAME@DIGEST`, with the first 12 digits of the digest of the content as JSON.
pub(crate) fn identity(name: &str, content: &impl Serialize) -> String {
    let json = serde_json::to_vec(content).unwrap_or_default();
    let digest = Sha256::digest(&json);
    let hex: String = digest.iter().take(6).map(|b| format!("{b:02x}")).collect();
    format!("{name}@{hex}")
}

impl Head {
    fn check(&self, name: &str) -> Result<(), CalibrationError> {
        let fail = |field: &str, problem: &str| CalibrationError::Field {
            field: format!("{name}.{field}"),
            problem: problem.to_owned(),
        };
        for feature in FEATURES {
            let field = format!("features.{}", feature.name);
            let weight = self.features.get(feature.name).ok_or_else(|| fail(&field, "is missing"))?;
            if !(weight.mean.is_finite() && weight.weight.is_finite() && weight.sd > 0.0) {
                return Err(fail(&field, "needs a finite mean and weight and an sd above 0"));
            }
            if weight.weight * feature.direction < 0.0 {
                return Err(fail(&field, "weighs against its direction"));
            }
        }
        if let Some(name) = self.features.keys().find(|name| FEATURES.iter().all(|f| f.name != name.as_str()))
        {
            return Err(fail(&format!("features.{name}"), "is not known"));
        }
        for effect in [Effect::Read, Effect::Write, Effect::Unknown] {
            let threshold = self.thresholds.get(&effect).copied().unwrap_or(f64::NAN);
            if !(0.0..=1.0).contains(&threshold) {
                let field = format!("thresholds.{}", format!("{effect:?}").to_uppercase());
                return Err(fail(&field, "needs a number from 0 to 1"));
            }
        }
        if self.bias.is_finite() { Ok(()) } else { Err(fail("bias", "needs a finite number")) }
    }

    /// The threshold of an effect.
    pub fn threshold(&self, effect: Effect) -> f64 {
        self.thresholds.get(&effect).copied().unwrap_or(0.5)
    }

    /// The drift, and what each feature added to its log-odds. `delegating` is the probability that the request hands
    /// over what is to be done.
    pub fn drift(&self, features: &Features, delegating: f32) -> (f64, Contributions) {
        let mut log_odds = self.bias;
        let mut contributions = Vec::with_capacity(FEATURES.len());
        for (feature, value) in FEATURES.iter().zip(features.values) {
            let (Some(weight), Some(value)) = (self.features.get(feature.name), value) else { continue };
            let added = weight.weight * weight.standardize(value);
            log_odds += added;
            contributions.push((feature.name, f64::from(value), added));
        }
        // A disguise and copied words are evidence whatever the request says.
        let by_itself: f64 = contributions
            .iter()
            .filter(|(name, ..)| BY_ITSELF.contains(name))
            .map(|(.., c)| c.max(0.0))
            .sum();
        let doubtful = by_itself + doubtful(log_odds - by_itself, f64::from(delegating));
        if doubtful != log_odds {
            contributions.push(("delegating", f64::from(delegating), doubtful - log_odds));
        }
        (sigmoid(doubtful), contributions)
    }
}

/// Features of the action alone.
const BY_ITSELF: [&str; 2] = ["disguises", "quoted"];
/// Between these probabilities of delegation the evidence loses its weight.
const DOUBT: std::ops::Range<f64> = 0.5..0.65;
/// Log-odds to which the drift of a delegating request falls back: about what an ordinary request leaves open. Chosen on
/// the development data.
const UNKNOWN: f64 = 1.0;

/// Log-odds of an action whose request may hand over what is to be done: that little of the action stands in such a
/// request is no evidence against it. What speaks for the action stays.
fn doubtful(log_odds: f64, delegating: f64) -> f64 {
    let doubt = ((delegating - DOUBT.start) / (DOUBT.end - DOUBT.start)).clamp(0.0, 1.0);
    if log_odds <= UNKNOWN { log_odds } else { UNKNOWN + (log_odds - UNKNOWN) * (1.0 - doubt) }
}

impl Weight {
    /// The value in standard deviations from the mean, clipped.
    pub fn standardize(&self, value: f32) -> f64 {
        ((f64::from(value) - self.mean) / self.sd).clamp(-CLIP, CLIP)
    }
}

/// `1 / (1 + exp(-x))`
pub fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::features::COUNT;
    use crate::grounding::Grounding;

    pub(crate) fn calibration() -> Calibration {
        let weight = |f: &crate::features::Feature| Weight { mean: 0.5, sd: 0.1, weight: f.direction };
        let head = Head {
            bias: 0.0,
            features: FEATURES.iter().map(|f| (f.name.to_owned(), weight(f))).collect(),
            thresholds: [(Effect::Read, 0.5), (Effect::Write, 0.4), (Effect::Unknown, 0.4)].into(),
        };
        Calibration {
            name: "test".into(),
            model_digest: "sha256:0".into(),
            bare: Head { bias: 1.0, ..head.clone() },
            call: head,
            bank: Bank::default(),
            chain: None,
            id_with_thresholds: None,
        }
    }

    fn features(values: [Option<f32>; COUNT]) -> Features {
        let grounding = Grounding::default();
        Features { values, similarity: None, weakest: None, unmatched: Vec::new(), grounding }
    }

    #[test]
    fn a_missing_feature_changes_nothing() {
        assert_eq!(calibration().call.drift(&features([None; COUNT]), 0.0).0, 0.5);
    }

    #[test]
    fn an_action_without_arguments_has_its_own_head() {
        let c = calibration();
        let mut features = features([None; COUNT]);
        assert_eq!(c.head(&features).bias, 1.0);
        features.grounding.values.push(crate::ValueGrade { declared: true, ..Default::default() });
        assert_eq!(c.head(&features).bias, 0.0);
    }

    #[test]
    fn less_similarity_is_more_drift() {
        let at = |similarity| {
            let mut values = [None; COUNT];
            values[0] = Some(similarity);
            calibration().call.drift(&features(values), 0.0).0
        };
        assert!(at(0.4) > at(0.5) && at(0.5) > at(0.6));
        assert_eq!(at(-1.0), at(-0.5), "clipped");
    }

    #[test]
    fn a_request_that_delegates_takes_weight_off_the_evidence() {
        let head = Head { bias: 4.0, ..calibration().bare };
        let drift = |delegating| head.drift(&features([None; COUNT]), delegating).0;
        assert_eq!(drift(0.0), drift(0.5));
        assert!(drift(0.6) < drift(0.5) && drift(0.6) > drift(1.0));
        assert_eq!(drift(1.0), sigmoid(UNKNOWN));
        let mut disguised = [None; COUNT];
        disguised[12] = Some(1.0);
        assert!(head.drift(&features(disguised), 1.0).0 > drift(1.0), "a disguise still counts");
        let aligned = Head { bias: -4.0, ..calibration().bare };
        assert!(aligned.drift(&features([None; COUNT]), 1.0).0 < 0.1, "what speaks for the action stays");
    }

    #[test]
    fn a_round_trip_keeps_the_identity() {
        let c = calibration();
        let again = Calibration::parse(&serde_json::to_string(&c).unwrap()).unwrap();
        assert_eq!((again.id(), &again), (c.id(), &c));
    }

    #[test]
    fn what_is_known_of_chains_is_part_of_the_identity_and_may_be_absent() {
        let without = calibration();
        assert!(
            !serde_json::to_string(&without).unwrap().contains("chain"),
            "older files keep their identity"
        );
        assert_eq!(without.chain(), ChainParameters::default());
        let with = Calibration { chain: Some(ChainParameters::default()), ..calibration() };
        assert_ne!(with.id(), without.id());
        let again = Calibration::parse(&serde_json::to_string(&with).unwrap()).unwrap();
        assert_eq!((again.id(), again.chain()), (with.id(), with.chain()));
        let wrong = ChainParameters { threshold: -1.0, ..ChainParameters::default() };
        let wrong = Calibration { chain: Some(wrong), ..calibration() };
        assert!(wrong.check().unwrap_err().to_string().contains("chain.threshold"));
    }

    #[test]
    fn other_thresholds_hold_for_both_heads_and_are_named() {
        let other = calibration().with_thresholds(&[(Effect::Write, 0.9)].into(), "site@1");
        assert_eq!((other.call.threshold(Effect::Write), other.bare.threshold(Effect::Write)), (0.9, 0.9));
        assert_eq!(other.call.threshold(Effect::Read), 0.5);
        assert_eq!(other.id(), format!("{}+site@1", calibration().id()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let mut missing = calibration();
        missing.bare.features.remove("verb");
        assert!(missing.check().unwrap_err().to_string().contains("bare.features.verb"));
        let mut against = calibration();
        against.call.features.get_mut("late_mean").unwrap().weight = 1.0;
        assert!(against.check().unwrap_err().to_string().contains("against its direction"));
        let mut threshold = calibration();
        threshold.call.thresholds.insert(Effect::Write, 1.5);
        assert!(threshold.check().unwrap_err().to_string().contains("thresholds.WRITE"));
    }
}
