//! A decision as the gateway reads it. `Pass` is an empty message: one of the results is always set.

use pbjson_types::Struct;
use rhumb_proto::agentgateway::authorization_error::Code;
use rhumb_proto::agentgateway::mcp_request_result::Result as Outcome;
use rhumb_proto::agentgateway::{AuthorizationError, HeaderMutation, McpHeader, McpRequestResult, Pass};
use rhumb_proto::v1;
use serde_json::{Map, Value};

use crate::convert;
use crate::told::{self, DECISION, DRIFT, INTENT, VERDICT};

/// Not asked about. What the agent may have written in our name goes no further.
pub(super) fn pass() -> McpRequestResult {
    let remove = [DECISION, VERDICT, DRIFT, INTENT].map(str::to_owned).to_vec();
    let header_mutation = Some(HeaderMutation { remove, ..HeaderMutation::default() });
    McpRequestResult { result: Some(Outcome::Pass(Pass {})), header_mutation, metadata: None }
}

/// What was decided.
pub(super) fn of(response: &v1::ScoreResponse) -> McpRequestResult {
    let facts = told::facts(response);
    if response.outcome() != v1::Outcome::Pass {
        let code = match response.status() {
            v1::Status::Unparsable | v1::Status::Truncated if response.drift.is_none() => Code::Invalid,
            _ => Code::PermissionDenied,
        };
        return error(code, told::sentence(response).to_owned(), &Value::Object(facts));
    }
    McpRequestResult { header_mutation: Some(headers(response)), metadata: metadata(facts), ..pass() }
}

fn error(code: Code, reason: String, facts: &Value) -> McpRequestResult {
    let mcp_error = Some(facts.to_string().into_bytes());
    let error = AuthorizationError { code: code.into(), reason, mcp_error };
    McpRequestResult { result: Some(Outcome::Error(error)), ..McpRequestResult::default() }
}

/// All three, always: an agent may have sent its own, and `set` replaces. The intent's id is for nobody upstream.
fn headers(response: &v1::ScoreResponse) -> HeaderMutation {
    let header = |key: &str, value: String| McpHeader { key: key.to_owned(), value: value.into_bytes() };
    let mut remove = vec![INTENT.to_owned()];
    let mut set = vec![
        header(DECISION, response.decision_id.clone()),
        header(VERDICT, response.verdict().as_str_name().to_owned()),
    ];
    match response.drift {
        Some(drift) => set.push(header(DRIFT, format!("{drift:.3}"))),
        None => remove.push(DRIFT.to_owned()),
    }
    HeaderMutation { set, remove }
}

fn metadata(facts: Map<String, Value>) -> Option<Struct> {
    convert::message_object(facts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn response(verdict: v1::Verdict, outcome: v1::Outcome) -> v1::ScoreResponse {
        v1::ScoreResponse {
            verdict: verdict.into(),
            outcome: outcome.into(),
            status: v1::Status::Scored.into(),
            drift: Some(0.91),
            decision_id: "01K".into(),
            reason_code: "intent_drift".into(),
            mode: v1::Mode::Enforce.into(),
            ..v1::ScoreResponse::default()
        }
    }

    #[test]
    fn every_outcome_sets_one_of_the_results() {
        use v1::Outcome::{Pass as Passes, Stop, Unspecified};
        for (outcome, refuses) in [(Passes, false), (Stop, true), (Unspecified, true)] {
            for verdict in [v1::Verdict::Allow, v1::Verdict::Warn, v1::Verdict::Deny, v1::Verdict::Abstain] {
                let result = of(&response(verdict, outcome)).result;
                assert_eq!(matches!(result, Some(Outcome::Error(_))), refuses, "{verdict:?} {outcome:?}");
                assert!(result.is_some());
            }
        }
        assert!(pass().result.is_some());
    }

    #[test]
    fn a_refusal_tells_the_facts_as_json_and_the_agent_no_more_than_a_sentence() {
        let denied = of(&response(v1::Verdict::Deny, v1::Outcome::Stop));
        let Some(Outcome::Error(error)) = denied.result else { panic!() };
        assert_eq!(error.code(), Code::PermissionDenied);
        let facts: Value = serde_json::from_slice(&error.mcp_error.unwrap()).unwrap();
        assert_eq!((&facts["verdict"], &facts["drift"]), (&json!("DENY"), &json!(0.91)));
        let mut unread = response(v1::Verdict::Deny, v1::Outcome::Stop);
        (unread.status, unread.drift) = (v1::Status::Unparsable.into(), None);
        let Some(Outcome::Error(error)) = of(&unread).result else { panic!() };
        assert_eq!(error.code(), Code::Invalid);
    }
}
