//! What was learned, added to the weights.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::network::LowRank;
use crate::bundle::Bundle;
use crate::bundle::tensors::rewritten;
use crate::encoder::EncoderError;

/// What is added to each weight, by its name.
#[derive(Debug, Clone)]
pub struct Adapter {
    /// `sha256:` and the digest of the weights it belongs to.
    base: String,
    /// `[outputs, inputs]` each.
    added: BTreeMap<String, Tensor>,
    parameters: usize,
}

impl Adapter {
    pub(super) fn of<'a>(
        learned: impl Iterator<Item = &'a LowRank>,
        base: &str,
    ) -> Result<Self, EncoderError> {
        let mut adapter = Self { base: base.to_owned(), added: BTreeMap::new(), parameters: 0 };
        for part in learned {
            adapter.parameters += part.down.elem_count() + part.up.elem_count();
            adapter.added.insert(part.name.clone(), part.down.matmul(&part.up)?.t()?.contiguous()?);
        }
        Ok(adapter)
    }

    /// Numbers that were learned.
    pub fn parameters(&self) -> usize {
        self.parameters
    }

    /// The bundle's weights with `scale` times what was learned, as safetensors.
    ///
    /// # Errors
    /// If the weights are not those that it was trained on.
    pub fn merged(&self, bundle: &Bundle, scale: f64) -> Result<Vec<u8>, EncoderError> {
        let bad = |problem: String| EncoderError::Weights(problem);
        if bundle.manifest.digest() != self.base {
            return Err(bad(format!("the adapter belongs to {}", self.base)));
        }
        let mut left = self.added.clone();
        let merged = rewritten(&bundle.weights, |name, tensor| {
            let Some(added) = left.remove(name) else { return Ok(None) };
            if tensor.dtype() != Dtype::F32 {
                return Err(format!("{name} is not held in f32"));
            }
            let sum = sum(tensor, &added, scale).map_err(|e| e.to_string())?;
            Ok(Some((Dtype::F32, sum.iter().flat_map(|x| x.to_le_bytes()).collect())))
        });
        match left.into_keys().next() {
            Some(name) if merged.is_ok() => Err(bad(format!("tensor {name} is not there"))),
            _ => merged.map_err(bad),
        }
    }
}

fn sum(weight: &TensorView<'_>, added: &Tensor, scale: f64) -> candle_core::Result<Vec<f32>> {
    let weight = Tensor::from_raw_buffer(weight.data(), DType::F32, weight.shape(), &Device::Cpu)?;
    (weight + (added * scale)?)?.flatten_all()?.to_vec1()
}
