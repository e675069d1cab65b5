//! An agent: a client that speaks HTTP/1.1.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(60);

/// The body of a request.
pub type Body = Full<Bytes>;

/// One connection, kept open.
#[derive(Debug)]
pub struct Agent {
    sender: SendRequest<Body>,
    host: String,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// For example 403.
    pub status: u16,
    /// Its header lines.
    pub headers: HeaderMap,
    /// Its body, whole.
    pub body: Bytes,
}

impl Reply {
    /// A header; empty where it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

impl Agent {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Self {
        let tcp = TcpStream::connect(address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(tcp)).await.unwrap();
        // It ends when either side closes; the request in flight learns why.
        tokio::spawn(connection);
        Self { sender, host: address.to_string() }
    }

    /// Sends a request and reads its answer.
    pub async fn send(&mut self, request: Request<Body>) -> Reply {
        let answer = async {
            let response = self.open(request).await;
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            Reply { status, headers, body: response.into_body().collect().await.unwrap().to_bytes() }
        };
        tokio::time::timeout(LIMIT, answer).await.expect("no answer")
    }

    /// Sends a request whose answer may have no end.
    pub async fn open(&mut self, mut request: Request<Body>) -> Response<Incoming> {
        let host = self.host.parse().unwrap();
        request.headers_mut().entry("host").or_insert(host);
        self.sender.ready().await.unwrap();
        tokio::time::timeout(LIMIT, self.sender.send_request(request)).await.expect("no answer").unwrap()
    }
}

/// A POST of JSON, unless the headers say otherwise.
pub fn post(path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Request<Body> {
    let mut request = Request::post(path);
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        request = request.header("content-type", "application/json");
    }
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(Full::new(body.into())).unwrap()
}

/// A GET.
pub fn get(path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let request =
        headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
    request.body(Full::default()).unwrap()
}
