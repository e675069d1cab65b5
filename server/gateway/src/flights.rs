//! Requests that come twice at once.
//!
//! A caller that gives up and asks again while the first request is still worked on is to get the answer of that one, and the
//! chain one hop. Whoever comes second waits for the first, and then finds its answer recorded. Only the very same request of
//! the same caller waits: an id alone, which an agent may choose, holds up nobody else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::keyed::{Key, key};

/// Turns that may be awaited for one request; more of them are no retries.
const MOST_WAITING: usize = 8;

/// Somebody's turn, and how many have or await it.
type Held = (Arc<AsyncMutex<()>>, usize);
type All = Arc<Mutex<HashMap<Key, Held>>>;

/// What is worked on.
#[derive(Debug, Clone, Default)]
pub struct Flights(All);

/// Somebody's turn at a request; the next one's begins when it goes.
#[derive(Debug)]
pub struct Turn {
    /// Whether it had to be awaited.
    pub waited: bool,
    // Released first: then the place is nobody's.
    _guard: OwnedMutexGuard<()>,
    _place: Place,
}

/// Whoever has or awaits a turn has a place; the last one takes the entry away.
#[derive(Debug)]
struct Place {
    all: All,
    key: Key,
}

impl Flights {
    /// Waits until nobody works on this request; `None` if too many wait already. `parts` name the request.
    pub async fn turn(&self, parts: &[&str]) -> Option<Turn> {
        let (lock, place) = self.place(key(parts))?;
        let (guard, waited) = match Arc::clone(&lock).try_lock_owned() {
            Ok(guard) => (guard, false),
            Err(_) => (lock.lock_owned().await, true),
        };
        Some(Turn { waited, _guard: guard, _place: place })
    }

    fn place(&self, key: Key) -> Option<(Arc<AsyncMutex<()>>, Place)> {
        let mut all = lock(&self.0);
        let (turn, count) = all.entry(key).or_default();
        if *count > MOST_WAITING {
            return None;
        }
        *count += 1;
        Some((Arc::clone(turn), Place { all: Arc::clone(&self.0), key }))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = lock(&self.all);
        if let Some((_, count)) = all.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.key);
            }
        }
    }
}

fn lock(all: &Mutex<HashMap<Key, Held>>) -> MutexGuard<'_, HashMap<Key, Held>> {
    all.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_request_is_worked_on_by_one_at_a_time_and_leaves_nothing_behind() {
        let (flights, at_work, refused) = (Flights::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        let work = || async {
            let Some(_turn) = flights.turn(&["t", "a"]).await else {
                refused.fetch_add(1, Ordering::SeqCst);
                return;
            };
            assert_eq!(at_work.fetch_add(1, Ordering::SeqCst), 0);
            tokio::time::sleep(Duration::from_millis(5)).await;
            at_work.fetch_sub(1, Ordering::SeqCst);
        };
        futures::future::join_all((0..MOST_WAITING + 3).map(|_| work())).await;
        assert!(lock(&flights.0).is_empty());
        assert_eq!(refused.load(Ordering::SeqCst), 2, "one works, eight wait");
    }

    #[tokio::test(start_paused = true)]
    async fn other_requests_do_not_wait_and_who_gives_up_leaves() {
        let flights = Flights::default();
        let first = flights.turn(&["t", "a"]).await;
        let others = (flights.turn(&["t", "b"]).await, flights.turn(&["ta", ""]).await);
        assert!(!first.as_ref().unwrap().waited && !others.1.as_ref().unwrap().waited);
        assert!(tokio::time::timeout(Duration::from_secs(1), flights.turn(&["t", "a"])).await.is_err());
        assert_eq!(lock(&flights.0).len(), 3);
        drop((first, others));
        assert!(lock(&flights.0).is_empty());
        drop(flights.turn(&["t", "a"]).await);
        assert!(lock(&flights.0).is_empty());
    }
}
