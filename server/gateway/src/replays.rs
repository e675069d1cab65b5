//! Actions that come again: the same action of the same chain, for the same intent, within a window.
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

    /// Takes note of an action, which `parts` name; `None` where nothing is remembered. What is not [`Seen::keep`]t, because it
    /// was never answered, is forgotten: a caller that asks again then does what it should.
    pub fn see<P: AsRef<[u8]>>(&self, parts: impl IntoIterator<Item = P>) -> Option<Seen> {
        let (cache, key) = (self.0.clone()?, key(parts));
        let again = !cache.entry(key).or_insert(()).is_fresh();
        Some(Seen { cache, key, again, kept: false })
    }
}

/// An action that is being decided about.
#[derive(Debug)]
pub struct Seen {
    cache: Cache<Key, ()>,
    key: Key,
    /// Whether it came within the window before.
    pub again: bool,
    kept: bool,
}

impl Seen {
    /// It was answered: the window begins anew.
    pub fn keep(mut self) {
        self.kept = true;
        self.cache.insert(self.key, ());
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        if !self.kept && !self.again {
            self.cache.invalidate(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(seen: &Replays, parts: &[&str]) -> bool {
        let seen = seen.see(parts).unwrap();
        let again = seen.again;
        seen.keep();
        again
    }

    #[test]
    fn the_same_again_is_known_within_the_window_and_without_one_nothing_is() {
        let seen = Replays::within(1);
        assert!(!again(&seen, &["chain", "action"]) && !again(&seen, &["chain", "other"]));
        assert!(again(&seen, &["chain", "action"]));
        let (_nobody, silence) = std::sync::mpsc::channel::<()>();
        assert!(silence.recv_timeout(Duration::from_millis(1200)).is_err());
        assert!(!again(&seen, &["chain", "action"]), "the window is over");
        assert!(Replays::within(0).see(["a"]).is_none());
    }

    #[test]
    fn what_was_never_answered_may_come_again() {
        let seen = Replays::within(60);
        drop(seen.see(["a"]).unwrap());
        assert!(!again(&seen, &["a"]));
        drop(seen.see(["a"]).unwrap());
        assert!(again(&seen, &["a"]), "what was answered before stays known");
    }

    #[test]
    fn what_comes_at_once_is_first_only_once() {
        let seen = Replays::within(60);
        let firsts: usize = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| usize::from(!again(&seen, &["a"])))).collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(firsts, 1);
    }
}
