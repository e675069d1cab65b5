//! The HTTP side's listener: connections of a bounded number, each of which asks in time or is closed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rhumb_gateway::Front;
use rhumb_gateway::callers::Callers;
use rhumb_gateway::http::Doors;
use rhumb_gateway::http::config::HttpConfig;
use rhumb_gateway::http::entry::Peer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use super::activity::Activity;
use super::server::{bind, warn_if_open};
use super::tls::acceptor;
use super::until;
use crate::config::Config;
use crate::failure::Failure;

/// After an error that is not one connection's: there are no file handles left, for example.
const PAUSE: Duration = Duration::from_millis(50);
/// Calls of one HTTP/2 connection that are worked on at once.
const STREAMS: u32 = 256;

/// What every connection is served with.
#[derive(Clone)]
struct Serving {
    router: Router,
    tls: Option<TlsAcceptor>,
    idle: Duration,
    drained: watch::Receiver<bool>,
}

/// Opens the HTTP side, where there is one; what its TLS needs is looked at before anything is answered.
///
/// # Errors
/// A port in use; a file of `server.tls` that cannot be used.
pub async fn open(
    config: &Config,
    callers: &Arc<Callers>,
    front: Front,
    drained: watch::Receiver<bool>,
) -> Result<Option<JoinHandle<()>>, Failure> {
    let Some(http) = config.http.clone() else { return Ok(None) };
    let tls = config.server.tls.as_ref().map(acceptor).transpose()?;
    warn_if_open(callers, http.listen, tls.is_some());
    let listener = bind("http.listen", http.listen).await?;
    tracing::info!(listen = %http.listen, "HTTP side open");
    let router = Doors::new(front, Arc::clone(callers), http.clone()).router();
    Ok(Some(tokio::spawn(async move { serve(listener, router, tls, &http, drained).await })))
}

/// Waits for calls in flight, at most `wait`.
pub async fn finish(http: Option<JoinHandle<()>>, wait: Duration) {
    let Some(http) = http else { return };
    let abort = http.abort_handle();
    if tokio::time::timeout(wait, http).await.is_err() {
        tracing::warn!(waited_ms = wait.as_millis(), "HTTP calls were still in flight; closing");
        abort.abort();
    }
}

/// Serves until `drained`, then lets calls in flight finish.
async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<TlsAcceptor>,
    config: &HttpConfig,
    drained: watch::Receiver<bool>,
) {
    let idle = Duration::from_millis(config.idle_ms);
    let serving = Serving { router, tls, idle, drained: drained.clone() };
    let room = Arc::new(Semaphore::new(config.connections));
    // Dropped with this future: what has not finished by then is closed.
    let mut connections = JoinSet::new();
    let stop = until(drained);
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &room) => accepted,
        };
        connections.spawn(serving.clone().connection(accepted.0, accepted.1));
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// The next connection, as soon as there is room for it; until then it waits where the system keeps it.
async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // An error means that the semaphore is closed, which it never is.
    let permit = Arc::clone(room).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, permit),
            Err(error) => {
                tracing::debug!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl Serving {
    async fn connection(self, stream: TcpStream, _permit: Option<OwnedSemaphorePermit>) {
        // Small answers leave at once; where that cannot be set they leave later.
        let _ = stream.set_nodelay(true);
        let Some(tls) = self.tls.clone() else { return self.speak(stream, Peer::default()).await };
        let Ok(Ok(stream)) = tokio::time::timeout(self.idle, tls.accept(stream)).await else { return };
        let certificates = stream.get_ref().1.peer_certificates();
        let certificate = certificates.and_then(|all| all.first()).map(|der| Arc::from(der.as_ref()));
        self.speak(stream, Peer { certificate }).await;
    }

    async fn speak(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer) {
        let activity = Activity::default();
        let (router, of_calls) = (self.router, activity.clone());
        let service = hyper::service::service_fn(move |request| {
            let (router, peer, call) = (router.clone(), peer.clone(), of_calls.begin());
            async move {
                let answered = answer(router, request, peer).await;
                drop(call);
                answered
            }
        });
        let builder = builder(self.idle);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let (drained, quiet) = (until(self.drained), activity.quiet_for(self.idle));
        // Calls in flight have until the server ends; a client that does not read its answer has no call in flight.
        let last = tokio::select! {
            ended = connection.as_mut() => return told(ended),
            () = drained => None,
            () = quiet => Some(self.idle),
        };
        connection.as_mut().graceful_shutdown();
        match last {
            None => told(connection.await),
            Some(wait) => tokio::time::timeout(wait, connection).await.map_or((), told),
        }
    }
}

/// Why a connection ended is its client's affair.
fn told(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection ended");
    }
}

async fn answer(
    router: Router,
    request: Request<Incoming>,
    peer: Peer,
) -> Result<Response<Body>, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(peer);
    router.oneshot(request).await
}

/// HTTP/1.1 and HTTP/2. The head of a request must come in time, and the next one too.
fn builder(idle: Duration) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(idle);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS).keep_alive_interval(idle);
    builder
}
