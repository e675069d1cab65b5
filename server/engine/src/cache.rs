//! Caches with a budget in bytes. Keys are digests of folded text, so they never hold a user's words.

use std::hash::Hash;
use std::sync::Arc;

use moka::sync::Cache;
use sha2::{Digest, Sha256};

/// Digest of a text and the rule by which it was read.
pub type Key = [u8; 32];

/// The key of `text`.
pub fn key(text: &str) -> Key {
    Sha256::digest(text.as_bytes()).into()
}

/// A cache of `megabytes`; `bytes` says what one value holds.
pub fn cache<K, V>(megabytes: u64, bytes: impl Fn(&V) -> usize + Send + Sync + 'static) -> Cache<K, Arc<V>>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    // What the cache itself spends on an entry, besides key and value.
    const ENTRY: usize = 128;
    let weigher = move |_: &K, value: &Arc<V>| u32::try_from(bytes(value) + ENTRY).unwrap_or(u32::MAX);
    Cache::builder().max_capacity(megabytes * 1024 * 1024).weigher(weigher).build()
}
