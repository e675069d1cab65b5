//! `GatewayInterceptor`: calls to the gateway's own API, before they are done and after.
//!
//! What is told after the fact cannot be undone, so nothing that goes wrong there is an error.

use std::collections::HashMap;

use rhumb_engine::Lane;
use rhumb_proto::openshell::gateway_interceptor::gateway_interceptor_server::GatewayInterceptor;
use rhumb_proto::openshell::gateway_interceptor::interceptor_evaluation::Phase;
use rhumb_proto::openshell::gateway_interceptor::{
    DescribeRequest, InterceptorEvaluation, InterceptorManifest, InterceptorResult, ProviderProfileSnapshot,
    ProviderProfileSnapshotRequest,
};
use tonic::{Request, Response, Status};

use super::door::{Guest, bad};
use super::manifest::{ANALYSIS, APPROVE, CREATE, DELETE, SERVICE};
use super::{OpenShell, analysis, fields, manifest, sandbox};

/// The service.
#[derive(Clone)]
pub struct Interceptor(pub OpenShell);

/// Who called the gateway, in the gateway's words.
pub(super) type Principal = HashMap<String, String>;

impl Interceptor {
    async fn guest<T>(&self, request: &Request<T>) -> Result<Guest, Status> {
        let audience = &self.0.0.config.interceptor_audience;
        self.0.admit(request.metadata(), request.extensions(), audience).await
    }
}

#[tonic::async_trait]
impl GatewayInterceptor for Interceptor {
    /// Needs no model: the gateway does not start without an answer.
    async fn describe(
        &self,
        request: Request<DescribeRequest>,
    ) -> Result<Response<InterceptorManifest>, Status> {
        self.guest(&request).await?;
        Ok(Response::new(manifest::interceptor(&self.0)))
    }

    async fn snapshot_provider_profiles(
        &self,
        _: Request<ProviderProfileSnapshotRequest>,
    ) -> Result<Response<ProviderProfileSnapshot>, Status> {
        Err(Status::unimplemented("there are no provider profiles"))
    }

    async fn evaluate(
        &self,
        request: Request<InterceptorEvaluation>,
    ) -> Result<Response<InterceptorResult>, Status> {
        let deadline = self.0.0.front.deadline(request.extensions());
        let guest = self.guest(&request).await?;
        guest.must_be_gateway()?;
        let InterceptorEvaluation { interceptor_name, service, method, principal, phase, .. } =
            request.into_inner();
        let proposed = match phase {
            Some(Phase::ModifyOperation(asked)) => asked.proposed_operation,
            Some(Phase::Validate(asked)) => asked.proposed_operation,
            Some(Phase::PostCommit(told)) => {
                let caller = self.0.caller(&guest, Lane::Interactive);
                let response = told.committed_response;
                return Ok(Response::new(match (service.as_str(), method.as_str()) {
                    (SERVICE, CREATE) => sandbox::bind(&self.0, &caller, &principal, response.as_ref()).await,
                    (SERVICE, APPROVE) => approved(&principal),
                    _ => allowed([]),
                }));
            }
            None => return Err(bad("phase", "is missing or not known")),
        };
        let caller = self.0.caller(&guest, Lane::Enforcement);
        let answer = match (service.as_str(), method.as_str()) {
            (SERVICE, CREATE) => sandbox::check(&self.0, &caller, &principal, proposed.as_ref())?,
            (SERVICE, ANALYSIS) => {
                let asked = analysis::Asked { principal, proposed, enforcement_point: interceptor_name };
                analysis::decide(&self.0, &guest, caller, asked, deadline).await?
            }
            // Nothing to say, and nothing to ask: the deletion is told afterwards.
            (SERVICE, APPROVE | DELETE) => allowed([]),
            _ => return Err(bad("method", "is none of the manifest's")),
        };
        Ok(Response::new(answer))
    }
}

/// Who approved that a sandbox may reach more, for the log of both sides. The approval says no more than that.
fn approved(principal: &Principal) -> InterceptorResult {
    let (subject, provider) = (said(principal, "subject"), said(principal, "provider"));
    tracing::info!(subject, provider, "a person approved a change of a sandbox's policy");
    allowed([("rhumb.approval", "recorded")])
}

/// What the gateway says of a principal; empty where it says nothing.
pub(super) fn said<'a>(principal: &'a Principal, key: &str) -> &'a str {
    principal.get(key).map_or("", String::as_str)
}

/// Lets a call through. `annotations` are for the gateway's log.
pub(super) fn allowed<const N: usize>(annotations: [(&str, &str); N]) -> InterceptorResult {
    InterceptorResult {
        allowed: true,
        reason: String::new(),
        status_code: String::new(),
        log_annotations: annotated(&annotations),
    }
}

/// Refuses a call. `reason` is shown to who called the gateway.
pub(super) fn denied(status_code: &str, reason: &str, annotations: &[(&str, &str)]) -> InterceptorResult {
    InterceptorResult {
        allowed: false,
        reason: reason.to_owned(),
        status_code: status_code.to_owned(),
        log_annotations: annotated(annotations),
    }
}

fn annotated(annotations: &[(&str, &str)]) -> HashMap<String, String> {
    annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// The annotation of a sandbox's metadata, or of the request that creates it.
pub(super) fn annotation<'a>(
    root: Option<&'a pbjson_types::Struct>,
    way: &[&str],
    name: &str,
) -> Option<&'a str> {
    let path: Vec<&str> = way.iter().copied().chain(["annotations", name]).collect();
    Some(fields::text(root, &path)).filter(|token| !token.is_empty())
}
