//! The reference encoder: BERT and its relatives on candle in f32, one text at a time.
//!
//! It is the oracle that every faster path is compared with, so it is written to be read: no padding, no batching of the
//! arithmetic. The texts of a batch run side by side on the encoder's own threads; each is computed alone, so its
//! numbers cannot depend on its neighbours.

use candle_core::{D, DType, Device, Tensor};
use candle_nn::{Embedding, LayerNorm, Linear, Module, VarBuilder, ops::softmax_last_dim};
use rayon::prelude::*;

use super::config::ModelConfig;
use super::family::{DISTANCES, Family, bucket};
use super::weights::WORDS;
use super::{Encoder, EncoderError, EncoderInfo, Encoding};
use crate::bundle::{Bundle, Pooling};

/// BERT on candle.
pub struct ReferenceEncoder {
    info: EncoderInfo,
    model: Bert,
    pooling: Pooling,
    normalize: bool,
    threads: rayon::ThreadPool,
}

struct Bert {
    words: Embedding,
    positions: Embedding,
    first_position: usize,
    types: Option<Embedding>,
    norm: LayerNorm,
    layers: Vec<Layer>,
    /// Rows of the table of distances, and the table, `[buckets, heads]`.
    distances: Option<(usize, Tensor)>,
    vocab_size: usize,
}

struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    attended: Linear,
    attended_norm: LayerNorm,
    up: Linear,
    down: Linear,
    norm: LayerNorm,
    heads: usize,
    head_size: usize,
}

impl ReferenceEncoder {
    /// Loads a verified bundle on `threads` threads (0: one for each core).
    ///
    /// # Errors
    /// If the configuration is not supported or a tensor is missing or has the wrong shape.
    pub fn load(bundle: &Bundle, threads: usize) -> Result<Self, EncoderError> {
        let config = ModelConfig::of(bundle)?;
        let spec = &bundle.manifest.encoder;
        let weights = VarBuilder::from_slice_safetensors(&bundle.weights, DType::F32, &Device::Cpu)
            .map_err(|e| EncoderError::Weights(e.to_string()))?;
        let model = Bert::load(&config, weights).map_err(|e| EncoderError::Weights(e.to_string()))?;
        let pool = super::thread_pool(threads)?;
        let info = EncoderInfo {
            model: bundle.manifest.name.clone(),
            digest: bundle.manifest.digest(),
            device: "cpu".into(),
            precision: "f32".into(),
            backend: "candle",
            width: config.hidden_size,
            max_length: spec.max_length,
            threads: pool.current_num_threads(),
        };
        Ok(Self { info, model, pooling: spec.pooling, normalize: spec.normalize, threads: pool })
    }

    fn encode_one(&self, ids: &[u32]) -> Result<Encoding, EncoderError> {
        let states = self.model.forward(ids)?;
        let pooled = match self.pooling {
            Pooling::Mean => states.mean(0)?,
            Pooling::Cls => states.get(0)?,
        };
        let mut pooled = pooled.to_vec1::<f32>()?;
        if self.normalize {
            super::normalize(&mut pooled);
        }
        Ok(Encoding { pooled, tokens: states.flatten_all()?.to_vec1()? })
    }
}

impl Encoder for ReferenceEncoder {
    fn info(&self) -> &EncoderInfo {
        &self.info
    }

    fn encode(&mut self, batch: &[&[u32]]) -> Result<Vec<Encoding>, EncoderError> {
        super::check_batch(batch, self.info.max_length, self.model.vocab_size)?;
        let this = &*self;
        this.threads.install(|| batch.par_iter().map(|ids| this.encode_one(ids)).collect())
    }
}

impl Bert {
    fn load(config: &ModelConfig, weights: VarBuilder<'_>) -> candle_core::Result<Self> {
        let family = Family::of(config.architecture);
        let prefixed = weights.contains_tensor(&format!("{}{WORDS}", family.prefix));
        let root = if prefixed { weights.pp(family.prefix.trim_end_matches('.')) } else { weights };
        let tables = root.pp("embeddings");
        let width = config.hidden_size;
        let table = |rows, name| candle_nn::embedding(rows, width, tables.pp(name));
        let layers = (0..config.num_hidden_layers)
            .map(|i| Layer::load(config, family, root.pp(format!("{}.{i}", family.layers))));
        let types = match config.type_vocab_size {
            0 => None,
            rows => Some(table(rows, "token_type_embeddings")?),
        };
        let distances = match config.distance_buckets {
            0 => None,
            rows => Some((rows, root.get((rows, config.num_attention_heads), DISTANCES)?)),
        };
        Ok(Self {
            words: table(config.vocab_size, "word_embeddings")?,
            positions: table(config.max_position_embeddings, "position_embeddings")?,
            first_position: config.first_position,
            types,
            distances,
            norm: candle_nn::layer_norm(width, config.layer_norm_eps, tables.pp("LayerNorm"))?,
            layers: layers.collect::<Result<_, _>>()?,
            vocab_size: config.vocab_size,
        })
    }

    /// Hidden states `[tokens, width]`.
    fn forward(&self, ids: &[u32]) -> candle_core::Result<Tensor> {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let first = self.first_position;
        let words = self.words.forward(&Tensor::new(ids, &Device::Cpu)?)?;
        let positions = Tensor::arange(number(first), number(first + ids.len()), &Device::Cpu)?;
        let mut states = (words + self.positions.forward(&positions)?)?;
        if let Some(types) = &self.types {
            states = (states + types.forward(&Tensor::zeros(ids.len(), DType::U32, &Device::Cpu)?)?)?;
        }
        states = self.norm.forward(&states)?;
        let bias = self.bias(ids.len())?;
        for layer in &self.layers {
            states = layer.forward(&states, bias.as_ref())?;
        }
        Ok(states)
    }

    /// What is added to the scores, `[heads, tokens, tokens]`, if the family adds anything.
    fn bias(&self, tokens: usize) -> candle_core::Result<Option<Tensor>> {
        let Some((buckets, table)) = &self.distances else { return Ok(None) };
        let place = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let rows = (0..tokens).flat_map(|query| (0..tokens).map(move |key| place(key) - place(query)));
        let rows: Vec<u32> =
            rows.map(|distance| u32::try_from(bucket(distance, *buckets)).unwrap_or(u32::MAX)).collect();
        let bias = table.index_select(&Tensor::new(rows, &Device::Cpu)?, 0)?;
        bias.reshape((tokens, tokens, ()))?.permute((2, 0, 1))?.contiguous().map(Some)
    }
}

impl Layer {
    fn load(config: &ModelConfig, family: Family, weights: VarBuilder<'_>) -> candle_core::Result<Self> {
        let (width, inner, eps) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
        let linear = |from, to, name: &str| candle_nn::linear(from, to, weights.pp(name));
        let norm = |name: &str| candle_nn::layer_norm(width, eps, weights.pp(name));
        Ok(Self {
            query: linear(width, width, family.query)?,
            key: linear(width, width, family.key)?,
            value: linear(width, width, family.value)?,
            attended: linear(width, width, family.attended)?,
            attended_norm: norm(family.attended_norm)?,
            up: linear(width, inner, family.up)?,
            down: linear(inner, width, family.down)?,
            norm: norm(family.norm)?,
            heads: config.num_attention_heads,
            head_size: config.head_size(),
        })
    }

    /// `[tokens, width]` to `[tokens, width]`.
    fn forward(&self, states: &Tensor, bias: Option<&Tensor>) -> candle_core::Result<Tensor> {
        let attended = self.attended.forward(&self.attention(states, bias)?)?;
        let states = self.attended_norm.forward(&(attended + states)?)?;
        let inner = self.up.forward(&states)?.gelu_erf()?;
        self.norm.forward(&(self.down.forward(&inner)? + states)?)
    }

    fn attention(&self, states: &Tensor, bias: Option<&Tensor>) -> candle_core::Result<Tensor> {
        let tokens = states.dim(0)?;
        // [tokens, width] to [heads, tokens, head_size]
        let split =
            |x: Tensor| x.reshape((tokens, self.heads, self.head_size))?.transpose(0, 1)?.contiguous();
        let query = (split(self.query.forward(states)?)? / (self.head_size as f64).sqrt())?;
        let key = split(self.key.forward(states)?)?;
        let value = split(self.value.forward(states)?)?;
        let scores = query.matmul(&key.transpose(D::Minus1, D::Minus2)?.contiguous()?)?;
        let scores = bias.map_or_else(|| Ok(scores.clone()), |bias| &scores + bias)?;
        let weights = softmax_last_dim(&scores)?;
        weights.matmul(&value)?.transpose(0, 1)?.reshape((tokens, self.heads * self.head_size))
    }
}
