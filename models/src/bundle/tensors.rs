//! Weights made of other weights.

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

/// A safetensors file in which `change` gives tensors another type and other bytes; those it says nothing of stay.
///
/// # Errors
/// If the bytes are no such file, or what `change` says.
pub fn rewritten(
    file: &[u8],
    mut change: impl FnMut(&str, &TensorView<'_>) -> Result<Option<(Dtype, Vec<u8>)>, String>,
) -> Result<Vec<u8>, String> {
    let tensors = SafeTensors::deserialize(file).map_err(|e| e.to_string())?.tensors();
    let mut changed: Vec<Option<(Dtype, Vec<u8>)>> = Vec::with_capacity(tensors.len());
    for (name, tensor) in &tensors {
        changed.push(change(name, tensor)?);
    }
    let views = tensors.iter().zip(&changed).map(|((name, tensor), changed)| {
        let (dtype, bytes) = match changed {
            Some((dtype, bytes)) => (*dtype, bytes.as_slice()),
            None => (tensor.dtype(), tensor.data()),
        };
        let view = TensorView::new(dtype, tensor.shape().to_vec(), bytes).map_err(|e| e.to_string())?;
        Ok((name, view))
    });
    safetensors::serialize(views.collect::<Result<Vec<_>, String>>()?, None).map_err(|e| e.to_string())
}
