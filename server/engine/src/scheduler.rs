//! The queue between async callers and the encoder threads: a lock held for microseconds, and a channel for each answer.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rhumb_models::encoder::Encoding;
use serde::Serialize;
use tokio::sync::{oneshot, watch};

use crate::answer::Call;
use crate::config::EngineConfig;
use crate::error::EngineError;
use crate::schedule::{Batch, Computed, Outcome, Queue, QueueStats, Reply, Request, Text, Ticket};

type ReplyTo = oneshot::Sender<Outcome<Made>>;

/// One window as vectors.
#[derive(Debug)]
pub struct Made {
    /// The vectors.
    pub encoding: Encoding,
    /// Whether they were computed in place of a lost device.
    pub degraded: bool,
}

/// The encoders that are left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct EncoderState {
    /// That compute, or are warming up.
    pub left: usize,
    /// That are gone: their device is lost, or their thread ended.
    pub lost: usize,
    /// Whether no device is left, and what computes stands in for them.
    pub degraded: bool,
}

/// The queue, shared.
#[derive(Debug)]
pub struct Scheduler {
    state: Mutex<State>,
    wake: Condvar,
    ready: watch::Sender<bool>,
    encoders: watch::Sender<EncoderState>,
}

#[derive(Debug)]
struct State {
    queue: Queue<ReplyTo, Made>,
    /// No engine is left, or no encoder.
    closed: bool,
    encoders: EncoderState,
    /// Encoders that are not warm yet.
    cold: usize,
}

impl State {
    fn lose(&mut self, encoder: usize) {
        if self.queue.lose(encoder) {
            self.encoders.left = self.queue.encoders();
            self.encoders.lost += usize::from(!self.closed);
        }
    }

    fn why_closed(&self) -> EngineError {
        if self.encoders.left == 0 && self.encoders.lost > 0 {
            EngineError::NoEncoder
        } else {
            EngineError::Stopped
        }
    }
}

/// The texts of one request, computed.
#[derive(Debug)]
pub struct Encoded {
    /// In the order of the request.
    pub texts: Vec<Arc<Computed<Made>>>,
    /// Time in the queue of the text that was finished last.
    pub queue: Duration,
    /// From then until it was finished.
    pub encode: Duration,
}

/// The clock of callers: it stands still in tests that pause time.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Takes the caller's request out of the queue where the caller goes away.
struct Leave<'a> {
    scheduler: &'a Scheduler,
    ticket: Option<Ticket>,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.scheduler.lock().queue.cancel(ticket, now());
        }
    }
}

impl Scheduler {
    /// An empty queue before so many encoders.
    pub fn new(config: &EngineConfig, encoders: usize) -> Self {
        let left = EncoderState { left: encoders, ..EncoderState::default() };
        let state =
            State { queue: Queue::new(config, encoders), closed: false, encoders: left, cold: encoders };
        Self {
            state: Mutex::new(state),
            wake: Condvar::new(),
            ready: watch::Sender::new(false),
            encoders: watch::Sender::new(left),
        }
    }

    /// A panic under the lock leaves a queue that may have lost a request, and no reason to lose all others.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request would be refused of which `least` tokens are known so far.
    ///
    /// # Errors
    /// Overloaded, or a deadline that cannot be kept.
    pub fn check(&self, call: &Call, least: usize) -> Result<(), EngineError> {
        let now = now();
        let mut state = self.lock();
        Ok(state.queue.check(call.lane, &call.tenant, call.deadline, call.admission, least, now)?)
    }

    /// Has texts computed. A caller that drops this future leaves the queue.
    ///
    /// # Errors
    /// Refused, late, failed, stopped.
    pub async fn encode(&self, call: &Call, texts: Vec<Text>) -> Result<Encoded, EngineError> {
        let (reply, answer) = oneshot::channel();
        let request = Request {
            lane: call.lane,
            tenant: call.tenant.clone(),
            deadline: call.deadline,
            admission: call.admission,
            texts,
            reply,
        };
        let ticket = self.push(request)?;
        let mut leave = Leave { scheduler: self, ticket: Some(ticket) };
        let outcome = answer.await;
        leave.ticket = None;
        match outcome {
            Ok(Outcome::Done { texts, queue, encode }) => Ok(Encoded { texts, queue, encode }),
            Ok(Outcome::Expired) => Err(EngineError::Deadline),
            Ok(Outcome::Failed(why)) => Err(EngineError::Encoder(why.to_string())),
            Err(_) => Err(self.lock().why_closed()),
        }
    }

    fn push(&self, request: Request<ReplyTo>) -> Result<Ticket, EngineError> {
        let now = now();
        let mut state = self.lock();
        if state.closed {
            return Err(state.why_closed());
        }
        let ticket = state.queue.push(request, now)?;
        let replies = state.queue.replies();
        drop(state);
        self.wake.notify_one();
        send(replies);
        Ok(ticket)
    }

    /// Takes an encoder's answer for its batch before, and waits for its next; `None` when no engine is left.
    pub(crate) fn next_batch(
        &self,
        encoder: usize,
        done: Option<(Batch, Result<Vec<Made>, String>)>,
    ) -> Option<Batch> {
        let mut state = self.lock();
        if let Some((batch, answer)) = done {
            state.queue.complete(batch, answer, Instant::now());
        }
        loop {
            let next = if state.closed { None } else { state.queue.take(encoder, Instant::now()) };
            if next.is_some() && state.queue.encoders() > 1 && state.queue.has_waiting() {
                // A request may be more than one batch, and whoever pushed it woke one thread.
                self.wake.notify_one();
            }
            let (replies, closed) = (state.queue.replies(), state.closed);
            if !replies.is_empty() {
                drop(state);
                send(replies);
                state = self.lock();
            } else if next.is_none() && !closed {
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if next.is_some() || closed {
                return next;
            }
        }
    }

    /// Takes the answer for a batch from an encoder that asks for no more.
    pub(crate) fn complete(&self, batch: Batch, answer: Result<Vec<Made>, String>) {
        let mut state = self.lock();
        state.queue.complete(batch, answer, Instant::now());
        let replies = state.queue.replies();
        drop(state);
        send(replies);
    }

    /// The device of an encoder is lost; how many encoders are left besides. Where none is and `has_spare`, something else
    /// takes its place; otherwise nothing is expected of it any more.
    pub(crate) fn lose(&self, encoder: usize, has_spare: bool) -> usize {
        let mut state = self.lock();
        let left = state.queue.encoders().saturating_sub(1);
        if left == 0 && has_spare {
            state.queue.replace(encoder, Instant::now());
            state.encoders = EncoderState { lost: state.encoders.lost + 1, degraded: true, ..state.encoders };
        } else {
            state.lose(encoder);
        }
        self.encoders.send_replace(state.encoders);
        left
    }

    /// Adds a batch of the warm-up to the measured speed of an encoder.
    pub(crate) fn observe(&self, encoder: usize, tokens: usize, took: Duration) {
        self.lock().queue.observe(encoder, tokens, took);
    }

    /// One more encoder is warm, or gone before it was.
    pub(crate) fn set_warm(&self) {
        let mut state = self.lock();
        state.cold = state.cold.saturating_sub(1);
        if state.cold == 0 {
            self.ready.send_replace(true);
        }
    }

    /// Waits until every encoder is warm, or gone.
    pub async fn ready(&self) {
        // An error means that the sender is gone, and it is a field of this.
        let _ = self.ready.subscribe().wait_for(|ready| *ready).await;
    }

    /// Takes nothing more; what waits is answered by closing its channel.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        drop(state);
        self.wake.notify_all();
    }

    /// An encoder is gone, and the batch that it had fails. With the last one nothing that waits will ever be answered.
    pub(crate) fn leave(&self, encoder: usize, batch: Option<Batch>, config: &EngineConfig) {
        let mut state = self.lock();
        state.lose(encoder);
        let is_last = state.queue.encoders() == 0;
        // Of the last one's batch nothing else is to be told than of what waits.
        if let Some(batch) = batch.filter(|_| !is_last) {
            state.queue.complete(batch, Err("the encoder is gone".to_owned()), Instant::now());
        }
        let replies = state.queue.replies();
        self.encoders.send_replace(state.encoders);
        let left = is_last.then(|| {
            state.closed = true;
            std::mem::replace(&mut state.queue, Queue::new(config, 0))
        });
        drop(state);
        send(replies);
        drop(left);
        // It may have been the one that was woken.
        self.wake.notify_one();
    }

    /// What was counted.
    pub fn stats(&self) -> QueueStats {
        self.lock().queue.stats()
    }

    /// The encoders that are left.
    pub fn encoders(&self) -> EncoderState {
        *self.encoders.borrow()
    }

    /// Waits until no encoder is left.
    pub async fn gone(&self) {
        // An error means that the sender is gone, and it is a field of this.
        let _ = self.encoders.subscribe().wait_for(|encoders| encoders.left == 0).await;
    }
}

fn send(replies: Vec<Reply<ReplyTo, Made>>) {
    for reply in replies {
        // The caller may be gone; then there is nobody to tell.
        let _ = reply.to.send(reply.outcome);
    }
}
