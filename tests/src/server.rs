//! `rhumb serve` as a process of its own.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rhumb_proto::v1::drift_service_client::DriftServiceClient;
use rhumb_proto::v1::intent_service_client::IntentServiceClient;
use rhumb_proto::v1::ledger_service_client::LedgerServiceClient;
use tempfile::TempDir;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::program::{command, home, wait};

/// A client of the service.
pub type Client = DriftServiceClient<Channel>;

/// How long the model may take to load on a busy machine.
const LOADING: Duration = Duration::from_secs(60);
/// How long one call of a test may take.
const CALL: Duration = Duration::from_secs(60);

/// A running server; it is killed where a test ends before it does.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: SocketAddr,
    stderr: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    _folder: TempDir,
}

impl Server {
    /// Starts a server on a free port and waits until it says SERVING. `config` is the file without `listen`.
    pub async fn start(config: &str) -> Self {
        // Another process may take the port between the moment it was free and the moment it is wanted.
        for _ in 0..3 {
            let mut server = Self::spawn(config);
            if server.is_serving(LOADING).await {
                return server;
            }
            let stderr = server.stderr();
            assert!(stderr.contains("in use"), "the server ended: {stderr}");
        }
        panic!("no free port");
    }

    /// Starts a server on a free port and does not wait.
    pub fn spawn(config: &str) -> Self {
        Self::spawn_at(free_address(), config)
    }

    /// Starts a server at an address and does not wait.
    pub fn spawn_at(address: SocketAddr, config: &str) -> Self {
        Self::spawn_with(address, config, &[])
    }

    /// Starts a server with these in its environment, and waits so long until it says SERVING.
    pub async fn start_with(config: &str, environment: &[(&str, &OsStr)], limit: Duration) -> Self {
        let mut server = Self::spawn_with(free_address(), config, environment);
        assert!(server.is_serving(limit).await, "the server ended: {}", server.stderr());
        server
    }

    fn spawn_with(address: SocketAddr, config: &str, environment: &[(&str, &OsStr)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rhumb.toml");
        std::fs::write(&file, with_listen(config, address)).unwrap();
        let args = ["serve".as_ref(), "--config".as_ref(), file.as_os_str()];
        let mut child = command(home(), args).envs(environment.iter().copied()).spawn().unwrap();
        let stderr = Arc::new(Mutex::new(String::new()));
        let (pipe, text) = (BufReader::new(child.stderr.take().unwrap()), Arc::clone(&stderr));
        let reader = std::thread::spawn(move || {
            for line in pipe.lines().map_while(Result::ok) {
                text.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        Self { child, address, stderr, reader: Some(reader), _folder: folder }
    }

    /// Waits for SERVING; false if the process ends first.
    async fn is_serving(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if self.health().await.is_ok_and(|status| status == ServingStatus::Serving) {
                return true;
            }
            if self.child.try_wait().unwrap().is_some() {
                self.wait();
                return false;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not serving after {limit:?}: {}", self.stderr());
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A connection of its own.
    pub async fn connect(&self) -> Result<Channel, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(self.url())?;
        endpoint.connect_timeout(Duration::from_secs(5)).timeout(CALL).connect().await
    }

    /// A client with a connection of its own.
    pub async fn client(&self) -> Client {
        let channel = self.connect().await.unwrap();
        DriftServiceClient::new(channel).max_decoding_message_size(usize::MAX)
    }

    /// A client of the intents.
    pub async fn intents(&self) -> IntentServiceClient<Channel> {
        IntentServiceClient::new(self.connect().await.unwrap())
    }

    /// A client of the ledger.
    pub async fn ledger(&self) -> LedgerServiceClient<Channel> {
        LedgerServiceClient::new(self.connect().await.unwrap()).max_decoding_message_size(usize::MAX)
    }

    /// What the server says of its own health.
    pub async fn health(&self) -> Result<ServingStatus, Status> {
        let channel = self.connect().await.map_err(|e| Status::unavailable(e.to_string()))?;
        let request = HealthCheckRequest { service: String::new() };
        let response = HealthClient::new(channel).check(request).await?;
        Ok(response.into_inner().status())
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Sends SIGHUP.
    pub fn hang_up(&self) {
        let status = Command::new("kill").args(["-HUP", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits until standard error holds a text.
    pub async fn says(&self, text: &str) {
        let deadline = Instant::now() + CALL;
        while !self.stderr().contains(text) {
            assert!(Instant::now() < deadline, "no \"{text}\": {}", self.stderr());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Lets the process write no file beyond `bytes`: a full disk, as far as it can tell. SIGXFSZ is ignored by the
    /// program or would end it; writing then fails with EFBIG.
    pub fn limit_file_size(&self, bytes: u64) {
        let (pid, limit) = (self.child.id().to_string(), format!("--fsize={bytes}"));
        let status = Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap();
        assert!(status.success());
    }

    /// Sends SIGKILL and does not wait.
    pub fn kill_now(&self) {
        let status = Command::new("kill").args(["-KILL", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Stops the process where it stands: its port stays open, and nobody answers. SIGKILL ends it all the same.
    pub fn freeze(&self) {
        let status = Command::new("kill").args(["-STOP", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Lets a stopped process go on.
    pub fn thaw(&self) {
        let status = Command::new("kill").args(["-CONT", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the end of the process.
    pub fn wait(&mut self) -> ExitStatus {
        let status = wait(&mut self.child);
        // The pipe has ended with the process.
        self.reader.take().into_iter().for_each(|reader| reader.join().unwrap());
        status
    }

    /// Whether the process runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it has written to standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail where the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that is free now.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

fn with_listen(config: &str, address: SocketAddr) -> String {
    let listen = format!("[server]\nlisten = \"{address}\"\n");
    match config.contains("[server]") {
        true => config.replacen("[server]", &listen, 1),
        false => listen + config,
    }
}
