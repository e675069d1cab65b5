//! The CPU encoder: weights packed once, texts laid end to end without padding, in f32 or int8.
//!
//! At the length of an action the arithmetic is small; what costs is fetching and re-packing weights. So every matrix is
//! packed at load. The texts of a batch are laid end to end in groups of some hundred tokens, one group for each thread;
//! a single text is spread over the threads by columns. No text sees another: products and normalisation work row by
//! row, attention text by text, and the order of additions within a row never depends on its neighbours.

mod attention;
mod linear;
mod model;
mod rows;

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use safetensors::SafeTensors;

use self::model::{Model, Scratch};
use super::config::BertConfig;
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

/// Tokens of one group: large enough to reuse packed weights, small enough for activations to stay in the cache.
const GROUP_TOKENS: usize = 256;

/// BERT on packed weights.
pub struct CpuEncoder {
    info: EncoderInfo,
    model: Model,
    pooling: Pooling,
    normalize: bool,
    threads: rayon::ThreadPool,
    scratch: Mutex<Vec<Scratch>>,
}

impl CpuEncoder {
    /// Packs a verified bundle for `threads` threads (0: one for each core).
    ///
    /// # Errors
    /// If the configuration is not supported or a tensor is missing or has the wrong shape.
    pub fn load(bundle: &Bundle, arithmetic: Arithmetic, threads: usize) -> Result<Self, EncoderError> {
        let config = BertConfig::parse(&bundle.config)?;
        let spec = &bundle.manifest.encoder;
        config.check_length(spec.max_length)?;
        let tensors =
            SafeTensors::deserialize(&bundle.weights).map_err(|e| EncoderError::Weights(e.to_string()))?;
        let model = Model::load(&config, &tensors, arithmetic)?;
        let pool = super::thread_pool(threads)?;
        let info = EncoderInfo {
            model: bundle.manifest.name.clone(),
            digest: bundle.manifest.digest(),
            device: "cpu".into(),
            precision: match arithmetic {
                Arithmetic::F32 => "f32".into(),
                Arithmetic::Int8 => "int8".into(),
            },
            backend: "packed",
            width: config.hidden_size,
            max_length: spec.max_length,
            threads: pool.current_num_threads(),
        };
        let (pooling, normalize) = (spec.pooling, spec.normalize);
        Ok(Self { info, model, pooling, normalize, threads: pool, scratch: Mutex::default() })
    }

    fn encode_group(&self, group: &[&[u32]]) -> Result<Vec<Encoding>, EncoderError> {
        let mut scratch =
            self.scratch.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        let states = self.model.forward(group, &mut scratch)?;
        let mut rest = states;
        let encodings = group.iter().map(|ids| {
            let (own, after) = rest.split_at(ids.len() * self.info.width);
            rest = after;
            Encoding { pooled: self.pool(own), tokens: own.to_vec() }
        });
        let encodings = encodings.collect();
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
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
        &self.info
    }

    fn encode(&mut self, batch: &[&[u32]]) -> Result<Vec<Encoding>, EncoderError> {
        super::check_batch(batch, self.info.max_length, self.model.vocab_size())?;
        let this = &*self;
        let groups = groups(batch, this.info.threads);
        let encoded: Vec<Vec<Encoding>> = this
            .threads
            .install(|| groups.into_par_iter().map(|g| this.encode_group(g)).collect::<Result<_, _>>())?;
        Ok(encoded.into_iter().flatten().collect())
    }
}

/// Neighbouring texts in groups of at most [`GROUP_TOKENS`] (a longer text stands alone), and at least as many groups
/// as threads where there are as many texts.
fn groups<'a, 'b>(batch: &'a [&'b [u32]], threads: usize) -> Vec<&'a [&'b [u32]]> {
    let total: usize = batch.iter().map(|t| t.len()).sum();
    let budget = total.div_ceil(threads.max(1)).clamp(1, GROUP_TOKENS);
    let mut groups = Vec::new();
    let (mut start, mut tokens) = (0, 0);
    for (i, text) in batch.iter().enumerate() {
        if i > start && tokens + text.len() > budget {
            groups.extend(batch.get(start..i));
            (start, tokens) = (i, 0);
        }
        tokens += text.len();
    }
    groups.extend(batch.get(start..).filter(|rest| !rest.is_empty()));
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn groups_hold_every_text_once_and_in_order(
            lengths in prop::collection::vec(1usize..300, 0..60), threads in 1usize..9,
        ) {
            let texts: Vec<Vec<u32>> = lengths.iter().enumerate().map(|(i, n)| vec![i as u32; *n]).collect();
            let batch: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
            let groups = groups(&batch, threads);
            prop_assert_eq!(&groups.concat(), &batch);
            for group in groups {
                let tokens: usize = group.iter().map(|t| t.len()).sum();
                prop_assert!(!group.is_empty() && (tokens <= GROUP_TOKENS || group.len() == 1));
            }
        }
    }
}
