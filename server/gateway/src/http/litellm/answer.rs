//! What LiteLLM is told: `action` exactly as it spells it, since a missing or misspelt one lets everything pass.

use rhumb_proto::v1::{Outcome, ScoreResponse};
use serde::Serialize;

use crate::GatewayError;
use crate::http::error::HttpError;
use crate::http::{Reply, reply};
use crate::told;

/// Characters of a tool's name in a reason: a model wrote it.
const NAME_CHARS: usize = 64;

/// One proposed call, decided.
pub struct Held {
    /// The tool.
    pub tool: String,
    /// What was decided.
    pub decided: Result<ScoreResponse, GatewayError>,
}

#[derive(Serialize)]
struct Answer<'a> {
    action: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocked_reason: Option<String>,
}

/// Everything passes.
pub fn none() -> Reply {
    Reply::from(br#"{"action":"NONE"}"#.as_slice())
}

/// One call that is stopped stops all; otherwise one without an answer leaves all to LiteLLM.
///
/// # Errors
/// That of the first call that has no answer.
pub fn settle(held: Vec<Held>) -> Result<Reply, HttpError> {
    let stopped = held.iter().find_map(|held| {
        let response = held.decided.as_ref().ok()?;
        (response.outcome() == Outcome::Stop).then(|| reason(&held.tool, response))
    });
    if let Some(reason) = stopped {
        return reply(&Answer { action: "BLOCKED", blocked_reason: Some(reason) });
    }
    let failed = held.into_iter().find_map(|held| held.decided.err());
    failed.map_or_else(|| Ok(none()), |error| Err(error.into()))
}

fn reason(tool: &str, response: &ScoreResponse) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let tool: String = tool.chars().take(NAME_CHARS).map(shown).collect();
    let decision = match response.decision_id.as_str() {
        "" => String::new(),
        id => format!(", decision {id}"),
    };
    format!("Rhumb stopped the tool call {tool}: {}{decision}", told::reason_code(response))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhumb_engine::EngineError;

    fn held(outcome: Outcome) -> Held {
        let response = ScoreResponse {
            outcome: outcome.into(),
            reason_code: "intent_drift".into(),
            decision_id: "01K".into(),
            ..ScoreResponse::default()
        };
        Held { tool: "send\u{1b}".into(), decided: Ok(response) }
    }

    fn failed() -> Held {
        Held { tool: "t".into(), decided: Err(EngineError::Deadline.into()) }
    }

    #[test]
    fn one_stop_blocks_and_says_why() {
        let body = settle(vec![held(Outcome::Pass), failed(), held(Outcome::Stop)]).unwrap();
        let text = std::str::from_utf8(&body).unwrap();
        assert_eq!(
            text,
            "{\"action\":\"BLOCKED\",\"blocked_reason\":\"Rhumb stopped the tool call send\u{fffd}: intent_drift, decision 01K\"}"
        );
    }

    #[test]
    fn a_call_without_an_answer_is_no_pass() {
        assert_eq!(settle(vec![held(Outcome::Pass), failed()]).unwrap_err().status.as_u16(), 504);
        assert_eq!(settle(vec![held(Outcome::Pass)]).unwrap(), none());
    }
}
