//! Products through rten-gemm, for machines that have no kernel of ours: AVX2, NEON, WebAssembly, plain.
//!
//! Why two: where AVX-512 is, ours is faster by a third; everywhere else rten-gemm is there already, and well kept.

use std::cell::RefCell;
use std::ops::Range;

use rten_gemm::{BiasVector, GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix};
use rten_tensor::{Matrix, NdTensorView};

use super::activation::{gelu_coarse, gelu_fine};
use super::panels::{PANEL, panels};
use super::product::{Activation, Dequantize};
use super::rows::{RowScale, vectorized};
use crate::encoder::EncoderError;

/// The kernels for this machine, on this thread, and a buffer for integer sums.
struct Kernels {
    f32: GemmExecutor<f32, f32, f32>,
    int8: GemmExecutor<u8, i8, i32>,
    sums: RefCell<Vec<i32>>,
}

thread_local! {
    static KERNELS: Kernels = {
        // rten-gemm spreads a product over the pool of the thread that it is called on. Our threads divide the work among
        // themselves, so each is made a pool of one. A thread that is in a pool already stays there.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
        Kernels { f32: GemmExecutor::new(), int8: GemmExecutor::new(), sums: RefCell::default() }
    };
}

/// The largest weight that int8 products of this machine can take: kernels without dot products add two products in 16
/// bits, where 7-bit weights cannot overflow.
pub fn largest_weight() -> f32 {
    KERNELS.with(|kernels| if kernels.int8.may_saturate() { 63.0 } else { 127.0 })
}

/// f32 weights, a packed matrix for each panel.
pub struct F32Weights(Vec<PackedBMatrix<f32>>);

/// i8 weights, a packed matrix for each panel.
pub struct Int8Weights(Vec<PackedBMatrix<i8>>);

impl F32Weights {
    /// Packs `[outputs, inputs]`.
    pub fn pack(weights: &[f32], inputs: usize) -> Result<Self, EncoderError> {
        KERNELS.with(|kernels| by_panels(weights, inputs, |m| kernels.f32.prepack_b(m)).map(Self))
    }

    /// Rows `rows` of `x`, `[_, inputs]`, times panel `panel`, plus `bias`, to `out`, `[rows, 64]`.
    pub fn multiply(
        &self,
        panel: usize,
        x: &[f32],
        rows: Range<usize>,
        bias: &[f32],
        activation: Activation,
        out: &mut [f32],
    ) -> Result<(), EncoderError> {
        let weights = self.0.get(panel).ok_or_else(|| failed("no such panel"))?;
        let bias = bias.get(panel * PANEL..(panel + 1) * PANEL).unwrap_or_default();
        let options = GemmOptions { bias: Some(BiasVector::Row(bias)), ..GemmOptions::default() };
        let x = GemmInputA::Unpacked(some_rows(x, rows, weights.rows())?);
        KERNELS
            .with(|kernels| kernels.f32.gemm(out, x, GemmInputB::Packed(weights), options))
            .map_err(failed)?;
        if activation == Activation::Gelu {
            gelu_fine(out);
        }
        Ok(())
    }
}

impl Int8Weights {
    /// Packs `[outputs, inputs]`.
    pub fn pack(weights: &[i8], inputs: usize) -> Result<Self, EncoderError> {
        KERNELS.with(|kernels| by_panels(weights, inputs, |m| kernels.int8.prepack_b(m)).map(Self))
    }

    /// Rows `rows` of `x`, `[_, inputs]`, times panel `panel`, to `out`, `[rows, 64]`.
    pub fn multiply(
        &self,
        panel: usize,
        (x, scales): (&[u8], &[RowScale]),
        rows: Range<usize>,
        to: Dequantize<'_>,
        activation: Activation,
        out: &mut [f32],
    ) -> Result<(), EncoderError> {
        let weights = self.0.get(panel).ok_or_else(|| failed("no such panel"))?;
        let scales = scales.get(rows.clone()).unwrap_or_default();
        let x = GemmInputA::Unpacked(some_rows(x, rows, weights.rows())?);
        let to = to.panel(panel);
        KERNELS.with(|kernels| {
            let mut sums = kernels.sums.borrow_mut();
            sums.resize(out.len(), 0);
            // Zero points are taken off below, in integers: rten-gemm 0.27 gives wrong sums with one for each row.
            let done = kernels.int8.gemm(&mut sums, x, GemmInputB::Packed(weights), GemmOptions::default());
            done.map_err(failed)?;
            dequantize(&sums, scales, to, out);
            Ok::<_, EncoderError>(())
        })?;
        if activation == Activation::Gelu {
            gelu_coarse(out);
        }
        Ok(())
    }
}

vectorized! {
    /// `y = (sums - zero * totals) * (scale * scales) + bias` of one panel; the part in the first brackets is exact.
    pub fn dequantize(sums: &[i32], rows: &[RowScale], to: Dequantize<'_>, y: &mut [f32]) {
        for ((y, sums), row) in y.chunks_exact_mut(PANEL).zip(sums.chunks_exact(PANEL)).zip(rows) {
            let columns = to.totals.iter().zip(to.scales).zip(to.bias);
            for ((y, sum), ((total, scale), bias)) in y.iter_mut().zip(sums).zip(columns) {
                *y = ((sum - row.zero * total) as f32).mul_add(row.scale * scale, *bias);
            }
        }
    }
}

/// Packs each panel of `[outputs, inputs]`, the last filled up with zeros.
fn by_panels<T: Copy + Default, P>(
    weights: &[T],
    inputs: usize,
    pack: impl Fn(Matrix<'_, T>) -> P,
) -> Result<Vec<P>, EncoderError> {
    let mut padded = weights.to_vec();
    let count = panels(weights.len() / inputs.max(1));
    padded.resize(count * PANEL * inputs, T::default());
    let views = padded.chunks_exact(PANEL * inputs.max(1)).map(|panel| {
        // `[64, inputs]` seen as `[inputs, 64]`
        NdTensorView::from_slice_with_strides([inputs, PANEL], panel, [1, inputs]).map_err(failed)
    });
    views.map(|view| view.map(&pack)).collect()
}

fn some_rows<T>(x: &[T], rows: Range<usize>, inputs: usize) -> Result<Matrix<'_, T>, EncoderError> {
    let count = rows.len();
    let x = x.get(rows.start * inputs..rows.end * inputs).ok_or_else(|| failed("no such rows"))?;
    NdTensorView::try_from_data([count, inputs], x).map_err(failed)
}

fn failed(error: impl std::fmt::Debug) -> EncoderError {
    EncoderError::Compute(format!("{error:?}"))
}
