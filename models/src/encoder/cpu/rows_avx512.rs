//! Quantising on AVX-512: the same bits as [`super::rows`], in a fifth of the instructions.

#![allow(unsafe_code, reason = "vector instructions and raw loads")]
#![allow(clippy::indexing_slicing, reason = "registers, with bounds known when compiling")]
#![allow(clippy::needless_range_loop, reason = "several arrays of registers side by side")]

use std::arch::x86_64::{
    _mm_storeu_si128, _mm512_cvtps_epi32, _mm512_cvtusepi32_epi8, _mm512_fmadd_ps, _mm512_loadu_ps,
    _mm512_max_epi32, _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps, _mm512_reduce_max_ps,
    _mm512_reduce_min_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_setzero_si512,
};
use std::iter;

use super::avx512::Avx512;
use super::panels::PANEL;
use super::rows::{LANES, RowScale, Source, scale_of};

/// Registers of lowest, and of highest values.
const SIDES: usize = 4;

/// As [`super::rows::quantize_rows`], for widths of whole registers.
///
/// # Panics
/// If the width is not a multiple of 16.
pub fn quantize_rows(_proof: Avx512, x: &[f32], factors: &[f32], values: &mut [u8], scales: &mut [RowScale]) {
    let width = factors.len();
    assert!(width.is_multiple_of(LANES) && width > 0, "whole registers");
    for ((x, values), scale) in x.chunks_exact(width).zip(values.chunks_exact_mut(width)).zip(scales) {
        // SAFETY: the features are there, as the proof says; `x` and `values` are as long as `factors`.
        unsafe {
            *scale = scale_of_parts(iter::once((x.as_ptr(), factors)));
            quantize(x.as_ptr(), factors, *scale, values.as_mut_ptr());
        }
    }
}

/// As [`super::rows::quantize_panels`], for widths of whole panels.
///
/// # Panics
/// If the width is not a multiple of 64, or the matrix too short.
pub fn quantize_panels(
    _proof: Avx512,
    x: Source<'_>,
    factors: &[f32],
    values: &mut [u8],
    scales: &mut [RowScale],
) {
    let width = factors.len();
    assert!(width.is_multiple_of(PANEL) && width > 0, "whole panels");
    assert!(x.matrix.len() >= x.rows * width && x.first + scales.len() <= x.rows, "rows of the matrix");
    for (i, (values, scale)) in values.chunks_exact_mut(width).zip(scales).enumerate() {
        let part = |panel: usize| x.matrix.as_ptr().wrapping_add((panel * x.rows + x.first + i) * PANEL);
        // SAFETY: the features are there, as the proof says; every part is 64 numbers inside the matrix, as `values` has
        // 64 for each panel: both checked above.
        unsafe {
            let parts = || factors.chunks_exact(PANEL).enumerate();
            *scale = scale_of_parts(parts().map(|(panel, factors)| (part(panel), factors)));
            for (panel, factors) in parts() {
                quantize(part(panel), factors, *scale, values.as_mut_ptr().add(panel * PANEL));
            }
        }
    }
}

/// From the lowest and highest value of a row, and 0. Four of each side by side, since one would wait for itself at every
/// step; and all in one function, so that they stay in registers.
///
/// # Safety
/// Every part has as many numbers as its factors, which are a multiple of 16.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn scale_of_parts<'a>(parts: impl Iterator<Item = (*const f32, &'a [f32])>) -> RowScale {
    let mut low = [_mm512_setzero_ps(); SIDES];
    let mut high = low;
    for (x, factors) in parts {
        let whole = factors.len() / (SIDES * LANES) * (SIDES * LANES);
        // SAFETY: by the caller's promise.
        let value = |at: usize| unsafe {
            _mm512_mul_ps(_mm512_loadu_ps(x.add(at)), _mm512_loadu_ps(factors.as_ptr().add(at)))
        };
        for at in (0..whole).step_by(SIDES * LANES) {
            for side in 0..SIDES {
                let value = value(at + side * LANES);
                low[side] = _mm512_min_ps(low[side], value);
                high[side] = _mm512_max_ps(high[side], value);
            }
        }
        for at in (whole..factors.len()).step_by(LANES) {
            low[0] = _mm512_min_ps(low[0], value(at));
            high[0] = _mm512_max_ps(high[0], value(at));
        }
    }
    let low = _mm512_min_ps(_mm512_min_ps(low[0], low[1]), _mm512_min_ps(low[2], low[3]));
    let high = _mm512_max_ps(_mm512_max_ps(high[0], high[1]), _mm512_max_ps(high[2], high[3]));
    scale_of(_mm512_reduce_min_ps(low), _mm512_reduce_max_ps(high))
}

/// # Safety
/// `x` and `values` have as many places as `factors`, which are a multiple of 16.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn quantize(x: *const f32, factors: &[f32], scale: RowScale, values: *mut u8) {
    let (inverse, zero) = (_mm512_set1_ps(1.0 / scale.scale), _mm512_set1_ps(scale.zero as f32));
    for at in (0..factors.len()).step_by(LANES) {
        // SAFETY: by the caller's promise.
        unsafe {
            let value = _mm512_mul_ps(_mm512_loadu_ps(x.add(at)), _mm512_loadu_ps(factors.as_ptr().add(at)));
            // To the nearest, as the processor rounds; the store clamps at 255.
            let value = _mm512_cvtps_epi32(_mm512_fmadd_ps(value, inverse, zero));
            let value = _mm512_max_epi32(value, _mm512_setzero_si512());
            _mm_storeu_si128(values.add(at).cast(), _mm512_cvtusepi32_epi8(value));
        }
    }
}
