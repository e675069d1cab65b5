//! A calibration in which every feature counts.

use rhumb_drift::FEATURES;
use serde_json::{Value, json};

/// The built-in calibration with a weight on every feature: with it, a difference in any of them, however small, is a
/// difference in drift.
pub fn every_feature_counts() -> String {
    let text =
        std::fs::read_to_string(crate::in_repository("models/bundles/minilm.calibration.json")).unwrap();
    let mut calibration: Value = serde_json::from_str(&text).unwrap();
    calibration["name"] = json!("every-feature");
    for head in ["call", "bare"] {
        for (name, feature) in calibration[head]["features"].as_object_mut().unwrap() {
            let known = FEATURES.iter().find(|f| f.name == name).unwrap();
            feature["weight"] = json!(0.37 * known.direction);
        }
    }
    calibration.to_string()
}
