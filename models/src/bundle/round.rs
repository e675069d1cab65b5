//! A bundle with its weights rounded to half precision: half the size, and all that a GPU computes with.

use safetensors::Dtype;

use super::tensors::rewritten;
use super::{Bundle, BundleError};
use crate::halves::to_halves;

impl Bundle {
    /// The same bundle with rounded weights. The name gets `-f16` at its end.
    ///
    /// # Errors
    /// If the weights are no safetensors, or hold a value beyond the range of f16.
    pub fn rounded(&self) -> Result<Self, BundleError> {
        let name = format!("{}-f16", self.manifest.name);
        let mut rounded = self.with_weights(&name, "weights rounded to f16", halves(self)?)?;
        rounded.manifest.rounded_from = Some(self.manifest.digest());
        Ok(rounded)
    }
}

/// The weights with every f32 tensor in f16; the others as they are.
fn halves(bundle: &Bundle) -> Result<Vec<u8>, BundleError> {
    let rounded = rewritten(&bundle.weights, |name, tensor| {
        if tensor.dtype() != Dtype::F32 {
            return Ok(None);
        }
        let values: Vec<f32> =
            tensor.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        let halves =
            to_halves(&values).map_err(|_| format!("tensor {name} holds a value beyond the range of f16"))?;
        Ok(Some((Dtype::F16, halves.iter().flat_map(|x| x.to_le_bytes()).collect())))
    });
    let origin = format!("{}, weights", bundle.manifest.name);
    rounded.map_err(|reason| BundleError::Manifest { origin, reason })
}

#[cfg(test)]
mod tests {
    use half::f16;
    use safetensors::SafeTensors;
    use safetensors::tensor::TensorView;

    use super::super::testing;
    use super::*;
    use crate::bundle::{Store, import};

    fn bundle(values: &[f32]) -> Bundle {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let view = TensorView::new(Dtype::F32, vec![values.len()], &bytes).unwrap();
        let weights = safetensors::serialize([("x", view)], None).unwrap();
        // As the manifest has them: only the weights are made anew.
        let [_, tokenizer, config] = testing::FILES.map(|(_, _, bytes)| bytes.to_vec());
        Bundle { manifest: testing::manifest("tiny"), weights, tokenizer, config }
    }

    #[test]
    fn a_rounded_bundle_is_installed_and_keeps_the_models_digest() {
        let (folder, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let bundle = bundle(&[1.0, 1.0 + 1e-4, -0.5]);
        let rounded = bundle.rounded().unwrap();
        rounded.write(folder.path()).unwrap();
        let store = Store::open(Some(home.path().into())).unwrap();
        assert_eq!(import(&store, folder.path()).unwrap(), rounded.manifest);
        let loaded = store.load("tiny-f16").unwrap();
        assert_eq!(loaded.manifest.digest(), bundle.manifest.digest());
        let tensors = SafeTensors::deserialize(&loaded.weights).unwrap();
        let x = tensors.tensor("x").unwrap();
        let halves: Vec<f16> = x.data().as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b)).collect();
        assert_eq!((x.dtype(), halves), (Dtype::F16, [1.0, 1.0, -0.5].map(f16::from_f32).to_vec()));
    }

    #[test]
    fn what_a_half_cannot_hold_is_refused() {
        let error = bundle(&[70_000.0]).rounded().unwrap_err().to_string();
        assert!(error.contains("tensor x"), "{error}");
    }
}
