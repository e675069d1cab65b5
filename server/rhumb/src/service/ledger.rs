//! `LedgerService`: reads what was recorded.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use rhumb_drift::InputError;
use rhumb_engine::Lane;
use rhumb_gateway::caller::Caller;
use rhumb_gateway::{GatewayError, Site, intents, trace};
use rhumb_ledger::verify::{Options, verify};
use rhumb_ledger::{Content, Decision as Recorded, LedgerError, Stored};
use rhumb_proto::v1::ledger_service_server::LedgerService;
use rhumb_proto::v1::{
    ChainTrace, Decision, GetDecisionRequest, RegisteredIntent, TraceChainRequest, VerifyLedgerRequest,
    VerifyLedgerResponse,
};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use super::errors;
use rhumb_gateway::DeciderWatch;

/// Decisions of one trace at most.
const TRACED: usize = 4096;
/// Bytes of their requests and evidence.
const TRACED_BYTES: usize = 64 << 20;

/// The service.
#[derive(Clone)]
pub struct LedgerApi {
    /// What is read.
    pub decider: DeciderWatch,
    /// The ledger's folder; `None` where none is kept.
    pub folder: Option<PathBuf>,
    /// One verification at a time: it reads the whole ledger.
    pub verifying: Arc<Semaphore>,
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

/// The last decisions of a chain, as many as a trace may hold, and whether there are more.
fn recorded(
    site: &Site,
    tenant: Option<&str>,
    chain: &str,
) -> Result<(Vec<Stored<Recorded>>, bool), LedgerError> {
    let (mut found, mut bytes) = (VecDeque::new(), 0);
    let size = |d: &Stored<Recorded>| match &d.value.content {
        Content::Plain(content) => content.to_string().len(),
        _ => 0,
    };
    let mut cut = false;
    site.ledger.chain(tenant, chain, TRACED + 1, true, |decision| {
        bytes += size(&decision);
        found.push_back(decision);
        while found.len() > TRACED || bytes > TRACED_BYTES {
            cut = true;
            bytes -= found.pop_front().as_ref().map_or(bytes, size);
        }
        Ok::<_, LedgerError>(())
    })?;
    Ok((found.into(), cut))
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
            let (decisions, cut) = recorded(site, tenant.as_deref(), &chain)?;
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
        let busy = |_| Status::resource_exhausted("a verification is running already");
        let permit = Arc::clone(&self.verifying).try_acquire_owned().map_err(busy)?;
        // The tables are locked by this very server, which checks what it reads of them.
        let options = Options { log_only: true, ..Options::default() };
        let check = move |site: &Site| {
            let _running = permit;
            Ok(verify(&folder, site.registry.keys(), &options))
        };
        let checked = self.read(check).await?;
        Ok(Response::new(match checked {
            Ok(good) => VerifyLedgerResponse {
                intact: true,
                records: good.records,
                checkpoints: good.checkpoints,
                problem: String::new(),
                decisions: good.decisions,
                tail_records: good.tail_records,
                head_sequence: good.head_seq,
                head_digest: good.head_digest,
            },
            Err(problem) => VerifyLedgerResponse { problem: problem.to_string(), ..Default::default() },
        }))
    }
}
