//! Attention on AVX-512: as [`super::attention`] does it, with the sums held in registers.

#![allow(unsafe_code, reason = "vector instructions and raw loads")]
#![allow(clippy::indexing_slicing, reason = "registers, with bounds known when compiling")]
#![allow(clippy::needless_range_loop, reason = "several arrays of registers side by side")]

use std::arch::x86_64::{
    __m512, _CMP_GE_OQ, _mm512_add_ps, _mm512_castpd_ps, _mm512_castps_pd, _mm512_cmp_ps_mask, _mm512_div_ps,
    _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_mov_ps, _mm512_maskz_scalef_ps, _mm512_max_ps,
    _mm512_reduce_add_ps, _mm512_reduce_max_ps, _mm512_roundscale_ps, _mm512_set1_ps, _mm512_setzero_ps,
    _mm512_shuffle_f32x4, _mm512_storeu_ps, _mm512_sub_ps, _mm512_unpackhi_pd, _mm512_unpackhi_ps,
    _mm512_unpacklo_pd, _mm512_unpacklo_ps,
};

use super::attention::{EXP2, Head, QUERIES};
use super::avx512::Avx512;
use super::panels::PANEL;
use super::rows::LANES;

/// Blocks of sixteen keys that are computed together.
const BLOCKS: usize = 2;

/// One head, all queries, to `out`, `[tokens, 64]`. `D` is the size of the head.
///
/// # Panics
/// If a buffer is too short.
pub fn attend_head<const D: usize>(
    _proof: Avx512,
    head: Head<'_>,
    query: &[f32],
    keys: &[f32],
    value: &[f32],
    out: &mut [f32],
    scores: &mut [f32],
) {
    let padded = head.tokens.next_multiple_of(LANES);
    let panel = head.tokens * PANEL;
    assert!(
        head.at + D <= PANEL && query.len() >= panel && value.len() >= panel && out.len() >= panel,
        "panels"
    );
    assert!(keys.len() >= D * padded && scores.len() >= QUERIES * padded, "filled up to whole blocks");
    assert!(head.bias.is_empty() || head.bias.len() >= 2 * head.tokens - 1, "a bias for every distance");
    let work = Work {
        head,
        padded,
        query: query[head.at..].as_ptr(),
        keys: keys.as_ptr(),
        value: value[head.at..].as_ptr(),
        out: out[head.at..].as_mut_ptr(),
        scores: scores.as_mut_ptr(),
    };
    // As even as can be: a last run of one query would take as long as one of three.
    let count = head.tokens.div_ceil(QUERIES);
    for i in 0..count {
        let (first, end) = (i * head.tokens / count, (i + 1) * head.tokens / count);
        // SAFETY: the features are there, as the proof says; all buffers were checked above.
        unsafe {
            match end - first {
                1 => work.some_queries::<1, D>(first),
                2 => work.some_queries::<2, D>(first),
                3 => work.some_queries::<3, D>(first),
                4 => work.some_queries::<4, D>(first),
                5 => work.some_queries::<5, D>(first),
                _ => work.some_queries::<QUERIES, D>(first),
            }
        }
    }
}

/// Columns `at..at + D` of a panel `[tokens, 64]` as rows, `[D, tokens filled up to 16]`.
///
/// # Panics
/// If a buffer is too short.
pub fn transpose<const D: usize>(_proof: Avx512, panel: &[f32], at: usize, tokens: usize, keys: &mut [f32]) {
    let padded = tokens.next_multiple_of(LANES);
    assert!(
        at + D <= PANEL && panel.len() >= tokens * PANEL && keys.len() >= D * padded,
        "a panel and its keys"
    );
    for block in (0..padded).step_by(LANES) {
        for d in (0..D).step_by(LANES) {
            let from = panel[block * PANEL + at + d..].as_ptr();
            let to = keys[d * padded + block..].as_mut_ptr();
            // SAFETY: the features are there, as the proof says; the buffers were checked above.
            unsafe { transpose_block(from, (tokens - block).min(LANES), to, padded) }
        }
    }
}

/// Sixteen columns of up to sixteen rows; rows that are not there are zero.
///
/// # Safety
/// `from` has `rows` rows 64 apart, `to` sixteen rows `stride` apart, of sixteen each.
#[target_feature(enable = "avx512f,avx512dq")]
unsafe fn transpose_block(from: *const f32, rows: usize, to: *mut f32, stride: usize) {
    let mut r = [_mm512_setzero_ps(); LANES];
    for (i, row) in r.iter_mut().enumerate().take(rows) {
        // SAFETY: by the caller's promise.
        *row = unsafe { _mm512_loadu_ps(from.add(i * PANEL)) };
    }
    let mut t = r;
    for i in (0..LANES).step_by(2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    // Now each quarter of a register holds two columns of two rows; then one column of four rows.
    for i in (0..LANES).step_by(4) {
        let pair = |a: __m512, b: __m512| (_mm512_castps_pd(a), _mm512_castps_pd(b));
        let ((a, b), (c, d)) = (pair(t[i], t[i + 2]), pair(t[i + 1], t[i + 3]));
        r[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
        r[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        r[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(c, d));
        r[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(c, d));
    }
    for i in 0..4 {
        // Quarter q of r[4 g + i] is column 4 q + i of rows 4 g to 4 g + 3.
        let low = _mm512_shuffle_f32x4::<0x88>(r[i], r[4 + i]);
        let odd = _mm512_shuffle_f32x4::<0xdd>(r[i], r[4 + i]);
        let (low_after, odd_after) = (
            _mm512_shuffle_f32x4::<0x88>(r[8 + i], r[12 + i]),
            _mm512_shuffle_f32x4::<0xdd>(r[8 + i], r[12 + i]),
        );
        let columns = [
            _mm512_shuffle_f32x4::<0x88>(low, low_after),
            _mm512_shuffle_f32x4::<0x88>(odd, odd_after),
            _mm512_shuffle_f32x4::<0xdd>(low, low_after),
            _mm512_shuffle_f32x4::<0xdd>(odd, odd_after),
        ];
        for (q, column) in columns.into_iter().enumerate() {
            // SAFETY: by the caller's promise.
            unsafe { _mm512_storeu_ps(to.add((4 * q + i) * stride), column) }
        }
    }
}

/// One head.
struct Work<'a> {
    head: Head<'a>,
    padded: usize,
    query: *const f32,
    keys: *const f32,
    value: *const f32,
    out: *mut f32,
    scores: *mut f32,
}

impl Work<'_> {
    /// # Safety
    /// Pointers as [`attend_head`] checks them; `Q` queries from `first` on.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn some_queries<const Q: usize, const D: usize>(&self, first: usize) {
        let factor = std::f32::consts::LOG2_E / (D as f32).sqrt();
        let mut queries = [[0.0f32; D]; Q];
        let mut most = [_mm512_set1_ps(f32::NEG_INFINITY); Q];
        // SAFETY: by the caller's promise.
        unsafe {
            for (q, to) in queries.iter_mut().enumerate() {
                let from = self.query.add((first + q) * PANEL);
                for (d, to) in to.iter_mut().enumerate() {
                    *to = *from.add(d) * factor;
                }
            }
            let mut block = 0;
            while block + BLOCKS * LANES <= self.padded {
                self.score::<Q, D, BLOCKS>(first, block, &queries, &mut most);
                block += BLOCKS * LANES;
            }
            if block < self.padded {
                self.score::<Q, D, 1>(first, block, &queries, &mut most);
            }
            let totals = self.soften::<Q>(&most);
            self.mix::<Q, D>(first, &totals);
        }
    }

    /// Scores of `B` blocks of keys from `block` on; those beyond the text are minus infinity.
    ///
    /// # Safety
    /// As [`Work::some_queries`].
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn score<const Q: usize, const D: usize, const B: usize>(
        &self,
        first: usize,
        block: usize,
        queries: &[[f32; D]; Q],
        most: &mut [__m512; Q],
    ) {
        let mut sums = [[_mm512_setzero_ps(); B]; Q];
        // SAFETY: by the caller's promise.
        unsafe {
            for d in 0..D {
                let keys = self.keys.add(d * self.padded + block);
                let keys: [__m512; B] = std::array::from_fn(|b| _mm512_loadu_ps(keys.add(b * LANES)));
                for q in 0..Q {
                    let query = _mm512_set1_ps(queries[q][d]);
                    for b in 0..B {
                        sums[q][b] = _mm512_fmadd_ps(query, keys[b], sums[q][b]);
                    }
                }
            }
            for b in 0..B {
                let start = block + b * LANES;
                let beyond = (LANES + start).saturating_sub(self.head.tokens).min(LANES);
                let mask = !(0xffff_u32 >> beyond) as u16;
                for q in 0..Q {
                    let bias = self.bias(first + q, start, LANES - beyond);
                    let sum = _mm512_add_ps(sums[q][b], bias);
                    let sum = _mm512_mask_mov_ps(sum, mask, _mm512_set1_ps(f32::NEG_INFINITY));
                    most[q] = _mm512_max_ps(most[q], sum);
                    _mm512_storeu_ps(self.scores.add(q * self.padded + start), sum);
                }
            }
        }
    }

    /// What distance adds to the scores of `count` keys from `key` on.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    fn bias(&self, query: usize, key: usize, count: usize) -> __m512 {
        if self.head.bias.is_empty() {
            return _mm512_setzero_ps();
        }
        let mut lanes = [0.0f32; LANES];
        let from = self.head.tokens - 1 - query + key;
        lanes[..count].copy_from_slice(&self.head.bias[from..from + count]);
        // SAFETY: sixteen numbers.
        unsafe { _mm512_loadu_ps(lanes.as_ptr()) }
    }

    /// `2^(score - max)` in place; the sum of each query.
    ///
    /// # Safety
    /// As [`Work::some_queries`].
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn soften<const Q: usize>(&self, most: &[__m512; Q]) -> [f32; Q] {
        let mut totals = [0.0; Q];
        for q in 0..Q {
            let most = _mm512_set1_ps(_mm512_reduce_max_ps(most[q]));
            let mut total = _mm512_setzero_ps();
            for block in (0..self.padded).step_by(LANES) {
                // SAFETY: by the caller's promise.
                unsafe {
                    let at = self.scores.add(q * self.padded + block);
                    let weight = exp2(_mm512_sub_ps(_mm512_loadu_ps(at), most));
                    total = _mm512_add_ps(total, weight);
                    _mm512_storeu_ps(at, weight);
                }
            }
            totals[q] = _mm512_reduce_add_ps(total);
        }
        totals
    }

    /// Sums of the values, weighted; two halves of 32 columns at most, so that all sums are in registers.
    ///
    /// # Safety
    /// As [`Work::some_queries`].
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn mix<const Q: usize, const D: usize>(&self, first: usize, totals: &[f32; Q]) {
        // SAFETY: by the caller's promise.
        unsafe {
            for column in (0..D).step_by(2 * LANES) {
                if column + LANES < D {
                    self.mix_columns::<Q, 2>(first, column, totals);
                } else {
                    self.mix_columns::<Q, 1>(first, column, totals);
                }
            }
        }
    }

    /// # Safety
    /// As [`Work::some_queries`]; `16 * C` columns from `column` on.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn mix_columns<const Q: usize, const C: usize>(
        &self,
        first: usize,
        column: usize,
        totals: &[f32; Q],
    ) {
        let mut sums = [[_mm512_setzero_ps(); C]; Q];
        // SAFETY: by the caller's promise.
        unsafe {
            for token in 0..self.head.tokens {
                let value = self.value.add(token * PANEL + column);
                let value: [__m512; C] = std::array::from_fn(|c| _mm512_loadu_ps(value.add(c * LANES)));
                for q in 0..Q {
                    let weight = _mm512_set1_ps(*self.scores.add(q * self.padded + token));
                    for c in 0..C {
                        sums[q][c] = _mm512_fmadd_ps(weight, value[c], sums[q][c]);
                    }
                }
            }
            for q in 0..Q {
                let to = self.out.add((first + q) * PANEL + column);
                for c in 0..C {
                    _mm512_storeu_ps(to.add(c * LANES), _mm512_div_ps(sums[q][c], _mm512_set1_ps(totals[q])));
                }
            }
        }
    }
}

/// `2^x` for `x <= 0`, to 2e-7; 0 below -126. A result too small for a normal number, as every key beyond the text would
/// give, costs some processors a hundred cycles: so there is none.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn exp2(x: __m512) -> __m512 {
    let least = _mm512_set1_ps(-126.0);
    let normal = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(x, least);
    let x = _mm512_max_ps(x, least);
    // To the nearest integer, without exceptions.
    let whole = _mm512_roundscale_ps::<8>(x);
    let rest = _mm512_sub_ps(x, whole);
    let mut power = _mm512_set1_ps(EXP2[EXP2.len() - 1]);
    for coefficient in EXP2.iter().rev().skip(1) {
        power = _mm512_fmadd_ps(power, rest, _mm512_set1_ps(*coefficient));
    }
    _mm512_maskz_scalef_ps(normal, power, whole)
}
