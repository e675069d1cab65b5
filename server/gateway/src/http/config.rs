//! `[http]`: the HTTP/JSON side.

use std::net::{Ipv4Addr, SocketAddr};

use serde::Deserialize;

/// `[http]`; no section, no HTTP side.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Address and port. The default answers this machine alone.
    pub listen: SocketAddr,
    /// Bytes of one request's body at most.
    pub max_body_bytes: usize,
    /// Milliseconds in which a body must have arrived.
    pub read_ms: u64,
    /// Milliseconds after which a connection is closed that asks nothing, or does not finish the head of its request.
    pub idle_ms: u64,
    /// Connections at once; others wait to be accepted.
    pub connections: usize,
    /// Milliseconds for `/v1/score`, `/v1/score:batch` and `/v1/intents`. Actions that are held back have `server.hold_ms`.
    pub deadline_ms: u64,
    /// `[http.litellm]`
    pub litellm: LiteLlmConfig,
    /// `[http.claude_code]`
    pub claude_code: ClaudeCodeConfig,
}

/// Which of a conversation's requests the agent's actions are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// The first.
    First,
    /// The latest.
    Latest,
}

/// `[http.litellm]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LiteLlmConfig {
    /// What LiteLLM's `api_base` has after host and port, for example `/guard`.
    pub base: String,
    /// Which of the user's messages counts.
    pub intent: Which,
    /// Whether `policy` and `mode` of `additional_provider_specific_params` are believed: every client can set them.
    pub trust_params: bool,
    /// Whether an MCP call, of which LiteLLM shows the values without their names, can be stopped.
    pub enforce_mcp: bool,
    /// Megabytes of conversations that are kept between a request and its response.
    pub memory_mb: u64,
    /// Kilobytes of tool results of one conversation that are kept as untrusted context; the latest count.
    pub context_kb: usize,
}

/// `[http.claude_code]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClaudeCodeConfig {
    /// Which of a session's prompts counts.
    pub intent: Which,
    /// Whether ESCALATE asks in a session whose permission mode asks nobody; otherwise it denies there.
    pub ask_unattended: bool,
    /// Kilobytes of tool results of one session that are kept as untrusted context; 0: none.
    pub context_kb: usize,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 50052)),
            max_body_bytes: 4 * 1024 * 1024,
            read_ms: 5_000,
            idle_ms: 30_000,
            connections: 1024,
            deadline_ms: 10_000,
            litellm: LiteLlmConfig::default(),
            claude_code: ClaudeCodeConfig::default(),
        }
    }
}

impl Default for LiteLlmConfig {
    fn default() -> Self {
        Self {
            base: String::new(),
            intent: Which::First,
            trust_params: false,
            enforce_mcp: false,
            memory_mb: 128,
            context_kb: 64,
        }
    }
}

impl Default for ClaudeCodeConfig {
    fn default() -> Self {
        Self { intent: Which::Latest, ask_unattended: false, context_kb: 0 }
    }
}

impl HttpConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// Names the key that cannot be used.
    pub fn check(&self) -> Result<(), String> {
        let numbers = [
            ("read_ms", self.read_ms),
            ("idle_ms", self.idle_ms),
            ("deadline_ms", self.deadline_ms),
            ("connections", u64::try_from(self.connections).unwrap_or(u64::MAX)),
            ("litellm.memory_mb", self.litellm.memory_mb),
        ];
        if let Some((key, _)) = numbers.iter().find(|(_, value)| *value == 0) {
            return Err(format!("{key}: must be at least 1"));
        }
        if self.max_body_bytes < 1024 {
            return Err("max_body_bytes: must be at least 1024".to_owned());
        }
        check_base(&self.litellm.base)
    }
}

fn check_base(base: &str) -> Result<(), String> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let is_segment = |segment: &str| !segment.is_empty() && segment.bytes().all(is_plain);
    let Some(path) = base.strip_prefix('/') else {
        let problem = "litellm.base: must begin with a slash";
        return if base.is_empty() { Ok(()) } else { Err(problem.to_owned()) };
    };
    match path.split('/').all(is_segment) {
        true => Ok(()),
        false => {
            Err("litellm.base: takes letters, digits, - . _ ~ and single slashes, none at its end".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_a_plain_path() {
        for good in ["", "/guard", "/a/b-c.d"] {
            assert_eq!(check_base(good), Ok(()), "{good}");
        }
        for bad in ["guard", "/", "/guard/", "/a//b", "/{x}", "/*x", "/a b"] {
            assert!(check_base(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_nothing_could_pass_is_refused() {
        assert_eq!(HttpConfig::default().check(), Ok(()));
        let none = HttpConfig { connections: 0, ..HttpConfig::default() };
        assert!(none.check().unwrap_err().starts_with("connections"));
        let small = HttpConfig { max_body_bytes: 10, ..HttpConfig::default() };
        assert!(small.check().unwrap_err().starts_with("max_body_bytes"));
    }
}
