//! HTTP/1.1 written by hand: also what no well-meant client sends.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::server::{Server, free_address};

/// No answer takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A server with its HTTP side.
#[derive(Debug)]
pub struct HttpServer {
    /// The server.
    pub server: Server,
    /// Where its HTTP side listens.
    pub address: SocketAddr,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header; empty where it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

/// The configuration with an HTTP side at an address of its own; `config` may have an `[http]` section without `listen`.
pub fn with_http(config: &str) -> (String, SocketAddr) {
    let address = free_address();
    let listen = format!("[http]\nlisten = \"{address}\"\n");
    match config.contains("[http]\n") {
        true => (config.replacen("[http]\n", &listen, 1), address),
        false => (format!("{config}\n{listen}"), address),
    }
}

impl HttpServer {
    /// Starts a server and waits until it serves.
    pub async fn start(config: &str) -> Self {
        let (config, address) = with_http(config);
        Self { server: Server::start(&config).await, address }
    }

    /// A connection of its own.
    pub async fn connect(&self) -> Http<TcpStream> {
        Http::new(TcpStream::connect(self.address).await.unwrap())
    }

    /// One call on a connection of its own.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_with(path, &[], body.to_string().as_bytes()).await
    }

    /// One call with more headers.
    pub async fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.connect().await.post(path, headers, body).await
    }

    /// A GET on a connection of its own.
    pub async fn get(&self, path: &str) -> Answer {
        self.connect().await.call("GET", path, &[], b"").await.unwrap()
    }
}

/// A connection, kept for more than one call.
#[derive(Debug)]
pub struct Http<S> {
    stream: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Http<S> {
    /// On a stream.
    pub fn new(stream: S) -> Self {
        Self { stream }
    }

    /// Posts JSON.
    pub async fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut all = headers.to_vec();
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            all.push(("content-type", "application/json"));
        }
        self.call("POST", path, &all, body).await.expect("no answer")
    }

    /// Any call; `None` where the connection ends without an answer.
    pub async fn call(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Answer> {
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let call = async {
            // A server whose answer is already there may have closed its side.
            let _ = self.write(format!("{head}\r\n").as_bytes()).await;
            let _ = self.write(body).await;
            self.answer().await
        };
        tokio::time::timeout(LIMIT, call).await.expect("the server did not answer")
    }

    /// Writes bytes as they are.
    pub async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Reads one answer; `None` where the connection ends first.
    pub async fn answer(&mut self) -> Option<Answer> {
        let head = self.head().await?;
        let mut lines = head.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let header =
            |line: &str| line.split_once(':').map(|(k, v)| (k.to_ascii_lowercase(), v.trim().to_owned()));
        let mut answer = Answer { status, headers: lines.filter_map(header).collect(), body: Vec::new() };
        answer.body = vec![0; answer.header("content-length").parse().unwrap_or(0)];
        self.stream.read_exact(&mut answer.body).await.ok()?;
        Some(answer)
    }

    async fn head(&mut self) -> Option<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.ok()?);
        }
        Some(String::from_utf8(head).unwrap())
    }
}
