//! Counters of the HTTP side. Labels are doors, statuses, verdicts and outcomes: few, and none of them is a user's word.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rhumb_proto::v1;

use super::door::Door;

/// Statuses that are told apart; others count as 500.
pub const STATUSES: [u16; 14] = [200, 400, 401, 403, 404, 408, 409, 413, 415, 429, 500, 502, 503, 504];
/// Upper bounds of the histogram of times, in milliseconds.
pub const BOUNDS_MS: [u64; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];
/// Verdicts that are told apart.
pub const VERDICTS: [v1::Verdict; 5] =
    [v1::Verdict::Allow, v1::Verdict::Warn, v1::Verdict::Escalate, v1::Verdict::Deny, v1::Verdict::Abstain];
/// What became of actions.
pub const OUTCOMES: [v1::Outcome; 2] = [v1::Outcome::Pass, v1::Outcome::Stop];

/// Counters of one door.
#[derive(Debug, Default)]
pub struct Counted {
    /// Answers by status, as in [`STATUSES`].
    pub statuses: [AtomicU64; 14],
    /// Decisions by verdict and outcome, as in [`VERDICTS`] and [`OUTCOMES`].
    pub decisions: [[AtomicU64; 2]; 5],
    /// Answers by time, as in [`BOUNDS_MS`], and those beyond; not cumulative.
    pub times: [AtomicU64; 13],
    /// Microseconds of all answers together.
    pub micros: AtomicU64,
}

/// Counters of the HTTP side since it was started.
#[derive(Debug, Default)]
pub struct Metrics([Counted; 5]);

impl Metrics {
    /// The counters of each door.
    pub fn doors(&self) -> impl Iterator<Item = (Door, &Counted)> {
        Door::ALL.into_iter().zip(&self.0)
    }

    fn of(&self, door: Door) -> Option<&Counted> {
        self.doors().find(|(other, _)| *other == door).map(|(_, counted)| counted)
    }

    /// Counts an answer.
    pub fn answered(&self, door: Door, status: u16, took: Duration) {
        let Some(counted) = self.of(door) else { return };
        let status = STATUSES.iter().position(|known| *known == status);
        let broken = STATUSES.iter().position(|known| *known == 500);
        add(status.or(broken).and_then(|i| counted.statuses.get(i)), 1);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MS.iter().position(|bound| micros <= bound * 1000).unwrap_or(BOUNDS_MS.len());
        add(counted.times.get(bucket), 1);
        add(Some(&counted.micros), micros);
    }

    /// Counts a decision.
    pub fn decided(&self, door: Door, response: &v1::ScoreResponse) {
        let verdict = VERDICTS.iter().position(|verdict| *verdict == response.verdict());
        let outcome = OUTCOMES.iter().position(|outcome| *outcome == response.outcome());
        let cell = self.of(door).and_then(|counted| counted.decisions.get(verdict?)?.get(outcome?));
        add(cell, 1);
    }
}

fn add(counter: Option<&AtomicU64>, n: u64) {
    if let Some(counter) = counter {
        counter.fetch_add(n, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_status_is_counted_as_our_fault() {
        let metrics = Metrics::default();
        metrics.answered(Door::Score, 418, Duration::from_millis(3));
        metrics.answered(Door::Score, 200, Duration::from_secs(60));
        let (_, counted) = metrics.doors().next().unwrap();
        assert_eq!(counted.statuses[10].load(Ordering::Relaxed), 1);
        assert_eq!(counted.statuses[0].load(Ordering::Relaxed), 1);
        assert_eq!(counted.times[2].load(Ordering::Relaxed), 1);
        assert_eq!(counted.times[12].load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_decision_is_counted_with_what_became_of_it() {
        let metrics = Metrics::default();
        let denied = v1::ScoreResponse {
            verdict: v1::Verdict::Deny.into(),
            outcome: v1::Outcome::Stop.into(),
            ..v1::ScoreResponse::default()
        };
        metrics.decided(Door::LiteLlm, &denied);
        let (_, counted) = metrics.doors().nth(3).unwrap();
        assert_eq!(counted.decisions[3][1].load(Ordering::Relaxed), 1);
    }
}
