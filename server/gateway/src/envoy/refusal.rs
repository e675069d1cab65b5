//! The body of a refusal: what an agent may know. Reasons and numbers, never the words of an intent, of other hops or of
//! arguments.

use rhumb_ledger::intent::reason;
use rhumb_proto::v1::{Outcome, ScoreResponse, Verdict};
use serde::Serialize;

use crate::message::{Kind, RpcId};
use crate::point::{Answered, ItemAnswer};
use crate::told;

/// Of a server's own errors in JSON-RPC.
const CODE: i32 = -32001;

/// A decision, for an agent.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    decision_id: &'a str,
    verdict: &'a str,
    status: &'a str,
    reason_code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    drift: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<f64>,
}

#[derive(Serialize)]
struct RpcError<'a> {
    code: i32,
    message: &'a str,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HttpError<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    decision_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    verdict: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    drift: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<f64>,
}

#[derive(Serialize)]
struct HttpBody<'a> {
    error: HttpError<'a>,
}

/// The body of a refused request.
pub(super) fn body(answered: &Answered, worst: &ScoreResponse) -> String {
    match (answered.kind, answered.is_batch) {
        (Kind::Http, _) => http(worst),
        (_, true) => batch(answered),
        (_, false) => rpc(answered.items.first().map_or(&RpcId::Absent, |(id, _)| id), worst, true),
    }
}

/// The body where there is no decision but a reason.
pub(super) fn plain(code: &str, message: &str) -> String {
    written(&HttpBody {
        error: HttpError { code, message, decision_id: "", verdict: "", drift: None, threshold: None },
    })
}

fn http(worst: &ScoreResponse) -> String {
    let Data { decision_id, verdict, reason_code: code, drift, threshold, .. } = data(worst);
    let message = told::sentence(worst);
    written(&HttpBody { error: HttpError { code, message, decision_id, verdict, drift, threshold } })
}

/// One error for each call that has an id: none of them reached the server. At most 64, each of bounded size.
fn batch(answered: &Answered) -> String {
    let passed = ScoreResponse { verdict: Verdict::Allow.into(), ..ScoreResponse::default() };
    let with_id = answered.items.iter().filter(|(id, _)| *id != RpcId::Absent);
    let errors = with_id.map(|(id, answer)| match answer {
        ItemAnswer::Decided(own) => rpc(id, own, own.outcome() != Outcome::Pass),
        ItemAnswer::Passed(_) => rpc(id, &passed, false),
    });
    format!("[{}]", errors.collect::<Vec<_>>().join(","))
}

/// The id is JSON already, written as the request had it. A call that nothing stops is refused for another's sake.
fn rpc(id: &RpcId, answer: &ScoreResponse, stops: bool) -> String {
    let mut data = data(answer);
    let message = match stops {
        true => told::sentence(answer),
        false => {
            data.reason_code = reason::BATCH_REFUSED;
            "Another call of the same batch was refused."
        }
    };
    let error = written(&RpcError { code: CODE, message, data });
    format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, id.to_json())
}

fn data(answer: &ScoreResponse) -> Data<'_> {
    Data {
        decision_id: &answer.decision_id,
        verdict: answer.verdict().as_str_name(),
        status: answer.status().as_str_name(),
        // Why a person is needed the operator can read; the agent is to ask one.
        reason_code: told::reason_code(answer),
        drift: answer.drift.map(rounded),
        threshold: answer.threshold.map(rounded),
    }
}

/// As in the header: an agent that tries words until they pass is told no finer.
fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

fn written(body: &impl Serialize) -> String {
    // Names and numbers alone: this cannot fail.
    serde_json::to_string(body).unwrap_or_default()
}
