//! `IntentService`: messages in, the registry's decisions on the ledger's thread, messages out.

use std::sync::Arc;

use rhumb_engine::Lane;
use rhumb_gateway::caller::Caller;
use rhumb_gateway::{GatewayError, Site, intents};
use rhumb_ledger::LedgerError;
use rhumb_ledger::intent::issue::TokenRequest;
use rhumb_ledger::intent::reason;
use rhumb_ledger::intent::registry::{Outcome, Registry};
use rhumb_ledger::{Read, Refusal, RefusalKind};
use rhumb_proto::v1::intent_service_server::IntentService;
use rhumb_proto::v1::{
    AmendIntentRequest, BindIntentRequest, BindIntentResponse, GetIntentRequest, GetKeysRequest,
    GetKeysResponse, IssueTokenRequest, RegisterIntentRequest, RegisterIntentResponse, RegisteredIntent,
    RevokeIntentRequest, RevokeIntentResponse,
};
use tonic::{Request, Response, Status};

use super::errors;
use rhumb_gateway::DeciderWatch;

/// The service.
#[derive(Clone)]
pub struct IntentApi(pub DeciderWatch);

impl IntentApi {
    fn site(&self) -> Result<Arc<Site>, Status> {
        let decider = self.0.borrow();
        let site = decider.as_ref().map(|decider| Arc::clone(decider.site()));
        site.ok_or_else(|| errors::unavailable("the server is loading or draining"))
    }

    /// Lets the registry decide where nothing else is decided at the same time.
    async fn change<T: Send + 'static>(
        &self,
        decide: impl FnOnce(&Registry, &dyn Read, u64) -> Result<Outcome<T>, LedgerError> + Send + 'static,
    ) -> Result<T, Status> {
        let site = self.site()?;
        let ledger = site.ledger.clone();
        let decide =
            move |tables: &dyn Read, now_ms| intents::outcome(decide(&site.registry, tables, now_ms));
        ledger.change(decide).await.map_err(|e| errors::ledger(&e))
    }
}

fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    Caller::of(request, Lane::Interactive)
}

fn bad(error: rhumb_drift::InputError) -> Status {
    errors::bad_request(&error)
}

#[tonic::async_trait]
impl IntentService for IntentApi {
    async fn register_intent(
        &self,
        request: Request<RegisterIntentRequest>,
    ) -> Result<Response<RegisterIntentResponse>, Status> {
        let who = intents::registrar(&caller(&request)?);
        let wanted = intents::registration(request.into_inner()).map_err(bad)?;
        let issued = self.change(move |r, tables, now| r.decide_register(tables, &who, now, &wanted)).await?;
        Ok(Response::new(intents::issued(issued)))
    }

    async fn get_intent(
        &self,
        request: Request<GetIntentRequest>,
    ) -> Result<Response<RegisteredIntent>, Status> {
        let caller = caller(&request)?;
        let (site, id) = (self.site()?, request.into_inner().intent_id);
        // An intent that was amended often is long.
        let read = move || {
            let found = site.ledger.read(|tables| site.registry.get(tables, caller.tenant.as_str(), &id))?;
            let unknown =
                || Refusal::new(RefusalKind::NotFound, reason::INTENT_NOT_FOUND, "no intent of this id");
            Ok(intents::registered(found.ok_or_else(unknown)?, &site.ledger))
        };
        let read = tokio::task::spawn_blocking(read).await.map_err(GatewayError::broken);
        read.map_err(|e| errors::status(&e))?.map(Response::new).map_err(|e: LedgerError| errors::ledger(&e))
    }

    async fn bind_intent(
        &self,
        request: Request<BindIntentRequest>,
    ) -> Result<Response<BindIntentResponse>, Status> {
        let who = intents::registrar(&caller(&request)?);
        let BindIntentRequest { intent_id, bindings } = request.into_inner();
        let keys = rhumb_gateway::anchor::keys(&bindings).map_err(bad)?;
        let bound =
            self.change(move |r, tables, now| r.decide_bind(tables, &who, now, &intent_id, &keys)).await?;
        Ok(Response::new(intents::bound(bound)))
    }

    async fn amend_intent(
        &self,
        request: Request<AmendIntentRequest>,
    ) -> Result<Response<RegisterIntentResponse>, Status> {
        let who = intents::registrar(&caller(&request)?);
        let wanted = intents::amendment(request.into_inner()).map_err(bad)?;
        let issued = self.change(move |r, tables, now| r.decide_amend(tables, &who, now, &wanted)).await?;
        Ok(Response::new(intents::issued(issued)))
    }

    async fn issue_token(
        &self,
        request: Request<IssueTokenRequest>,
    ) -> Result<Response<RegisterIntentResponse>, Status> {
        let who = intents::registrar(&caller(&request)?);
        let IssueTokenRequest { intent_id, token, actor } = request.into_inner();
        let wanted = TokenRequest { intent_id, token, actor };
        let issued = self.change(move |r, tables, now| r.decide_token(tables, &who, now, &wanted)).await?;
        Ok(Response::new(intents::issued(issued)))
    }

    async fn revoke_intent(
        &self,
        request: Request<RevokeIntentRequest>,
    ) -> Result<Response<RevokeIntentResponse>, Status> {
        let who = intents::registrar(&caller(&request)?);
        let RevokeIntentRequest { intent_id, reason } = request.into_inner();
        let revoked = self
            .change(move |r, tables, now| r.decide_revoke(tables, &who, now, &intent_id, &reason))
            .await?;
        Ok(Response::new(RevokeIntentResponse { revoked: Some(intents::timestamp(revoked)) }))
    }

    async fn get_keys(&self, _: Request<GetKeysRequest>) -> Result<Response<GetKeysResponse>, Status> {
        Ok(Response::new(GetKeysResponse { jwks: self.site()?.registry.jwks() }))
    }
}
