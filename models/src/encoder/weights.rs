//! Tensors by name, checked.

use safetensors::{Dtype, SafeTensors};

use super::cpu::Norm;
use crate::encoder::EncoderError;
use crate::encoder::config::BertConfig;

/// The tensors of a model, with or without the prefix `bert.`.
pub struct Weights<'a> {
    tensors: &'a SafeTensors<'a>,
    prefix: &'static str,
}

impl<'a> Weights<'a> {
    /// Of a file.
    pub fn of(tensors: &'a SafeTensors<'a>) -> Self {
        let prefixed = tensors.names().iter().any(|n| n.starts_with("bert."));
        Self { tensors, prefix: if prefixed { "bert." } else { "" } }
    }

    /// Values of a tensor of this many elements.
    ///
    /// # Errors
    /// Names the tensor that is missing or has another shape or type.
    pub fn get(&self, name: &str, elements: usize) -> Result<Vec<f32>, EncoderError> {
        let name = format!("{}{name}", self.prefix);
        let fail = |problem: String| EncoderError::Weights(format!("tensor {name}: {problem}"));
        let tensor = self.tensors.tensor(&name).map_err(|e| fail(e.to_string()))?;
        let values: Vec<f32> = match tensor.dtype() {
            Dtype::F32 => tensor.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Dtype::F16 => {
                let halves = tensor.data().as_chunks::<2>().0.iter();
                halves.map(|b| half::f16::from_le_bytes(*b).to_f32()).collect()
            }
            other => return Err(fail(format!("{other:?} is not supported, only F32 and F16"))),
        };
        if values.len() != elements {
            return Err(fail(format!("{} elements, {elements} expected", values.len())));
        }
        Ok(values)
    }

    /// Matrix `[to, from]` and bias `[to]` of a linear layer.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn linear(&self, name: &str, from: usize, to: usize) -> Result<(Vec<f32>, Vec<f32>), EncoderError> {
        Ok((self.get(&format!("{name}.weight"), from * to)?, self.get(&format!("{name}.bias"), to)?))
    }

    /// A layer norm.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn norm(&self, name: &str, config: &BertConfig) -> Result<Norm, EncoderError> {
        let gamma = self.get(&format!("{name}.weight"), config.hidden_size)?;
        let beta = self.get(&format!("{name}.bias"), config.hidden_size)?;
        Ok(Norm { gamma, beta, eps: config.layer_norm_eps as f32 })
    }

    /// The position table with the first token type added: every text is of the first type.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn positions(&self, config: &BertConfig) -> Result<Vec<f32>, EncoderError> {
        let width = config.hidden_size;
        let mut positions =
            self.get("embeddings.position_embeddings.weight", config.max_position_embeddings * width)?;
        let types = self.get("embeddings.token_type_embeddings.weight", config.type_vocab_size * width)?;
        for row in positions.chunks_exact_mut(width) {
            row.iter_mut().zip(&types).for_each(|(p, t)| *p += t);
        }
        Ok(positions)
    }
}
