//! What became of every call.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tonic::Code;

use super::call::{Answers, ServerTimes};
use super::histogram::Durations;

/// One call from its schedule to its end.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// When it was due.
    pub intended: Instant,
    /// When it went out.
    pub sent: Instant,
    /// When its answer was there.
    pub done: Instant,
    /// What came back.
    pub result: Result<Answers, Code>,
}

/// Calls by what became of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Calls that were due.
    pub scheduled: u64,
    /// Calls that were due while too many were in flight, and so never sent.
    pub overflow: u64,
    /// Calls that went out.
    pub sent: u64,
    /// OK within the deadline, counted from the intended time; any OK where there is no deadline.
    pub ok: u64,
    /// OK after it.
    pub late: u64,
    /// RESOURCE_EXHAUSTED or UNAVAILABLE: the server would not take them.
    pub refused: u64,
    /// DEADLINE_EXCEEDED, said by the server or by our own timer.
    pub expired: u64,
    /// Any other code.
    pub failed: u64,
    /// No answer when the run was over.
    pub unanswered: u64,
    /// Calls that were not OK, by code.
    pub codes: BTreeMap<&'static str, u64>,
    /// What the OK answers held.
    pub answers: Answers,
}

/// Counts and times of one phase.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Calls.
    pub counts: Counts,
    /// OK answers, from the intended time.
    pub latency: Durations,
    /// OK answers, from the sending.
    pub from_send: Durations,
    /// The server's own word on OK answers: all, waiting for an encoder, and in it.
    pub server: [Durations; 3],
    /// Refusals, from the sending: what is judged is how quickly the server says no.
    pub refusal: Durations,
    /// Expired calls, from the intended time.
    pub expired: Durations,
    /// Sending behind the intended time: the generator's own fault.
    pub lateness: Durations,
    /// When the last call ended.
    pub last: Option<Instant>,
}

/// Takes outcomes; those that were due before `begin` are warm-up and do not count.
#[derive(Debug)]
pub struct Recorder {
    begin: Instant,
    deadline: Option<Duration>,
    answered: AtomicU64,
    record: Mutex<Record>,
}

impl Recorder {
    /// Nothing yet.
    pub fn new(begin: Instant, deadline: Option<Duration>) -> Self {
        Self { begin, deadline, answered: AtomicU64::new(0), record: Mutex::default() }
    }

    /// When counting begins.
    pub fn begin(&self) -> Instant {
        self.begin
    }

    /// A call goes out.
    pub fn sent(&self, intended: Instant, sent: Instant) {
        if intended >= self.begin {
            let mut record = self.lock();
            record.counts.scheduled += 1;
            record.counts.sent += 1;
            record.lateness.add(sent.saturating_duration_since(intended));
        }
    }

    /// A call was due that may not go out.
    pub fn overflow(&self, intended: Instant) {
        if intended >= self.begin {
            let mut record = self.lock();
            record.counts.scheduled += 1;
            record.counts.overflow += 1;
        }
    }

    /// A call has ended.
    pub fn done(&self, outcome: &Outcome) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        if outcome.intended >= self.begin {
            self.lock().add(outcome, self.deadline);
        }
    }

    /// Calls answered so far, the warm-up included.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// All so far; what was sent and has not ended is unanswered.
    pub fn record(&self) -> Record {
        let mut record = self.lock().clone();
        let counts = &mut record.counts;
        let ended = counts.ok + counts.late + counts.refused + counts.expired + counts.failed;
        counts.unanswered = counts.sent.saturating_sub(ended);
        record
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn add(&mut self, outcome: &Outcome, deadline: Option<Duration>) {
        self.last = self.last.max(Some(outcome.done));
        match &outcome.result {
            Ok(answers) => self.add_ok(outcome, answers, deadline),
            Err(code) => self.add_error(outcome, *code),
        }
    }

    fn add_ok(&mut self, outcome: &Outcome, answers: &Answers, deadline: Option<Duration>) {
        let latency = outcome.done.saturating_duration_since(outcome.intended);
        self.latency.add(latency);
        self.from_send.add(outcome.done.saturating_duration_since(outcome.sent));
        if let Some(ServerTimes { total, queue, encode }) = answers.server {
            self.server.iter_mut().zip([total, queue, encode]).for_each(|(all, time)| all.add(time));
        }
        self.counts.answers.add(answers);
        match deadline.is_some_and(|d| latency > d) {
            true => self.counts.late += 1,
            false => self.counts.ok += 1,
        }
    }

    fn add_error(&mut self, outcome: &Outcome, code: Code) {
        *self.counts.codes.entry(name(code)).or_default() += 1;
        match code {
            Code::ResourceExhausted | Code::Unavailable => {
                self.counts.refused += 1;
                self.refusal.add(outcome.done.saturating_duration_since(outcome.sent));
            }
            Code::DeadlineExceeded => {
                self.counts.expired += 1;
                self.expired.add(outcome.done.saturating_duration_since(outcome.intended));
            }
            _ => self.counts.failed += 1,
        }
    }
}

/// As gRPC writes it.
fn name(code: Code) -> &'static str {
    match code {
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::Unavailable => "UNAVAILABLE",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::Cancelled => "CANCELLED",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::Internal => "INTERNAL",
        _ => "OTHER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn every_call_ends_in_one_place() {
        let begin = Instant::now();
        let recorder = Recorder::new(begin, Some(10 * MS));
        let ends = [
            Some((5, Ok(Answers::default()))),
            Some((15, Ok(Answers::default()))),
            Some((1, Err(Code::ResourceExhausted))),
            Some((1, Err(Code::Unavailable))),
            Some((10, Err(Code::DeadlineExceeded))),
            Some((2, Err(Code::Internal))),
            None,
        ];
        for end in ends {
            recorder.sent(begin, begin + MS);
            if let Some((ms, result)) = end {
                let outcome = Outcome { intended: begin, sent: begin + MS, done: begin + ms * MS, result };
                recorder.done(&outcome);
            }
        }
        recorder.overflow(begin);
        let record = recorder.record();
        let c = &record.counts;
        assert_eq!((c.ok, c.late, c.refused, c.expired, c.failed, c.unanswered), (1, 1, 2, 1, 1, 1));
        assert_eq!((c.scheduled, c.sent, c.overflow), (8, 7, 1));
        assert_eq!(c.codes["INTERNAL"], 1);
        assert_eq!(record.last, Some(begin + 15 * MS));
    }

    #[test]
    fn a_late_generator_is_no_excuse_for_the_latency() {
        let begin = Instant::now();
        let recorder = Recorder::new(begin, Some(10 * MS));
        recorder.sent(begin, begin + 9 * MS);
        let result = Ok(Answers::default());
        recorder.done(&Outcome { intended: begin, sent: begin + 9 * MS, done: begin + 12 * MS, result });
        let record = recorder.record();
        assert_eq!(record.counts.late, 1);
        assert!((record.latency.quantiles().max - 12.0).abs() < 0.1);
        assert!((record.from_send.quantiles().max - 3.0).abs() < 0.1);
        assert!((record.lateness.quantiles().max - 9.0).abs() < 0.1);
    }

    #[test]
    fn the_warm_up_does_not_count() {
        let before = Instant::now();
        let recorder = Recorder::new(before + MS, None);
        recorder.sent(before, before);
        recorder.done(&Outcome {
            intended: before,
            sent: before,
            done: before + MS,
            result: Err(Code::Internal),
        });
        assert_eq!(recorder.record().counts, Counts::default());
        assert_eq!(recorder.answered(), 1);
    }
}
