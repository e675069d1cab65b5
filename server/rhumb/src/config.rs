//! The server's configuration: TOML, every key with a default, unknown keys are errors.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use rhumb_drift::Policy;
use rhumb_engine::EngineConfig;
use rhumb_gateway::callers::{CallerConfig, Callers};
use rhumb_gateway::http::config::HttpConfig;
use rhumb_gateway::openshell::OpenShellConfig;
use rhumb_ledger::LedgerConfig;
use rhumb_ledger::intent::config::IntentConfig;
use rhumb_models::{Device, Precision};
use serde::{Deserialize, Deserializer};

use crate::failure::Failure;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `[server]`
    pub server: ServerConfig,
    /// `[http]`; none: no HTTP side.
    pub http: Option<HttpConfig>,
    /// `[model]`
    pub model: ModelConfig,
    /// `[engine]`
    pub engine: EngineConfig,
    /// `[policy]`
    pub policy: Policy,
    /// `[ledger]`
    pub ledger: Option<LedgerConfig>,
    /// `[intents]`
    pub intents: IntentConfig,
    /// `[chains]`
    pub chains: ChainConfig,
    /// `[[callers]]`; none: everybody who reaches the port may do everything.
    pub callers: Vec<CallerConfig>,
    /// `[openshell]`; none: its services are not there.
    pub openshell: Option<OpenShellConfig>,
}

/// `[server]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Address and port of the gRPC services. The default answers this machine alone.
    pub listen: SocketAddr,
    /// Bytes of one message at most, both ways.
    pub max_message_bytes: usize,
    /// Milliseconds for a request whose caller set no deadline.
    pub default_deadline_ms: u64,
    /// Milliseconds that requests in flight get to finish after SIGTERM.
    pub drain_ms: u64,
    /// Requests of one ScoreStream that are worked on at once.
    pub stream_concurrency: usize,
    /// Milliseconds that an enforcement point waits at most; its own deadline may be shorter.
    pub hold_ms: u64,
    /// The policy file; none: `[policy]` alone.
    pub policy: Option<PathBuf>,
    /// `[server.tls]`; none: plain text.
    pub tls: Option<TlsConfig>,
}

/// `[server.tls]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The server's certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// Authorities of client certificates, PEM. With them every client needs one.
    pub client_ca: Option<PathBuf>,
}

/// `[model]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// Bundle.
    pub name: String,
    /// `auto`, `cpu`, `cuda`, `cuda:N`
    pub device: String,
    /// MiB of each GPU's memory at most; 0: what is free.
    pub gpu_memory_mb: u64,
    /// `auto`, `f32`, `f16`, `int8`
    pub precision: String,
    /// Threads of the encoder; 0: one for each core.
    pub threads: usize,
    /// `cpu`, `stop`
    pub on_device_error: OnDeviceError,
    /// A file or a list: a head in place of the bundle's own, thresholds of the deployment, or one of each.
    #[serde(deserialize_with = "one_or_more")]
    pub calibration: Vec<PathBuf>,
}

/// What becomes of the work of a device that is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDeviceError {
    /// The CPU does it. Answers are as good and come later; what it cannot do in time is refused.
    #[default]
    Cpu,
    /// It fails, and without any device left the server is NOT_SERVING.
    Stop,
}

/// `[chains]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChainConfig {
    /// Megabytes of chains that are under way; beyond, those that were used least are made from the ledger again, or begin
    /// anew where there is none.
    pub cache_mb: u64,
}

impl Default for ChainConfig {
    fn default() -> Self {
        Self { cache_mb: 128 }
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 50051)),
            max_message_bytes: 8 * 1024 * 1024,
            default_deadline_ms: 10_000,
            drain_ms: 10_000,
            stream_concurrency: 64,
            hold_ms: 150,
            policy: None,
            tls: None,
        }
    }
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            name: "minilm".into(),
            device: "auto".into(),
            gpu_memory_mb: 0,
            precision: "auto".into(),
            threads: 0,
            on_device_error: OnDeviceError::default(),
            calibration: Vec::new(),
        }
    }
}

/// A path, or a list of them.
fn one_or_more<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<PathBuf>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a file name or a list of them")]
    enum Paths {
        One(PathBuf),
        More(Vec<PathBuf>),
    }
    Ok(match Paths::deserialize(from)? {
        Paths::One(path) => vec![path],
        Paths::More(paths) => paths,
    })
}

impl Config {
    /// Reads a file, or takes the defaults.
    ///
    /// # Errors
    /// Names the file, and the line or key that cannot be used.
    pub fn load(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = std::fs::read_to_string(path).map_err(Failure::file(path))?;
        Self::parse(&text).map_err(|e| Failure::input(format!("{}: {e}", path.display())))
    }

    /// Where the signing keys lie; `None` where nothing is kept.
    pub fn keys_folder(&self) -> Option<PathBuf> {
        let own = self.ledger.as_ref().map(|ledger| ledger.path.join("keys"));
        self.intents.keys.clone().or(own)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|e| e.to_string())?;
        config.engine.check()?;
        config.policy.check().map_err(|e| format!("policy.{e}"))?;
        config.model.device.parse::<Device>().map_err(|e| format!("model.device: {e}"))?;
        config.model.precision.parse::<Precision>().map_err(|e| format!("model.precision: {e}"))?;
        Callers::new(&config.callers)?;
        let by_certificate = config.callers.iter().any(|caller| caller.certificate_sha256.is_some());
        if by_certificate && config.server.tls.as_ref().is_none_or(|tls| tls.client_ca.is_none()) {
            return Err("callers: certificate_sha256 needs server.tls.client_ca".to_owned());
        }
        config.http.as_ref().map_or(Ok(()), HttpConfig::check).map_err(|e| format!("http.{e}"))?;
        config.intents.check().map_err(|e| format!("intents.{e}"))?;
        config.ledger.as_ref().map_or(Ok(()), LedgerConfig::check).map_err(|e| e.to_string())?;
        let openshell = config.openshell.as_ref().map(|openshell| openshell.check(config.server.hold_ms));
        openshell.unwrap_or(Ok(())).map_err(|e| format!("openshell.{e}"))?;
        if config.chains.cache_mb == 0 {
            return Err("chains.cache_mb: must be at least 1".to_owned());
        }
        if config.server.max_message_bytes < 4096 {
            return Err("server.max_message_bytes: must be at least 4096".to_owned());
        }
        if config.server.hold_ms == 0 {
            return Err("server.hold_ms: must be at least 1".to_owned());
        }
        if config.server.default_deadline_ms == 0 || config.server.stream_concurrency == 0 {
            return Err(
                "server.default_deadline_ms and server.stream_concurrency: must be at least 1".to_owned()
            );
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_lines_are_enough() {
        let config = Config::parse("[server]\nlisten = \"127.0.0.1:7000\"\n").unwrap();
        assert_eq!(config.server.listen.port(), 7000);
        assert_eq!(config.engine, EngineConfig::default());
    }

    #[test]
    fn a_calibration_is_one_file_or_several() {
        let read = |value: &str| Config::parse(&format!("[model]\ncalibration = {value}"));
        assert_eq!(read("\"a\"").unwrap().model.calibration, [PathBuf::from("a")]);
        assert_eq!(read("[\"a\", \"b\"]").unwrap().model.calibration.len(), 2);
        let error = read("7").unwrap_err();
        assert!(error.contains("a file name or a list") && error.contains("line 2"), "{error}");
    }

    #[test]
    fn a_lost_device_stops_the_server_only_where_that_is_asked_for() {
        let read = |text: &str| Config::parse(text).map(|config| config.model.on_device_error);
        assert_eq!(read(""), Ok(OnDeviceError::Cpu));
        assert_eq!(read("[model]\non_device_error = \"stop\""), Ok(OnDeviceError::Stop));
        assert!(read("[model]\non_device_error = \"gpu\"").unwrap_err().contains("on_device_error"));
    }

    #[test]
    fn the_documented_configuration_is_the_default_one() {
        let page = include_str!("../../../docs/configuration.md");
        let blocks = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
        let mut config = Config::parse(&blocks.collect::<String>()).unwrap();
        assert_eq!(config.ledger.take(), Some(LedgerConfig::at("ledger")));
        assert_eq!(config.http.take(), Some(HttpConfig::default()));
        assert_eq!(config, Config::default());
    }

    #[test]
    fn the_defaults_of_an_issuer_are_documented_and_its_example_can_be_used() {
        let issuer = |text: &str| Config::parse(text).unwrap().intents.issuers.remove(0);
        let page = include_str!("../../../docs/configuration.md");
        let from = page.find("# [[intents.issuers]]").unwrap();
        let section: String = page[from..]
            .lines()
            .take_while(|line| line.starts_with("# "))
            .map(|line| format!("{}\n", line.trim_start_matches("# ")))
            .collect();
        let bare = "[[intents.issuers]]\niss = \"https://tokens.example\"\njwks = \"issuer.jwks.json\"\n\
                    aud = \"agents.example\"\nalg = \"EdDSA\"\n";
        assert_eq!(issuer(&section), issuer(bare));
        let page = include_str!("../../../docs/intents.md");
        let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let claims = issuer(example).claims;
        assert_eq!((claims.text.as_str(), claims.chain.as_str()), ("request.prompt", "jti"));
    }

    #[test]
    fn unknown_keys_and_wrong_values_are_named_with_their_line() {
        let error = Config::parse("[server]\nlisten = \"127.0.0.1:7000\"\nlissten = 1\n").unwrap_err();
        assert!(error.contains("lissten") && error.contains("line 3"), "{error}");
        assert!(Config::parse("[openshell]\n").unwrap_err().contains("openshell.jwks"));
        assert!(Config::parse("[openshell]\nallow_insecure = true\nsubject = \"any\"").is_err());
        assert!(Config::parse("[engine]\nqueue = 0").unwrap_err().contains("engine.queue"));
        assert!(Config::parse("[policy]\nfar = 2.0").unwrap_err().contains("policy.far"));
        assert!(Config::parse("[policy]\nread = \"MAYBE\"").unwrap_err().contains("MAYBE"));
    }
}
