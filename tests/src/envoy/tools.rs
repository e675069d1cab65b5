//! A tool server: answers JSON-RPC and GET, streams events, and remembers what reached it.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, server::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

/// Events of a stream, and the pause between them.
pub const EVENTS: usize = 3;
/// See [`EVENTS`].
pub const PAUSE: Duration = Duration::from_millis(300);

/// A request that reached the tool server.
#[derive(Debug, Clone)]
pub struct Seen {
    /// For example `POST`.
    pub method: String,
    /// With its query.
    pub path: String,
    /// Its header lines.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Seen {
    /// All values of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }
}

/// A running tool server; it ends with this.
#[derive(Debug)]
pub struct Tools {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Tools {
    /// Starts one on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(accept(listener, Arc::clone(&seen)));
        Self { address, seen, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What reached it since the last time that somebody asked.
    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    /// The one request that reached it since the last time that somebody asked.
    pub fn one(&self) -> Seen {
        let mut seen = self.take();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.remove(0)
    }
}

impl Drop for Tools {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, seen: Arc<Mutex<Vec<Seen>>>) {
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let seen = Arc::clone(&seen);
        let service = service_fn(move |request| answer(request, Arc::clone(&seen)));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(tcp), service));
    }
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

async fn answer(request: Request<Incoming>, seen: Arc<Mutex<Vec<Seen>>>) -> Result<Answer, Infallible> {
    let (parts, body) = request.into_parts();
    let (method, path) = (parts.method.to_string(), parts.uri.to_string());
    let body = body.collect().await.unwrap().to_bytes();
    let streams = parts.headers.get("accept").is_some_and(|accept| accept == "text/event-stream");
    let answer = match serde_json::from_slice::<Value>(&body) {
        _ if method == "GET" && streams => events(),
        Ok(call) if call["jsonrpc"] == "2.0" && call["id"].is_null() => {
            plain(202, "text/plain", Bytes::new())
        }
        Ok(call) if call["jsonrpc"] == "2.0" => {
            let result = json!({"jsonrpc": "2.0", "id": call["id"], "result": {"done": true}});
            plain(200, "application/json", result.to_string())
        }
        _ => plain(200, "text/plain", "done"),
    };
    seen.lock().unwrap().push(Seen { method, path, headers: parts.headers, body });
    Ok(answer)
}

fn plain(status: u16, kind: &str, body: impl Into<Bytes>) -> Answer {
    Response::builder()
        .status(status)
        .header("content-type", kind)
        .body(Full::new(body.into()).boxed())
        .unwrap()
}

fn events() -> Answer {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        for n in 0..EVENTS {
            if n > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            // The agent may have gone.
            let _ = sender.send(Bytes::from(format!("data: {{\"n\":{n}}}\n\n"))).await;
        }
    });
    let frames = ReceiverStream::new(receiver).map(|bytes| Ok(Frame::data(bytes)));
    let body = BodyExt::boxed(StreamBody::new(frames));
    Response::builder().header("content-type", "text/event-stream").body(body).unwrap()
}
