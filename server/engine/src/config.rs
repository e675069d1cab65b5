//! Every number of the engine that somebody may want to change.

use serde::{Deserialize, Serialize};

use rhumb_drift::Limits;

/// Configuration of the engine, section `[engine]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineConfig {
    /// Texts that may wait for the encoder; beyond it a request is refused.
    pub queue: usize,
    /// Tokens of one micro-batch at most.
    pub batch_tokens: usize,
    /// Megabytes of intents kept as vectors.
    pub intent_cache_mb: u64,
    /// Megabytes of actions kept as vectors.
    pub action_cache_mb: u64,
    /// Megabytes of context kept as word and value indexes.
    pub context_cache_mb: u64,
    /// Windows of one text at most; text beyond them makes the score TRUNCATED.
    pub max_windows: usize,
    /// Tokens that two neighbouring windows share.
    pub window_overlap: usize,
    /// Bytes of an action's text that are looked at; beyond them the score is TRUNCATED.
    pub action_bytes: usize,
    /// Bytes of context that are looked at, all items of one request together.
    pub context_bytes: usize,
    /// What one request may carry.
    pub limits: Limits,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            queue: 1024,
            batch_tokens: 2048,
            intent_cache_mb: 128,
            action_cache_mb: 128,
            context_cache_mb: 32,
            max_windows: 16,
            window_overlap: 32,
            action_bytes: 32 * 1024,
            context_bytes: 256 * 1024,
            limits: Limits::default(),
        }
    }
}

impl EngineConfig {
    /// Checks the numbers.
    ///
    /// # Errors
    /// Names the key that is out of range.
    pub fn check(&self) -> Result<(), String> {
        let at_least_one = [
            ("queue", self.queue),
            ("batch_tokens", self.batch_tokens),
            ("max_windows", self.max_windows),
            ("action_bytes", self.action_bytes),
            ("limits.depth", self.limits.depth),
        ];
        if self.window_overlap > 128 {
            return Err("engine.window_overlap: must be at most 128".to_owned());
        }
        match at_least_one.iter().find(|(_, n)| *n == 0) {
            Some((key, _)) => Err(format!("engine.{key}: must be at least 1")),
            None => Ok(()),
        }
    }
}
