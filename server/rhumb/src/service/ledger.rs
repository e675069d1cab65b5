//! `LedgerService`: reads what was recorded.

use std::path::PathBuf;
use std::sync::Arc;

use rhumb_drift::InputError;
use rhumb_engine::Lane;
use rhumb_gateway::caller::Caller;
use rhumb_gateway::{GatewayError, Site, intents, trace};
use rhumb_ledger::verify::{Options, verify};
use rhumb_ledger::{Decision as Recorded, LedgerError, Stored};
use rhumb_proto::v1::ledger_service_server::LedgerService;
use rhumb_proto::v1::{
    ChainTrace, Decision, GetDecisionRequest, RegisteredIntent, TraceChainRequest, VerifyLedgerRequest,
    VerifyLedgerResponse,
};
use tonic::{Request, Response, Status};

use super::drift::DeciderWatch;
use super::errors;

/// Decisions of one trace at most.
const TRACED: usize = 4096;

/// The service.
#[derive(Clone)]
pub struct LedgerApi {
    /// What is read.
    pub decider: DeciderWatch,
    /// The ledger's folder; `None` where none is kept.
    pub folder: Option<PathBuf>,
}

impl LedgerApi {
    fn folder(&self) -> Result<&PathBuf, Status> {
        self.folder.as_ref().ok_or_else(|| Status::unimplemented("this server keeps no ledger: see [ledger]"))
    }

    /// Runs what reads files where it may block.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Site) -> Result<T, GatewayError> + Send + 'static,
    ) -> Result<T, Status> {
        let site = self.decider.borrow().as_ref().map(|decider| Arc::clone(decider.site()));
        let site = site.ok_or_else(|| errors::unavailable("the server is loading or draining"))?;
        let read = tokio::task::spawn_blocking(move || work(&site)).await.map_err(GatewayError::broken);
        read.flatten().map_err(|e| errors::status(&e))
    }
}

/// The tenant of an authenticated caller who has tenants. Others read everything: a ledger has one reader's role.
fn tenant<T>(request: &Request<T>) -> Result<Option<String>, Status> {
    let caller = Caller::of(request, Lane::Interactive)?;
    let named = !caller.tenant.as_str().is_empty();
    Ok(named.then(|| caller.tenant.as_str().to_owned()))
}

fn found(
    site: &Site,
    tenant: Option<&str>,
    request: &GetDecisionRequest,
) -> Result<Option<Stored<Recorded>>, LedgerError> {
    if request.decision_id.is_empty() {
        return site.ledger.by_request(tenant, &request.request_id);
    }
    let of_tenant = |d: &Stored<Recorded>| tenant.is_none_or(|tenant| d.value.tenant == tenant);
    Ok(site.ledger.decision(&request.decision_id)?.filter(of_tenant))
}

/// The intent whose chain this is.
fn authorised_by(
    site: &Site,
    decisions: &[Stored<Recorded>],
) -> Result<Option<RegisteredIntent>, LedgerError> {
    let named =
        decisions.iter().find_map(|d| Some((d.value.tenant.as_str(), d.value.intent.as_ref()?.id.as_str())));
    let Some((tenant, id)) = named else { return Ok(None) };
    let intent = site.ledger.read(|tables| site.registry.get(tables, tenant, id))?;
    Ok(intent.map(|intent| intents::registered(intent, &site.ledger)))
}

#[tonic::async_trait]
impl LedgerService for LedgerApi {
    async fn get_decision(&self, request: Request<GetDecisionRequest>) -> Result<Response<Decision>, Status> {
        self.folder()?;
        let tenant = tenant(&request)?;
        let request = request.into_inner();
        if request.request_id.is_empty() == request.decision_id.is_empty() {
            let error = InputError::new("requestId", "give this or decisionId, not both");
            return Err(errors::bad_request(&error));
        }
        let read = move |site: &Site| {
            let stored = found(site, tenant.as_deref(), &request)?;
            stored.as_ref().map(trace::decision).transpose()
        };
        let decision = self.read(read).await?;
        decision.map(Response::new).ok_or_else(|| Status::not_found("no such decision is recorded"))
    }

    async fn trace_chain(&self, request: Request<TraceChainRequest>) -> Result<Response<ChainTrace>, Status> {
        self.folder()?;
        let tenant = tenant(&request)?;
        let chain = request.into_inner().chain_id;
        if chain.is_empty() {
            return Err(errors::bad_request(&InputError::new("chainId", "is missing")));
        }
        let read = move |site: &Site| {
            let mut decisions = site.ledger.chain(tenant.as_deref(), &chain, TRACED + 1)?;
            let cut = decisions.len() > TRACED;
            decisions.truncate(TRACED);
            let intent = authorised_by(site, &decisions)?;
            let trace = trace::trace(&chain, &decisions, intent)?;
            Ok(Some(ChainTrace { cut, ..trace }).filter(|trace| !trace.decisions.is_empty()))
        };
        let trace = self.read(read).await?;
        trace.map(Response::new).ok_or_else(|| Status::not_found("no decision of such a chain is recorded"))
    }

    async fn verify_ledger(
        &self,
        _: Request<VerifyLedgerRequest>,
    ) -> Result<Response<VerifyLedgerResponse>, Status> {
        let folder = self.folder()?.clone();
        // The tables are locked by this very server, which checks what it reads of them.
        let options = Options { log_only: true, ..Options::default() };
        let checked = self.read(move |site| Ok(verify(&folder, site.registry.keys(), &options))).await?;
        Ok(Response::new(match checked {
            Ok(good) => VerifyLedgerResponse {
                intact: true,
                records: good.records,
                checkpoints: good.checkpoints,
                problem: String::new(),
                head_sequence: good.head_seq,
                head_digest: good.head_digest,
            },
            Err(problem) => VerifyLedgerResponse { problem: problem.to_string(), ..Default::default() },
        }))
    }
}
