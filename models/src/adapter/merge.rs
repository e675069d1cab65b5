//! What was learned, added to the weights.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use safetensors::SafeTensors;
use safetensors::tensor::serialize;

use super::network::LowRank;
use crate::bundle::Bundle;
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
        let file = SafeTensors::deserialize(&bundle.weights).map_err(|e| bad(e.to_string()))?;
        let mut changed: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
        for (name, added) in &self.added {
            let view = file.tensor(name).map_err(|e| bad(e.to_string()))?;
            if view.dtype() != safetensors::Dtype::F32 {
                return Err(bad(format!("{name} is not held in f32")));
            }
            let weight = Tensor::from_raw_buffer(view.data(), DType::F32, view.shape(), &Device::Cpu)?;
            let sum = (weight + (added * scale)?)?.flatten_all()?.to_vec1::<f32>()?;
            changed.insert(name, sum.iter().flat_map(|x| x.to_le_bytes()).collect());
        }
        let mut tensors = Vec::new();
        for (name, view) in file.tensors() {
            let data = changed.get(name.as_str()).map_or(view.data(), Vec::as_slice);
            let view = safetensors::tensor::TensorView::new(view.dtype(), view.shape().to_vec(), data);
            tensors.push((name, view.map_err(|e| bad(e.to_string()))?));
        }
        serialize(tensors, None).map_err(|e| bad(e.to_string()))
    }
}
