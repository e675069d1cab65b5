//! From what was decided to what a supervisor understands.
//!
//! Of all that we say, `decision` and `reason_code` reach the agent, and `severity` and `count` of a finding OpenShell's
//! log. Texts are thrown away on the way, so we write none: what happened is in our own ledger, by the decision's id.

use rhumb_proto::openshell::middleware::header_mutation::Mutation;
use rhumb_proto::openshell::middleware::{
    Decision, ExistingHeaderAction, Finding, HeaderMutation, HttpRequestResult, WriteHeader,
};
use rhumb_proto::v1;

use crate::point::Answered;
use crate::told;

/// What a header says where there is nothing to say. Headers are written all the same: an agent may have sent them.
const NONE: &str = "none";
/// Bytes of a reason code.
const REASON_BYTES: usize = 64;
/// What the platform keeps of them, from the least to the gravest.
const SEVERITIES: [&str; 3] = ["low", "medium", "high"];

/// The answer to one request.
pub(super) fn result(answered: &Answered, decision_in_reason: bool) -> HttpRequestResult {
    let findings = findings(answered);
    match answered.stopped() {
        Some(stopped) => HttpRequestResult {
            decision: Decision::Deny.into(),
            reason_code: reason_code(stopped, decision_in_reason),
            findings,
            ..HttpRequestResult::default()
        },
        None => HttpRequestResult {
            decision: Decision::Allow.into(),
            header_mutations: headers(answered.told()),
            findings,
            ..HttpRequestResult::default()
        },
    }
}

/// `[a-z][a-z0-9_]{0,63}`; with anything else a supervisor takes the whole answer for a failure.
pub(super) fn is_reason_code(code: &str) -> bool {
    let rest = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    code.len() <= REASON_BYTES && code.starts_with(|c: char| c.is_ascii_lowercase()) && code.bytes().all(rest)
}

fn reason_code(stopped: &v1::ScoreResponse, with_decision: bool) -> String {
    let code = told::reason_code(stopped);
    let long = format!("{code}_{}", stopped.decision_id.to_ascii_lowercase());
    let candidates = match with_decision && !stopped.decision_id.is_empty() {
        true => vec![long.as_str(), code],
        false => vec![code],
    };
    // An empty code is one too.
    candidates.into_iter().find(|code| is_reason_code(code)).unwrap_or_default().to_owned()
}

/// One finding of each severity, with how many calls had it.
fn findings(answered: &Answered) -> Vec<Finding> {
    let count = |wanted: &str| answered.decided().filter(|answer| severity(answer) == Some(wanted)).count();
    let finding = |severity: &str| {
        let count = u32::try_from(count(severity)).unwrap_or(u32::MAX);
        let (kind, label) = ("rhumb.drift".to_owned(), "drift from the intent".to_owned());
        (count > 0).then(|| Finding { r#type: kind, label, count, severity: severity.to_owned() })
    };
    SEVERITIES.iter().filter_map(|severity| finding(severity)).collect()
}

/// By the verdict, so that shadow mode finds what enforcement would.
fn severity(answer: &v1::ScoreResponse) -> Option<&'static str> {
    let stops = answer.outcome() == v1::Outcome::Stop;
    match answer.verdict() {
        v1::Verdict::Escalate => Some("medium"),
        v1::Verdict::Deny => Some("high"),
        _ if stops => Some("high"),
        v1::Verdict::Allow => None,
        v1::Verdict::Warn => Some("medium"),
        v1::Verdict::Abstain | v1::Verdict::Unspecified => Some("low"),
    }
}

fn headers(told: Option<&v1::ScoreResponse>) -> Vec<HeaderMutation> {
    let decision = told.map(|answer| answer.decision_id.as_str()).filter(|id| !id.is_empty());
    let verdict = told.map(|answer| answer.verdict().as_str_name());
    let drift = told.and_then(|answer| answer.drift).map(|drift| format!("{drift:.3}"));
    let lines = [("decision", decision), ("verdict", verdict), ("drift", drift.as_deref())];
    lines.map(|(name, value)| overwrite(name, value.unwrap_or(NONE))).to_vec()
}

fn overwrite(name: &str, value: &str) -> HeaderMutation {
    let write = WriteHeader {
        name: format!("x-openshell-middleware-rhumb-{name}"),
        value: value.to_owned(),
        on_existing: ExistingHeaderAction::Overwrite.into(),
    };
    HeaderMutation { mutation: Some(Mutation::Write(write)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Kind, RpcId};
    use crate::point::ItemAnswer;
    use rhumb_ledger::intent::reason;
    use v1::Outcome::{Pass, Stop};
    use v1::Verdict::{Abstain, Allow, Deny, Escalate, Warn};

    fn decided(verdict: v1::Verdict, outcome: v1::Outcome) -> v1::ScoreResponse {
        v1::ScoreResponse {
            verdict: verdict.into(),
            outcome: outcome.into(),
            reason_code: "intent_drift".into(),
            decision_id: "01K9Z6T0Q7M3J5V8C2B4N6P8R0".into(),
            drift: Some(0.12345),
            ..v1::ScoreResponse::default()
        }
    }

    fn answered(items: Vec<v1::ScoreResponse>) -> Answered {
        let items =
            items.into_iter().map(|answer| (RpcId::Absent, ItemAnswer::Decided(Box::new(answer)))).collect();
        Answered { kind: Kind::Mcp, is_batch: false, items, deny_http_status: 403 }
    }

    fn told(verdict: v1::Verdict, outcome: v1::Outcome) -> (Decision, String, String) {
        let result = result(&answered(vec![decided(verdict, outcome)]), false);
        let severity = result.findings.first().map(|finding| finding.severity.clone()).unwrap_or_default();
        assert!(result.findings.iter().all(|finding| finding.count == 1));
        (result.decision(), result.reason_code, severity)
    }

    #[test]
    fn every_verdict_has_its_answer() {
        let row = |decision, code: &str, severity: &str| (decision, code.to_owned(), severity.to_owned());
        assert_eq!(told(Allow, Pass), row(Decision::Allow, "", ""));
        assert_eq!(told(Warn, Pass), row(Decision::Allow, "", "medium"));
        assert_eq!(told(Deny, Stop), row(Decision::Deny, "intent_drift", "high"));
        assert_eq!(told(Escalate, Stop), row(Decision::Deny, "human_needed", "medium"));
        assert_eq!(told(Abstain, Pass), row(Decision::Allow, "", "low"));
        assert_eq!(told(Abstain, Stop), row(Decision::Deny, "intent_drift", "high"));
        assert_eq!(told(Deny, Pass), row(Decision::Allow, "", "high"), "shadow mode");
        assert_eq!(told(Escalate, Pass), row(Decision::Allow, "", "medium"), "shadow mode");
    }

    #[test]
    fn all_headers_are_overwritten_also_without_a_score() {
        let lines = |answered: &Answered| -> Vec<(String, String)> {
            let result = result(answered, false);
            let line = |mutation: HeaderMutation| match mutation.mutation {
                Some(Mutation::Write(write)) => {
                    assert_eq!(write.on_existing(), ExistingHeaderAction::Overwrite);
                    (write.name.replace("x-openshell-middleware-rhumb-", ""), write.value)
                }
                None => panic!("no change"),
            };
            result.header_mutations.into_iter().map(line).collect()
        };
        let scored = lines(&answered(vec![decided(Allow, Pass)]));
        let id = "01K9Z6T0Q7M3J5V8C2B4N6P8R0";
        let expected = [("decision", id), ("verdict", "ALLOW"), ("drift", "0.123")];
        assert!(scored.iter().map(|(n, v)| (n.as_str(), v.as_str())).eq(expected), "{scored:?}");
        let mut passed = answered(Vec::new());
        passed.items.push((RpcId::Absent, ItemAnswer::Passed("mcp_method")));
        assert!(lines(&passed).iter().all(|(_, value)| value == "none"));
    }

    #[test]
    fn calls_of_a_batch_are_counted_by_severity() {
        let answers = [(Deny, Stop), (Allow, Pass), (Deny, Stop), (Warn, Pass)];
        let batch = answered(answers.map(|(v, o)| decided(v, o)).to_vec());
        let findings = result(&batch, false).findings;
        let counts: Vec<_> = findings.iter().map(|f| (f.severity.as_str(), f.count)).collect();
        assert_eq!(counts, [("medium", 1), ("high", 2)]);
    }

    #[test]
    fn a_code_may_carry_the_decision_and_keeps_to_its_grammar() {
        let mut stopped = decided(Deny, Stop);
        let id = "01k9z6t0q7m3j5v8c2b4n6p8r0";
        assert_eq!(reason_code(&stopped, true), format!("intent_drift_{id}"));
        for code in reason::ALL {
            stopped.reason_code = (*code).to_owned();
            assert!(is_reason_code(code) && is_reason_code(&reason_code(&stopped, true)), "{code}");
            assert!(reason_code(&stopped, true).ends_with(id), "{code}");
        }
        stopped.decision_id.clear();
        assert_eq!(reason_code(&stopped, true), stopped.reason_code);
        stopped.reason_code = "No-Code".into();
        assert_eq!(reason_code(&stopped, true), "");
        for bad in ["", "Intent", "intent-drift", "1a", "_a", &"a".repeat(65)] {
            assert!(!is_reason_code(bad), "{bad}");
        }
    }
}
