//! One linear layer: a matrix packed at load, and a bias.

use rten_gemm::{BiasVector, GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix};
use rten_tensor::{Matrix, NdTensorView};

use super::Arithmetic;
use super::rows::{dequantize, quantize_row};
use crate::encoder::EncoderError;

/// The kernels for this machine.
struct Kernels {
    f32: GemmExecutor<f32, f32, f32>,
    int8: GemmExecutor<u8, i8, i32>,
}

thread_local! {
    // They may be shared between threads but not sent to one, so each thread that starts a product has its own; they
    // hold nothing but the choice of a kernel.
    static KERNELS: Kernels = Kernels { f32: GemmExecutor::new(), int8: GemmExecutor::new() };
}

/// `y = x W + b`, `W` of shape `[inputs, outputs]`.
pub struct Linear {
    weights: Weights,
    bias: Vec<f32>,
    inputs: usize,
}

enum Weights {
    F32(PackedBMatrix<f32>),
    Int8 {
        packed: PackedBMatrix<i8>,
        scales: Vec<f32>,
        /// Sum of the weights of each output: what a zero point of 1 adds to it.
        totals: Vec<i32>,
    },
}

/// Buffers of the int8 path, kept from call to call.
#[derive(Debug, Default)]
pub struct QuantScratch {
    values: Vec<u8>,
    /// Scale and zero point of each row.
    rows: Vec<(f32, i32)>,
    sums: Vec<i32>,
}

impl Linear {
    /// Packs `weights`, row by row one output each (`[outputs, inputs]`, as model files hold them).
    pub fn new(weights: &[f32], bias: Vec<f32>, arithmetic: Arithmetic) -> Result<Self, EncoderError> {
        let outputs = bias.len();
        let inputs = weights.len() / outputs.max(1);
        let weights = KERNELS.with(|kernels| match arithmetic {
            Arithmetic::F32 => {
                transposed(weights, inputs, outputs).map(|m| Weights::F32(kernels.f32.prepack_b(m)))
            }
            Arithmetic::Int8 => Self::quantize(kernels, weights, inputs, outputs),
        })?;
        Ok(Self { weights, bias, inputs })
    }

    /// Symmetric, one scale for each output.
    fn quantize(
        kernels: &Kernels,
        weights: &[f32],
        inputs: usize,
        outputs: usize,
    ) -> Result<Weights, EncoderError> {
        // Kernels without VNNI add two products in 16 bits: with 7-bit weights they cannot overflow.
        let most = if kernels.int8.may_saturate() { 63.0 } else { 127.0 };
        let mut values = Vec::with_capacity(weights.len());
        let mut scales = Vec::with_capacity(outputs);
        let mut totals = Vec::with_capacity(outputs);
        for row in weights.chunks_exact(inputs.max(1)) {
            let largest = row.iter().fold(0.0f32, |m, w| m.max(w.abs()));
            let scale = if largest > 0.0 { largest / most } else { 1.0 };
            let quantized = row.iter().map(|w| (w / scale).round() as i8);
            totals.push(quantized.clone().map(i32::from).sum());
            values.extend(quantized);
            scales.push(scale);
        }
        let packed = kernels.int8.prepack_b(transposed(&values, inputs, outputs)?);
        Ok(Weights::Int8 { packed, scales, totals })
    }

    /// Width of the output.
    pub fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// `[tokens, inputs]` to `[tokens, outputs]`.
    ///
    /// # Errors
    /// If the shapes do not fit, which a loaded model rules out.
    pub fn forward(
        &self,
        x: &[f32],
        y: &mut Vec<f32>,
        scratch: &mut QuantScratch,
    ) -> Result<(), EncoderError> {
        KERNELS.with(|kernels| self.forward_with(kernels, x, y, scratch))
    }

    fn forward_with(
        &self,
        kernels: &Kernels,
        x: &[f32],
        y: &mut Vec<f32>,
        scratch: &mut QuantScratch,
    ) -> Result<(), EncoderError> {
        let tokens = x.len() / self.inputs.max(1);
        y.resize(tokens * self.outputs(), 0.0);
        match &self.weights {
            Weights::F32(packed) => {
                let options =
                    GemmOptions { bias: Some(BiasVector::Row(&self.bias)), ..GemmOptions::default() };
                let x = GemmInputA::Unpacked(matrix(x, tokens, self.inputs)?);
                kernels.f32.gemm(y, x, GemmInputB::Packed(packed), options).map_err(failed)
            }
            Weights::Int8 { packed, scales, totals } => {
                scratch.quantize(x, self.inputs);
                scratch.sums.resize(y.len(), 0);
                let x = GemmInputA::Unpacked(matrix(&scratch.values, tokens, self.inputs)?);
                let b = GemmInputB::Packed(packed);
                kernels.int8.gemm(&mut scratch.sums, x, b, GemmOptions::default()).map_err(failed)?;
                let rows = y.chunks_exact_mut(self.outputs()).zip(scratch.sums.chunks_exact(self.outputs()));
                for ((y, sums), (scale, zero)) in rows.zip(&scratch.rows) {
                    dequantize(sums, totals, *zero, *scale, scales, &self.bias, y);
                }
                Ok(())
            }
        }
    }
}

impl QuantScratch {
    fn quantize(&mut self, x: &[f32], width: usize) {
        self.values.resize(x.len(), 0);
        self.rows.clear();
        let rows = x.chunks_exact(width).zip(self.values.chunks_exact_mut(width));
        self.rows.extend(rows.map(|(row, values)| quantize_row(row, values)));
    }
}

fn matrix<T>(data: &[T], rows: usize, columns: usize) -> Result<Matrix<'_, T>, EncoderError> {
    NdTensorView::try_from_data([rows, columns], data).map_err(failed)
}

/// A view of `[outputs, inputs]` as `[inputs, outputs]`.
fn transposed<T>(data: &[T], inputs: usize, outputs: usize) -> Result<Matrix<'_, T>, EncoderError> {
    NdTensorView::from_slice_with_strides([inputs, outputs], data, [1, inputs]).map_err(failed)
}

fn failed(error: impl std::fmt::Debug) -> EncoderError {
    EncoderError::Compute(format!("{error:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| (((i + seed) * 7919) % 1009) as f32 / 500.0 - 1.0).collect()
    }

    fn product(x: &[f32], weights: &[f32], bias: &[f32], inputs: usize) -> Vec<f32> {
        let row = |x: &[f32]| -> Vec<f32> {
            let one = |(w, b): (&[f32], &f32)| x.iter().zip(w).map(|(x, w)| x * w).sum::<f32>() + b;
            weights.chunks_exact(inputs).zip(bias).map(one).collect()
        };
        x.chunks_exact(inputs).flat_map(row).collect()
    }

    #[test]
    fn agrees_with_the_plain_product() {
        for (tokens, inputs, outputs) in
            [(2, 16, 16), (1, 384, 48), (7, 384, 1152), (33, 1536, 384), (300, 32, 64)]
        {
            let (mut x, w, b) = (noise(tokens * inputs, 1), noise(inputs * outputs, 5), noise(outputs, 9));
            // Every row has its own range, so that a zero point of the wrong row would show.
            let shift = |t: usize| (t % 7) as f32 - 3.0;
            x.chunks_exact_mut(inputs)
                .enumerate()
                .for_each(|(t, row)| row.iter_mut().for_each(|x| *x += shift(t)));
            let expected = product(&x, &w, &b, inputs);
            for (arithmetic, tolerance) in [(Arithmetic::F32, 1e-4), (Arithmetic::Int8, 0.05)] {
                let linear = Linear::new(&w, b.clone(), arithmetic).unwrap();
                let (mut y, mut scratch) = (Vec::new(), QuantScratch::default());
                linear.forward(&x, &mut y, &mut scratch).unwrap();
                let norm = expected.iter().map(|v| v * v).sum::<f32>().sqrt();
                let off = y.iter().zip(&expected).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
                assert!(
                    off <= tolerance * norm,
                    "{arithmetic:?} {tokens}x{inputs}x{outputs}: {}",
                    off / norm
                );
            }
        }
    }
}
