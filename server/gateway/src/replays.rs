//! Actions that come again: the same action of the same chain, with the same references to an intent, within a window.
//!
//! A token can be shown again within its life by whoever saw it. That may also be a retry, so it is told and, by default,
//! never refused. Kept in memory and bounded; what came before the server's start is not known.

use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::keyed::{Key, key};

/// Actions that are remembered; beyond, the earliest go.
const MOST: u64 = 1 << 18;

/// What was seen of late.
#[derive(Debug, Clone, Default)]
pub struct Replays(Option<Cache<Key, ()>>);

impl Replays {
    /// With a window in seconds; 0: nothing comes again.
    pub fn within(seconds: u64) -> Self {
        let window = Duration::from_secs(seconds);
        let cache = || Cache::builder().max_capacity(MOST).time_to_live(window);
        Self((seconds > 0).then(|| cache().eviction_policy(EvictionPolicy::lru()).build()))
    }

    /// Whether anything is remembered.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Whether this came within the window before; it counts from now on. `parts` name the action.
    pub fn again(&self, parts: &[&str]) -> bool {
        let Some(seen) = &self.0 else { return false };
        let key = key(parts);
        let first = seen.entry(key).or_insert(()).is_fresh();
        if !first {
            // The window is that of the last time.
            seen.insert(key, ());
        }
        !first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_again_is_known_within_the_window_and_without_one_nothing_is() {
        let seen = Replays::within(1);
        assert!(!seen.again(&["chain", "action"]) && !seen.again(&["chain", "other"]));
        assert!(seen.again(&["chain", "action"]));
        let (_nobody, silence) = std::sync::mpsc::channel::<()>();
        assert!(silence.recv_timeout(Duration::from_millis(1200)).is_err());
        assert!(!seen.again(&["chain", "action"]), "the window is over");
        let off = Replays::within(0);
        assert!(!off.again(&["a"]) && !off.again(&["a"]) && !off.is_on());
    }

    #[test]
    fn what_comes_at_once_is_first_only_once() {
        let seen = Replays::within(60);
        let firsts: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| usize::from(!seen.again(&["a"])))).collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(firsts, 1);
    }
}
