//! Whether a connection does anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// Calls of one connection. Clones are the same connection's.
#[derive(Debug, Clone, Default)]
pub struct Activity(Arc<Calls>);

#[derive(Debug, Default)]
struct Calls {
    running: AtomicUsize,
    changed: Notify,
}

/// A call under way, until it is dropped.
#[derive(Debug)]
pub struct Call(Arc<Calls>);

impl Activity {
    /// A call begins.
    pub fn begin(&self) -> Call {
        self.0.running.fetch_add(1, Ordering::SeqCst);
        self.0.changed.notify_one();
        Call(Arc::clone(&self.0))
    }

    /// Resolves when for so long no call was under way, none began and none ended.
    pub async fn quiet_for(&self, idle: Duration) {
        loop {
            let quiet = tokio::time::timeout(idle, self.0.changed.notified()).await.is_err();
            if quiet && self.0.running.load(Ordering::SeqCst) == 0 {
                return;
            }
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        self.0.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn a_call_under_way_is_no_idleness() {
        let (activity, began) = (Activity::default(), Instant::now());
        let call = activity.begin();
        let ends = async {
            tokio::time::sleep(Duration::from_secs(95)).await;
            drop(call);
        };
        tokio::join!(activity.quiet_for(Duration::from_secs(30)), ends);
        assert_eq!(began.elapsed(), Duration::from_secs(125));
    }
}
