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
use rhumb_gateway::openshell::{self, Interceptor, Middleware, OpenShell};
use rhumb_gateway::policy::{Base, PolicyHandle};
use rhumb_gateway::{Decider, DeciderWatch, Front, Site};
use rhumb_ledger::{Keys, Ledger, LedgerError};
use rhumb_proto::agentgateway::ext_mcp_server::ExtMcpServer;
use rhumb_proto::openshell::gateway_interceptor::gateway_interceptor_server::GatewayInterceptorServer;
use rhumb_proto::openshell::middleware::supervisor_middleware_server::SupervisorMiddlewareServer;
use rhumb_proto::v1::drift_service_server::DriftServiceServer;
use rhumb_proto::v1::intent_service_server::IntentServiceServer;
use rhumb_proto::v1::ledger_service_server::LedgerServiceServer;
use rhumb_proto::{CONTRACT_DESCRIPTORS, DESCRIPTORS};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic_health::server::HealthReporter;

use super::auth::AuthLayer;
use super::deadline::DeadlineLayer;
use super::drift::DriftApi;
use super::intent::IntentApi;
use super::ledger::LedgerApi;
use super::{http, reload, until};
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
    // Before anything that takes time: without a listener the signal ends the process.
    let hangups = reload::Hangups::new()?;
    let listener = bind("server.listen", config.server.listen).await?;
    let (decider, watched) = watch::channel(None);
    let folder = config.ledger.as_ref().map(|ledger| ledger.path.clone());
    let (health, health_service) = tonic_health::server::health_reporter();
    report(&health, false).await;
    let (drain, drained) = watch::channel(false);
    let front = Front::new(watched.clone(), Duration::from_millis(config.server.hold_ms));
    let openshell = openshell(&config, front.clone())?;
    let keys = openshell.as_ref().and_then(|openshell| openshell.keys().cloned());
    let callers = callers(&config)?;
    let http = http::open(&config, &callers, front.clone(), drained.clone()).await?;
    let server = tls(&config.server)?
        .layer(DeadlineLayer)
        .layer(AuthLayer { callers, openshell_has_keys: keys.is_some() })
        .add_service(health_service)
        .add_service(reflection()?)
        .add_service(drift_service(&config.server, front.clone()))
        .add_service(intent_service(&config.server, watched.clone()))
        .add_service(envoy_service(&config.server, front.clone()))
        .add_service(ledger_service(&config.server, watched, folder))
        .add_service(agentgateway_service(front))
        .add_optional_service(
            openshell.clone().map(|openshell| supervisor_middleware(&config.server, openshell)),
        )
        .add_optional_service(
            openshell.map(|openshell| GatewayInterceptorServer::new(Interceptor(openshell))),
        )
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
    // A device may be lost in the warm-up already.
    report(&health, started.engine.encoders().left > 0).await;
    tracing::info!(listen = %config.server.listen, "serving");
    if config.ledger.is_none() {
        tracing::info!("no [ledger]: nothing is recorded, and intents are forgotten when the server ends");
    }
    let _reloading = hangups.reload(site.policy.clone(), keys);
    let mut ledger = site.ledger.health();
    tokio::select! {
        () = &mut stop => {}
        // A decision that cannot be recorded is not told, so there is nothing left to serve until somebody looks.
        Some(problem) = failed(&mut ledger) => {
            tracing::error!(problem, "the ledger records no more");
            report(&health, false).await;
            stop.await;
        }
        // Requests are refused, and say why. Whether another start finds the device again is for somebody else to decide.
        () = started.engine.gone() => {
            tracing::error!("no encoder is left; nothing is scored until the server is started again");
            report(&health, false).await;
            stop.await;
        }
    }

    tracing::info!("draining");
    report(&health, false).await;
    // New calls are refused; calls in flight, and streams until they end, hold their own clone of the engine.
    decider.send_replace(None);
    drain.send_replace(true);
    let wait = Duration::from_millis(config.server.drain_ms);
    let (finished, ()) = tokio::join!(finish(server, started, wait), http::finish(http, wait));
    let closed = tokio::task::spawn_blocking(move || site.ledger.clone().close()).await;
    finished.and(closed.map_err(Failure::check)?.map_err(Failure::check))
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
    warn_if_open(&callers, config.server.listen, config.server.tls.is_some());
    Ok(Arc::new(callers))
}

/// Says what an address is open to, where that is hardly meant.
pub(super) fn warn_if_open(callers: &Callers, listen: SocketAddr, has_tls: bool) {
    if callers.is_open() && !listen.ip().is_loopback() {
        tracing::warn!(%listen, "no [[callers]]: everybody who reaches this address may do everything");
    }
    if !callers.is_open() && !has_tls && !listen.ip().is_loopback() {
        tracing::warn!(%listen, "no [server.tls]: tokens of callers cross the network as they are");
    }
}

/// What OpenShell's services stand on, where they are configured.
fn openshell(config: &Config, front: Front) -> Result<Option<OpenShell>, Failure> {
    let Some(own) = &config.openshell else { return Ok(None) };
    if own.allow_insecure {
        tracing::warn!("openshell.allow_insecure: what calls say of sandboxes is believed, but not trusted");
    }
    OpenShell::open(own.clone(), front).map(Some).map_err(|e| Failure::input(format!("openshell.{e}")))
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

/// Listens; errors name the key.
pub(super) async fn bind(key: &str, listen: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(listen).await.map_err(|e| Failure::check(format!("{key} {listen}: {e}")))
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

/// A message with the largest body is larger than that body.
fn supervisor_middleware(
    config: &ServerConfig,
    openshell: OpenShell,
) -> SupervisorMiddlewareServer<Middleware> {
    let most = config.max_message_bytes.max(openshell::MESSAGE_BYTES);
    SupervisorMiddlewareServer::new(Middleware(openshell)).max_decoding_message_size(most)
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

fn drift_service(config: &ServerConfig, front: Front) -> DriftServiceServer<DriftApi> {
    let wait = Duration::from_millis(config.default_deadline_ms);
    let api = DriftApi::new(front, wait, config.stream_concurrency);
    DriftServiceServer::new(api)
        .max_decoding_message_size(config.max_message_bytes)
        .max_encoding_message_size(config.max_message_bytes)
}

type Running = JoinHandle<Result<(), tonic::transport::Error>>;

/// Waits for calls in flight, at most `wait`. The encoder threads end with the last clone of the engine.
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
