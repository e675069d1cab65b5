//! A product with weights that are not trained.
//!
//! candle computes the gradient of both sides of a product, whether anybody asks for it or not. For weights that stay as
//! they are that is a third of the work of a step.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

/// `x W`, where no gradient of `W` is wanted.
#[derive(Clone)]
pub struct Frozen {
    /// `[inputs, outputs]`
    weight: Tensor,
    /// `[outputs, inputs]`
    transposed: Tensor,
}

impl Frozen {
    /// Of a weight as it stands in the file, `[outputs, inputs]`.
    pub fn of(weight: &Tensor) -> Result<Self> {
        Ok(Self { weight: weight.t()?.contiguous()?, transposed: weight.contiguous()? })
    }
}

impl CustomOp1 for Frozen {
    fn name(&self) -> &'static str {
        "product with frozen weights"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let all: &[f32] = storage.as_slice()?;
        let (start, end) = layout
            .contiguous_offsets()
            .ok_or_else(|| candle_core::Error::RequiresContiguous { op: self.name() })?;
        let x = Tensor::from_slice(
            all.get(start..end).unwrap_or_default(),
            layout.shape(),
            self.weight.device(),
        )?;
        let product = x.matmul(&self.weight)?;
        Ok((CpuStorage::F32(product.flatten_all()?.to_vec1()?), product.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        gradient.matmul(&self.transposed).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn it_is_the_product_and_has_its_gradient() {
        let weight = Tensor::new(&[[1f32, 2.0, 3.0], [4.0, 5.0, 6.0]], &Device::Cpu).unwrap();
        let x = Var::new(&[[1f32, 0.5, -1.0], [2.0, 0.0, 1.0]], &Device::Cpu).unwrap();
        let plain = x.matmul(&weight.t().unwrap()).unwrap();
        let frozen = x.apply_op1(Frozen::of(&weight).unwrap()).unwrap();
        let values = |t: &Tensor| t.to_vec2::<f32>().unwrap();
        assert_eq!(values(&plain), values(&frozen));
        let gradient =
            |y: &Tensor| values(y.sqr().unwrap().sum_all().unwrap().backward().unwrap().get(&x).unwrap());
        assert_eq!(gradient(&plain), gradient(&frozen));
    }
}
