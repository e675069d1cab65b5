//! From what became of a request to what Envoy is told.

use std::collections::BTreeSet;

use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{CheckResponse, DeniedHttpResponse, OkHttpResponse};
use envoy_types::pb::envoy::r#type::v3::HttpStatus;
use envoy_types::pb::google::protobuf::Struct;
use envoy_types::pb::google::rpc;
use rhumb_drift::InputError;
use rhumb_ledger::intent::reason;
use rhumb_proto::v1::{Outcome, ScoreResponse};
use tonic::Code;

use super::{metadata, refusal};
use crate::message::Kind;
use crate::point::Answered;
use crate::told::{DECISION, DRIFT, INTENT, VERDICT};

/// A route, or a caller, that was set up wrongly.
#[derive(Debug, PartialEq)]
pub(super) struct Misused {
    /// For Envoy's statistics; never OK.
    pub code: Code,
    /// One of the reason codes.
    pub reason: &'static str,
    /// For the log: the operator's own words.
    pub problem: String,
}

impl Misused {
    /// A key that cannot be used.
    pub fn route(error: &InputError) -> Self {
        let problem = format!("context_extensions: {error}");
        Self { code: Code::InvalidArgument, reason: reason::ROUTE_MISCONFIGURED, problem }
    }

    /// Nothing that could be an action.
    pub fn without_http() -> Self {
        let problem = "no HTTP request: the filter has to be envoy.filters.http.ext_authz".to_owned();
        Self { code: Code::InvalidArgument, reason: reason::ROUTE_MISCONFIGURED, problem }
    }
}

/// What Envoy is to do.
enum End {
    Pass(OkHttpResponse),
    /// The code is not OK.
    Stop(Code, DeniedHttpResponse),
}

/// What Envoy is told. `forged` are headers of the request that only we may write.
pub(super) fn answer(answered: &Answered, forged: Vec<&str>) -> CheckResponse {
    // An outcome that nobody set is no pass.
    let unset = || answered.decided().find(|answer| answer.outcome() != Outcome::Pass);
    match answered.stopped().or_else(unset) {
        Some(worst) => {
            let body = refusal::body(answered, worst);
            // To a client of plain HTTP, 200 would mean that it was done.
            let status = if answered.kind == Kind::Http { 403 } else { answered.deny_http_status };
            let denied = denied(status, told(worst), body);
            made(End::Stop(Code::PermissionDenied, denied), Some(metadata::of(worst)))
        }
        None => {
            let told = answered.told();
            made(End::Pass(passing(told, forged)), told.map(metadata::of))
        }
    }
}

/// The answer on a route that is set up wrongly: it says nothing about the action, and lets nothing pass.
pub(super) fn misused(misused: &Misused) -> CheckResponse {
    const STATUS: u16 = 500;
    let denied =
        denied(STATUS, Vec::new(), refusal::plain(misused.reason, "This route is not set up correctly."));
    made(End::Stop(misused.code, denied), Some(metadata::of_reason(misused.reason)))
}

/// The answer to a request that nothing can be made of.
pub(super) fn unreadable(reason: &str) -> CheckResponse {
    const STATUS: u16 = 403;
    let denied = denied(STATUS, Vec::new(), refusal::plain(reason, "The action could not be read whole."));
    made(End::Stop(Code::PermissionDenied, denied), Some(metadata::of_reason(reason)))
}

/// The one place where an answer is made. INVARIANT: code 0 and `ok_response`, or neither; Envoy looks at the code alone,
/// and one that is not set is 0.
fn made(end: End, dynamic_metadata: Option<Struct>) -> CheckResponse {
    let (code, response) = match end {
        End::Pass(ok) => (Code::Ok, HttpResponse::OkResponse(ok)),
        End::Stop(Code::Ok, denied) => (Code::PermissionDenied, HttpResponse::DeniedResponse(denied)),
        End::Stop(code, denied) => (code, HttpResponse::DeniedResponse(denied)),
    };
    let status = rpc::Status { code: code.into(), ..rpc::Status::default() };
    CheckResponse { status: Some(status), dynamic_metadata, http_response: Some(response) }
}

fn passing(told: Option<&ScoreResponse>, forged: Vec<&str>) -> OkHttpResponse {
    let headers: Vec<_> = told.into_iter().flat_map(with_drift).collect();
    let is_ours = |name: &str| headers.iter().any(|own| own.header.as_ref().is_some_and(|h| h.key == name));
    // Also those that Envoy may not have shown us, under both names that servers take them by.
    let known = [INTENT, DECISION, VERDICT, DRIFT].map(|name| [name.to_owned(), name.replace('-', "_")]);
    let others = forged.into_iter().map(str::to_owned);
    let removed: BTreeSet<_> = known.into_iter().flatten().chain(others).collect();
    let headers_to_remove = removed.into_iter().filter(|name| !is_ours(name)).collect();
    let decision = told.map(|told| told.decision_id.as_str()).unwrap_or_default();
    let response_headers_to_add = said(DECISION, decision).into_iter().collect();
    OkHttpResponse { headers, headers_to_remove, response_headers_to_add, ..OkHttpResponse::default() }
}

fn denied(status: u16, told: Vec<HeaderValueOption>, body: String) -> DeniedHttpResponse {
    let headers = said("content-type", "application/json").into_iter().chain(told).collect();
    DeniedHttpResponse { status: Some(HttpStatus { code: status.into() }), headers, body }
}

/// What the tool server reads.
fn with_drift(answer: &ScoreResponse) -> Vec<HeaderValueOption> {
    let drift = answer.drift.map(|drift| format!("{drift:.3}")).unwrap_or_default();
    told(answer).into_iter().chain(said(DRIFT, &drift)).collect()
}

/// What everybody reads.
fn told(answer: &ScoreResponse) -> Vec<HeaderValueOption> {
    let decision = said(DECISION, &answer.decision_id);
    decision.into_iter().chain(said(VERDICT, answer.verdict().as_str_name())).collect()
}

/// A header in place of any that is there; `None` where there is nothing to say.
fn said(name: &str, value: &str) -> Option<HeaderValueOption> {
    let header = HeaderValue { key: name.to_owned(), value: value.to_owned(), ..HeaderValue::default() };
    (!value.is_empty()).then(|| HeaderValueOption {
        header: Some(header),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    })
}
