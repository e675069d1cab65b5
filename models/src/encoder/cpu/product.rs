//! One linear layer: a matrix packed at load for the best kernel of this machine, and a bias.

use std::ops::Range;

#[cfg(target_arch = "x86_64")]
use super::avx512::{self, Avx512, Vnni};
use super::panels::{PANEL, Parts, panels};
#[cfg(target_arch = "x86_64")]
use super::rows::LANES;
use super::rows::{RowScale, Source, copy_rows, quantize_panels, quantize_rows};
#[cfg(target_arch = "x86_64")]
use super::rows_avx512;
use super::{Arithmetic, fallback};
use crate::encoder::EncoderError;

/// What follows the bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// GELU with erf.
    Gelu,
}

/// Which kernels to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kernel {
    /// The best that this machine has.
    #[default]
    Best,
    /// Those that run everywhere.
    Fallback,
}

/// `y = activation(x W + b)`, `W` of shape `[inputs, outputs]`.
pub struct Product {
    weights: Weights,
    /// `[panels * 64]`
    bias: Vec<f32>,
    inputs: usize,
}

enum Weights {
    F32(F32Kernel),
    Int8(Int8),
}

enum F32Kernel {
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::F32Weights),
    Fallback(fallback::F32Weights),
}

struct Int8 {
    kernel: Int8Kernel,
    /// What an input is multiplied with before it is quantised; its weights were divided by the same.
    factors: Vec<f32>,
    /// Of each column, `[panels * 64]`.
    scales: Vec<f32>,
    /// Sum of the weights of each column: what a zero point of 1 adds to it.
    totals: Vec<i32>,
}

enum Int8Kernel {
    #[cfg(target_arch = "x86_64")]
    Vnni(avx512::Int8Weights),
    Fallback(fallback::Int8Weights),
}

/// What turns integer sums into numbers, for each column.
#[derive(Clone, Copy)]
pub struct Dequantize<'a> {
    /// Sum of the weights.
    pub totals: &'a [i32],
    /// Scale.
    pub scales: &'a [f32],
    /// Bias.
    pub bias: &'a [f32],
}

impl Dequantize<'_> {
    /// The columns of one panel.
    pub fn panel(&self, panel: usize) -> Self {
        let columns = panel * PANEL..(panel + 1) * PANEL;
        Self {
            totals: self.totals.get(columns.clone()).unwrap_or_default(),
            scales: self.scales.get(columns.clone()).unwrap_or_default(),
            bias: self.bias.get(columns).unwrap_or_default(),
        }
    }
}

/// The input of a product, `[rows, inputs]`, in the form that its arithmetic takes. Buffers are kept from call to call.
#[derive(Debug, Default)]
pub struct Operand {
    values: Vec<f32>,
    bytes: Vec<u8>,
    scales: Vec<RowScale>,
}

/// Rows of an [`Operand`] that are being written.
pub struct OperandRows<'a> {
    values: &'a mut [f32],
    bytes: &'a mut [u8],
    scales: &'a mut [RowScale],
}

impl Product {
    /// Packs `weights`, row by row one output each (`[outputs, inputs]`, as model files hold them). `smoothing` is empty
    /// or has a factor for each input: int8 multiplies weights with it and divides inputs by it.
    ///
    /// # Errors
    /// If the kernel does not take the shape.
    pub fn new(
        weights: &[f32],
        mut bias: Vec<f32>,
        arithmetic: Arithmetic,
        smoothing: &[f32],
        kernel: Kernel,
    ) -> Result<Self, EncoderError> {
        let inputs = weights.len() / bias.len().max(1);
        let weights = match arithmetic {
            Arithmetic::F32 => Weights::F32(F32Kernel::pack(weights, inputs, kernel)?),
            Arithmetic::Int8 => Weights::Int8(Int8::pack(weights, inputs, smoothing, kernel)?),
        };
        bias.resize(panels(bias.len()) * PANEL, 0.0);
        Ok(Self { weights, bias, inputs })
    }

    /// Whether int8 keeps eight bits of a weight on this machine.
    pub fn takes_8_bits() -> bool {
        #[cfg(target_arch = "x86_64")]
        if Vnni::detect().is_some() {
            return true;
        }
        fallback::largest_weight() >= 127.0
    }

    /// The kernel that computes it.
    pub fn kernel(&self) -> &'static str {
        match &self.weights {
            #[cfg(target_arch = "x86_64")]
            Weights::F32(F32Kernel::Avx512(_)) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Weights::Int8(Int8 { kernel: Int8Kernel::Vnni(_), .. }) => "avx512-vnni",
            Weights::F32(F32Kernel::Fallback(_)) | Weights::Int8(_) => "rten-gemm",
        }
    }

    /// Width of the input.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Panels of the output.
    pub fn panels(&self) -> usize {
        self.bias.len() / PANEL
    }

    /// Rows `[_, inputs]` to an operand.
    pub fn read_rows(&self, x: &[f32], to: OperandRows<'_>) {
        match &self.weights {
            Weights::F32(_) => to.values.copy_from_slice(x),
            Weights::Int8(int8) => int8.read_rows(x, to.bytes, to.scales),
        }
    }

    /// Rows of a panelled matrix to an operand.
    pub fn read_panels(&self, x: Source<'_>, to: OperandRows<'_>) {
        match &self.weights {
            Weights::F32(_) => copy_rows(x, self.inputs, to.values),
            Weights::Int8(int8) => int8.read_panels(x, to.bytes, to.scales),
        }
    }

    /// One panel of the output for some rows, to `out`, `[rows, 64]`.
    ///
    /// # Errors
    /// If the shapes do not fit, which a loaded model rules out.
    pub fn multiply(
        &self,
        x: &Operand,
        panel: usize,
        rows: Range<usize>,
        activation: Activation,
        out: &mut [f32],
    ) -> Result<(), EncoderError> {
        match &self.weights {
            Weights::F32(kernel) => kernel.multiply(x, panel, rows, &self.bias, activation, out),
            Weights::Int8(int8) => {
                let to = Dequantize { totals: &int8.totals, scales: &int8.scales, bias: &self.bias };
                int8.kernel.multiply(x, panel, rows, to, activation, out)
            }
        }
    }
}

impl F32Kernel {
    fn pack(weights: &[f32], inputs: usize, kernel: Kernel) -> Result<Self, EncoderError> {
        #[cfg(target_arch = "x86_64")]
        if let Some(proof) = Avx512::detect().filter(|_| kernel == Kernel::Best) {
            return Ok(Self::Avx512(avx512::F32Weights::pack(proof, weights, inputs)));
        }
        let _ = kernel;
        fallback::F32Weights::pack(weights, inputs).map(Self::Fallback)
    }

    fn multiply(
        &self,
        x: &Operand,
        panel: usize,
        rows: Range<usize>,
        bias: &[f32],
        activation: Activation,
        out: &mut [f32],
    ) -> Result<(), EncoderError> {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(weights) => {
                weights.multiply(panel, &x.values, rows, bias, activation, out);
                Ok(())
            }
            Self::Fallback(weights) => weights.multiply(panel, &x.values, rows, bias, activation, out),
        }
    }
}

impl Int8Kernel {
    fn multiply(
        &self,
        x: &Operand,
        panel: usize,
        rows: Range<usize>,
        to: Dequantize<'_>,
        activation: Activation,
        out: &mut [f32],
    ) -> Result<(), EncoderError> {
        let x = (x.bytes.as_slice(), x.scales.as_slice());
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Vnni(weights) => {
                weights.multiply(panel, x, rows, to, activation, out);
                Ok(())
            }
            Self::Fallback(weights) => weights.multiply(panel, x, rows, to, activation, out),
        }
    }
}

impl Int8 {
    /// Symmetric, one scale for each output.
    fn pack(weights: &[f32], inputs: usize, smoothing: &[f32], kernel: Kernel) -> Result<Self, EncoderError> {
        #[cfg(target_arch = "x86_64")]
        let vnni = Vnni::detect().filter(|_| kernel == Kernel::Best && inputs.is_multiple_of(4));
        #[cfg(not(target_arch = "x86_64"))]
        let vnni = None::<()>;
        let _ = kernel;
        let most = if vnni.is_some() { 127.0 } else { fallback::largest_weight() };
        let smoothing = if smoothing.is_empty() { vec![1.0; inputs] } else { smoothing.to_vec() };
        let mut values = Vec::with_capacity(weights.len());
        let (mut scales, mut totals) = (Vec::new(), Vec::new());
        for row in weights.chunks_exact(inputs.max(1)) {
            let smoothed = row.iter().zip(&smoothing).map(|(w, s)| w * s);
            let largest = smoothed.clone().fold(0.0f32, |m, w| m.max(w.abs()));
            let scale = if largest > 0.0 { largest / most } else { 1.0 };
            let quantized = smoothed.map(|w| (w / scale).round() as i8);
            totals.push(quantized.clone().map(i32::from).sum());
            values.extend(quantized);
            scales.push(scale);
        }
        let columns = panels(scales.len()) * PANEL;
        scales.resize(columns, 0.0);
        totals.resize(columns, 0);
        let factors = smoothing.iter().map(|s| 1.0 / s).collect();
        let kernel = match vnni {
            #[cfg(target_arch = "x86_64")]
            Some(proof) => Int8Kernel::Vnni(avx512::Int8Weights::pack(proof, &values, inputs)),
            _ => Int8Kernel::Fallback(fallback::Int8Weights::pack(&values, inputs)?),
        };
        Ok(Self { kernel, factors, scales, totals })
    }

    fn read_rows(&self, x: &[f32], values: &mut [u8], scales: &mut [RowScale]) {
        #[cfg(target_arch = "x86_64")]
        if let Some(proof) = self.vectors(LANES) {
            return rows_avx512::quantize_rows(proof, x, &self.factors, values, scales);
        }
        quantize_rows(x, &self.factors, values, scales);
    }

    fn read_panels(&self, x: Source<'_>, values: &mut [u8], scales: &mut [RowScale]) {
        #[cfg(target_arch = "x86_64")]
        if let Some(proof) = self.vectors(PANEL) {
            return rows_avx512::quantize_panels(proof, x, &self.factors, values, scales);
        }
        quantize_panels(x, &self.factors, values, scales);
    }

    /// Whether rows are read by vector instructions, which takes a width that is a multiple of `step`.
    #[cfg(target_arch = "x86_64")]
    fn vectors(&self, step: usize) -> Option<Avx512> {
        let ours = matches!(self.kernel, Int8Kernel::Vnni(_)) && self.factors.len().is_multiple_of(step);
        Avx512::detect().filter(|_| ours)
    }
}

impl Operand {
    /// The rows as f32, `[rows, inputs]`; of no use in int8.
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}

/// An operand of which several threads write different rows at once.
pub struct OperandParts<'a> {
    values: Parts<'a, f32>,
    bytes: Parts<'a, u8>,
    scales: Parts<'a, RowScale>,
    f32: bool,
    inputs: usize,
}

impl<'a> OperandParts<'a> {
    /// Of an operand for `product`, of `rows` rows.
    pub fn of(operand: &'a mut Operand, product: &Product, rows: usize) -> Self {
        let (f32, inputs) = (matches!(product.weights, Weights::F32(_)), product.inputs);
        let bytes = if f32 { 0 } else { rows * inputs };
        Self {
            values: Parts::of(room(&mut operand.values, rows * inputs - bytes)),
            bytes: Parts::of(room(&mut operand.bytes, bytes)),
            scales: Parts::of(room(&mut operand.scales, if f32 { 0 } else { rows })),
            f32,
            inputs,
        }
    }

    /// Some rows.
    ///
    /// # Safety
    /// While some rows are in use, no others that overlap them may be.
    #[allow(unsafe_code, reason = "several threads write one operand")]
    pub unsafe fn rows(&self, rows: Range<usize>) -> OperandRows<'_> {
        let numbers = rows.start * self.inputs..rows.end * self.inputs;
        let (values, bytes, scales) = if self.f32 { (numbers, 0..0, 0..0) } else { (0..0, numbers, rows) };
        // SAFETY: the same rows of each buffer, which do not overlap others in use, by the caller's promise.
        unsafe {
            OperandRows {
                values: self.values.part(values),
                bytes: self.bytes.part(bytes),
                scales: self.scales.part(scales),
            }
        }
    }
}

/// The first `length` places of a buffer that only ever grows: growing and shrinking would fill it anew each time.
pub fn room<T: Clone + Default>(buffer: &mut Vec<T>, length: usize) -> &mut [T] {
    if buffer.len() < length {
        buffer.resize(length, T::default());
    }
    buffer.get_mut(..length).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| (((i + seed) * 7919) % 1009) as f32 / 500.0 - 1.0).collect()
    }

    fn naive(x: &[f32], weights: &[f32], bias: &[f32], inputs: usize) -> Vec<f32> {
        let row = |x: &[f32]| -> Vec<f32> {
            let one = |(w, b): (&[f32], &f32)| x.iter().zip(w).map(|(x, w)| x * w).sum::<f32>() + b;
            weights.chunks_exact(inputs).zip(bias).map(one).collect()
        };
        x.chunks_exact(inputs).flat_map(row).collect()
    }

    /// All panels, row by row, without the columns to spare.
    #[allow(unsafe_code, reason = "one thread takes all rows")]
    fn multiply(product: &Product, x: &[f32], outputs: usize, activation: Activation) -> Vec<f32> {
        let rows = x.len() / product.inputs();
        let mut operand = Operand::default();
        let parts = OperandParts::of(&mut operand, product, rows);
        // SAFETY: no other rows are in use.
        product.read_rows(x, unsafe { parts.rows(0..rows) });
        let mut out = vec![vec![]; rows];
        for panel in 0..product.panels() {
            let mut columns = vec![0.0; rows * PANEL];
            product.multiply(&operand, panel, 0..rows, activation, &mut columns).unwrap();
            out.iter_mut().zip(columns.chunks(PANEL)).for_each(|(row, part)| row.extend_from_slice(part));
        }
        out.into_iter().flat_map(|row| row[..outputs].to_vec()).collect()
    }

    #[test]
    fn agrees_with_the_plain_product_on_every_kernel() {
        for (rows, inputs, outputs) in
            [(2, 16, 16), (1, 384, 48), (7, 384, 1152), (33, 1536, 384), (300, 32, 64)]
        {
            let (mut x, w, b) = (noise(rows * inputs, 1), noise(inputs * outputs, 5), noise(outputs, 9));
            // Every row has its own range, so that a zero point of the wrong row would show.
            let shift = |t: usize| (t % 7) as f32 - 3.0;
            x.chunks_exact_mut(inputs)
                .enumerate()
                .for_each(|(t, row)| row.iter_mut().for_each(|x| *x += shift(t)));
            let smoothing: Vec<f32> = (0..inputs).map(|i| 0.5 + (i % 4) as f32 / 4.0).collect();
            let expected = naive(&x, &w, &b, inputs);
            let norm = expected.iter().map(|v| v * v).sum::<f32>().sqrt();
            for (arithmetic, tolerance) in [(Arithmetic::F32, 1e-4), (Arithmetic::Int8, 0.05)] {
                for kernel in [Kernel::Best, Kernel::Fallback] {
                    let product = Product::new(&w, b.clone(), arithmetic, &smoothing, kernel).unwrap();
                    let y = multiply(&product, &x, outputs, Activation::None);
                    let off = y.iter().zip(&expected).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
                    assert!(
                        off <= tolerance * norm,
                        "{arithmetic:?} {kernel:?} {rows}x{inputs}x{outputs}: {}",
                        off / norm
                    );
                }
            }
        }
    }

    #[test]
    fn int8_gives_the_same_bits_on_every_kernel_that_takes_8_bit_weights() {
        if fallback::largest_weight() < 127.0 {
            return;
        }
        let (x, w, b) = (noise(13 * 384, 1), noise(384 * 200, 5), noise(200, 9));
        let [best, fallback] = [Kernel::Best, Kernel::Fallback].map(|kernel| {
            let product = Product::new(&w, b.clone(), Arithmetic::Int8, &[], kernel).unwrap();
            multiply(&product, &x, 200, Activation::Gelu)
        });
        assert_eq!(best, fallback);
    }

    #[test]
    #[allow(unsafe_code, reason = "one thread takes all rows")]
    fn rows_and_panels_are_read_to_the_same_bytes_on_every_kernel() {
        let (rows, width) = (5, 192);
        let (panelled, w) = (noise(rows * width, 3), noise(width * 64, 5));
        let x: Vec<f32> = (0..rows)
            .flat_map(|r| super::super::panels::row(&panelled, rows, r).flatten())
            .copied()
            .collect();
        let smoothing: Vec<f32> = (0..width).map(|i| 0.5 + (i % 7) as f32 / 4.0).collect();
        let mut read = Vec::new();
        for kernel in [Kernel::Best, Kernel::Fallback] {
            let product = Product::new(&w, vec![0.0; 64], Arithmetic::Int8, &smoothing, kernel).unwrap();
            let (mut a, mut b) = (Operand::default(), Operand::default());
            // SAFETY: no other rows are in use.
            unsafe {
                product
                    .read_rows(&x[width..], OperandParts::of(&mut a, &product, rows - 1).rows(0..rows - 1));
                let source = Source { matrix: &panelled, rows, first: 1 };
                product.read_panels(source, OperandParts::of(&mut b, &product, rows - 1).rows(0..rows - 1));
            }
            read.extend([(a.bytes, a.scales), (b.bytes, b.scales)]);
        }
        assert!(read.iter().all(|r| *r == read[0]) && read[0].0.iter().any(|v| *v > 200));
    }

    #[test]
    fn a_row_gives_the_same_bits_in_any_tile() {
        let (x, w, b) = (noise(13 * 64, 1), noise(64 * 64, 5), noise(64, 9));
        for arithmetic in [Arithmetic::F32, Arithmetic::Int8] {
            let product = Product::new(&w, b.clone(), arithmetic, &[], Kernel::Best).unwrap();
            let all = multiply(&product, &x, 64, Activation::Gelu);
            for rows in 1..13 {
                let some = multiply(&product, &x[..rows * 64], 64, Activation::Gelu);
                assert!(some == all[..rows * 64], "{arithmetic:?}, {rows} rows");
            }
        }
    }
}
