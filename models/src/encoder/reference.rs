//! The reference encoder: BERT on candle in f32, one text at a time.
//!
//! It is the oracle that every faster path is compared with, so it is written to be read: no padding, no batching of the
//! arithmetic. The texts of a batch run side by side on the encoder's own threads; each is computed alone, so its
//! numbers cannot depend on its neighbours.

use candle_core::{D, DType, Device, Tensor};
use candle_nn::{Embedding, LayerNorm, Linear, Module, VarBuilder, ops::softmax_last_dim};
use rayon::prelude::*;

use super::config::BertConfig;
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
    types: Embedding,
    norm: LayerNorm,
    layers: Vec<Layer>,
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
        let config = BertConfig::parse(&bundle.config)?;
        let spec = &bundle.manifest.encoder;
        config.check_length(spec.max_length)?;
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
    fn load(config: &BertConfig, weights: VarBuilder<'_>) -> candle_core::Result<Self> {
        let root = if weights.contains_tensor("bert.embeddings.word_embeddings.weight") {
            weights.pp("bert")
        } else {
            weights
        };
        let tables = root.pp("embeddings");
        let width = config.hidden_size;
        let table = |rows, name| candle_nn::embedding(rows, width, tables.pp(name));
        let layers =
            (0..config.num_hidden_layers).map(|i| Layer::load(config, root.pp(format!("encoder.layer.{i}"))));
        Ok(Self {
            words: table(config.vocab_size, "word_embeddings")?,
            positions: table(config.max_position_embeddings, "position_embeddings")?,
            types: table(config.type_vocab_size, "token_type_embeddings")?,
            norm: candle_nn::layer_norm(width, config.layer_norm_eps, tables.pp("LayerNorm"))?,
            layers: layers.collect::<Result<_, _>>()?,
            vocab_size: config.vocab_size,
        })
    }

    /// Hidden states `[tokens, width]`.
    fn forward(&self, ids: &[u32]) -> candle_core::Result<Tensor> {
        let count = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        let words = self.words.forward(&Tensor::new(ids, &Device::Cpu)?)?;
        let positions = self.positions.forward(&Tensor::arange(0u32, count, &Device::Cpu)?)?;
        let types = self.types.forward(&Tensor::zeros(ids.len(), DType::U32, &Device::Cpu)?)?;
        let mut states = self.norm.forward(&((words + types)? + positions)?)?;
        for layer in &self.layers {
            states = layer.forward(&states)?;
        }
        Ok(states)
    }
}

impl Layer {
    fn load(config: &BertConfig, weights: VarBuilder<'_>) -> candle_core::Result<Self> {
        let (width, inner, eps) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
        let linear = |from, to, name: &str| candle_nn::linear(from, to, weights.pp(name));
        let norm = |name: &str| candle_nn::layer_norm(width, eps, weights.pp(name));
        Ok(Self {
            query: linear(width, width, "attention.self.query")?,
            key: linear(width, width, "attention.self.key")?,
            value: linear(width, width, "attention.self.value")?,
            attended: linear(width, width, "attention.output.dense")?,
            attended_norm: norm("attention.output.LayerNorm")?,
            up: linear(width, inner, "intermediate.dense")?,
            down: linear(inner, width, "output.dense")?,
            norm: norm("output.LayerNorm")?,
            heads: config.num_attention_heads,
            head_size: config.head_size(),
        })
    }

    /// `[tokens, width]` to `[tokens, width]`.
    fn forward(&self, states: &Tensor) -> candle_core::Result<Tensor> {
        let attended = self.attended.forward(&self.attention(states)?)?;
        let states = self.attended_norm.forward(&(attended + states)?)?;
        let inner = self.up.forward(&states)?.gelu_erf()?;
        self.norm.forward(&(self.down.forward(&inner)? + states)?)
    }

    fn attention(&self, states: &Tensor) -> candle_core::Result<Tensor> {
        let tokens = states.dim(0)?;
        // [tokens, width] to [heads, tokens, head_size]
        let split =
            |x: Tensor| x.reshape((tokens, self.heads, self.head_size))?.transpose(0, 1)?.contiguous();
        let query = (split(self.query.forward(states)?)? / (self.head_size as f64).sqrt())?;
        let key = split(self.key.forward(states)?)?;
        let value = split(self.value.forward(states)?)?;
        let weights = softmax_last_dim(&query.matmul(&key.transpose(D::Minus1, D::Minus2)?.contiguous()?)?)?;
        weights.matmul(&value)?.transpose(0, 1)?.reshape((tokens, self.heads * self.head_size))
    }
}
