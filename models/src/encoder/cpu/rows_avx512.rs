//! Quantising on AVX-512: the same bits as [`super::rows`], in a fifth of the instructions.

#![allow(unsafe_code, reason = "vector instructions and raw loads")]

use std::arch::x86_64::{
    __m512, _mm_storeu_si128, _mm512_cvtps_epi32, _mm512_cvtusepi32_epi8, _mm512_fmadd_ps, _mm512_loadu_ps,
    _mm512_max_epi32, _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps, _mm512_reduce_max_ps,
    _mm512_reduce_min_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_setzero_si512,
};

use super::avx512::Avx512;
use super::panels::PANEL;
use super::rows::{LANES, RowScale, Source, scale_of};

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
            let mut range = Range::new();
            range.include(x.as_ptr(), factors);
            *scale = range.scale();
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
            let mut range = Range::new();
            for (panel, factors) in factors.chunks_exact(PANEL).enumerate() {
                range.include(part(panel), factors);
            }
            *scale = range.scale();
            for (panel, factors) in factors.chunks_exact(PANEL).enumerate() {
                quantize(part(panel), factors, *scale, values.as_mut_ptr().add(panel * PANEL));
            }
        }
    }
}

/// Lowest and highest value of a row, and 0.
struct Range {
    low: __m512,
    high: __m512,
}

impl Range {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn new() -> Self {
        Self { low: _mm512_setzero_ps(), high: _mm512_setzero_ps() }
    }

    /// # Safety
    /// `x` has as many numbers as `factors`, which are a multiple of 16.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn include(&mut self, x: *const f32, factors: &[f32]) {
        for at in (0..factors.len()).step_by(LANES) {
            // SAFETY: by the caller's promise.
            let value = unsafe {
                _mm512_mul_ps(_mm512_loadu_ps(x.add(at)), _mm512_loadu_ps(factors.as_ptr().add(at)))
            };
            self.low = _mm512_min_ps(self.low, value);
            self.high = _mm512_max_ps(self.high, value);
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn scale(&self) -> RowScale {
        scale_of(_mm512_reduce_min_ps(self.low), _mm512_reduce_max_ps(self.high))
    }
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
