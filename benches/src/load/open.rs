//! The open loop: every request at its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::call::{Client, Prepared};
use super::closed::Target;
use super::pace::wait_until;
use super::record::Outcome;
use super::schedule::Schedule;

/// How often the end of the last calls is looked for.
const LOOK: Duration = Duration::from_millis(5);

/// A request whose time has come.
struct Due {
    intended: Instant,
    call: Prepared,
}

/// What the pacer needs.
struct Pacer {
    target: Arc<Target>,
    schedule: Schedule,
    start: Instant,
    most: usize,
    in_flight: Arc<AtomicUsize>,
}

/// Sends the schedule from `start` on, with at most `most` calls in flight, and waits up to `patience` for the last
/// answers.
///
/// # Errors
/// If no thread can be started.
pub async fn run(
    target: Arc<Target>,
    schedule: Schedule,
    start: Instant,
    most: usize,
    patience: Duration,
) -> std::io::Result<()> {
    let in_flight = Arc::new(AtomicUsize::new(0));
    // Bounded by `most` calls in flight, which the pacer counts.
    let (due, queue) = unbounded_channel();
    let pacer =
        Pacer { target: Arc::clone(&target), schedule, start, most, in_flight: Arc::clone(&in_flight) };
    thread::Builder::new().name("pacer".to_owned()).spawn(move || pacer.run(&due))?;
    send(&target, queue, &in_flight).await;
    let end = Instant::now() + patience;
    while in_flight.load(Ordering::Relaxed) > 0 && Instant::now() < end {
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

impl Pacer {
    fn run(self, due: &UnboundedSender<Due>) {
        for offset in self.schedule {
            // Built before its time, so that building it costs no lateness.
            let call = self.target.call.prepare(&self.target.workload);
            let intended = self.start + offset;
            wait_until(intended);
            if self.in_flight.load(Ordering::Relaxed) >= self.most {
                self.target.recorder.overflow(intended);
                continue;
            }
            self.in_flight.fetch_add(1, Ordering::Relaxed);
            if due.send(Due { intended, call }).is_err() {
                // The run was given up.
                return;
            }
        }
    }
}

/// One task for each call.
async fn send(target: &Arc<Target>, mut queue: UnboundedReceiver<Due>, in_flight: &Arc<AtomicUsize>) {
    let mut clients = target.clients.iter().cycle();
    while let Some(due) = queue.recv().await {
        let Some(client) = clients.next().cloned() else { return };
        let (target, in_flight) = (Arc::clone(target), Arc::clone(in_flight));
        tokio::spawn(async move {
            one(&target, client, due).await;
            in_flight.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

async fn one(target: &Target, client: Client, due: Due) {
    let (intended, sent) = (due.intended, Instant::now());
    target.recorder.sent(intended, sent);
    let result = due.call.send(client).await;
    target.recorder.done(&Outcome { intended, sent, done: Instant::now(), result });
}
