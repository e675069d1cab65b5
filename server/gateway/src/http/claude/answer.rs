//! What Claude Code is told. Never `allow`: that would skip the user's own permission prompt.

use rhumb_proto::v1::{Mode, Outcome, ScoreResponse, Verdict};
use serde_json::{Value, json};

use crate::told;

/// Nothing to say: the client goes on as it would without us.
pub fn nothing() -> Value {
    json!({})
}

/// What to say about a tool that is about to be used. `asks_nobody`: there is no person to ask.
pub fn before(tool: &str, response: &ScoreResponse, asks_nobody: bool) -> Value {
    if response.mode() == Mode::Shadow {
        return nothing();
    }
    let says = sentence(tool, response);
    match (response.outcome(), response.verdict()) {
        (Outcome::Pass, Verdict::Warn) => json!({"systemMessage": says}),
        (Outcome::Pass, _) => nothing(),
        (_, Verdict::Escalate) if !asks_nobody => decision("ask", &says),
        _ => decision("deny", &says),
    }
}

/// The prompt cannot be taken.
pub fn block(why: &str) -> Value {
    json!({"decision": "block", "reason": format!("Rhumb could not register this request: {why}")})
}

fn decision(what: &str, why: &str) -> Value {
    json!({"hookSpecificOutput": {
        "hookEventName": "PreToolUse", "permissionDecision": what, "permissionDecisionReason": why,
    }})
}

/// One sentence; the model reads it. No score: a model could learn to stay just below.
fn sentence(tool: &str, response: &ScoreResponse) -> String {
    const NAME_CHARS: usize = 64;
    let tool: String = tool.chars().filter(|c| !c.is_control()).take(NAME_CHARS).collect();
    let why = match response.verdict() {
        Verdict::Warn => "The action may not serve the authorising request",
        _ => told::sentence(response).trim_end_matches('.'),
    };
    let decision = match response.decision_id.as_str() {
        "" => String::new(),
        id => format!(", decision {id}"),
    };
    format!("Rhumb on {tool}: {why} ({}{decision}).", told::reason_code(response))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(verdict: Verdict, outcome: Outcome) -> ScoreResponse {
        ScoreResponse {
            verdict: verdict.into(),
            outcome: outcome.into(),
            mode: Mode::Enforce.into(),
            reason_code: "intent_drift".into(),
            decision_id: "01K".into(),
            drift: Some(0.87654),
            ..ScoreResponse::default()
        }
    }

    fn decided(verdict: Verdict, outcome: Outcome, asks_nobody: bool) -> String {
        let body = before("Bash", &response(verdict, outcome), asks_nobody);
        let said = &body["hookSpecificOutput"]["permissionDecision"];
        said.as_str().map_or_else(|| body.to_string(), str::to_owned)
    }

    #[test]
    fn every_verdict_has_its_form() {
        assert_eq!(decided(Verdict::Allow, Outcome::Pass, false), "{}");
        assert_eq!(decided(Verdict::Abstain, Outcome::Pass, false), "{}");
        assert_eq!(decided(Verdict::Abstain, Outcome::Stop, false), "deny");
        assert_eq!(decided(Verdict::Escalate, Outcome::Stop, false), "ask");
        assert_eq!(decided(Verdict::Escalate, Outcome::Stop, true), "deny");
        assert_eq!(decided(Verdict::Deny, Outcome::Stop, false), "deny");
        assert!(decided(Verdict::Warn, Outcome::Pass, false).contains("systemMessage"));
        let shadow = ScoreResponse { mode: Mode::Shadow.into(), ..response(Verdict::Deny, Outcome::Pass) };
        assert_eq!(before("Bash", &shadow, false), nothing());
    }

    #[test]
    fn a_reason_is_one_sentence_with_id_and_code_and_without_the_score() {
        let says = sentence("Ba\nsh", &response(Verdict::Deny, Outcome::Stop));
        let wanted =
            "Rhumb on Bash: The action does not serve the authorising request (intent_drift, decision 01K).";
        assert_eq!(says, wanted);
        let unrecorded =
            ScoreResponse { decision_id: String::new(), ..response(Verdict::Deny, Outcome::Stop) };
        assert!(!sentence("Bash", &unrecorded).contains("decision"));
    }
}
