//! The threads that own the encoders, one for each.
//!
//! Each one warms its encoder up, which measures it too, and then computes batch after batch from the one queue. A panic or
//! an error of an encoder costs the requests of that batch and nothing else. A thread that ends costs its batch, and the
//! others go on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use rhumb_models::encoder::{Encoder, Encoding};
use rhumb_models::priority::step_back;

use crate::config::EngineConfig;
use crate::schedule::Batch;
use crate::scheduler::Scheduler;

/// Texts of the larger batch of the warm-up.
const WARM_UP_TEXTS: usize = 8;

/// The place of one encoder at the queue, until its thread ends, however it ends.
pub struct Seat {
    scheduler: Arc<Scheduler>,
    /// The encoder's number.
    encoder: usize,
    config: EngineConfig,
    /// What is in the encoder.
    batch: Option<Batch>,
    warm: bool,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.scheduler.leave(self.encoder, self.batch.take(), &self.config);
        self.set_warm();
    }
}

impl Seat {
    /// That of the encoder with this number.
    pub fn new(scheduler: Arc<Scheduler>, encoder: usize, config: EngineConfig) -> Self {
        Self { scheduler, encoder, config, batch: None, warm: false }
    }

    /// Runs until the scheduler is closed. `warm_up` is a text as token ids; without one nothing is measured beforehand.
    pub fn run(mut self, encoder: &mut dyn Encoder, warm_up: Option<&[u32]>) {
        step_back();
        if let Some(ids) = warm_up {
            self.measure(encoder, ids);
        }
        self.set_warm();
        let mut done = None;
        loop {
            self.batch = self.scheduler.next_batch(self.encoder, done.take());
            let Some(batch) = &self.batch else { return };
            let texts: Vec<&[u32]> = batch.entries.iter().map(|entry| entry.ids()).collect();
            let answer = encode(encoder, &texts);
            if let Err(failure) = &answer {
                tracing::error!(
                    %failure, encoder = self.encoder, windows = texts.len(), tokens = batch.total(),
                    "encoder failed"
                );
            }
            done = self.batch.take().map(|batch| (batch, answer));
        }
    }

    fn set_warm(&mut self) {
        if !std::mem::replace(&mut self.warm, true) {
            self.scheduler.set_warm();
        }
    }

    /// The first batch allocates and is not counted.
    fn measure(&self, encoder: &mut dyn Encoder, ids: &[u32]) {
        for (texts, counts) in [(1, false), (1, true), (WARM_UP_TEXTS, true)] {
            let batch = vec![ids; texts];
            let started = Instant::now();
            match encode(encoder, &batch) {
                Ok(_) if counts => {
                    self.scheduler.observe(self.encoder, ids.len() * texts, started.elapsed());
                }
                Ok(_) => {}
                Err(failure) => {
                    return tracing::warn!(%failure, encoder = self.encoder, "the warm-up failed");
                }
            }
        }
    }
}

fn encode(encoder: &mut dyn Encoder, texts: &[&[u32]]) -> Result<Vec<Encoding>, String> {
    match catch_unwind(AssertUnwindSafe(|| encoder.encode(texts))) {
        Ok(answer) => answer.map_err(|e| e.to_string()),
        Err(_) => Err("panicked".to_owned()),
    }
}
