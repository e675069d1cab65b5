//! What the engine has counted since it was started.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use moka::sync::Cache;
use serde::Serialize;

use crate::cache::Key;
use crate::schedule::QueueStats;
use crate::scheduler::EncoderState;

/// Counters of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EngineStats {
    /// The queue and what the encoders computed.
    pub queue: QueueStats,
    /// The encoders that are left.
    pub encoders: EncoderState,
    /// Intents as vectors.
    pub intents: CacheStats,
    /// Actions as vectors.
    pub actions: CacheStats,
    /// Context as word and value indexes.
    pub contexts: CacheStats,
    /// Whole answers.
    pub decisions: CacheStats,
}

/// Counters of a cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CacheStats {
    /// Found.
    pub hits: u64,
    /// Not found.
    pub misses: u64,
    /// Bytes held, roughly; the cache counts them some moments later.
    pub bytes: u64,
}

/// A cache that counts.
pub(crate) struct Counted<V: Send + Sync + 'static> {
    cache: Cache<Key, Arc<V>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl<V: Send + Sync + 'static> Counted<V> {
    /// A cache of `megabytes`; `bytes` says what one value holds.
    pub fn new(megabytes: u64, bytes: impl Fn(&V) -> usize + Send + Sync + 'static) -> Self {
        let cache = crate::cache::cache(megabytes, bytes);
        Self { cache, hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// What is kept under this key.
    pub fn get(&self, key: &Key) -> Option<Arc<V>> {
        let found = self.cache.get(key);
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Whether something is kept under this key; not counted.
    pub fn contains(&self, key: &Key) -> bool {
        self.cache.contains_key(key)
    }

    /// Keeps a value.
    pub fn insert(&self, key: Key, value: Arc<V>) {
        self.cache.insert(key, value);
    }

    /// What is kept, or what `make` makes: once, whoever else asks meanwhile.
    pub fn get_with(&self, key: Key, make: impl FnOnce() -> Arc<V>) -> Arc<V> {
        let entry = self.cache.entry(key).or_insert_with(make);
        let counter = if entry.is_fresh() { &self.misses } else { &self.hits };
        counter.fetch_add(1, Ordering::Relaxed);
        entry.into_value()
    }

    /// What was counted.
    pub fn stats(&self) -> CacheStats {
        CacheStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            bytes: self.cache.weighted_size(),
        }
    }
}
