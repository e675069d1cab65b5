//! The life of the server: listen, load, serve, drain.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::auth::v3::authorization_server::AuthorizationServer;
use rhumb_gateway::agentgateway::{self, ExtMcpApi};
use rhumb_gateway::callers::Callers;
use rhumb_gateway::envoy::EnvoyApi;
use rhumb_gateway::policy::{Base, PolicyHandle};
use rhumb_gateway::{Decider, DeciderWatch, Front, Site};
use rhumb_ledger::{Keys, Ledger, LedgerError};
use rhumb_proto::agentgateway::ext_mcp_server::ExtMcpServer;
use rhumb_proto::v1::drift_service_server::DriftServiceServer;
use rhumb_proto::v1::intent_service_server::IntentServiceServer;
use rhumb_proto::v1::ledger_service_server::LedgerServiceServer;
use rhumb_proto::{CONTRACT_DESCRIPTORS, DESCRIPTORS};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic_health::server::HealthReporter;

use super::auth::AuthLayer;
use super::deadline::DeadlineLayer;
use super::drift::DriftApi;
use super::intent::IntentApi;
use super::ledger::LedgerApi;
use crate::config::{Config, ServerConfig};
use crate::failure::Failure;
use crate::startup::{Started, Wanted, start_off_thread};

/// The name under which health is reported beside the server as a whole.
const SERVICE: &str = "rhumb.v1.DriftService";

/// Serves until `stop` resolves, then drains.
///
/// The port opens before the model is loaded, so that health can say NOT_SERVING; a model that cannot be loaded ends the
/// server.
///
/// # Errors
/// A port in use, a model that cannot be loaded, a server that breaks.
pub async fn serve(config: Config, wanted: Wanted, stop: impl Future<Output = ()>) -> Result<(), Failure> {
    let listener = bind(config.server.listen).await?;
    let (decider, watched) = watch::channel(None);
    let folder = config.ledger.as_ref().map(|ledger| ledger.path.clone());
    let (health, health_service) = tonic_health::server::health_reporter();
    report(&health, false).await;
    let (drain, drained) = watch::channel(false);
    let front = Front::new(watched.clone(), Duration::from_millis(config.server.hold_ms));
    let server = tls(&config.server)?
        .layer(DeadlineLayer)
        .layer(AuthLayer(callers(&config)?))
        .add_service(health_service)
        .add_service(reflection()?)
        .add_service(drift_service(&config.server, watched.clone(), &front))
        .add_service(intent_service(&config.server, watched.clone()))
        .add_service(envoy_service(&config.server, front.clone()))
        .add_service(ledger_service(&config.server, watched, folder))
        .add_service(agentgateway_service(front))
        // Small answers leave at once.
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), until(drained));
    let server = tokio::spawn(server);

    tokio::pin!(stop);
    let opened = async { tokio::try_join!(warm(wanted), site(&config)) };
    let (started, site) = tokio::select! {
        opened = opened => opened?,
        () = &mut stop => return Ok(()),
    };
    decider.send_replace(Some(Decider::new(started.engine.clone(), Arc::clone(&site))));
    report(&health, true).await;
    tracing::info!(listen = %config.server.listen, "serving");
    if config.ledger.is_none() {
        tracing::info!("no [ledger]: nothing is recorded, and intents are forgotten when the server ends");
    }
    let _reloading = reload_on_signal(site.policy.clone())?;
    let mut ledger = site.ledger.health();
    tokio::select! {
        () = &mut stop => {}
        // A decision that cannot be recorded is not told, so there is nothing left to serve until somebody looks.
        Some(problem) = failed(&mut ledger) => {
            tracing::error!(problem, "the ledger records no more");
            report(&health, false).await;
            stop.await;
        }
    }

    tracing::info!("draining");
    report(&health, false).await;
    // New calls are refused; calls in flight, and streams until they end, hold their own clone of the engine.
    decider.send_replace(None);
    drain.send_replace(true);
    let finished = finish(server, started, Duration::from_millis(config.server.drain_ms)).await;
    let closed = tokio::task::spawn_blocking(move || site.ledger.clone().close()).await;
    finished.and(closed.map_err(Failure::check)?.map_err(Failure::check))
}

/// Reads the policy file again at every SIGHUP; ends with what it returns.
#[cfg(unix)]
fn reload_on_signal(policy: PolicyHandle) -> Result<Reloading, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = signal(SignalKind::hangup()).map_err(Failure::io("SIGHUP"))?;
    Ok(Reloading(tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            reload(&policy).await;
        }
    })))
}

/// There is no such signal.
#[cfg(not(unix))]
fn reload_on_signal(_: PolicyHandle) -> Result<Reloading, Failure> {
    Ok(Reloading(tokio::spawn(async {})))
}

/// What cannot be used changes nothing: requests go on with the policy that is in force.
async fn reload(policy: &PolicyHandle) {
    let reading = policy.clone();
    match tokio::task::spawn_blocking(move || reading.reload()).await {
        Ok(Ok(policies)) => {
            policies.warnings().iter().for_each(|warning| tracing::warn!(warning, "policy"));
            tracing::info!(policy = policies.id(), rules = policies.rules(), "policy read again");
        }
        Ok(Err(error)) => {
            tracing::error!(%error, in_force = policy.now().id(), "the policy was not replaced")
        }
        Err(error) => tracing::error!(%error, "the policy was not replaced"),
    }
}

/// A task that ends with this.
struct Reloading(tokio::task::JoinHandle<()>);

impl Drop for Reloading {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why the ledger records no more, as soon as that is so.
async fn failed(ledger: &mut watch::Receiver<Option<String>>) -> Option<String> {
    // An error means that the ledger was closed in order.
    ledger.wait_for(Option::is_some).await.ok().and_then(|problem| problem.clone())
}

/// Opens what decisions depend on besides the engine: the ledger is checked before anything is answered.
async fn site(config: &Config) -> Result<Arc<Site>, Failure> {
    let config = config.clone();
    let policy = policy(&config)?;
    let open = move || open_site(&config, policy).map(Arc::new);
    tokio::task::spawn_blocking(open).await.map_err(Failure::check)?.map_err(Failure::check)
}

fn policy(config: &Config) -> Result<PolicyHandle, Failure> {
    let base = Base { verdicts: config.policy.clone(), min_provenance: config.intents.min_provenance };
    let opened = PolicyHandle::open(config.server.policy.clone(), base);
    let opened = opened.map_err(|e| Failure::input(format!("server.policy: {e}")))?;
    opened.now().warnings().iter().for_each(|warning| tracing::warn!(warning, "policy"));
    Ok(opened)
}

fn open_site(config: &Config, policy: PolicyHandle) -> Result<Site, LedgerError> {
    let chains = config.chains.cache_mb;
    let intents = config.intents.clone();
    let Some(ledger) = &config.ledger else {
        return match &intents.keys {
            None => Site::in_memory(intents, policy, chains),
            Some(folder) => {
                let keys = Arc::new(Keys::open(folder)?);
                Site::new(Ledger::in_memory(Arc::clone(&keys))?, intents, keys, policy, chains)
            }
        };
    };
    let folder = config.keys_folder().unwrap_or_else(|| ledger.path.join("keys"));
    let keys = Arc::new(Keys::open(&folder)?);
    let opened = Ledger::open(ledger, Arc::clone(&keys))?;
    tracing::info!(path = %ledger.path.display(), key = keys.kid(), "ledger checked and open");
    Site::new(opened, intents, keys, policy, chains)
}

/// Health says SERVING when the first request finds a warm encoder of known speed.
async fn warm(wanted: Wanted) -> Result<Started, Failure> {
    let started = start_off_thread(wanted).await?;
    started.engine.ready().await;
    Ok(started)
}

fn callers(config: &Config) -> Result<Arc<Callers>, Failure> {
    let callers = Callers::new(&config.callers).map_err(Failure::input)?;
    let listen = config.server.listen;
    if callers.is_open() && !listen.ip().is_loopback() {
        tracing::warn!(%listen, "no [[callers]]: everybody who reaches this address may do everything");
    }
    if !callers.is_open() && config.server.tls.is_none() && !listen.ip().is_loopback() {
        tracing::warn!(%listen, "no [server.tls]: tokens of callers cross the network as they are");
    }
    Ok(Arc::new(callers))
}

/// A builder of servers, with TLS where it is configured.
fn tls(config: &ServerConfig) -> Result<Server, Failure> {
    let Some(tls) = &config.tls else { return Ok(Server::builder()) };
    let read = |path: &Path| std::fs::read_to_string(path).map_err(Failure::file(path));
    let identity = Identity::from_pem(read(&tls.certificate)?, read(&tls.key)?);
    let mut wanted = ServerTlsConfig::new().identity(identity);
    if let Some(path) = &tls.client_ca {
        wanted = wanted.client_ca_root(Certificate::from_pem(read(path)?));
    }
    let fail = |e| Failure::input(format!("server.tls: {}", crate::failure::with_cause(&e)));
    Server::builder().tls_config(wanted).map_err(fail)
}

async fn bind(listen: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(listen).await.map_err(|e| Failure::check(format!("server.listen {listen}: {e}")))
}

async fn report(health: &HealthReporter, serving: bool) {
    let status = match serving {
        true => tonic_health::ServingStatus::Serving,
        false => tonic_health::ServingStatus::NotServing,
    };
    health.set_service_status("", status).await;
    health.set_service_status(SERVICE, status).await;
}

fn reflection() -> Result<
    tonic_reflection::server::v1::ServerReflectionServer<impl tonic_reflection::server::v1::ServerReflection>,
    Failure,
> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(CONTRACT_DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|e| Failure::check(format!("server reflection: {e}")))
}

fn intent_service(config: &ServerConfig, decider: DeciderWatch) -> IntentServiceServer<IntentApi> {
    IntentServiceServer::new(IntentApi(decider)).max_decoding_message_size(config.max_message_bytes)
}

/// A body of `max_message_bytes` comes with its headers. What is longer is an error, and Envoy may be told to forgive
/// errors: its `max_request_bytes` has to be smaller.
fn envoy_service(config: &ServerConfig, front: Front) -> AuthorizationServer<EnvoyApi> {
    const HEADERS: usize = 1024 * 1024;
    AuthorizationServer::new(EnvoyApi::new(front))
        .max_decoding_message_size(config.max_message_bytes.saturating_add(HEADERS))
}

fn agentgateway_service(front: Front) -> ExtMcpServer<ExtMcpApi> {
    ExtMcpServer::new(ExtMcpApi::new(front)).max_decoding_message_size(agentgateway::MESSAGE_BYTES)
}

/// A trace is as long as its chain.
fn ledger_service(
    config: &ServerConfig,
    decider: DeciderWatch,
    folder: Option<PathBuf>,
) -> LedgerServiceServer<LedgerApi> {
    let verifying = Arc::new(Semaphore::new(1));
    LedgerServiceServer::new(LedgerApi { decider, folder, verifying })
        .max_decoding_message_size(config.max_message_bytes)
        .max_encoding_message_size(usize::MAX)
}

fn drift_service(
    config: &ServerConfig,
    decider: DeciderWatch,
    front: &Front,
) -> DriftServiceServer<DriftApi> {
    let wait = Duration::from_millis(config.default_deadline_ms);
    let api = DriftApi::new(decider, wait, config.stream_concurrency, Arc::clone(front.unscored()));
    DriftServiceServer::new(api)
        .max_decoding_message_size(config.max_message_bytes)
        .max_encoding_message_size(config.max_message_bytes)
}

async fn until(mut flag: watch::Receiver<bool>) {
    // An error means that the sender is gone: then there is nothing left to wait for either.
    let _ = flag.wait_for(|stop| *stop).await;
}

type Running = tokio::task::JoinHandle<Result<(), tonic::transport::Error>>;

/// Waits for calls in flight, at most `wait`. The encoder thread ends with the last clone of the engine.
async fn finish(server: Running, started: Started, wait: Duration) -> Result<(), Failure> {
    let abort = server.abort_handle();
    match tokio::time::timeout(wait, server).await {
        Ok(Ok(result)) => result.map_err(|e| Failure::check(format!("server: {e}")))?,
        Ok(Err(e)) => return Err(Failure::check(format!("server: {e}"))),
        Err(_) => {
            tracing::warn!(waited_ms = wait.as_millis(), "calls were still in flight; closing");
            abort.abort();
        }
    }
    drop(started);
    tracing::info!("stopped");
    Ok(())
}
