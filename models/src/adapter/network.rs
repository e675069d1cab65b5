//! BERT with a low-rank addition to some of its weights: the network that an adapter is trained in.
//!
//! Padded batches, on candle, in f32. Only what is added is trained. Everything is written with operations that candle can
//! differentiate, which its fused softmax and normalisation are not.

use candle_core::{D, DType, Device, Result, Tensor, Var};
use candle_nn::VarBuilder;
use candle_nn::ops::softmax;

use super::Settings;
use super::frozen::Frozen;
use super::texts::{Encoded, Padded};
use crate::encoder::config::ModelConfig;

/// The weights of a layer that an adapter adds to. Those of attention decide which tokens a vector tells of; the rest, two
/// thirds of a layer, is left as it was trained on a billion pairs.
const ADAPTED: [&str; 4] =
    ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"];

/// The network.
pub struct Network {
    words: Tensor,
    positions: Tensor,
    kind: Tensor,
    norm: Norm,
    layers: Vec<Layer>,
}

struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    attended: Linear,
    attended_norm: Norm,
    up: Linear,
    down: Linear,
    norm: Norm,
    heads: usize,
}

struct Norm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

/// `x W + b`, where `W` may have an addition `down up`.
struct Linear {
    weight: Frozen,
    bias: Tensor,
    added: Option<LowRank>,
}

/// What is trained.
pub struct LowRank {
    /// The weight that it is added to.
    pub name: String,
    /// `[inputs, rank]`
    pub down: Var,
    /// `[rank, outputs]`
    pub up: Var,
}

impl Network {
    /// Loads the weights; `random` gives numbers from -1 to 1.
    pub fn load(
        config: &ModelConfig,
        weights: &[u8],
        settings: &Settings,
        random: &mut dyn FnMut() -> f32,
    ) -> Result<Self> {
        let all = VarBuilder::from_slice_safetensors(weights, DType::F32, &Device::Cpu)?;
        let root =
            if all.contains_tensor("bert.embeddings.word_embeddings.weight") { all.pp("bert") } else { all };
        let (tables, width) = (root.pp("embeddings"), config.hidden_size);
        let table = |rows, name| tables.pp(name).get((rows, width), "weight");
        let mut layers = Vec::new();
        for i in 0..config.num_hidden_layers {
            layers.push(Layer::load(config, root.pp(format!("encoder.layer.{i}")), settings, random)?);
        }
        Ok(Self {
            words: table(config.vocab_size, "word_embeddings")?,
            positions: table(config.max_position_embeddings, "position_embeddings")?,
            kind: table(config.type_vocab_size, "token_type_embeddings")?.get(0)?,
            norm: Norm::load(config, tables.pp("LayerNorm"))?,
            layers,
        })
    }

    /// What is trained.
    pub fn added(&self) -> impl Iterator<Item = &LowRank> {
        let linears = self.layers.iter().flat_map(|l| [&l.query, &l.key, &l.value, &l.attended]);
        linears.filter_map(|l| l.added.as_ref())
    }

    /// Encodes texts, with what is added or as the weights came.
    pub fn encode(&self, texts: &Padded, adapted: bool) -> Result<Encoded> {
        let (count, length) = texts.ids.dims2()?;
        let words = self.words.index_select(&texts.ids.flatten_all()?, 0)?.reshape((count, length, ()))?;
        let places = self.positions.narrow(0, 0, length)?.broadcast_add(&self.kind)?;
        let mut states = self.norm.forward(&words.broadcast_add(&places)?)?;
        // Padding is not looked at: its weight in attention becomes 0.
        let hidden = ((&texts.present - 1.0)? * 1e9)?.reshape((count, 1, 1, length))?;
        for layer in &self.layers {
            states = layer.forward(&states, &hidden, adapted)?;
        }
        let present = texts.present.unsqueeze(2)?;
        // Mean pooling; that the sum is not divided changes nothing, since the vector is scaled.
        let pooled = states.broadcast_mul(&present)?.sum(1)?;
        Ok(Encoded { tokens: scaled(&states)?, pooled: scaled(&pooled)? })
    }
}

/// Every vector of the last dimension scaled to length 1.
fn scaled(vectors: &Tensor) -> Result<Tensor> {
    vectors.broadcast_div(&(vectors.sqr()?.sum_keepdim(D::Minus1)? + 1e-12)?.sqrt()?)
}

impl Layer {
    fn load(
        config: &ModelConfig,
        weights: VarBuilder<'_>,
        settings: &Settings,
        random: &mut dyn FnMut() -> f32,
    ) -> Result<Self> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let mut linear =
            |from, to, name: &str| Linear::load(from, to, weights.pp(name), name, settings, random);
        let norm = |name: &str| Norm::load(config, weights.pp(name));
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
        })
    }

    fn forward(&self, states: &Tensor, hidden: &Tensor, adapted: bool) -> Result<Tensor> {
        let attended = self.attended.forward(&self.attention(states, hidden, adapted)?, adapted)?;
        let states = self.attended_norm.forward(&(attended + states)?)?;
        let inner = self.up.forward(&states, adapted)?.gelu_erf()?;
        self.norm.forward(&(self.down.forward(&inner, adapted)? + states)?)
    }

    fn attention(&self, states: &Tensor, hidden: &Tensor, adapted: bool) -> Result<Tensor> {
        let (count, length, width) = states.dims3()?;
        let head = width / self.heads.max(1);
        // [texts, tokens, width] to [texts, heads, tokens, head]
        let split = |x: Tensor| x.reshape((count, length, self.heads, head))?.transpose(1, 2)?.contiguous();
        let query = (split(self.query.forward(states, adapted)?)? / (head as f64).sqrt())?;
        let key = split(self.key.forward(states, adapted)?)?;
        let value = split(self.value.forward(states, adapted)?)?;
        let scores = query.matmul(&key.transpose(D::Minus1, D::Minus2)?.contiguous()?)?;
        let weights = softmax(&scores.broadcast_add(hidden)?, D::Minus1)?;
        weights.matmul(&value)?.transpose(1, 2)?.reshape((count, length, width))
    }
}

impl Linear {
    fn load(
        from: usize,
        to: usize,
        weights: VarBuilder<'_>,
        name: &str,
        settings: &Settings,
        random: &mut dyn FnMut() -> f32,
    ) -> Result<Self> {
        let added = if ADAPTED.contains(&name) {
            // With `up` at zero the network starts as it came.
            let bound = (3.0 / from as f32).sqrt();
            let down: Vec<f32> = (0..from * settings.rank).map(|_| random() * bound).collect();
            let down = Var::from_vec(down, (from, settings.rank), &Device::Cpu)?;
            let up = Var::zeros((settings.rank, to), DType::F32, &Device::Cpu)?;
            Some(LowRank { name: format!("{}.weight", weights.prefix()), down, up })
        } else {
            None
        };
        let weight = Frozen::of(&weights.get((to, from), "weight")?)?;
        Ok(Self { weight, bias: weights.get(to, "bias")?, added })
    }

    fn forward(&self, x: &Tensor, adapted: bool) -> Result<Tensor> {
        let (count, length, width) = x.dims3()?;
        let x = x.reshape((count * length, width))?;
        let mut y = x.apply_op1(self.weight.clone())?.broadcast_add(&self.bias)?;
        if let Some(added) = self.added.as_ref().filter(|_| adapted) {
            y = (y + x.matmul(&added.down)?.matmul(&added.up)?)?;
        }
        y.reshape((count, length, ()))
    }
}

impl Norm {
    fn load(config: &ModelConfig, weights: VarBuilder<'_>) -> Result<Self> {
        let get = |name| weights.get(config.hidden_size, name);
        Ok(Self { weight: get("weight")?, bias: get("bias")?, eps: config.layer_norm_eps })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let deviation = (centred.sqr()?.mean_keepdim(D::Minus1)? + self.eps)?.sqrt()?;
        centred.broadcast_div(&deviation)?.broadcast_mul(&self.weight)?.broadcast_add(&self.bias)
    }
}
