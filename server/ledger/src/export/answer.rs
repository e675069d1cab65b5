//! What a recorded answer says beside the fields that a decision has of its own. It is JSON as it was given, in which
//! a field that was not set is absent.

use serde_json::Value;

use crate::record::Decision;

/// What became of the action: `PASS` or `STOP`; `None` where the answer does not say.
pub fn outcome(decision: &Decision) -> Option<&str> {
    text(decision, "/outcome").filter(|outcome| matches!(*outcome, "PASS" | "STOP"))
}

/// `ENFORCE` or `SHADOW`.
pub fn mode(decision: &Decision) -> Option<&str> {
    text(decision, "/mode")
}

/// The policy in force, by its file's name and the first digits of its digest.
pub fn policy(decision: &Decision) -> Option<&str> {
    text(decision, "/policy")
}

/// Names of the policy's rules that matched: a list.
pub fn rules(decision: &Decision) -> Option<&Value> {
    decision.response.get("rules")
}

/// The model that computed.
pub fn model(decision: &Decision) -> Option<&str> {
    text(decision, "/model/name")
}

/// The drift that had gathered over the chain. An answer leaves out a zero.
pub fn cumulative_drift(decision: &Decision) -> Option<f64> {
    let chain = decision.response.get("chain")?;
    chain.get("cumulativeDrift").map_or(Some(0.0), Value::as_f64)
}

/// The hop from which on drift explains the chain best, once there was an alarm.
pub fn first_drifted_hop(decision: &Decision) -> Option<u64> {
    decision.response.pointer("/chain/firstDriftedHop")?.as_u64()
}

/// What gave that hop away.
pub fn found_by(decision: &Decision) -> Option<&str> {
    text(decision, "/chain/foundBy")
}

fn text<'a>(decision: &'a Decision, place: &str) -> Option<&'a str> {
    decision
        .response
        .pointer(place)?
        .as_str()
        .filter(|text| !text.is_empty() && !text.ends_with("_UNSPECIFIED"))
}
