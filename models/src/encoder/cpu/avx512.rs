//! Products on AVX-512: int8 with VNNI, and f32.
//!
//! A tile is up to six rows by one panel of 64 columns: 24 registers of sums, four of weights, one of activations. The
//! weights of a panel stand in the order in which a tile reads them, and stay in the first- or second-level cache for
//! all tiles of the panel. Each sum runs over the inputs in order in one accumulator, so its bits depend neither on the
//! rows of the tile nor on who computes it.

#![allow(unsafe_code, reason = "vector instructions and raw loads")]
#![allow(clippy::indexing_slicing, reason = "registers, with bounds known when compiling")]
#![allow(clippy::needless_range_loop, reason = "several arrays of registers side by side")]

use std::arch::x86_64::{
    __m512, __m512i, _MM_HINT_T1, _mm_prefetch, _mm512_abs_ps, _mm512_cvtepi32_ps, _mm512_dpbusd_epi32,
    _mm512_fmadd_ps, _mm512_load_ps, _mm512_load_si512, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_max_ps,
    _mm512_min_ps, _mm512_mul_ps, _mm512_mullo_epi32, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps,
    _mm512_setzero_si512, _mm512_storeu_ps, _mm512_sub_ps,
};
use std::ops::Range;

use super::activation::{Bump, COARSE, FINE};
use super::panels::{PANEL, panels};
use super::product::{Activation, Dequantize};
use super::rows::{RowScale, has_avx512};

/// Lines of the next panel that a tile asks for, so that they are near when their turn comes.
#[derive(Clone, Copy)]
struct Ahead {
    from: usize,
    to: usize,
}

/// Rows of a tile at most.
const ROWS: usize = 6;
/// Registers across a panel.
const REGISTERS: usize = PANEL / 16;

/// A cache line, so that loads of weights never straddle two.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line<T, const N: usize>([T; N]);

/// Proof that this machine has AVX-512.
#[derive(Debug, Clone, Copy)]
pub struct Avx512(());

/// Proof that this machine has AVX-512 with VNNI.
#[derive(Debug, Clone, Copy)]
pub struct Vnni(());

impl Avx512 {
    /// If this machine has it.
    pub fn detect() -> Option<Self> {
        (has_avx512() && is_x86_feature_detected!("fma")).then_some(Self(()))
    }
}

impl Vnni {
    /// If this machine has it.
    pub fn detect() -> Option<Self> {
        (Avx512::detect().is_some() && is_x86_feature_detected!("avx512vnni")).then_some(Self(()))
    }
}

/// f32 weights: for each panel, input by input, 64 columns.
pub struct F32Weights {
    lines: Vec<Line<f32, 16>>,
    inputs: usize,
    _proof: Avx512,
}

/// i8 weights: for each panel, by four inputs, 64 columns of four.
pub struct Int8Weights {
    lines: Vec<Line<i8, 64>>,
    inputs: usize,
    _proof: Vnni,
}

impl F32Weights {
    /// Packs `[outputs, inputs]`.
    pub fn pack(proof: Avx512, weights: &[f32], inputs: usize) -> Self {
        let at =
            |column: usize, input: usize| weights.get(column * inputs + input).copied().unwrap_or_default();
        let panels = panels(weights.len() / inputs.max(1));
        let mut lines = Vec::with_capacity(panels * inputs * REGISTERS);
        for panel in 0..panels {
            for input in 0..inputs {
                let column = |register| panel * PANEL + register * 16;
                lines.extend((0..REGISTERS).map(|r| Line(std::array::from_fn(|i| at(column(r) + i, input)))));
            }
        }
        Self { lines, inputs, _proof: proof }
    }

    /// Rows `rows` of `x`, `[_, inputs]`, times panel `panel`, plus `bias`, to `out`, `[rows, 64]`.
    ///
    /// # Panics
    /// If a buffer is too short.
    pub fn multiply(
        &self,
        panel: usize,
        x: &[f32],
        rows: Range<usize>,
        bias: &[f32],
        activation: Activation,
        out: &mut [f32],
    ) {
        let lines = self.inputs * REGISTERS;
        let weights = &self.lines[panel * lines..(panel + 1) * lines];
        let bias = &bias[panel * PANEL..(panel + 1) * PANEL];
        let x = &x[rows.start * self.inputs..rows.end * self.inputs];
        assert!(out.len() >= rows.len() * PANEL, "a row of the panel for each row");
        let tile = F32Tile {
            x: x.as_ptr(),
            inputs: self.inputs,
            weights: weights.as_ptr().cast(),
            bias: bias.as_ptr(),
        };
        for rows in tiles(rows.len()) {
            // SAFETY: the features are there, as the proof says. `x` has `inputs` numbers for each row, the weights 64
            // for each input, bias 64, `out` 64 for each row: checked above.
            unsafe { tile.of(&rows, out.as_mut_ptr().add(rows.start * PANEL), activation) }
        }
    }
}

impl Int8Weights {
    /// Packs `[outputs, inputs]`; `inputs` is a multiple of four.
    pub fn pack(proof: Vnni, weights: &[i8], inputs: usize) -> Self {
        let at =
            |column: usize, input: usize| weights.get(column * inputs + input).copied().unwrap_or_default();
        let panels = panels(weights.len() / inputs.max(1));
        let mut lines = Vec::with_capacity(panels * inputs);
        for panel in 0..panels {
            for input in (0..inputs).step_by(4) {
                let column = |register| panel * PANEL + register * 16;
                let line = |r| Line(std::array::from_fn(|i| at(column(r) + i / 4, input + i % 4)));
                lines.extend((0..REGISTERS).map(line));
            }
        }
        Self { lines, inputs, _proof: proof }
    }

    /// Rows `rows` of `x`, `[_, inputs]`, times panel `panel`, to `out`, `[rows, 64]`.
    ///
    /// # Panics
    /// If a buffer is too short.
    pub fn multiply(
        &self,
        panel: usize,
        (x, scales): (&[u8], &[RowScale]),
        rows: Range<usize>,
        to: Dequantize<'_>,
        activation: Activation,
        out: &mut [f32],
    ) {
        let weights = &self.lines[panel * self.inputs..(panel + 1) * self.inputs];
        let x = &x[rows.start * self.inputs..rows.end * self.inputs];
        let scales = &scales[rows.clone()];
        let to = to.panel(panel);
        assert!(to.totals.len() == PANEL && to.scales.len() == PANEL && to.bias.len() == PANEL, "64 columns");
        assert!(
            out.len() >= rows.len() * PANEL && self.inputs.is_multiple_of(4),
            "a row of the panel for each row"
        );
        let next = self.lines.as_ptr().wrapping_add((panel + 1) * self.inputs);
        let tile = Int8Tile {
            next: next.cast(),
            x: x.as_ptr(),
            inputs: self.inputs,
            weights: weights.as_ptr().cast(),
            totals: to.totals.as_ptr(),
            factors: to.scales.as_ptr(),
            bias: to.bias.as_ptr(),
        };
        let count = rows.len().div_ceil(ROWS);
        for (i, rows) in tiles(rows.len()).enumerate() {
            let ahead = Ahead { from: i * self.inputs / count, to: (i + 1) * self.inputs / count };
            // SAFETY: the features are there, as the proof says. `x` has `inputs` bytes for each row, the weights 64 for
            // each input, the columns' numbers are 64, `out` has 64 for each row: checked above.
            unsafe {
                tile.of(
                    &rows,
                    &scales[rows.clone()],
                    out.as_mut_ptr().add(rows.start * PANEL),
                    activation,
                    ahead,
                );
            }
        }
    }
}

/// `rows` in runs of at most [`ROWS`], as even as can be: a last tile of one row would take as long as one of three.
fn tiles(rows: usize) -> impl Iterator<Item = Range<usize>> {
    let count = rows.div_ceil(ROWS);
    (0..count).map(move |i| i * rows / count..(i + 1) * rows / count)
}

/// Repeats code for every row and register of a tile, with constants for both. A loop would leave it to the optimiser
/// whether sums stay in registers, and it changes its mind with every change around it, at half the speed.
macro_rules! unrolled {
    ($r:ident < $rows:ident, $c:ident, $body:block) => {
        unrolled!(@row $r $rows $c $body 0 1 2 3 4 5)
    };
    (@row $r:ident $rows:ident $c:ident $body:block $($n:literal)*) => {
        $(if $n < $rows {
            const $r: usize = $n;
            { const $c: usize = 0; $body }
            { const $c: usize = 1; $body }
            { const $c: usize = 2; $body }
            { const $c: usize = 3; $body }
        })*
    };
}

/// Calls a function with the number of rows as a constant.
macro_rules! by_rows {
    ($rows:expr, $self:ident.$name:ident($($arg:expr),*)) => {
        match $rows {
            1 => $self.$name::<1>($($arg),*),
            2 => $self.$name::<2>($($arg),*),
            3 => $self.$name::<3>($($arg),*),
            4 => $self.$name::<4>($($arg),*),
            5 => $self.$name::<5>($($arg),*),
            _ => $self.$name::<ROWS>($($arg),*),
        }
    };
}

/// One panel of f32 weights, and rows.
struct F32Tile {
    x: *const f32,
    inputs: usize,
    weights: *const f32,
    bias: *const f32,
}

impl F32Tile {
    /// # Safety
    /// Pointers as [`F32Weights::multiply`] checks them; one to six rows.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn of(&self, rows: &Range<usize>, out: *mut f32, activation: Activation) {
        // SAFETY: by the caller's promise.
        unsafe {
            let x = self.x.add(rows.start * self.inputs);
            by_rows!(rows.len(), self.rows(x, out, activation));
        }
    }

    /// # Safety
    /// `x` has `R` rows, `out` takes `R` rows.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn rows<const R: usize>(&self, x: *const f32, out: *mut f32, activation: Activation) {
        // SAFETY: by the caller's promise; weights lie on lines of 64 bytes.
        unsafe {
            let bias: [__m512; REGISTERS] = std::array::from_fn(|c| _mm512_loadu_ps(self.bias.add(16 * c)));
            let mut sums = [bias; R];
            let mut weights = self.weights;
            for input in 0..self.inputs {
                let w: [__m512; REGISTERS] = std::array::from_fn(|c| _mm512_load_ps(weights.add(16 * c)));
                weights = weights.add(PANEL);
                unrolled!(ROW < R, C, {
                    let value = _mm512_set1_ps(*x.add(ROW * self.inputs + input));
                    sums[ROW][C] = _mm512_fmadd_ps(value, w[C], sums[ROW][C]);
                });
            }
            unrolled!(ROW < R, C, {
                let y = if activation == Activation::Gelu { gelu(&FINE, sums[ROW][C]) } else { sums[ROW][C] };
                _mm512_storeu_ps(out.add(ROW * PANEL + 16 * C), y);
            });
        }
    }
}

/// One panel of i8 weights, and rows.
struct Int8Tile {
    /// The weights of the next panel, or the end.
    next: *const i8,
    x: *const u8,
    inputs: usize,
    weights: *const i8,
    totals: *const i32,
    factors: *const f32,
    bias: *const f32,
}

impl Int8Tile {
    /// # Safety
    /// `totals` has 64 numbers.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn totals(&self) -> [__m512i; REGISTERS] {
        let mut totals = [_mm512_setzero_si512(); REGISTERS];
        for (c, total) in totals.iter_mut().enumerate() {
            // SAFETY: by the caller's promise.
            *total = unsafe { _mm512_loadu_si512(self.totals.add(16 * c).cast()) };
        }
        totals
    }

    /// # Safety
    /// Pointers as [`Int8Weights::multiply`] checks them; one to six rows, and a scale for each.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn of(
        &self,
        rows: &Range<usize>,
        scales: &[RowScale],
        out: *mut f32,
        activation: Activation,
        ahead: Ahead,
    ) {
        // SAFETY: by the caller's promise.
        unsafe {
            let x = self.x.add(rows.start * self.inputs);
            by_rows!(rows.len(), self.rows(x, scales, out, activation, ahead));
        }
    }

    /// # Safety
    /// `x` has `R` rows, `out` takes `R` rows.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn rows<const R: usize>(
        &self,
        x: *const u8,
        scales: &[RowScale],
        out: *mut f32,
        activation: Activation,
        ahead: Ahead,
    ) {
        let mut line = ahead.from;
        // SAFETY: by the caller's promise; weights lie on lines of 64 bytes.
        unsafe {
            // The zero point of a row is taken off first: it adds itself to every weight of a column.
            let mut sums = [self.totals(); R];
            unrolled!(ROW < R, C, {
                sums[ROW][C] = _mm512_mullo_epi32(sums[ROW][C], _mm512_set1_epi32(-scales[ROW].zero));
            });
            let mut weights = self.weights;
            for input in (0..self.inputs).step_by(4) {
                let w: [__m512i; REGISTERS] =
                    std::array::from_fn(|c| _mm512_load_si512(weights.add(64 * c).cast()));
                weights = weights.add(4 * PANEL);
                if line < ahead.to {
                    _mm_prefetch::<_MM_HINT_T1>(self.next.wrapping_add(64 * line));
                    line += 1;
                }
                unrolled!(ROW < R, C, {
                    let value = x.add(ROW * self.inputs + input).cast::<i32>().read_unaligned();
                    sums[ROW][C] = _mm512_dpbusd_epi32(sums[ROW][C], _mm512_set1_epi32(value), w[C]);
                });
            }
            unrolled!(ROW < R, C, {
                let factor = _mm512_mul_ps(
                    _mm512_loadu_ps(self.factors.add(16 * C)),
                    _mm512_set1_ps(scales[ROW].scale),
                );
                let bias = _mm512_loadu_ps(self.bias.add(16 * C));
                let y = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[ROW][C]), factor, bias);
                let y = if activation == Activation::Gelu { gelu(&COARSE, y) } else { y };
                _mm512_storeu_ps(out.add(ROW * PANEL + 16 * C), y);
            });
        }
    }
}

/// [`Bump::gelu`] on sixteen values, the same bits.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn gelu<const N: usize>(bump: &Bump<N>, x: __m512) -> __m512 {
    let magnitude = _mm512_min_ps(_mm512_abs_ps(x), _mm512_set1_ps(bump.limit));
    let t = _mm512_fmadd_ps(magnitude, _mm512_set1_ps(2.0 / bump.limit), _mm512_set1_ps(-1.0));
    let mut sum = _mm512_setzero_ps();
    for coefficient in bump.coefficients.iter().rev() {
        sum = _mm512_fmadd_ps(sum, t, _mm512_set1_ps(*coefficient));
    }
    _mm512_sub_ps(_mm512_max_ps(x, _mm512_setzero_ps()), sum)
}
