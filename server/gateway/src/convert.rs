//! Messages to checked types, and answers to messages. The only place that knows both.

use pbjson_types::{Struct, Value as ProtoValue, value::Kind};
use rhumb_drift::{
    Action, ContextItem, Decision, Effect, Evidence, InputError, Intent, Origin, Status, ValueGrade, Verdict,
};
use rhumb_engine::{Answer, Engine, ScoreInput, Timings};
use rhumb_ledger::intent::reason;
use rhumb_proto::{json, v1};
use serde_json::{Map, Number, Value};

/// Values listed in evidence.
const EVIDENCE_VALUES: usize = 16;
/// Characters of a value, a path or a finding that are shown.
const EVIDENCE_CHARS: usize = 120;
/// Bytes of a request id.
const REQUEST_ID_BYTES: usize = 256;
/// Characters of a complaint.
const DETAIL_CHARS: usize = 500;
/// Findings listed in evidence.
const EVIDENCE_FINDINGS: usize = 32;

/// A request as checked types.
///
/// # Errors
/// Names the field that cannot be used.
pub fn input(request: v1::ScoreRequest) -> Result<ScoreInput, InputError> {
    check_request_id(&request.request_id)?;
    let action = request.action.ok_or_else(|| InputError::new("action", "is missing"))?;
    Ok(ScoreInput {
        intent: intent(request.intent),
        action: self::action(action)?,
        context: request.context.into_iter().map(context).collect(),
    })
}

/// Refuses an id that is too long to be repeated in answers and logs.
///
/// # Errors
/// Names `requestId`.
pub fn check_request_id(id: &str) -> Result<(), InputError> {
    if id.len() > REQUEST_ID_BYTES {
        return Err(InputError::new("requestId", format!("more than {REQUEST_ID_BYTES} bytes")));
    }
    Ok(())
}

/// An absent intent is an empty one: no anchor.
pub fn intent(intent: Option<v1::Intent>) -> Intent {
    let intent = intent.unwrap_or_default();
    Intent { text: intent.text, principal: intent.principal }
}

/// Context of a message.
pub fn context(item: v1::ContextItem) -> ContextItem {
    ContextItem { source: item.source, text: item.text, trusted: item.trusted }
}

/// An action of a message.
///
/// # Errors
/// Names the field that cannot be used.
pub fn action(action: v1::Action) -> Result<Action, InputError> {
    let effect = effect(action.effect)?;
    let arguments = match (action.arguments, action.arguments_json.as_str()) {
        (Some(_), text) if !text.is_empty() => {
            return Err(InputError::new("action.argumentsJson", "cannot stand beside action.arguments"));
        }
        (None, text) if !text.is_empty() => parse_arguments(text)?,
        (arguments, _) => object(arguments.unwrap_or_default(), "action.arguments")?,
    };
    let input_schema = action.input_schema.map(|s| object(s, "action.inputSchema")).transpose()?;
    Ok(Action {
        tool: action.tool,
        tool_description: action.tool_description,
        server: action.server,
        arguments,
        input_schema,
        text: action.text,
        effect,
    })
}

/// An effect of a message.
///
/// # Errors
/// Names `action.effect`.
pub fn effect(effect: i32) -> Result<Effect, InputError> {
    match v1::Effect::try_from(effect) {
        Ok(v1::Effect::Unknown) => Ok(Effect::Unknown),
        Ok(v1::Effect::Read) => Ok(Effect::Read),
        Ok(v1::Effect::Write) => Ok(Effect::Write),
        Err(_) => Err(InputError::new("action.effect", format!("{effect} is not known"))),
    }
}

/// An effect as a message.
pub fn effect_message(effect: Effect) -> v1::Effect {
    match effect {
        Effect::Unknown => v1::Effect::Unknown,
        Effect::Read => v1::Effect::Read,
        Effect::Write => v1::Effect::Write,
    }
}

fn parse_arguments(text: &str) -> Result<Map<String, Value>, InputError> {
    let fail = |problem: String| InputError::new("action.argumentsJson", problem);
    match json::parse_value(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(fail("is not an object".to_owned())),
        Err(e) => Err(fail(e.to_string())),
    }
}

/// Depth is bounded by the decoder of the message. The path of a value is put together on the way out of an error only:
/// names may be long, and lists too.
fn object(from: Struct, path: &str) -> Result<Map<String, Value>, InputError> {
    let entry = |(name, value): (String, ProtoValue)| match self::value(value) {
        Ok(value) => Ok((name, value)),
        Err(e) => Err(InputError::new(format!("{path}.{}{}", cut(&name), e.field), e.problem)),
    };
    from.fields.into_iter().map(entry).collect()
}

/// A JSON object as a message; `None` where one of its numbers is none that a message holds.
pub fn message_object(from: Map<String, Value>) -> Option<Struct> {
    serde_json::from_value(Value::Object(from)).ok()
}

/// Errors name the place below this value.
fn value(value: ProtoValue) -> Result<Value, InputError> {
    Ok(match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(b)) => Value::Bool(b),
        Some(Kind::NumberValue(n)) => {
            Value::Number(number(n).ok_or_else(|| InputError::new("", "is not a finite number"))?)
        }
        Some(Kind::StringValue(s)) => Value::String(s),
        Some(Kind::StructValue(s)) => Value::Object(object(s, "")?),
        Some(Kind::ListValue(list)) => {
            let within =
                |i: usize| move |e: InputError| InputError::new(format!("[{i}]{}", e.field), e.problem);
            let items = list.values.into_iter().enumerate().map(|(i, v)| self::value(v).map_err(within(i)));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
    })
}

/// Whole numbers become integers again: a message holds every number as a double.
fn number(n: f64) -> Option<Number> {
    const SAFE: f64 = 9_007_199_254_740_992.0;
    if n.fract() == 0.0 && n.abs() <= SAFE { Some(Number::from(n as i64)) } else { Number::from_f64(n) }
}

/// An answer as a message.
pub fn response(request_id: String, answer: Answer, engine: &Engine) -> v1::ScoreResponse {
    let provenance = match answer.status {
        Status::NoAnchor => v1::Provenance::None,
        _ => v1::Provenance::Unverified,
    };
    v1::ScoreResponse {
        request_id,
        drift: answer.drift,
        similarity: answer.similarity.map(f64::from),
        verdict: verdict(answer.decision.verdict).into(),
        status: status(answer.status).into(),
        reason_code: answer.decision.reason.to_owned(),
        threshold: Some(answer.threshold),
        evidence: Some(evidence(answer.evidence, answer.tokens, answer.windows)),
        model: Some(model(engine)),
        calibration_id: engine.calibration_id().to_owned(),
        timings: Some(timings(answer.timings)),
        provenance: provenance.into(),
        detail: String::new(),
        ..v1::ScoreResponse::default()
    }
}

/// The answer to an action that was not scored, for a reason that lies in its intent.
pub fn unscored(request_id: String, why: Unscored<'_>, engine: &Engine) -> v1::ScoreResponse {
    v1::ScoreResponse {
        request_id,
        verdict: verdict(why.verdict).into(),
        status: why.status.into(),
        reason_code: why.reason.to_owned(),
        threshold: Some(engine.threshold(why.effect)),
        model: Some(model(engine)),
        calibration_id: engine.calibration_id().to_owned(),
        detail: printable(why.detail, DETAIL_CHARS),
        ..v1::ScoreResponse::default()
    }
}

/// Why an action was not scored.
#[derive(Debug, Clone, Copy)]
pub struct Unscored<'a> {
    /// NO_ANCHOR or LIMITED.
    pub status: v1::Status,
    /// What to do.
    pub verdict: Verdict,
    /// One of the reason codes.
    pub reason: &'a str,
    /// For a person.
    pub detail: &'a str,
    /// Of the action.
    pub effect: Effect,
}

/// Why something was not read, or not whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// UNPARSABLE or TRUNCATED.
    pub status: v1::Status,
    /// One of the reason codes.
    pub reason: &'static str,
    /// For a person.
    pub detail: String,
    /// In place of the policy's verdict.
    pub verdict: Option<Verdict>,
}

impl Unread {
    /// Something that is not what it should be.
    pub fn unparsable(detail: String) -> Self {
        Self { status: v1::Status::Unparsable, reason: reason::ACTION_UNPARSABLE, detail, verdict: None }
    }
}

/// The answer to something that could not be read.
pub fn unparsable(request_id: String, detail: String, engine: Option<&Engine>) -> v1::ScoreResponse {
    let policy = engine.map(|e| e.policy().clone()).unwrap_or_default();
    let told = policy.decide(Status::Unparsable, None, 0.0, Effect::Unknown);
    unread(request_id, &Unread::unparsable(detail), told, engine)
}

/// The same, with what the policy makes of it.
pub fn unread(
    request_id: String,
    why: &Unread,
    told: Decision,
    engine: Option<&Engine>,
) -> v1::ScoreResponse {
    v1::ScoreResponse {
        request_id: printable(&request_id, REQUEST_ID_BYTES),
        verdict: verdict(told.verdict).into(),
        status: why.status.into(),
        reason_code: told.reason.to_owned(),
        model: engine.map(model),
        detail: printable(&why.detail, DETAIL_CHARS),
        ..v1::ScoreResponse::default()
    }
}

/// The answer to one of many where Rhumb itself could not score it.
pub fn failed(request_id: String, reason: &str, engine: &Engine) -> v1::ScoreResponse {
    v1::ScoreResponse {
        reason_code: reason.to_owned(),
        model: Some(model(engine)),
        ..failed_remotely(request_id)
    }
}

/// The same where a server failed, and said no more.
pub fn failed_remotely(request_id: String) -> v1::ScoreResponse {
    v1::ScoreResponse {
        request_id,
        verdict: v1::Verdict::Abstain.into(),
        status: v1::Status::Failed.into(),
        reason_code: "scorer_unavailable".to_owned(),
        ..v1::ScoreResponse::default()
    }
}

fn model(engine: &Engine) -> v1::Model {
    let info = engine.info();
    v1::Model {
        name: info.model.clone(),
        digest: info.digest.clone(),
        device: info.device.clone(),
        precision: info.precision.clone(),
    }
}

/// A provenance by its name; `None` where it is none.
pub fn provenance_named(name: &str) -> Option<v1::Provenance> {
    v1::Provenance::from_str_name(name).filter(|provenance| *provenance != v1::Provenance::Unspecified)
}

/// The verdict of a message that we made.
pub fn known_verdict(verdict: v1::Verdict) -> Verdict {
    match verdict {
        v1::Verdict::Allow => Verdict::Allow,
        v1::Verdict::Warn => Verdict::Warn,
        v1::Verdict::Escalate => Verdict::Escalate,
        v1::Verdict::Deny => Verdict::Deny,
        v1::Verdict::Abstain | v1::Verdict::Unspecified => Verdict::Abstain,
    }
}

/// The status of a message that we made; `None` where it is none of the scorer's.
pub fn known_status(status: v1::Status) -> Option<Status> {
    match status {
        v1::Status::Scored => Some(Status::Scored),
        v1::Status::Truncated => Some(Status::Truncated),
        v1::Status::Delegated => Some(Status::Delegated),
        v1::Status::NoAnchor => Some(Status::NoAnchor),
        v1::Status::Unparsable => Some(Status::Unparsable),
        v1::Status::Limited => Some(Status::Limited),
        v1::Status::Degraded => Some(Status::Degraded),
        _ => None,
    }
}

/// A verdict as a message.
pub fn verdict(verdict: Verdict) -> v1::Verdict {
    match verdict {
        Verdict::Allow => v1::Verdict::Allow,
        Verdict::Warn => v1::Verdict::Warn,
        Verdict::Escalate => v1::Verdict::Escalate,
        Verdict::Deny => v1::Verdict::Deny,
        Verdict::Abstain => v1::Verdict::Abstain,
    }
}

fn status(status: Status) -> v1::Status {
    match status {
        Status::Scored => v1::Status::Scored,
        Status::Truncated => v1::Status::Truncated,
        Status::Delegated => v1::Status::Delegated,
        Status::NoAnchor => v1::Status::NoAnchor,
        Status::Unparsable => v1::Status::Unparsable,
        Status::Limited => v1::Status::Limited,
        Status::Degraded => v1::Status::Degraded,
    }
}

fn evidence(evidence: Evidence, tokens: usize, windows: usize) -> v1::Evidence {
    let mut features: Vec<v1::FeatureEvidence> = evidence
        .contributions
        .into_iter()
        .map(|(name, value, contribution)| v1::FeatureEvidence { name: name.to_owned(), value, contribution })
        .collect();
    features.sort_by(|a, b| b.contribution.abs().total_cmp(&a.contribution.abs()));
    let (weakest_segment, similarity) = evidence.weakest.map_or((String::new(), None), |(n, s)| (n, Some(s)));
    v1::Evidence {
        values: evidence.values.into_iter().take(EVIDENCE_VALUES).map(value_evidence).collect(),
        weakest_segment: cut(&weakest_segment),
        weakest_segment_similarity: similarity.map(f64::from),
        features,
        tokens: u32::try_from(tokens).unwrap_or(u32::MAX),
        windows: u32::try_from(windows).unwrap_or(u32::MAX),
        findings: evidence.findings.iter().take(EVIDENCE_FINDINGS).map(|f| cut(f)).collect(),
        unmatched_words: evidence.unmatched.iter().map(|w| cut(w)).collect(),
        delegating: f64::from(evidence.delegating),
    }
}

/// Names in a request may be as long as the request; an answer is not.
fn cut(text: &str) -> String {
    printable(text, EVIDENCE_CHARS)
}

/// At most `most` characters, without controls: answers and complaints end up in terminals.
fn printable(text: &str, most: usize) -> String {
    text.chars().take(most).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn value_evidence(value: ValueGrade) -> v1::ValueEvidence {
    let origin = match value.origin {
        Origin::Intent => v1::Origin::Intent,
        Origin::TrustedContext => v1::Origin::TrustedContext,
        Origin::UntrustedContext => v1::Origin::UntrustedContext,
        Origin::New => v1::Origin::New,
    };
    v1::ValueEvidence {
        path: cut(&value.path),
        value: cut(&value.text),
        kind: value.kind.to_owned(),
        origin: origin.into(),
        grade: f64::from(value.grade),
    }
}

fn timings(timings: Timings) -> v1::Timings {
    let ms = |d: std::time::Duration| d.as_secs_f64() * 1e3;
    v1::Timings {
        total_ms: ms(timings.total),
        queue_ms: ms(timings.queue),
        encode_ms: ms(timings.encode),
        drift_ms: ms(timings.drift),
        intent_cached: timings.intent_cached,
        action_cached: timings.action_cached,
        decision_cached: timings.decision_cached,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ScoreInput, InputError> {
        input(json::parse(text).unwrap())
    }

    #[test]
    fn numbers_come_back_as_they_were_written() {
        let text = r#"{"action":{"tool":"t","arguments":{"a":7,"b":98.7,"c":-3,"d":9007199254740993}}}"#;
        let arguments = read(text).unwrap().action.arguments;
        assert_eq!(
            Value::Object(arguments),
            serde_json::json!({"a":7,"b":98.7,"c":-3,"d":"9007199254740993"})
        );
    }

    #[test]
    fn numbers_that_are_none_are_refused_with_their_place() {
        for n in [f64::NAN, f64::INFINITY] {
            let list = ProtoValue::from(vec![ProtoValue::from(1.0), ProtoValue::from(n)]);
            let arguments = Struct::from_iter([("amounts".to_owned(), list)]);
            let action = v1::Action { tool: "t".into(), arguments: Some(arguments), ..Default::default() };
            assert_eq!(self::action(action).unwrap_err().field, "action.arguments.amounts[1]");
        }
    }

    #[test]
    fn arguments_as_text_keep_their_digits_and_stand_alone() {
        let text = r#"{"action":{"tool":"t","argumentsJson":"{\"n\":12345678901234567890}"}}"#;
        assert_eq!(read(text).unwrap().action.arguments["n"], "12345678901234567890");
        let both = r#"{"action":{"tool":"t","arguments":{},"argumentsJson":"{}"}}"#;
        assert_eq!(read(both).unwrap_err().field, "action.argumentsJson");
        let list = r#"{"action":{"tool":"t","argumentsJson":"[1]"}}"#;
        assert_eq!(read(list).unwrap_err().field, "action.argumentsJson");
    }

    #[test]
    fn a_missing_action_and_an_unknown_effect_are_named() {
        assert_eq!(read("{}").unwrap_err().field, "action");
        let action = v1::Action { tool: "t".into(), effect: 99, ..Default::default() };
        assert_eq!(self::action(action).unwrap_err().field, "action.effect");
    }
}
