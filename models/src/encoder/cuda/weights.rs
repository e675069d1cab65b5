//! The model in device memory: halves for what is multiplied, f32 for what is added.

use std::sync::Arc;

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::driver::{Buffer, Device};
use crate::encoder::EncoderError;
use crate::encoder::config::BertConfig;
use crate::encoder::cpu::Norm;
use crate::encoder::weights::Weights;

/// All tensors of a model.
#[derive(Debug)]
pub struct DeviceWeights {
    /// `[vocab, width]`
    pub words: Buffer,
    /// `[positions, width]`, with the first token type added.
    pub positions: Buffer,
    /// After both were added.
    pub norm: DeviceNorm,
    /// In order.
    pub layers: Vec<DeviceLayer>,
}

/// One layer.
#[derive(Debug)]
pub struct DeviceLayer {
    /// Query, key and value side by side.
    pub qkv: Linear,
    /// Of the attended values.
    pub attended: Linear,
    /// After the first residual.
    pub attended_norm: DeviceNorm,
    /// Into the feed-forward part.
    pub up: Linear,
    /// Out of it.
    pub down: Linear,
    /// After the second residual.
    pub norm: DeviceNorm,
}

/// A matrix `[outputs, inputs]` of halves, and a bias in f32.
#[derive(Debug)]
pub struct Linear {
    /// Row by row.
    pub matrix: Buffer,
    /// `[outputs]`
    pub bias: Buffer,
    /// Columns.
    pub inputs: usize,
    /// Rows.
    pub outputs: usize,
}

/// A layer norm.
#[derive(Debug)]
pub struct DeviceNorm {
    /// `[width]`
    pub gamma: Buffer,
    /// `[width]`
    pub beta: Buffer,
    /// Added to the variance.
    pub eps: f32,
}

/// Rounds to halves. A weight beyond their range would silently be infinite.
fn halves(device: &Arc<Device>, name: &str, values: &[f32]) -> Result<Buffer, EncoderError> {
    let mut rounded = vec![f16::ZERO; values.len()];
    rounded.convert_from_f32_slice(values);
    match rounded.iter().position(|x| !x.is_finite()) {
        Some(i) => Err(EncoderError::Weights(format!("tensor {name}: value {i} is beyond the range of f16"))),
        None => Buffer::of(device, &rounded),
    }
}

fn norm(device: &Arc<Device>, norm: &Norm) -> Result<DeviceNorm, EncoderError> {
    let (gamma, beta) = (Buffer::of(device, &norm.gamma)?, Buffer::of(device, &norm.beta)?);
    Ok(DeviceNorm { gamma, beta, eps: norm.eps })
}

/// Puts linear layers of equal width of input side by side.
fn linear(
    device: &Arc<Device>,
    weights: &Weights<'_>,
    names: &[String],
    (inputs, outputs): (usize, usize),
) -> Result<Linear, EncoderError> {
    let (mut matrix, mut bias) = (Vec::new(), Vec::new());
    for name in names {
        let (m, b) = weights.linear(name, inputs, outputs)?;
        matrix.extend(m);
        bias.extend(b);
    }
    let name = names.first().map(String::as_str).unwrap_or_default();
    Ok(Linear {
        matrix: halves(device, name, &matrix)?,
        bias: Buffer::of(device, &bias)?,
        inputs,
        outputs: outputs * names.len(),
    })
}

impl DeviceWeights {
    /// Uploads a model.
    ///
    /// # Errors
    /// Names the tensor that is missing or has another shape; too little memory.
    pub fn load(
        device: &Arc<Device>,
        weights: &Weights<'_>,
        config: &BertConfig,
    ) -> Result<Self, EncoderError> {
        let words = "embeddings.word_embeddings.weight";
        let table = weights.get(words, config.vocab_size * config.hidden_size)?;
        let layers = (0..config.num_hidden_layers).map(|i| DeviceLayer::load(device, weights, config, i));
        Ok(Self {
            words: halves(device, words, &table)?,
            positions: halves(device, "embeddings.position_embeddings.weight", &weights.positions(config)?)?,
            norm: norm(device, &weights.norm("embeddings.LayerNorm", config)?)?,
            layers: layers.collect::<Result<_, _>>()?,
        })
    }

    /// Bytes that a model of this shape takes, about.
    pub fn bytes(config: &BertConfig) -> usize {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let tables = (config.vocab_size + config.max_position_embeddings) * width;
        2 * (tables + config.num_hidden_layers * (4 * width * width + 2 * width * inner))
    }
}

impl DeviceLayer {
    fn load(
        device: &Arc<Device>,
        weights: &Weights<'_>,
        config: &BertConfig,
        index: usize,
    ) -> Result<Self, EncoderError> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let named = |name: &str| format!("encoder.layer.{index}.{name}");
        let one = |name: &str, shape| linear(device, weights, &[named(name)], shape);
        let qkv = ["query", "key", "value"].map(|name| named(&format!("attention.self.{name}")));
        let normed = |name: &str| norm(device, &weights.norm(&named(name), config)?);
        Ok(Self {
            qkv: linear(device, weights, &qkv, (width, width))?,
            attended: one("attention.output.dense", (width, width))?,
            attended_norm: normed("attention.output.LayerNorm")?,
            up: one("intermediate.dense", (width, inner))?,
            down: one("output.dense", (inner, width))?,
            norm: normed("output.LayerNorm")?,
        })
    }
}
