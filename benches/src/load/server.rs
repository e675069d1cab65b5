//! The server under load: started and stopped where that was asked for, and asked for its health.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rhumb_proto::v1::drift_service_client::DriftServiceClient;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::call::Client;
use super::error::LoadError;
use super::plan::Place;
use super::stream::PATIENCE;

/// How long a model may take to load on a busy machine.
const LOADING: Duration = Duration::from_secs(120);
/// How long a drain may take.
const DRAIN: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);
/// Bytes that may be on their way on one connection; the protocol's 64 KiB would slow down large batches.
const WINDOW: u32 = 4 * 1024 * 1024;
const SERVING: &str = "SERVING";

/// A server; one that was started here is killed where it was not stopped.
#[derive(Debug)]
pub struct Server {
    url: String,
    child: Option<Child>,
}

impl Server {
    /// Starts it where that is wanted, and waits for SERVING.
    ///
    /// # Errors
    /// A program that does not start, or a server that does not serve.
    pub async fn open(place: &Place) -> Result<Self, LoadError> {
        let mut server = match place {
            Place::Running(url) => Self { url: url.clone(), child: None },
            Place::Spawn { program, config, precision } => {
                Self::spawn(program, config.as_ref(), precision.as_ref())?
            }
        };
        server.wait_until_serving().await?;
        Ok(server)
    }

    fn spawn(
        program: &Path,
        config: Option<&PathBuf>,
        precision: Option<&String>,
    ) -> Result<Self, LoadError> {
        // Free now; a process that takes it in between makes the start fail, which is said.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut command = Command::new(program);
        command.args(["serve", "--listen", &address.to_string()]);
        if let Some(config) = config {
            command.arg("--config").arg(config);
        }
        if let Some(precision) = precision {
            command.args(["--precision", precision]);
        }
        // Its log goes where ours goes; standard output is for the report.
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let fail = |e| LoadError::Server(format!("{}: {e}", program.display()));
        Ok(Self { url: format!("http://{address}"), child: Some(command.spawn().map_err(fail)?) })
    }

    async fn wait_until_serving(&mut self) -> Result<(), LoadError> {
        let end = Instant::now() + if self.child.is_some() { LOADING } else { Duration::ZERO };
        loop {
            let health = self.health().await;
            if health == SERVING {
                return Ok(());
            }
            if let Some(status) = self.child.as_mut().and_then(|c| c.try_wait().transpose()) {
                return Err(LoadError::Server(format!("ended at its start: {}", status?)));
            }
            if Instant::now() >= end {
                return Err(LoadError::Server(format!("{}: {health}", self.url)));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Its process, if it was started here.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Connections of their own.
    ///
    /// # Errors
    /// If the server takes none.
    pub async fn connect(&self, connections: usize) -> Result<Vec<Client>, LoadError> {
        let mut clients = Vec::with_capacity(connections);
        for _ in 0..connections {
            let client = DriftServiceClient::new(self.channel().await.map_err(LoadError::Server)?);
            clients.push(client.max_decoding_message_size(usize::MAX).max_encoding_message_size(usize::MAX));
        }
        Ok(clients)
    }

    async fn channel(&self) -> Result<Channel, String> {
        let endpoint = Endpoint::from_shared(self.url.clone()).map_err(|e| e.to_string())?;
        let endpoint = endpoint.connect_timeout(Duration::from_secs(5)).timeout(PATIENCE);
        let endpoint = endpoint.initial_connection_window_size(WINDOW).initial_stream_window_size(WINDOW);
        endpoint.connect().await.map_err(|e| format!("{}: {e}", self.url))
    }

    /// What it says of its own health, in the words of the protocol, or why it says nothing.
    pub async fn health(&self) -> String {
        let channel = match self.channel().await {
            Ok(channel) => channel,
            Err(error) => return error,
        };
        match HealthClient::new(channel).check(HealthCheckRequest { service: String::new() }).await {
            Ok(answer) => answer.into_inner().status().as_str_name().to_owned(),
            Err(status) => format!("{:?}", status.code()),
        }
    }

    /// Stops it with SIGTERM, if it was started here, and says how it ended.
    ///
    /// # Errors
    /// If it does not end.
    pub async fn stop(mut self) -> Result<Option<ExitStatus>, LoadError> {
        let Some(child) = self.child.as_mut() else { return Ok(None) };
        // The standard library knows SIGKILL alone.
        Command::new("kill").args(["-TERM", &child.id().to_string()]).status()?;
        let end = Instant::now() + DRAIN;
        while Instant::now() < end {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status));
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(LoadError::Server(format!("did not end within {DRAIN:?} after SIGTERM")))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail where it has ended already.
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
