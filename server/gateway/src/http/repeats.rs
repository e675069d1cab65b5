//! The same call again: the same answer again.
//!
//! Callers repeat a call whose answer they lost, and run hooks in parallel. A repeated call is no second action: it waits
//! for the first, or gets its answer while that is recent. An answer that could not be made is not kept.

use std::sync::Arc;
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::sync::OnceCell;

use super::Reply;
use super::error::HttpError;
use crate::keyed::{Key, key};

/// Answers that are kept; they are short.
const ANSWERS: u64 = 100_000;

/// What makes two calls the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Same(Key);

impl Same {
    /// All parts, in order.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self(key(parts))
    }
}

/// Answers of recent calls.
pub struct Repeats(Cache<Same, Arc<OnceCell<Reply>>>);

impl Repeats {
    /// None yet; an answer is kept for so long.
    pub fn keeping(recent: Duration) -> Self {
        let cache = Cache::builder().max_capacity(ANSWERS).time_to_live(recent);
        // The latest matter, however seldom they are asked for.
        Self(cache.eviction_policy(EvictionPolicy::lru()).build())
    }

    /// The answer that this call has had, or the one that is made now: once, whoever else asks meanwhile.
    ///
    /// # Errors
    /// Those of `make`.
    pub async fn answer(
        &self,
        same: Same,
        make: impl Future<Output = Result<Reply, HttpError>>,
    ) -> Result<Reply, HttpError> {
        let cell = self.0.get_with(same, || Arc::new(OnceCell::new()));
        cell.get_or_try_init(|| make).await.cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn calls_at_once_are_answered_once_and_errors_are_forgotten() {
        let (repeats, made) = (Repeats::keeping(Duration::from_secs(60)), AtomicU32::new(0));
        let same = Same::of([b"a".as_slice()]);
        let failing = async { Err(HttpError::late()) };
        assert!(repeats.answer(same, failing).await.is_err());
        let make = async || {
            tokio::task::yield_now().await;
            made.fetch_add(1, Ordering::Relaxed);
            Ok(Reply::from(b"{}".as_slice()))
        };
        let both = futures::join!(repeats.answer(same, make()), repeats.answer(same, make()));
        assert!(both.0.is_ok() && both.1.is_ok());
        assert_eq!(made.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn parts_do_not_run_into_one_another() {
        assert_ne!(Same::of([b"ab".as_slice(), b"c"]), Same::of([b"a".as_slice(), b"bc"]));
    }
}
