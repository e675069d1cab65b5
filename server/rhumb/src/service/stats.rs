//! Counters of the engine as a message.

use std::collections::HashMap;

use rhumb_engine::schedule::LaneStats;
use rhumb_engine::{CacheStats, EngineStats};
use rhumb_proto::v1;

/// All of them, and those of what never reached the engine.
pub fn message(stats: &EngineStats, passed_unscored: HashMap<String, u64>) -> v1::EngineStats {
    let queue = &stats.queue;
    v1::EngineStats {
        enforcement: Some(lane(&queue.lanes.enforcement)),
        interactive: Some(lane(&queue.lanes.interactive)),
        bulk: Some(lane(&queue.lanes.bulk)),
        batches: queue.batches,
        texts: queue.texts,
        windows: queue.windows,
        tokens: queue.tokens,
        joined: queue.joined,
        tokens_per_second: queue.tokens_per_s,
        batch_overhead_ms: queue.batch_overhead_ms,
        intents: Some(cache(&stats.intents)),
        actions: Some(cache(&stats.actions)),
        contexts: Some(cache(&stats.contexts)),
        decisions: Some(cache(&stats.decisions)),
        passed_unscored,
        encoders: stats.encoders.left as u64,
        encoders_lost: stats.encoders.lost as u64,
        degraded: stats.encoders.degraded,
    }
}

fn lane(lane: &LaneStats) -> v1::LaneStats {
    v1::LaneStats {
        accepted: lane.accepted,
        refused: lane.refused,
        expired: lane.expired,
        cancelled: lane.cancelled,
        failed: lane.failed,
        completed: lane.completed,
        waiting_texts: lane.waiting_texts,
        waiting_tokens: lane.waiting_tokens,
        waiting_for_room: lane.waiting_for_room,
    }
}

fn cache(cache: &CacheStats) -> v1::CacheStats {
    v1::CacheStats { hits: cache.hits, misses: cache.misses, bytes: cache.bytes }
}
