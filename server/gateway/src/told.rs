//! What an enforcement point is told besides pass or stop: the same names in every contract, and no words of users.

use rhumb_ledger::intent::reason;
use rhumb_proto::v1;
use serde_json::{Map, Value, json};

/// Headers that the tool's server reads.
pub const DECISION: &str = "x-rhumb-decision";
/// The verdict.
pub const VERDICT: &str = "x-rhumb-verdict";
/// The drift, three decimals.
pub const DRIFT: &str = "x-rhumb-drift";
/// Never ours: removed whether it is there or not.
pub const INTENT: &str = "x-rhumb-intent-id";

/// What an agent reads where its action is stopped.
pub fn sentence(response: &v1::ScoreResponse) -> &'static str {
    match (response.status(), response.verdict()) {
        _ if response.reason_code == reason::METHOD_REFUSED
            || response.reason_code == reason::UPGRADE_REFUSED =>
        {
            "Requests of this kind are not let through here."
        }
        (v1::Status::Unparsable | v1::Status::Truncated, _) => "The action could not be read whole.",
        (_, v1::Verdict::Escalate) => "A person must approve this action.",
        (v1::Status::NoAnchor, _) => "No valid authorising request came with the action.",
        (v1::Status::Limited, _) => "A limit of the authorising request forbids the action.",
        (v1::Status::Failed, _) => "The action could not be checked.",
        _ if response.reason_code == reason::TOOL_CHANGED => "The tool is not described as it was before.",
        (_, v1::Verdict::Abstain) => "The action could not be judged.",
        _ => "The action does not serve the authorising request.",
    }
}

/// The reason on the wire: that a person is asked is what a point can act on.
pub fn reason_code(response: &v1::ScoreResponse) -> &str {
    match response.verdict() {
        v1::Verdict::Escalate => reason::HUMAN_NEEDED,
        _ => &response.reason_code,
    }
}

/// The facts of a decision, `decision_id` and the like; what is absent is left out.
pub fn facts(response: &v1::ScoreResponse) -> Map<String, Value> {
    let texts = [
        ("decision_id", response.decision_id.as_str()),
        ("verdict", response.verdict().as_str_name()),
        ("status", response.status().as_str_name()),
        ("reason_code", reason_code(response)),
        ("policy", &response.policy),
    ];
    let mut facts: Map<String, Value> = texts
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(name, text)| (name.to_owned(), Value::from(text)))
        .collect();
    let numbers = [("drift", response.drift), ("threshold", response.threshold)];
    facts.extend(numbers.into_iter().filter_map(|(name, n)| Some((name.to_owned(), json!(n?)))));
    if response.provenance() != v1::Provenance::Unspecified {
        facts.insert("provenance".to_owned(), json!(response.provenance().as_str_name()));
    }
    if let Some(model) = &response.model {
        facts.insert("model".to_owned(), json!(model.name));
    }
    facts.insert("enforced".to_owned(), json!(response.mode() == v1::Mode::Enforce));
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_name_what_there_is_and_nothing_else() {
        let response = v1::ScoreResponse {
            decision_id: "01K".into(),
            verdict: v1::Verdict::Escalate.into(),
            status: v1::Status::Scored.into(),
            reason_code: "intent_drift".into(),
            drift: Some(0.6),
            mode: v1::Mode::Shadow.into(),
            detail: "words of a user".into(),
            ..v1::ScoreResponse::default()
        };
        let facts = Value::Object(facts(&response));
        let wanted = json!({
            "decision_id": "01K", "verdict": "ESCALATE", "status": "SCORED", "reason_code": "human_needed",
            "drift": 0.6, "enforced": false,
        });
        assert_eq!(facts, wanted);
        assert_eq!(sentence(&response), "A person must approve this action.");
    }
}
