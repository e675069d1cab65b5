//! A real Envoy between an agent and a tool server, with the configuration of `scripts/examples/envoy`.

pub mod agent;
pub mod fetch;
pub mod site;
pub mod tools;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

pub use agent::{Agent, Reply, get, post};
pub use site::{Change, Site, invite, pay};
pub use tools::{Seen, Tools};

/// How long Envoy may take to start on a busy machine.
const STARTING: Duration = Duration::from_secs(60);

/// A change of the example: what stands there, and what is to stand there.
pub type Edit<'a> = (&'a str, &'a str);

/// A running Envoy; it ends with this.
#[derive(Debug)]
pub struct Envoy {
    child: Child,
    log: Arc<Mutex<String>>,
    agents: SocketAddr,
    admin: SocketAddr,
    _folder: TempDir,
}

impl Envoy {
    /// Starts the example between whoever connects and `tools`, with `rhumb` to ask, on free ports.
    pub async fn start(rhumb: SocketAddr, tools: SocketAddr, edits: &[Edit<'_>]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("envoy.yaml");
        fs::write(&file, example(rhumb, tools, edits)).unwrap();
        let address = folder.path().join("admin");
        let mut command = Command::new(fetch::program());
        command.arg("--config-path").arg(&file).arg("--admin-address-path").arg(&address);
        command.args(["--disable-hot-restart", "--concurrency", "2", "--log-level", "warning"]);
        command.args(["--file-flush-interval-msec", "50"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        keep(child.stdout.take().unwrap(), &log);
        keep(child.stderr.take().unwrap(), &log);
        let admin = address_in(&address, &mut child, &log).await;
        let agents = listener(admin).await;
        Self { child, log, agents, admin, _folder: folder }
    }

    /// Where agents connect.
    pub fn address(&self) -> SocketAddr {
        self.agents
    }

    /// An agent with a connection of its own.
    pub async fn agent(&self) -> Agent {
        Agent::connect(self.agents).await
    }

    /// One request on a connection of its own.
    pub async fn send(&self, request: hyper::Request<agent::Body>) -> Reply {
        self.agent().await.send(request).await
    }

    /// A counter of the filter that asks Rhumb, for example `denied`; 0 where it never counted.
    pub async fn counted(&self, name: &str) -> u64 {
        let end = format!("ext_authz.{name}");
        let stats = Agent::connect(self.admin).await.send(get("/stats?format=json", &[])).await.json();
        let own = stats["stats"].as_array().unwrap().iter();
        let own = own.filter(|stat| stat["name"].as_str().is_some_and(|name| name.ends_with(&end)));
        own.filter_map(|stat| stat["value"].as_u64()).max().unwrap_or_default()
    }

    /// The access log so far, line by line; waits until it has `least`.
    pub async fn access_log(&self, least: usize) -> Vec<Value> {
        let deadline = Instant::now() + STARTING;
        loop {
            let log = self.log.lock().unwrap().clone();
            let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
            if lines.len() >= least {
                return lines;
            }
            assert!(Instant::now() < deadline, "{} lines of {least}: {log}", lines.len());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // Both fail where the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The example with other addresses, and changed.
///
/// # Panics
/// Where the example has no such text to change.
pub fn example(rhumb: SocketAddr, tools: SocketAddr, edits: &[Edit<'_>]) -> String {
    let port = |n: u16| format!("address: 127.0.0.1, port_value: {n}");
    let ports = [(9901, 0), (10000, 0), (8080, tools.port()), (50051, rhumb.port())];
    let ports = ports.map(|(from, to)| (port(from), port(to)));
    let addresses = ports.iter().map(|(from, to)| (from.as_str(), to.as_str()));
    let text = fs::read_to_string(example_file()).unwrap();
    addresses.chain(edits.iter().copied()).fold(text, |text, (from, to)| {
        assert!(text.contains(from), "the example has no {from:?}");
        text.replace(from, to)
    })
}

/// The example as it lies in the repository.
pub fn example_file() -> std::path::PathBuf {
    crate::in_repository("scripts/examples/envoy/envoy.yaml")
}

/// What Envoy says of a configuration.
pub fn validate(file: &Path) -> Output {
    let mut command = Command::new(fetch::program());
    command.args(["--mode", "validate", "--config-path"]).arg(file).output().unwrap()
}

fn keep(pipe: impl std::io::Read + Send + 'static, log: &Arc<Mutex<String>>) {
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            log.lock().unwrap().push_str(&(line + "\n"));
        }
    });
}

/// Envoy writes where its administration listens as soon as it does.
async fn address_in(file: &Path, child: &mut Child, log: &Arc<Mutex<String>>) -> SocketAddr {
    let deadline = Instant::now() + STARTING;
    loop {
        if let Some(address) = fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()) {
            return address;
        }
        let ended = child.try_wait().unwrap();
        let log = || log.lock().unwrap().clone();
        assert!(ended.is_none() && Instant::now() < deadline, "envoy did not start: {ended:?} {}", log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the listener takes connections.
async fn listener(admin: SocketAddr) -> SocketAddr {
    let deadline = Instant::now() + STARTING;
    let mut agent = Agent::connect(admin).await;
    while agent.send(get("/ready", &[])).await.status != 200 {
        assert!(Instant::now() < deadline, "envoy is not ready");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let listeners = agent.send(get("/listeners?format=json", &[])).await.json();
    let port = &listeners["listener_statuses"][0]["local_address"]["socket_address"]["port_value"];
    SocketAddr::from(([127, 0, 0, 1], u16::try_from(port.as_u64().unwrap()).unwrap()))
}
