//! Work on rows, compiled for the vector units of several machines and chosen at run time.
//!
//! Sums run in sixteen interleaved lanes in a fixed order, and products are only fused with additions where the code says
//! so: so all of it vectorises and gives the same bits on every machine.

use super::panels::{PANEL, row};

/// Lanes of a sum.
pub const LANES: usize = 16;

/// Defines a function that is compiled for AVX-512, for AVX2 and plainly, and calls the best that this machine has.
macro_rules! vectorized {
    ($(#[$doc:meta])* pub fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $out:ty)? $body:block) => {
        $(#[$doc])*
        #[allow(unsafe_code, reason = "calls of functions compiled for a vector unit that was just detected")]
        #[allow(clippy::too_many_arguments, reason = "kernels take their buffers one by one")]
        pub fn $name($($arg: $type),*) $(-> $out)? {
            #[inline(always)]
            fn plain($($arg: $type),*) $(-> $out)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,fma")]
                fn avx512($($arg: $type),*) $(-> $out)? { plain($($arg),*) }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $type),*) $(-> $out)? { plain($($arg),*) }
                let fma = is_x86_feature_detected!("fma");
                if fma && $crate::encoder::cpu::rows::has_avx512() {
                    // SAFETY: the features were detected on this machine.
                    return unsafe { avx512($($arg),*) };
                }
                if fma && is_x86_feature_detected!("avx2") {
                    // SAFETY: the features were detected on this machine.
                    return unsafe { avx2($($arg),*) };
                }
            }
            plain($($arg),*)
        }
    };
}
pub(super) use vectorized;

/// Whether this machine has the AVX-512 that our code is compiled for.
#[cfg(target_arch = "x86_64")]
pub fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
}

/// Scale and zero point of a quantised row: `x = scale * (value - zero)`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RowScale {
    /// Step.
    pub scale: f32,
    /// The value that stands for 0.
    pub zero: i32,
}

/// Weights of a layer norm.
pub struct Norm {
    /// Factor of each column.
    pub gamma: Vec<f32>,
    /// Added to each column.
    pub beta: Vec<f32>,
    /// Added to the variance.
    pub eps: f32,
}

/// Adds the lanes in a fixed order.
#[inline(always)]
fn total(lanes: [f32; LANES]) -> f32 {
    lanes.iter().sum()
}

/// Rows of a panelled matrix that stand beside rows of a buffer.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// `[panels, rows, 64]`
    pub matrix: &'a [f32],
    /// Rows of the matrix.
    pub rows: usize,
    /// The first row meant.
    pub first: usize,
}

vectorized! {
    /// `x = norm(x + y)`, row by row: the residual and the layer norm after it. `x` is `[_, width]`.
    pub fn add_and_normalize(x: &mut [f32], y: Source<'_>, norm: &Norm) {
        for (i, x) in x.chunks_exact_mut(norm.gamma.len().max(1)).enumerate() {
            for (x, y) in x.chunks_mut(PANEL).zip(row(y.matrix, y.rows, y.first + i)) {
                x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
            }
            normalize_row(x, norm);
        }
    }
}

vectorized! {
    /// `x = norm(x + y)`, row by row, with `y` as wide as `x`.
    pub fn add_rows_and_normalize(x: &mut [f32], y: &[f32], norm: &Norm) {
        let width = norm.gamma.len().max(1);
        for (x, y) in x.chunks_exact_mut(width).zip(y.chunks_exact(width)) {
            x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
            normalize_row(x, norm);
        }
    }
}

#[inline(always)]
fn normalize_row(x: &mut [f32], norm: &Norm) {
    let width = norm.gamma.len() as f32;
    let mean = sum(x) / width;
    x.iter_mut().for_each(|x| *x -= mean);
    let scale = 1.0 / (sum_of_squares(x) / width + norm.eps).sqrt();
    x.iter_mut().zip(norm.gamma.iter().zip(&norm.beta)).for_each(|(x, (g, b))| *x = *x * scale * g + b);
}

#[inline(always)]
fn sum(x: &[f32]) -> f32 {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(l, x)| *l += x);
    }
    total(lanes) + rest.iter().sum::<f32>()
}

#[inline(always)]
fn sum_of_squares(x: &[f32]) -> f32 {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(l, x)| *l += x * x);
    }
    total(lanes) + rest.iter().map(|x| x * x).sum::<f32>()
}

vectorized! {
    /// Rows as they are, one after the other. `to` is `[_, width]`.
    pub fn copy_rows(from: Source<'_>, width: usize, to: &mut [f32]) {
        for (i, to) in to.chunks_exact_mut(width).enumerate() {
            for (to, from) in to.chunks_mut(PANEL).zip(row(from.matrix, from.rows, from.first + i)) {
                to.copy_from_slice(from.get(..to.len()).unwrap_or_default());
            }
        }
    }
}

vectorized! {
    /// Rows times `factors`, as u8. `values` is `[scales.len(), factors.len()]`.
    pub fn quantize_rows(x: &[f32], factors: &[f32], values: &mut [u8], scales: &mut [RowScale]) {
        let width = factors.len().max(1);
        let rows = x.chunks_exact(width).zip(values.chunks_exact_mut(width)).zip(scales);
        for ((x, values), scale) in rows {
            let mut range = Range::default();
            range.include(x, factors);
            *scale = range.scale();
            quantize(x, factors, *scale, values);
        }
    }
}

vectorized! {
    /// As [`quantize_rows`], from a panelled matrix.
    pub fn quantize_panels(x: Source<'_>, factors: &[f32], values: &mut [u8], scales: &mut [RowScale]) {
        let rows = values.chunks_exact_mut(factors.len().max(1)).zip(scales).enumerate();
        for (i, (values, scale)) in rows {
            let mut range = Range::default();
            for (x, factors) in row(x.matrix, x.rows, x.first + i).zip(factors.chunks(PANEL)) {
                range.include(x, factors);
            }
            *scale = range.scale();
            let parts = values.chunks_mut(PANEL).zip(factors.chunks(PANEL));
            for (x, (values, factors)) in row(x.matrix, x.rows, x.first + i).zip(parts) {
                quantize(x, factors, *scale, values);
            }
        }
    }
}

/// Lowest and highest value of a row; always includes 0, so that 0 is exact.
#[derive(Default)]
struct Range {
    low: [f32; LANES],
    high: [f32; LANES],
}

impl Range {
    #[inline(always)]
    fn include(&mut self, x: &[f32], factors: &[f32]) {
        for (x, f) in x.chunks(LANES).zip(factors.chunks(LANES)) {
            let lanes = self.low.iter_mut().zip(&mut self.high);
            for ((low, high), (x, f)) in lanes.zip(x.iter().zip(f)) {
                let value = x * f;
                *low = if value < *low { value } else { *low };
                *high = if value > *high { value } else { *high };
            }
        }
    }

    #[inline(always)]
    fn scale(&self) -> RowScale {
        let low = self.low.iter().fold(0.0f32, |a, b| if *b < a { *b } else { a });
        let high = self.high.iter().fold(0.0f32, |a, b| if *b > a { *b } else { a });
        scale_of(low, high)
    }
}

/// 256 steps from `low` (0 or less) to `high` (0 or more).
#[inline(always)]
pub fn scale_of(low: f32, high: f32) -> RowScale {
    let scale = ((high - low) / 255.0).max(f32::MIN_POSITIVE);
    RowScale { scale, zero: rounded(-low / scale).clamp(0, 255) }
}

/// To the nearest integer. Adding 1.5 * 2^23 leaves it in the low bits of the float.
#[inline(always)]
fn rounded(x: f32) -> i32 {
    const MAGIC: f32 = 12_582_912.0;
    (x + MAGIC).to_bits() as i32 - MAGIC.to_bits() as i32
}

#[inline(always)]
fn quantize(x: &[f32], factors: &[f32], scale: RowScale, values: &mut [u8]) {
    let (inverse, zero) = (1.0 / scale.scale, scale.zero as f32);
    for ((value, x), factor) in values.iter_mut().zip(x).zip(factors) {
        *value = rounded((x * factor).mul_add(inverse, zero)).clamp(0, 255) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(n: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7919) % 1000) as f32 / 250.0 - 1.5).collect()
    }

    fn norm(width: usize) -> Norm {
        Norm { gamma: vec![2.0; width], beta: vec![1.0; width], eps: 1e-12 }
    }

    #[test]
    fn rows_are_normalized_to_mean_and_deviation() {
        for width in [16, 24, 384] {
            let (mut x, y) = (noise(2 * width), vec![0.5; 2 * width]);
            add_rows_and_normalize(&mut x, &y, &norm(width));
            let mean = x[..width].iter().sum::<f32>() / width as f32;
            let variance = x[..width].iter().map(|x| (x - 1.0).powi(2)).sum::<f32>() / width as f32;
            assert!((mean - 1.0).abs() < 1e-5 && (variance - 4.0).abs() < 1e-4, "{width}: {mean} {variance}");
        }
    }

    /// `[rows, width]` as panels.
    fn panelled(x: &[f32], rows: usize) -> Vec<f32> {
        let width = x.len() / rows;
        let mut matrix = vec![0.0; rows * width.next_multiple_of(PANEL)];
        for (i, value) in x.iter().enumerate() {
            let (row, column) = (i / width, i % width);
            matrix[(column / PANEL * rows + row) * PANEL + column % PANEL] = *value;
        }
        matrix
    }

    #[test]
    fn rows_in_panels_are_treated_as_rows_in_one_piece() {
        let (rows, width) = (5, 192);
        let (x, y) = (noise(rows * width), noise(rows * width + 7)[7..].to_vec());
        let matrix = panelled(&y, rows);
        let source = Source { matrix: &matrix, rows, first: 2 };
        let (mut a, mut b) = (x[2 * width..].to_vec(), x[2 * width..].to_vec());
        add_and_normalize(&mut a, source, &norm(width));
        add_rows_and_normalize(&mut b, &y[2 * width..], &norm(width));
        assert_eq!(a, b);
        let mut copied = vec![0.0; 3 * width];
        copy_rows(source, width, &mut copied);
        assert_eq!(copied, y[2 * width..]);
        let factors: Vec<f32> = (0..width).map(|i| 0.5 + i as f32 / 100.0).collect();
        let mut results = [
            (vec![0; 3 * width], vec![RowScale::default(); 3]),
            (vec![0; 3 * width], vec![RowScale::default(); 3]),
        ];
        quantize_panels(source, &factors, &mut results[0].0, &mut results[0].1);
        quantize_rows(&y[2 * width..], &factors, &mut results[1].0, &mut results[1].1);
        assert_eq!(results[0], results[1]);
    }

    #[test]
    fn quantized_values_come_back_within_half_a_step_and_zero_is_exact() {
        let mut x = noise(112);
        x[7] = 0.0;
        let factors: Vec<f32> = (0..112).map(|i| 1.0 + (i % 5) as f32).collect();
        let (mut values, mut scales) = (vec![0; 112], [RowScale::default()]);
        quantize_rows(&x, &factors, &mut values, &mut scales);
        let [RowScale { scale, zero }] = scales;
        for ((x, f), v) in x.iter().zip(&factors).zip(&values) {
            let back = scale * (f32::from(*v) - zero as f32);
            assert!((x * f - back).abs() <= 0.501 * scale, "{x} {back}");
        }
        assert_eq!(i32::from(values[7]), zero);
    }

    #[test]
    fn a_row_of_zeros_stays_zero() {
        let (mut values, mut scales) = (vec![9; 64], [RowScale::default()]);
        quantize_rows(&[0.0; 64], &[1.0; 64], &mut values, &mut scales);
        assert!(scales[0].scale.is_finite() && values.iter().all(|v| i32::from(*v) == scales[0].zero));
    }
}
