//! The thread that owns the encoder.
//!
//! It takes what waits, up to a budget of tokens, drops what nobody waits for any more, and answers each job on its own
//! channel. A panic or an error of the encoder costs the jobs of that batch and nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rhumb_models::encoder::{Encoder, Encoding};
use tokio::sync::{mpsc, oneshot};

use crate::error::EngineError;

/// The texts of one request, as windows of token ids.
#[derive(Debug)]
pub struct Job {
    /// Token ids of each window, special tokens included.
    pub windows: Vec<Vec<u32>>,
    /// When nobody will want the answer any more.
    pub deadline: Option<Instant>,
    /// When it was queued.
    pub queued: Instant,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<Encoded, EngineError>>,
}

/// What the encoder made of one job.
#[derive(Debug)]
pub struct Encoded {
    /// One for each window.
    pub encodings: Vec<Encoding>,
    /// Time in the queue.
    pub queue: Duration,
    /// Time of the whole micro-batch in the encoder.
    pub encode: Duration,
}

/// Counters of the worker.
#[derive(Debug, Default)]
pub struct Counters {
    /// Micro-batches computed.
    pub batches: AtomicU64,
    /// Texts computed.
    pub texts: AtomicU64,
    /// Tokens computed.
    pub tokens: AtomicU64,
    /// Texts dropped because nobody waited for them any more.
    pub dropped: AtomicU64,
}

impl Job {
    fn tokens(&self) -> usize {
        self.windows.iter().map(Vec::len).sum()
    }

    /// The job, if somebody still waits for it; else it is answered, counted and gone.
    fn if_wanted(self, now: Instant, counters: &Counters) -> Option<Self> {
        if self.deadline.is_none_or(|d| d > now) && !self.reply.is_closed() {
            return Some(self);
        }
        counters.dropped.fetch_add(1, Ordering::Relaxed);
        // The caller may be gone; then there is nobody to tell.
        let _ = self.reply.send(Err(EngineError::Deadline));
        None
    }
}

/// Runs until every sender is gone.
pub fn run(
    mut jobs: mpsc::Receiver<Job>,
    encoder: &mut dyn Encoder,
    batch_tokens: usize,
    counters: &Arc<Counters>,
) {
    while let Some(first) = jobs.blocking_recv() {
        let batch = collect(first, &mut jobs, batch_tokens);
        let now = Instant::now();
        let batch: Vec<Job> = batch.into_iter().filter_map(|job| job.if_wanted(now, counters)).collect();
        if !batch.is_empty() {
            answer(batch, encoder, counters);
        }
    }
}

/// Takes what already waits until the budget is reached; the last job taken may go beyond it.
fn collect(first: Job, jobs: &mut mpsc::Receiver<Job>, batch_tokens: usize) -> Vec<Job> {
    let mut tokens = first.tokens();
    let mut batch = vec![first];
    while tokens < batch_tokens {
        let Ok(job) = jobs.try_recv() else { break };
        tokens += job.tokens();
        batch.push(job);
    }
    batch
}

fn answer(batch: Vec<Job>, encoder: &mut dyn Encoder, counters: &Counters) {
    let started = Instant::now();
    let texts: Vec<&[u32]> = batch.iter().flat_map(|job| job.windows.iter().map(Vec::as_slice)).collect();
    let tokens: usize = texts.iter().map(|t| t.len()).sum();
    let result = catch_unwind(AssertUnwindSafe(|| encoder.encode(&texts)));
    let encode = started.elapsed();
    counters.batches.fetch_add(1, Ordering::Relaxed);
    counters.texts.fetch_add(batch.len() as u64, Ordering::Relaxed);
    counters.tokens.fetch_add(tokens as u64, Ordering::Relaxed);
    let failure = match result {
        Ok(Ok(encodings)) if encodings.len() == texts.len() => {
            return deliver(batch, encodings, started, encode);
        }
        Ok(Ok(encodings)) => format!("{} answers for {} texts", encodings.len(), texts.len()),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "panicked".to_owned(),
    };
    tracing::error!(%failure, texts = batch.len(), tokens, "encoder failed");
    for job in batch {
        let _ = job.reply.send(Err(EngineError::Encoder(failure.clone())));
    }
}

fn deliver(batch: Vec<Job>, encodings: Vec<Encoding>, started: Instant, encode: Duration) {
    let mut encodings = encodings.into_iter();
    for job in batch {
        let of_job = encodings.by_ref().take(job.windows.len()).collect();
        let queue = started.duration_since(job.queued);
        let _ = job.reply.send(Ok(Encoded { encodings: of_job, queue, encode }));
    }
}
