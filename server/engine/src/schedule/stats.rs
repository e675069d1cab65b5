//! What was counted.

use std::time::Duration;

use serde::Serialize;

use super::Queue;
use super::estimate::Estimate;
use super::lane::{Lane, PerLane};

/// Requests of one lane. Each one that was accepted is counted once more when it ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LaneStats {
    /// Taken.
    pub accepted: u64,
    /// Refused, for want of room or of time.
    pub refused: u64,
    /// Ended because their deadline passed, or could not be met any more.
    pub expired: u64,
    /// Ended because the caller went away.
    pub cancelled: u64,
    /// Ended because the encoder failed.
    pub failed: u64,
    /// Answered.
    pub completed: u64,
    /// Texts that wait now.
    pub waiting_texts: u64,
    /// Tokens that wait now.
    pub waiting_tokens: u64,
    /// Requests that wait for room now.
    pub waiting_for_room: u64,
}

/// Everything that the queue has counted since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct QueueStats {
    /// By lane.
    pub lanes: PerLane<LaneStats>,
    /// Batches computed.
    pub batches: u64,
    /// Texts computed.
    pub texts: u64,
    /// Windows computed.
    pub windows: u64,
    /// Tokens computed.
    pub tokens: u64,
    /// Texts that somebody else had asked for already.
    pub joined: u64,
    /// Measured speed of all encoders together, overhead aside.
    pub tokens_per_s: f64,
    /// Measured cost of a batch however small, in milliseconds.
    pub batch_overhead_ms: f64,
}

impl<R, E> Queue<R, E> {
    /// What was counted, and what waits now.
    pub fn stats(&self) -> QueueStats {
        QueueStats {
            lanes: PerLane::from_fn(|lane| self.lane_stats(lane)),
            tokens_per_s: self.encoders.speeds().map(Estimate::rate).sum(),
            batch_overhead_ms: self.overhead_ms(),
            ..self.counters
        }
    }

    /// Of the encoders on average; 0 if none is left.
    fn overhead_ms(&self) -> f64 {
        let all: Duration = self.encoders.speeds().map(Estimate::overhead).sum();
        all.as_secs_f64() * 1e3 / self.encoders.count().max(1) as f64
    }

    fn lane_stats(&self, lane: Lane) -> LaneStats {
        let flows = self.lanes.of(lane);
        LaneStats {
            waiting_texts: flows.texts as u64,
            waiting_tokens: flows.tokens as u64,
            waiting_for_room: flows.parked as u64,
            ..*self.counters.lanes.of(lane)
        }
    }

    /// Tenants that the lanes remember.
    pub fn tenants(&self) -> usize {
        Lane::ALL.iter().map(|lane| self.lanes.of(*lane).tenants()).sum()
    }
}
