//! The closed loop: so many in flight, the next one when an answer is there. For capacity, for bulk in the background
//! and for soaking; its latencies say nothing about callers that come on their own time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tonic::Code;

use super::call::{Answers, Call, Client, Rpc};
use super::record::{Outcome, Recorder};
use super::stream;
use super::workload::Workload;

/// After a refusal: a loop that asks again at once measures nothing but refusals.
pub const REFUSED_PAUSE: Duration = Duration::from_millis(10);

/// Where calls go, what they are and who counts them.
#[derive(Debug)]
pub struct Target {
    /// Connections.
    pub clients: Vec<Client>,
    /// What the calls have in common.
    pub call: Call,
    /// What they carry.
    pub workload: Arc<Workload>,
    /// Who counts.
    pub recorder: Arc<Recorder>,
}

/// When a loop ends.
#[derive(Debug)]
pub enum Stop {
    /// At a time.
    At(Instant),
    /// When it is set.
    Flag(AtomicBool),
    /// After so many more calls.
    Count(AtomicU64),
}

impl Stop {
    /// Whether one more call may go out; of a count it takes one.
    pub fn one_more(&self) -> bool {
        match self {
            Self::At(end) => Instant::now() < *end,
            Self::Flag(over) => !over.load(Ordering::Relaxed),
            Self::Count(left) => {
                left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok()
            }
        }
    }

    /// Ends a loop that has a flag.
    pub fn stop(&self) {
        if let Self::Flag(over) = self {
            over.store(true, Ordering::Relaxed);
        }
    }
}

/// Keeps `concurrency` calls in flight until it is over, and waits for the last answers.
pub async fn run(target: Arc<Target>, concurrency: usize, stop: Arc<Stop>) {
    let mut loops = JoinSet::new();
    match target.call.rpc {
        Rpc::Stream => {
            // One stream a connection; the requests in flight are spread over them.
            let connections = target.clients.len().min(concurrency).max(1);
            for (i, client) in target.clients.iter().take(connections).enumerate() {
                let slots = (concurrency + i) / connections;
                loops.spawn(stream::run(Arc::clone(&target), client.clone(), slots, Arc::clone(&stop)));
            }
        }
        Rpc::Score | Rpc::Batch => {
            for client in target.clients.iter().cycle().take(concurrency) {
                loops.spawn(calls(Arc::clone(&target), client.clone(), Arc::clone(&stop)));
            }
        }
    }
    loops.join_all().await;
}

/// One after the other.
async fn calls(target: Arc<Target>, client: Client, stop: Arc<Stop>) {
    while stop.one_more() {
        let call = target.call.prepare(&target.workload);
        let sent = Instant::now();
        target.recorder.sent(sent, sent);
        let result = call.send(client.clone()).await;
        let refused = nothing_scored(&result);
        target.recorder.done(&Outcome { intended: sent, sent, done: Instant::now(), result });
        if refused {
            tokio::time::sleep(REFUSED_PAUSE).await;
        }
    }
}

fn nothing_scored(result: &Result<Answers, Code>) -> bool {
    result.as_ref().map_or(true, |answers| answers.scored == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_lets_just_so_many_go() {
        let stop = Stop::Count(AtomicU64::new(3));
        assert_eq!((0..10).filter(|_| stop.one_more()).count(), 3);
    }

    #[test]
    fn a_flag_stops_at_once_and_a_time_in_its_time() {
        let flag = Stop::Flag(AtomicBool::new(false));
        assert!(flag.one_more());
        flag.stop();
        assert!(!flag.one_more());
        assert!(!Stop::At(Instant::now()).one_more());
        assert!(Stop::At(Instant::now() + Duration::from_secs(60)).one_more());
    }
}
