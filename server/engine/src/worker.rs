//! The thread that owns the encoder.
//!
//! It warms the encoder up, which measures it too, and then computes batch after batch. A panic or an error of the encoder
//! costs the requests of that batch and nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use rhumb_models::encoder::{Encoder, Encoding};
use rhumb_models::priority::step_back;

use crate::config::EngineConfig;
use crate::scheduler::Scheduler;

/// Texts of the larger batch of the warm-up.
const WARM_UP_TEXTS: usize = 8;

/// Ends what waits when the thread ends, however it ends.
struct Gone<'a>(&'a Scheduler, &'a EngineConfig);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        self.0.abandon(self.1);
    }
}

/// Runs until the scheduler is closed. `warm_up` is a text as token ids; without one nothing is measured beforehand.
pub fn run(
    scheduler: &Arc<Scheduler>,
    encoder: &mut dyn Encoder,
    warm_up: Option<&[u32]>,
    config: &EngineConfig,
) {
    let _gone = Gone(scheduler, config);
    step_back();
    if let Some(ids) = warm_up {
        measure(scheduler, encoder, ids);
    }
    scheduler.set_ready();
    let mut done = None;
    while let Some(batch) = scheduler.next_batch(done.take()) {
        let texts: Vec<&[u32]> = batch.entries.iter().map(|entry| entry.ids()).collect();
        let answer = encode(encoder, &texts);
        if let Err(failure) = &answer {
            tracing::error!(%failure, windows = texts.len(), tokens = batch.total(), "encoder failed");
        }
        drop(texts);
        done = Some((batch, answer));
    }
}

/// The first batch allocates and is not counted.
fn measure(scheduler: &Scheduler, encoder: &mut dyn Encoder, ids: &[u32]) {
    for (texts, counts) in [(1, false), (1, true), (WARM_UP_TEXTS, true)] {
        let batch = vec![ids; texts];
        let started = Instant::now();
        match encode(encoder, &batch) {
            Ok(_) if counts => scheduler.observe(ids.len() * texts, started.elapsed()),
            Ok(_) => {}
            Err(failure) => return tracing::warn!(%failure, "the warm-up failed"),
        }
    }
}

fn encode(encoder: &mut dyn Encoder, texts: &[&[u32]]) -> Result<Vec<Encoding>, String> {
    match catch_unwind(AssertUnwindSafe(|| encoder.encode(texts))) {
        Ok(answer) => answer.map_err(|e| e.to_string()),
        Err(_) => Err("panicked".to_owned()),
    }
}
