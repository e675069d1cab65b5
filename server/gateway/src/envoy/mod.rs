//! Envoy's `envoy.service.auth.v3.Authorization/Check`: also Istio's, Envoy Gateway's, Contour's, kgateway's and
//! agentgateway's external authorisation.
//!
//! Envoy calls before it forwards a request and does what the answer says. Three of its habits shape this module. Of a
//! `CheckResponse` the status code alone decides: code 0 lets through, whatever else is in it, so every answer is made by
//! one function of `answer`. A gRPC error is no refusal: `failure_mode_allow` lets the request through. An error is
//! therefore answered only where Rhumb has no answer (no room, no time, no model); whatever an agent's message or a
//! wrong setting of a route can bring about is a refusal. And what upstream reads in `x-rhumb-*` headers an agent can
//! have written itself: ours replace its, and the rest is removed.

mod answer;
mod metadata;
mod refusal;
mod request;
mod route;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use envoy_types::pb::envoy::service::auth::v3::authorization_server::Authorization;
use envoy_types::pb::envoy::service::auth::v3::{CheckRequest, CheckResponse};
use rhumb_engine::Lane;
use rhumb_ledger::intent::reason;
use tonic::{Code, Request, Response, Status};

use crate::caller::Caller;
use crate::carried::Carried;
use crate::decide::{Decider, now_ms};
use crate::errors;
use crate::front::Front;
use crate::point::{self, Asking};
use crate::surface::Surface;

use answer::Misused;
use request::Seen;
use route::Route;

/// The name of the enforcement point in records, where its caller has none.
const POINT: &str = "envoy";
/// Between two complaints about routes: each request of a wrong route is one.
const COMPLAIN_MS: u64 = 1000;

/// The service.
pub struct EnvoyApi {
    front: Front,
    complained_ms: AtomicU64,
}

impl EnvoyApi {
    /// Over what decides.
    pub fn new(front: Front) -> Self {
        Self { front, complained_ms: AtomicU64::new(0) }
    }

    async fn answer(&self, request: Request<CheckRequest>) -> Result<CheckResponse, Status> {
        let decider = self.front.decider()?;
        let deadline = self.front.deadline(request.extensions());
        let caller = Caller::of(&request, Lane::Enforcement);
        let asked = caller.map_err(Misused::from).and_then(|caller| asked(request.into_inner(), caller));
        match asked {
            Ok((seen, route, caller)) => self.decided(&decider, &seen, route, &caller, deadline).await,
            Err(misused) => {
                self.complain(&misused);
                Ok(answer::misused(&misused))
            }
        }
    }

    async fn decided(
        &self,
        decider: &Decider,
        seen: &Seen,
        route: Route,
        caller: &Caller,
        deadline: Instant,
    ) -> Result<CheckResponse, Status> {
        let asking = asking(seen, route, caller);
        match point::ask(decider, asking, caller, deadline).await {
            Ok(answered) => {
                if answered.stopped().is_none() {
                    self.front.unscored().count(Surface::Envoy, &answered);
                }
                Ok(answer::answer(&answered, seen.forged()))
            }
            Err(error) => {
                let status = errors::status(&error);
                // What is wrong with the request is no failure of ours, which Envoy may be told to forgive.
                let is_theirs = matches!(status.code(), Code::InvalidArgument | Code::FailedPrecondition);
                if is_theirs { Ok(answer::unreadable(errors::reason(&error))) } else { Err(status) }
            }
        }
    }

    fn complain(&self, misused: &Misused) {
        let (now, last) = (now_ms(), self.complained_ms.load(Ordering::Relaxed));
        let is_due = now.saturating_sub(last) >= COMPLAIN_MS;
        if is_due
            && self.complained_ms.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            let problem = &misused.problem;
            tracing::error!(%problem, "envoy: wrongly set up, its requests are refused");
        }
    }
}

#[tonic::async_trait]
impl Authorization for EnvoyApi {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        self.answer(request).await.map(Response::new)
    }
}

/// What is asked, by whom and for whom.
fn asked(request: CheckRequest, caller: Caller) -> Result<(Seen, Route, Caller), Misused> {
    let seen = Seen::of(request).ok_or_else(Misused::without_http)?;
    let route = Route::of(&seen.extensions).map_err(|e| Misused::route(&e))?;
    let caller = Caller { surface: Surface::Envoy, ..caller };
    let caller = match &route.tenant {
        Some(tenant) => caller.on_account(tenant)?,
        None => caller,
    };
    Ok((seen, route, caller))
}

fn asking<'a>(seen: &'a Seen, route: Route, caller: &Caller) -> Asking<'a> {
    let Route { kind, server, policy, mode, min_provenance, tenant: _ } = route;
    let mut carried = Carried::default();
    // Whoever reaches the port could say so; an authenticated point has verified the signature.
    if caller.identity.is_some() {
        carried.verified_claims = seen.claims();
    }
    Asking {
        message: seen.message(),
        kind,
        server,
        policy_id: policy,
        mode,
        min_provenance,
        enforcement_point: POINT.to_owned(),
        request_id: seen.stream_id(),
        chain: None,
        carried,
    }
}

impl From<Status> for Misused {
    fn from(status: Status) -> Self {
        let reason = match status.code() {
            Code::PermissionDenied => reason::CALLER_FORBIDDEN,
            _ => reason::ROUTE_MISCONFIGURED,
        };
        Self { code: status.code(), reason, problem: status.message().to_owned() }
    }
}
