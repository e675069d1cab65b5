//! The threads that own the encoders, one for each.
//!
//! Each one warms its encoder up, which measures it too, and then computes batch after batch from the one queue. A panic or
//! an error of an encoder costs the requests of that batch and nothing else. A thread that ends costs its batch, and the
//! others go on. What a lost device costs is told in `spare.rs`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use rhumb_models::encoder::{Encoder, Encoding};
use rhumb_models::priority::step_back;

use crate::config::EngineConfig;
use crate::schedule::Batch;
use crate::scheduler::{Made, Scheduler};
use crate::spare::{Spare, Trouble, encode};

/// Texts of the larger batch of the warm-up.
const WARM_UP_TEXTS: usize = 8;

/// The place of one encoder at the queue, until its thread ends, however it ends.
pub struct Seat {
    scheduler: Arc<Scheduler>,
    /// The encoder's number.
    encoder: usize,
    spare: Arc<Spare>,
    config: EngineConfig,
    /// A text as token ids; without one nothing is measured beforehand.
    warm_up: Option<Arc<[u32]>>,
    /// What is in the encoder.
    batch: Option<Batch>,
    warm: bool,
}

/// What encodes: the encoder of the seat, or the spare one.
type Encode<'a> = &'a mut dyn FnMut(&[&[u32]]) -> Result<Vec<Encoding>, Trouble>;

impl Drop for Seat {
    fn drop(&mut self) {
        self.scheduler.leave(self.encoder, self.batch.take(), &self.config);
        self.set_warm();
    }
}

impl Seat {
    /// That of the encoder with this number.
    pub fn new(
        scheduler: Arc<Scheduler>,
        encoder: usize,
        spare: Arc<Spare>,
        config: EngineConfig,
        warm_up: Option<Arc<[u32]>>,
    ) -> Self {
        Self { scheduler, encoder, spare, config, warm_up, batch: None, warm: false }
    }

    /// Runs until the scheduler is closed, or the device is lost and this thread is not needed any more.
    pub fn run(mut self, mut encoder: Box<dyn Encoder>) {
        // What computes here must not starve what answers; nor must what waits for a GPU, which the driver does in a loop.
        step_back();
        let served = self.serve(false, &mut |texts| encode(encoder.as_mut(), texts));
        let Err(problem) = served else { return };
        // Nothing will be asked of it again. What a lost device makes of being freed is nobody's affair.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(encoder)));
        if let Err(problem) = self.without_device(&problem) {
            tracing::error!(problem, encoder = self.encoder, "nothing computes in place of the lost device");
        }
    }

    /// Computes batch after batch; why the device is lost, and then its batch still lies here.
    fn serve(&mut self, degraded: bool, with: Encode<'_>) -> Result<(), String> {
        if let Some(ids) = self.warm_up.clone() {
            self.measure(&ids, with)?;
        }
        self.set_warm();
        let mut done = None;
        loop {
            self.batch = self.scheduler.next_batch(self.encoder, done.take());
            if self.batch.is_none() {
                return Ok(());
            }
            done = self.compute(degraded, with)?;
        }
    }

    /// The batch that lies here, with its answer.
    #[allow(clippy::type_complexity, reason = "it is what the scheduler takes")]
    fn compute(
        &mut self,
        degraded: bool,
        with: Encode<'_>,
    ) -> Result<Option<(Batch, Result<Vec<Made>, String>)>, String> {
        let Some(batch) = &self.batch else { return Ok(None) };
        let texts: Vec<&[u32]> = batch.entries.iter().map(|entry| entry.ids()).collect();
        let answer = match with(&texts) {
            Ok(encodings) => Ok(encodings.into_iter().map(|encoding| Made { encoding, degraded }).collect()),
            Err(Trouble::Device(problem)) => return Err(problem),
            Err(Trouble::Batch(failure)) => {
                let (windows, tokens) = (texts.len(), batch.total());
                tracing::error!(%failure, encoder = self.encoder, windows, tokens, "encoder failed");
                Err(failure)
            }
        };
        Ok(self.batch.take().map(|batch| (batch, answer)))
    }

    /// What becomes of the batch, and of this thread, after its device was lost.
    fn without_device(&mut self, problem: &str) -> Result<(), String> {
        let has_spare = self.spare.is_there();
        let left = self.scheduler.lose(self.encoder, has_spare);
        let (encoder, is_last) = (self.encoder, left == 0);
        match (has_spare, is_last) {
            (true, true) => tracing::error!(
                problem,
                encoder,
                "device lost; no other is left, so the CPU computes, and what it computed is DEGRADED"
            ),
            (true, false) => {
                tracing::error!(
                    problem,
                    encoder,
                    left,
                    "device lost; the CPU computes its batch, then others go on"
                );
            }
            (false, _) => {
                tracing::error!(problem, encoder, left, "device lost; its batch fails");
                return Ok(());
            }
        }
        let spare = Arc::clone(&self.spare);
        spare.make()?;
        if let Some(batch) = &mut self.batch {
            // What was lost and loaded says nothing about the speed.
            batch.begin_again(Instant::now());
        }
        let with: Encode<'_> = &mut |texts| spare.encode(texts);
        if let Some((batch, answer)) = self.compute(true, with)? {
            self.scheduler.complete(batch, answer);
        }
        if is_last { self.serve(true, with) } else { Ok(()) }
    }

    fn set_warm(&mut self) {
        if !std::mem::replace(&mut self.warm, true) {
            self.scheduler.set_warm();
        }
    }

    /// The first batch allocates and is not counted.
    fn measure(&self, ids: &[u32], with: Encode<'_>) -> Result<(), String> {
        for (texts, counts) in [(1, false), (1, true), (WARM_UP_TEXTS, true)] {
            let batch = vec![ids; texts];
            let started = Instant::now();
            match with(&batch) {
                Ok(_) if counts => {
                    self.scheduler.observe(self.encoder, ids.len() * texts, started.elapsed());
                }
                Ok(_) => {}
                Err(Trouble::Device(problem)) => return Err(problem),
                Err(Trouble::Batch(failure)) => {
                    tracing::warn!(%failure, encoder = self.encoder, "the warm-up failed");
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
