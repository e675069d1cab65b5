//! `SupervisorMiddleware`: requests of sandboxes, before credentials are put into them.

use std::pin::Pin;

use futures::Stream;
use rhumb_engine::Lane;
use rhumb_proto::openshell::middleware::supervisor_middleware_server::SupervisorMiddleware;
use rhumb_proto::openshell::middleware::{
    HttpHeader, HttpRequestEvaluation, HttpRequestResult, HttpRequestTarget, MiddlewareManifest,
    RequestContext, ValidateConfigRequest, ValidateConfigResponse, WebSocketSessionEvent,
    WebSocketSessionEventResult,
};
use rhumb_proto::v1;
use tonic::{Request, Response, Status, Streaming};

use super::door::{Guest, bad};
use super::options::Options;
use super::{OpenShell, answer, limits, manifest};
use crate::carried::Carried;
use crate::errors;
use crate::message::{Headers, HttpMessage};
use crate::point::{self, Asking};
use crate::surface::Surface;

/// The service.
#[derive(Clone)]
pub struct Middleware(pub OpenShell);

impl Middleware {
    async fn guest<T>(&self, request: &Request<T>) -> Result<Guest, Status> {
        let audience = &self.0.0.config.middleware_audience;
        self.0.admit(request.metadata(), request.extensions(), audience).await
    }
}

#[tonic::async_trait]
impl SupervisorMiddleware for Middleware {
    /// Needs no model: the gateway does not start without an answer.
    async fn describe(&self, request: Request<()>) -> Result<Response<MiddlewareManifest>, Status> {
        self.guest(&request).await?;
        Ok(Response::new(manifest::middleware(&self.0)))
    }

    async fn validate_config(
        &self,
        request: Request<ValidateConfigRequest>,
    ) -> Result<Response<ValidateConfigResponse>, Status> {
        self.guest(&request).await?.must_be_gateway()?;
        let reason = Options::read(request.get_ref().config.as_ref()).err().unwrap_or_default();
        Ok(Response::new(ValidateConfigResponse { valid: reason.is_empty(), reason }))
    }

    async fn evaluate_http_request(
        &self,
        request: Request<HttpRequestEvaluation>,
    ) -> Result<Response<HttpRequestResult>, Status> {
        let deadline = self.0.0.front.deadline(request.extensions());
        let guest = self.guest(&request).await?;
        let request = request.into_inner();
        limits::check(&request).map_err(|e| errors::bad_request(&e))?;
        let HttpRequestEvaluation { context, config, target, headers, body, middleware_name, .. } = request;
        let RequestContext { request_id, sandbox_id, .. } = context.unwrap_or_default();
        guest.must_supervise(&sandbox_id)?;
        let options = Options::read(config.as_ref()).map_err(|why| bad("config", why))?;
        let decider = self.0.0.front.decider()?;
        let mut caller = self.0.caller(&guest, Lane::Enforcement);
        guest.vouch(&mut caller, &sandbox_id);
        let headers = headers_of(headers, body.len());
        let target = target.unwrap_or_default();
        let path = path(&target);
        let asking = Asking {
            message: message(&target, &path, &headers, &body),
            kind: options.kind,
            server: None,
            policy_id: options.policy,
            mode: options.mode,
            min_provenance: options.min_provenance,
            enforcement_point: middleware_name,
            request_id,
            chain: Some(chain(sandbox_id)),
            carried: Carried::default(),
        };
        let answered =
            point::ask(&decider, asking, &caller, deadline).await.map_err(|e| errors::status(&e))?;
        if answered.stopped().is_none() {
            self.0.0.front.unscored().count(Surface::OpenShell, &answered);
        }
        Ok(Response::new(answer::result(&answered, self.0.0.config.decision_in_reason)))
    }

    type EvaluateWebSocketSessionStream =
        Pin<Box<dyn Stream<Item = Result<WebSocketSessionEventResult, Status>> + Send>>;

    async fn evaluate_web_socket_session(
        &self,
        _: Request<Streaming<WebSocketSessionEvent>>,
    ) -> Result<Response<Self::EvaluateWebSocketSessionStream>, Status> {
        Err(Status::unimplemented("messages of web sockets are not evaluated"))
    }
}

/// The sandbox acts, in the chain of its intent.
pub(super) fn chain(sandbox: String) -> v1::ChainPosition {
    v1::ChainPosition { agent: sandbox, ..v1::ChainPosition::default() }
}

fn path(target: &HttpRequestTarget) -> String {
    match target.query.as_str() {
        "" => target.path.clone(),
        query => format!("{}?{query}", target.path),
    }
}

/// The body is whole, since a supervisor refuses one that is too long itself. The line that announces its length is not
/// shown to us, and without it a body of a round length would pass for one that was cut.
fn headers_of(lines: Vec<HttpHeader>, body_bytes: usize) -> Headers {
    let length = ("content-length".to_owned(), body_bytes.to_string());
    lines.into_iter().map(|line| (line.name, line.value)).chain([length]).collect()
}

fn message<'a>(
    target: &'a HttpRequestTarget,
    path: &'a str,
    headers: &'a Headers,
    body: &'a [u8],
) -> HttpMessage<'a> {
    HttpMessage {
        method: &target.method,
        scheme: &target.scheme,
        host: &target.host,
        path,
        headers,
        body,
        buffer_limit: None,
    }
}
