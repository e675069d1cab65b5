//! Every number of the engine that somebody may want to change.

use serde::{Deserialize, Serialize};

use rhumb_drift::Limits;
use rhumb_models::encoder::EncoderInfo;

use crate::schedule::{Lane, PerLane};

/// Configuration of the engine, section `[engine]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineConfig {
    /// Texts of one lane that may wait for the encoder; beyond them a request is refused, or waits for room.
    pub queue: usize,
    /// Tokens of each lane that may wait likewise.
    pub queue_tokens: PerLane<usize>,
    /// Requests of one lane that may wait for room.
    pub waiting: usize,
    /// Share of a lane, of its texts and tokens and of those who wait for room, that one tenant may hold.
    pub tenant_share: f64,
    /// Tenants of one lane that are told apart; those beyond share one account.
    pub tenants: usize,
    /// Tokens of one batch at most; 0: what suits the device.
    pub batch_tokens: usize,
    /// Milliseconds of a batch that holds enforcement or interactive work, at most, by the measured speed.
    pub batch_ms: f64,
    /// Milliseconds of a batch that holds bulk work only: what enforcement waits for at most.
    pub bulk_batch_ms: f64,
    /// Share of the tokens that each lower lane with work gets, however much is to be done above it.
    pub lower_lane_share: f64,
    /// What a foreseen time is multiplied with before a deadline is promised.
    pub deadline_factor: f64,
    /// Milliseconds that are added to it: for what comes before and after the encoder.
    pub deadline_margin_ms: f64,
    /// Share of the time until a deadline that is kept free for what cannot be foreseen.
    pub deadline_reserve: f64,
    /// Speed that is assumed until it is measured.
    pub assumed_tokens_per_s: f64,
    /// Whether the encoder computes, and is timed on, a text of our own before the first request.
    pub warm_up: bool,
    /// Megabytes of intents kept as vectors.
    pub intent_cache_mb: u64,
    /// Megabytes of actions kept as vectors.
    pub action_cache_mb: u64,
    /// Megabytes of context kept as word and value indexes.
    pub context_cache_mb: u64,
    /// Megabytes of whole answers kept; 0: none.
    pub decision_cache_mb: u64,
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
            queue_tokens: PerLane { enforcement: 32_768, interactive: 65_536, bulk: 262_144 },
            waiting: 4096,
            tenant_share: 0.5,
            tenants: 256,
            batch_tokens: 0,
            batch_ms: 20.0,
            bulk_batch_ms: 5.0,
            lower_lane_share: 0.1,
            deadline_factor: 1.25,
            deadline_margin_ms: 2.0,
            deadline_reserve: 0.2,
            assumed_tokens_per_s: 2000.0,
            warm_up: true,
            intent_cache_mb: 128,
            action_cache_mb: 128,
            context_cache_mb: 32,
            decision_cache_mb: 32,
            max_windows: 16,
            window_overlap: 32,
            action_bytes: 32 * 1024,
            context_bytes: 256 * 1024,
            limits: Limits::default(),
        }
    }
}

/// Tokens of one batch on a processor, where more is not faster, and on a GPU, where it is.
const CPU_BATCH_TOKENS: usize = 2048;
const GPU_BATCH_TOKENS: usize = 8192;

impl EngineConfig {
    /// With what was left open filled in for the encoders that there are.
    #[must_use]
    pub fn suited_to(self, info: &EncoderInfo) -> Self {
        let left_open = self.batch_tokens == 0 && info.device.starts_with("cuda");
        Self { batch_tokens: if left_open { GPU_BATCH_TOKENS } else { self.batch_tokens }, ..self }
    }

    /// Tokens of one batch at most.
    pub(crate) fn most_batch_tokens(&self) -> usize {
        if self.batch_tokens == 0 { CPU_BATCH_TOKENS } else { self.batch_tokens }
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// Names the key that is out of range.
    pub fn check(&self) -> Result<(), String> {
        let at_least_one = [
            ("queue", self.queue),
            ("waiting", self.waiting),
            ("tenants", self.tenants),
            ("max_windows", self.max_windows),
            ("action_bytes", self.action_bytes),
            ("limits.depth", self.limits.depth),
        ];
        if self.window_overlap > 128 {
            return Err("engine.window_overlap: must be at most 128".to_owned());
        }
        for lane in Lane::ALL {
            if *self.queue_tokens.of(lane) == 0 {
                return Err(format!("engine.queue_tokens.{}: must be at least 1", lane.name()));
            }
        }
        self.check_ranges()?;
        match at_least_one.iter().find(|(_, n)| *n == 0) {
            Some((key, _)) => Err(format!("engine.{key}: must be at least 1")),
            None => Ok(()),
        }
    }

    fn check_ranges(&self) -> Result<(), String> {
        let ranges = [
            ("tenant_share", self.tenant_share, 0.01, 1.0),
            ("batch_ms", self.batch_ms, 0.1, 10_000.0),
            ("bulk_batch_ms", self.bulk_batch_ms, 0.1, 10_000.0),
            ("lower_lane_share", self.lower_lane_share, 0.0, 0.4),
            ("deadline_factor", self.deadline_factor, 1.0, 10.0),
            ("deadline_margin_ms", self.deadline_margin_ms, 0.0, 1000.0),
            ("deadline_reserve", self.deadline_reserve, 0.0, 0.9),
            ("assumed_tokens_per_s", self.assumed_tokens_per_s, 1.0, 1e9),
        ];
        // Not a number is in no range.
        match ranges.iter().find(|(_, n, least, most)| !(*least..=*most).contains(n)) {
            Some((key, _, least, most)) => Err(format!("engine.{key}: must be from {least} to {most}")),
            None => Ok(()),
        }
    }
}
