//! The CPU encoder: weights packed once, texts laid end to end without padding, in f32 or int8.
//!
//! At the length of an action the arithmetic is small; what costs is fetching and re-packing weights. So every matrix is
//! packed at load, in the order in which its kernel reads it. The texts of a batch are laid end to end in groups of some
//! hundred tokens, one group for each thread; a single text is spread over the threads by columns. Several encoders may
//! share the weights and the processor: one that computes alone has all threads, and as many as compute at once each their
//! share, so that nobody waits for a text that came before. No text sees another:
//! products and normalisation work row by row, attention text by text, and the order of additions within a row never
//! depends on its neighbours.

mod activation;
mod attention;
#[cfg(target_arch = "x86_64")]
mod attention_avx512;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod crew;
mod fallback;
mod job;
mod model;
mod panels;
mod plan;
mod product;
mod rows;
#[cfg(target_arch = "x86_64")]
mod rows_avx512;
pub mod smoothing;
mod team;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use safetensors::SafeTensors;

use self::crew::Crew;
use self::model::{Model, Scratch};
use self::plan::Plan;
pub use self::product::Kernel;
pub(super) use self::rows::Norm;
use self::smoothing::Smoothing;
use self::team::Team;
use super::config::ModelConfig;
use super::{Encoder, EncoderError, EncoderInfo, Encoding};
use crate::bundle::{Bundle, Pooling};

/// How the products are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// f32 weights and activations: the exact path.
    F32,
    /// i8 weights with a scale for each output, u8 activations with a scale and zero point for each row, i32 sums.
    Int8,
}

/// BERT on packed weights.
pub struct CpuEncoder {
    shared: Arc<Shared>,
}

/// What encoders of one processor have in common.
struct Shared {
    info: EncoderInfo,
    model: Model,
    pooling: Pooling,
    normalize: bool,
    scratch: Mutex<Vec<Scratch>>,
    crew: Crew,
}

impl CpuEncoder {
    /// Packs a verified bundle for `threads` threads (0: one for each core).
    ///
    /// # Errors
    /// If the configuration is not supported, a tensor is missing or has the wrong shape, or the system gives no threads.
    pub fn load(
        bundle: &Bundle,
        arithmetic: Arithmetic,
        threads: usize,
        kernel: Kernel,
    ) -> Result<Self, EncoderError> {
        let config = ModelConfig::of(bundle)?;
        let spec = &bundle.manifest.encoder;
        let tensors =
            SafeTensors::deserialize(&bundle.weights).map_err(|e| EncoderError::Weights(e.to_string()))?;
        let digest = bundle.manifest.digest();
        let smoothing = Smoothing::of_model(&digest)?;
        let model = Model::load(&config, &tensors, arithmetic, smoothing.as_ref(), kernel)?;
        let crew =
            Crew::new(super::thread_count(threads)).map_err(|e| EncoderError::Compute(e.to_string()))?;
        let info = EncoderInfo {
            model: bundle.manifest.name.clone(),
            digest,
            device: "cpu".into(),
            precision: match arithmetic {
                Arithmetic::F32 => "f32".into(),
                Arithmetic::Int8 => "int8".into(),
            },
            backend: model.backend(),
            width: config.hidden_size,
            max_length: spec.max_length,
            threads: crew.threads(),
        };
        let (pooling, normalize) = (spec.pooling, spec.normalize);
        let scratch = Mutex::default();
        Ok(Self { shared: Arc::new(Shared { info, model, pooling, normalize, scratch, crew }) })
    }

    /// With others on the same weights and threads: as many as suit the processor.
    pub fn and_others(self) -> Vec<Self> {
        let seats = crew::seats(self.shared.crew.threads());
        (0..seats).map(|_| Self { shared: Arc::clone(&self.shared) }).collect()
    }

    /// Factors for int8, from the largest values that the inputs of every product have on these texts.
    ///
    /// # Errors
    /// If the encoder does not compute in f32, or as [`Encoder::encode`].
    pub fn measure_smoothing(bundle: &Bundle, texts: &[Vec<u32>]) -> Result<Smoothing, EncoderError> {
        let this = Self::load(bundle, Arithmetic::F32, 1, Kernel::Best)?.shared;
        let mut scratch = Scratch::observing();
        for text in texts {
            super::check_batch(&[text], this.info.max_length, this.model.vocab_size())?;
            this.model.forward(&[text], &Team::new(1), &mut scratch)?;
        }
        let config = ModelConfig::of(bundle)?;
        let tensors =
            SafeTensors::deserialize(&bundle.weights).map_err(|e| EncoderError::Weights(e.to_string()))?;
        let weights = model::largest_weights(&config, &tensors)?;
        Ok(Smoothing::measured(this.info.digest.clone(), texts.len(), &scratch.observed(), &weights))
    }
}

impl Shared {
    fn encode_group(&self, group: &[&[u32]], team: &Team) -> Result<Vec<Encoding>, EncoderError> {
        let mut scratch = lock(&self.scratch).pop().unwrap_or_default();
        let states = self.model.forward(group, team, &mut scratch)?;
        let mut rest = states;
        let encodings = group.iter().map(|ids| {
            let (own, after) = rest.split_at(ids.len() * self.info.width);
            rest = after;
            Encoding { pooled: self.pool(own), tokens: own.to_vec() }
        });
        let encodings = encodings.collect();
        lock(&self.scratch).push(scratch);
        Ok(encodings)
    }

    fn pool(&self, states: &[f32]) -> Vec<f32> {
        let rows = states.chunks_exact(self.info.width);
        let mut pooled = vec![0.0; self.info.width];
        match self.pooling {
            Pooling::Cls => rows.take(1).for_each(|row| pooled.copy_from_slice(row)),
            Pooling::Mean => {
                let count = rows.len() as f32;
                rows.for_each(|row| pooled.iter_mut().zip(row).for_each(|(p, x)| *p += x));
                pooled.iter_mut().for_each(|p| *p /= count);
            }
        }
        if self.normalize {
            super::normalize(&mut pooled);
        }
        pooled
    }
}

impl Encoder for CpuEncoder {
    fn info(&self) -> &EncoderInfo {
        &self.shared.info
    }

    fn encode(&mut self, batch: &[&[u32]]) -> Result<Vec<Encoding>, EncoderError> {
        let Shared { info, model, crew, .. } = &*self.shared;
        super::check_batch(batch, info.max_length, model.vocab_size())?;
        let lengths: Vec<usize> = batch.iter().map(|ids| ids.len()).collect();
        let work = crew.begin();
        let plan = Plan::of(&lengths, work.share(), crew.threads());
        let encoded: Vec<_> = plan.groups.iter().map(|_| OnceLock::new()).collect();
        work.run(plan.groups.len(), plan.members, &|i, team| {
            let texts = plan.groups.get(i).and_then(|group| batch.get(group.clone())).unwrap_or_default();
            if let Some(place) = encoded.get(i) {
                // Each place is written once.
                let _ = place.set(self.shared.encode_group(texts, team));
            }
        });
        let missing = || Err(EncoderError::Compute("a group was not computed".to_owned()));
        let mut encodings = Vec::with_capacity(batch.len());
        for group in encoded {
            encodings.extend(group.into_inner().unwrap_or_else(missing)?);
        }
        Ok(encodings)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
