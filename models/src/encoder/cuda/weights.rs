//! The model in device memory: halves for what is multiplied, f32 for what is added.

use std::sync::Arc;

use super::driver::{Buffer, Device};
use crate::encoder::EncoderError;
use crate::encoder::config::ModelConfig;
use crate::encoder::cpu::Norm;
use crate::encoder::weights::{POSITIONS, Place, WORDS, Weights};
use crate::halves::to_halves;

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

/// Rounds to halves, and uploads them.
fn halves(device: &Arc<Device>, name: &str, values: &[f32]) -> Result<Buffer, EncoderError> {
    let rounded = to_halves(values)
        .map_err(|i| EncoderError::Weights(format!("tensor {name}: value {i} is beyond the range of f16")))?;
    Buffer::of(device, &rounded)
}

fn norm(device: &Arc<Device>, norm: &Norm) -> Result<DeviceNorm, EncoderError> {
    let (gamma, beta) = (Buffer::of(device, &norm.gamma)?, Buffer::of(device, &norm.beta)?);
    Ok(DeviceNorm { gamma, beta, eps: norm.eps })
}

/// Puts products of equal width of input side by side.
fn linear(
    device: &Arc<Device>,
    weights: &Weights<'_>,
    layer: usize,
    places: &[Place],
    (inputs, outputs): (usize, usize),
) -> Result<Linear, EncoderError> {
    let (mut matrix, mut bias) = (Vec::new(), Vec::new());
    for place in places {
        let (m, b) = weights.linear(layer, *place)?;
        matrix.extend(m);
        bias.extend(b);
    }
    let name = places.first().map(|place| weights.name(layer, *place)).unwrap_or_default();
    Ok(Linear {
        matrix: halves(device, &name, &matrix)?,
        bias: Buffer::of(device, &bias)?,
        inputs,
        outputs: outputs * places.len(),
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
        config: &ModelConfig,
    ) -> Result<Self, EncoderError> {
        let layers = (0..config.num_hidden_layers).map(|i| DeviceLayer::load(device, weights, config, i));
        Ok(Self {
            words: halves(device, WORDS, &weights.words()?)?,
            positions: halves(device, POSITIONS, &weights.positions()?)?,
            norm: norm(device, &weights.table_norm()?)?,
            layers: layers.collect::<Result<_, _>>()?,
        })
    }

    /// Bytes that a model of this shape takes, about.
    pub fn bytes(config: &ModelConfig) -> usize {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let tables = (config.vocab_size + config.max_position_embeddings) * width;
        2 * (tables + config.num_hidden_layers * (4 * width * width + 2 * width * inner))
    }
}

impl DeviceLayer {
    fn load(
        device: &Arc<Device>,
        weights: &Weights<'_>,
        config: &ModelConfig,
        index: usize,
    ) -> Result<Self, EncoderError> {
        let side_by_side =
            |places: &[Place]| linear(device, weights, index, places, config.shape(Place::Query));
        let one = |place| linear(device, weights, index, &[place], config.shape(place));
        let [attended_norm, last_norm] = weights.norms(index)?;
        Ok(Self {
            qkv: side_by_side(&[Place::Query, Place::Key, Place::Value])?,
            attended: one(Place::Attended)?,
            attended_norm: norm(device, &attended_norm)?,
            up: one(Place::Up)?,
            down: one(Place::Down)?,
            norm: norm(device, &last_norm)?,
        })
    }
}
