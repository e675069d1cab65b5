//! Requests that come twice at once.
//!
//! A caller that gives up and asks again while the first request is still worked on is to get the answer of that one, and the
//! chain one hop. Whoever comes second waits for the first, and then finds its answer recorded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

type Lock = Arc<AsyncMutex<()>>;
/// Tenant and request id.
type Key = (String, String);
type Locks = Arc<Mutex<HashMap<Key, Lock>>>;

/// What is worked on.
#[derive(Debug, Clone, Default)]
pub struct Flights(Locks);

/// Somebody's turn at a request; the next one's begins when it goes.
#[derive(Debug)]
pub struct Turn {
    // Released first: then the place is nobody's.
    _guard: OwnedMutexGuard<()>,
    _place: Place,
}

/// Whoever has or awaits a turn has a place; the last one takes it away.
#[derive(Debug)]
struct Place {
    locks: Locks,
    key: Key,
    lock: Lock,
}

impl Flights {
    /// Waits until nobody works on this request.
    pub async fn turn(&self, tenant: &str, request_id: &str) -> Turn {
        let place = self.place((tenant.to_owned(), request_id.to_owned()));
        Turn { _guard: Arc::clone(&place.lock).lock_owned().await, _place: place }
    }

    fn place(&self, key: Key) -> Place {
        let lock = Arc::clone(self.held().entry(key.clone()).or_default());
        Place { locks: Arc::clone(&self.0), key, lock }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Lock>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        // The map's and ours: places are made under the map's lock, so nobody can come in between.
        if Arc::strong_count(&self.lock) <= 2 {
            locks.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_request_is_worked_on_by_one_at_a_time_and_leaves_nothing_behind() {
        let (flights, at_work) = (Flights::default(), AtomicUsize::new(0));
        let work = |id: &'static str| {
            let (flights, at_work) = (&flights, &at_work);
            async move {
                let _turn = flights.turn("t", id).await;
                assert_eq!(at_work.fetch_add(1, Ordering::SeqCst), 0);
                tokio::time::sleep(Duration::from_millis(5)).await;
                at_work.fetch_sub(1, Ordering::SeqCst);
            }
        };
        futures::future::join_all((0..5).map(|_| work("a"))).await;
        assert!(flights.held().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn other_requests_and_other_tenants_do_not_wait_and_who_gives_up_leaves() {
        let flights = Flights::default();
        let first = flights.turn("t", "a").await;
        let others = (flights.turn("t", "b").await, flights.turn("u", "a").await);
        assert!(tokio::time::timeout(Duration::from_secs(1), flights.turn("t", "a")).await.is_err());
        assert_eq!(flights.held().len(), 3);
        drop((first, others));
        assert!(flights.held().is_empty());
        drop(flights.turn("t", "a").await);
        assert!(flights.held().is_empty());
    }
}
