//! What every adapter of an enforcement contract stands on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tonic::{Extensions, Status};

use crate::decide::{Decider, DeciderWatch};
use crate::errors;
use crate::unscored::Unscored;

/// Kept of a caller's own deadline for the way back: past it an answer is worth nothing.
const WAY_BACK: Duration = Duration::from_millis(5);

/// When the caller stops waiting; in the extensions of a request whose caller said so.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(pub Instant);

/// What every adapter of an enforcement contract stands on. Cheap to clone.
#[derive(Clone)]
pub struct Front {
    decider: DeciderWatch,
    hold: Duration,
    unscored: Arc<Unscored>,
}

impl Front {
    /// Over a decider that may come later; an action is held back for `hold` at most.
    pub fn new(decider: DeciderWatch, hold: Duration) -> Self {
        Self { decider, hold, unscored: Arc::default() }
    }

    /// What passed without a score, at all adapters that have a clone of this.
    pub fn unscored(&self) -> &Arc<Unscored> {
        &self.unscored
    }

    /// What decides.
    ///
    /// # Errors
    /// UNAVAILABLE while the model loads or the server drains.
    pub fn decider(&self) -> Result<Decider, Status> {
        let decider = self.decider.borrow().clone();
        decider.ok_or_else(|| errors::unavailable("the model is loading, or the server is draining"))
    }

    /// Until when an action is held back: our own limit, or the caller's deadline with time to spare.
    pub fn deadline(&self, extensions: &Extensions) -> Instant {
        let own = Instant::now() + self.hold;
        let callers = extensions.get::<Deadline>().map(|deadline| deadline.0);
        callers.and_then(|at| at.checked_sub(WAY_BACK)).map_or(own, |at| at.min(own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::watch;

    #[test]
    fn the_earlier_deadline_counts_and_the_callers_with_time_to_spare() {
        let front = Front::new(watch::channel(None).1, Duration::from_millis(150));
        let with = |ms: u64| {
            let mut extensions = Extensions::default();
            let at = Instant::now() + Duration::from_millis(ms);
            extensions.insert(Deadline(at));
            (front.deadline(&extensions), at)
        };
        let (deadline, at) = with(100);
        assert_eq!(at - deadline, WAY_BACK);
        let (deadline, at) = with(60_000);
        assert!(deadline < at - Duration::from_secs(50), "our own limit holds without a caller's too");
        assert!(front.decider().is_err_and(|status| status.code() == tonic::Code::Unavailable));
    }
}
