//! `ScoreStream` with so many requests in flight. The id of a request is its slot: answers may overtake one another.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rhumb_proto::v1::{ScoreRequest, ScoreResponse};
use tokio::sync::mpsc::{Sender, channel};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::call::{Client, code, single};
use super::closed::{REFUSED_PAUSE, Stop, Target};
use super::record::Outcome;

/// No answer takes longer from a server that lives.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// One stream's requests in flight.
struct Slots {
    target: Arc<Target>,
    stop: Arc<Stop>,
    /// When the request of each slot went out; `None`: the slot is free.
    sent: Vec<Option<Instant>>,
}

/// Keeps a stream full until it is over; opens another where one breaks.
pub async fn run(target: Arc<Target>, client: Client, slots: usize, stop: Arc<Stop>) {
    let mut slots = Slots { target, stop, sent: vec![None; slots] };
    while let Err(code) = slots.one_stream(client.clone()).await {
        slots.fail_all(code);
        tokio::time::sleep(REFUSED_PAUSE).await;
    }
}

impl Slots {
    /// One stream, until nothing more is to be sent and everything is answered.
    async fn one_stream(&mut self, mut client: Client) -> Result<(), Code> {
        let (sender, receiver) = channel(self.sent.len());
        for slot in 0..self.sent.len() {
            self.fill(slot, &sender).await;
        }
        if self.is_empty() {
            return Ok(());
        }
        let request = self.target.call.request(ReceiverStream::new(receiver));
        let opened = within(client.score_stream(request)).await?;
        self.answers(opened.into_inner(), &sender).await
    }

    async fn answers(
        &mut self,
        mut inbound: Streaming<ScoreResponse>,
        sender: &Sender<ScoreRequest>,
    ) -> Result<(), Code> {
        while !self.is_empty() {
            let response = within(inbound.message()).await?.ok_or(Code::Unavailable)?;
            let Some(slot) = self.end(&response) else { continue };
            if response.drift.is_none() {
                tokio::time::sleep(REFUSED_PAUSE).await;
            }
            self.fill(slot, sender).await;
        }
        Ok(())
    }

    /// Sends the next request in a free slot, if there is one more.
    async fn fill(&mut self, slot: usize, sender: &Sender<ScoreRequest>) {
        if !self.stop.one_more() {
            return;
        }
        let mut request = self.target.workload.next();
        request.request_id = slot.to_string();
        let now = Instant::now();
        self.sent.get_mut(slot).into_iter().for_each(|s| *s = Some(now));
        self.target.recorder.sent(now, now);
        // A stream that has ended says so when it is read.
        let _ = sender.send(request).await;
    }

    /// Counts an answer and frees its slot.
    fn end(&mut self, response: &ScoreResponse) -> Option<usize> {
        let slot: usize = response.request_id.parse().ok()?;
        let sent = self.sent.get_mut(slot)?.take()?;
        let outcome = Outcome { intended: sent, sent, done: Instant::now(), result: single(response) };
        self.target.recorder.done(&outcome);
        Some(slot)
    }

    fn fail_all(&mut self, code: Code) {
        for sent in self.sent.iter_mut().filter_map(Option::take) {
            let outcome = Outcome { intended: sent, sent, done: Instant::now(), result: Err(code) };
            self.target.recorder.done(&outcome);
        }
    }

    fn is_empty(&self) -> bool {
        self.sent.iter().all(Option::is_none)
    }
}

/// The answer, within [`PATIENCE`].
async fn within<T>(answer: impl Future<Output = Result<T, Status>>) -> Result<T, Code> {
    match timeout(PATIENCE, answer).await {
        Ok(answer) => answer.map_err(|status| code(&status)),
        Err(_) => Err(Code::DeadlineExceeded),
    }
}
