//! BERT: tables, layers, and the buffers that they share.

use rten_simd::SimdUnaryOp as _;
use rten_vecmath::Gelu;
use safetensors::{Dtype, SafeTensors};

use super::Arithmetic;
use super::attention::{AttentionScratch, attend};
use super::linear::{Linear, QuantScratch};
use super::rows::{LANES, add_and_normalize};
use crate::encoder::EncoderError;
use crate::encoder::config::BertConfig;

/// A model on packed weights.
pub struct Model {
    words: Vec<f32>,
    /// Position and first token type, added once at load.
    positions: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
    heads: usize,
    head_size: usize,
}

struct Norm {
    gamma: Vec<f32>,
    beta: Vec<f32>,
    eps: f32,
}

struct Layer {
    /// Query, key and value in one product.
    qkv: Linear,
    attended: Linear,
    attended_norm: Norm,
    up: Linear,
    down: Linear,
    norm: Norm,
}

/// Buffers of one forward pass, kept from call to call.
#[derive(Default)]
pub struct Scratch {
    states: Vec<f32>,
    qkv: Vec<f32>,
    attended: Vec<f32>,
    inner: Vec<f32>,
    projected: Vec<f32>,
    quant: QuantScratch,
    attention: AttentionScratch,
}

/// Tensors by name, with or without the prefix `bert.`.
struct Weights<'a> {
    tensors: &'a SafeTensors<'a>,
    prefix: &'static str,
}

impl Weights<'_> {
    /// Values of a tensor of this many elements.
    fn get(&self, name: &str, elements: usize) -> Result<Vec<f32>, EncoderError> {
        let name = format!("{}{name}", self.prefix);
        let fail = |problem: String| EncoderError::Weights(format!("tensor {name}: {problem}"));
        let tensor = self.tensors.tensor(&name).map_err(|e| fail(e.to_string()))?;
        let values: Vec<f32> = match tensor.dtype() {
            Dtype::F32 => tensor.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            other => return Err(fail(format!("{other:?} is not supported, only F32"))),
        };
        if values.len() != elements {
            return Err(fail(format!("{} elements, {elements} expected", values.len())));
        }
        Ok(values)
    }

    fn norm(&self, name: &str, config: &BertConfig) -> Result<Norm, EncoderError> {
        let gamma = self.get(&format!("{name}.weight"), config.hidden_size)?;
        let beta = self.get(&format!("{name}.bias"), config.hidden_size)?;
        Ok(Norm { gamma, beta, eps: config.layer_norm_eps as f32 })
    }
}

impl Norm {
    fn add(&self, x: &mut [f32], y: &[f32]) {
        add_and_normalize(x, y, &self.gamma, &self.beta, self.eps);
    }
}

impl Model {
    /// Reads and packs all tensors.
    ///
    /// # Errors
    /// Names the tensor that is missing or has another shape.
    pub fn load(
        config: &BertConfig,
        tensors: &SafeTensors<'_>,
        arithmetic: Arithmetic,
    ) -> Result<Self, EncoderError> {
        let head_size = config.head_size();
        if !head_size.is_multiple_of(LANES) {
            return Err(EncoderError::Config(format!(
                "num_attention_heads: heads of {head_size} are not supported"
            )));
        }
        let prefixed = tensors.names().iter().any(|n| n.starts_with("bert."));
        let weights = Weights { tensors, prefix: if prefixed { "bert." } else { "" } };
        let layers = (0..config.num_hidden_layers).map(|i| Layer::load(&weights, config, i, arithmetic));
        Ok(Self {
            words: weights
                .get("embeddings.word_embeddings.weight", config.vocab_size * config.hidden_size)?,
            positions: positions(&weights, config)?,
            norm: weights.norm("embeddings.LayerNorm", config)?,
            layers: layers.collect::<Result<_, _>>()?,
            heads: config.num_attention_heads,
            head_size,
        })
    }

    /// Rows of the word table.
    pub fn vocab_size(&self) -> usize {
        self.words.len() / self.width()
    }

    fn width(&self) -> usize {
        self.heads * self.head_size
    }

    /// Last hidden states of texts laid end to end, `[tokens of all, width]`. Token ids were checked by the caller.
    pub fn forward<'s>(&self, texts: &[&[u32]], scratch: &'s mut Scratch) -> Result<&'s [f32], EncoderError> {
        self.embed(texts, scratch);
        for layer in &self.layers {
            self.layer(layer, texts, scratch)?;
        }
        Ok(&scratch.states)
    }

    fn embed(&self, texts: &[&[u32]], scratch: &mut Scratch) {
        let width = self.width();
        scratch.states.clear();
        scratch.projected.clear();
        for text in texts {
            for (id, position) in text.iter().zip(self.positions.chunks_exact(width)) {
                let at = *id as usize * width;
                scratch.states.extend_from_slice(self.words.get(at..at + width).unwrap_or_default());
                scratch.projected.extend_from_slice(position);
            }
        }
        self.norm.add(&mut scratch.states, &scratch.projected);
    }

    fn layer(&self, layer: &Layer, texts: &[&[u32]], s: &mut Scratch) -> Result<(), EncoderError> {
        layer.qkv.forward(&s.states, &mut s.qkv, &mut s.quant)?;
        self.attention(texts, s);
        layer.attended.forward(&s.attended, &mut s.projected, &mut s.quant)?;
        layer.attended_norm.add(&mut s.states, &s.projected);
        layer.up.forward(&s.states, &mut s.inner, &mut s.quant)?;
        Gelu {}.map_mut(&mut s.inner);
        layer.down.forward(&s.inner, &mut s.projected, &mut s.quant)?;
        layer.norm.add(&mut s.states, &s.projected);
        Ok(())
    }

    fn attention(&self, texts: &[&[u32]], s: &mut Scratch) {
        let width = self.width();
        s.attended.resize(s.states.len(), 0.0);
        let (mut qkv, mut out) = (s.qkv.as_slice(), s.attended.as_mut_slice());
        for text in texts {
            let (own, rest) = qkv.split_at(text.len() * 3 * width);
            let (to, after) = out.split_at_mut(text.len() * width);
            attend(own, to, self.heads, self.head_size, &mut s.attention);
            (qkv, out) = (rest, after);
        }
    }
}

/// The position table with the first token type added: every text is of the first type.
fn positions(weights: &Weights<'_>, config: &BertConfig) -> Result<Vec<f32>, EncoderError> {
    let width = config.hidden_size;
    let mut positions =
        weights.get("embeddings.position_embeddings.weight", config.max_position_embeddings * width)?;
    let types = weights.get("embeddings.token_type_embeddings.weight", config.type_vocab_size * width)?;
    for row in positions.chunks_exact_mut(width) {
        row.iter_mut().zip(&types).for_each(|(p, t)| *p += t);
    }
    Ok(positions)
}

impl Layer {
    fn load(
        weights: &Weights<'_>,
        config: &BertConfig,
        index: usize,
        arithmetic: Arithmetic,
    ) -> Result<Self, EncoderError> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let base = format!("encoder.layer.{index}");
        let part = |name: &str, from: usize, to: usize| -> Result<(Vec<f32>, Vec<f32>), EncoderError> {
            let name = format!("{base}.{name}");
            Ok((
                weights.get(&format!("{name}.weight"), from * to)?,
                weights.get(&format!("{name}.bias"), to)?,
            ))
        };
        let linear = |name: &str, from: usize, to: usize| {
            let (matrix, bias) = part(name, from, to)?;
            Linear::new(&matrix, bias, arithmetic)
        };
        let (mut matrix, mut bias) = (Vec::new(), Vec::new());
        for name in ["query", "key", "value"] {
            let (m, b) = part(&format!("attention.self.{name}"), width, width)?;
            matrix.extend(m);
            bias.extend(b);
        }
        Ok(Self {
            qkv: Linear::new(&matrix, bias, arithmetic)?,
            attended: linear("attention.output.dense", width, width)?,
            attended_norm: weights.norm(&format!("{base}.attention.output.LayerNorm"), config)?,
            up: linear("intermediate.dense", width, inner)?,
            down: linear("output.dense", inner, width)?,
            norm: weights.norm(&format!("{base}.output.LayerNorm"), config)?,
        })
    }
}
