//! Attention of one text at a time: no padding, no mask.
//!
//! Queries, keys and values come in panels of 64 columns, so one or more whole heads lie in a panel, and panels are
//! independent of each other. Scores are kept as powers of two: the factor `log2(e) / sqrt(head size)` goes into the
//! query, and the softmax is `2^(s - max)`.

#[cfg(target_arch = "x86_64")]
use super::attention_avx512;
#[cfg(target_arch = "x86_64")]
use super::avx512::Avx512;
use super::panels::PANEL;
use super::product::Kernel;
use super::rows::{LANES, vectorized};

/// Queries that are computed together.
pub const QUERIES: usize = 6;
/// Blocks of [`LANES`] keys that are computed together.
const BLOCKS: usize = 2;

/// Buffers, kept from call to call.
#[derive(Debug, Default)]
pub struct AttentionScratch {
    /// One head's keys, `[head size, tokens]`, the tokens filled up with zeros to whole blocks.
    keys: Vec<f32>,
    /// Scores of some queries, `[QUERIES, tokens]`, filled up likewise.
    scores: Vec<f32>,
}

/// What is added to the score of a key by its distance from the query; in units of `log2`, one row for each head,
/// `[heads, 2 * most - 1]`, where place `most - 1` is distance 0.
#[derive(Debug, Clone, PartialEq)]
pub struct DistanceBias {
    /// The rows.
    pub values: Vec<f32>,
    /// Tokens of a text at most.
    pub most: usize,
}

/// Panels `[tokens, 64]` of one text.
#[derive(Clone, Copy)]
pub struct Heads<'a> {
    /// Queries.
    pub query: &'a [f32],
    /// Keys.
    pub key: &'a [f32],
    /// Values.
    pub value: &'a [f32],
    /// Columns of a head; divides 64 and is a multiple of 16.
    pub size: usize,
    /// The number of the panel's first head, for the bias.
    pub first: usize,
    /// Of the model.
    pub bias: Option<&'a DistanceBias>,
}

/// All heads of a panel, to `out`, `[tokens, 64]`.
pub fn attend(heads: Heads<'_>, kernel: Kernel, out: &mut [f32], scratch: &mut AttentionScratch) {
    #[cfg(target_arch = "x86_64")]
    let kernel = Avx512::detect().filter(|_| kernel == Kernel::Best);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = kernel;
    let tokens = out.len() / PANEL;
    let padded = tokens.next_multiple_of(LANES);
    scratch.keys.resize(heads.size * padded, 0.0);
    scratch.scores.resize(QUERIES * padded, 0.0);
    for (i, at) in (0..PANEL).step_by(heads.size.max(1)).enumerate() {
        let bias = heads.bias.map(|bias| bias.head(heads.first + i, tokens));
        let head = Head { at, tokens, bias: bias.unwrap_or_default() };
        #[cfg(target_arch = "x86_64")]
        if let Some(proof) = kernel {
            match heads.size {
                32 => attend_avx512::<32>(proof, head, heads, out, scratch),
                64 => attend_avx512::<64>(proof, head, heads, out, scratch),
                _ => attend_avx512::<16>(proof, head, heads, out, scratch),
            }
            continue;
        }
        transpose(heads.key, at, tokens, &mut scratch.keys);
        match heads.size {
            32 => attend_head_32(head, heads.query, &scratch.keys, heads.value, out, &mut scratch.scores),
            64 => attend_head_64(head, heads.query, &scratch.keys, heads.value, out, &mut scratch.scores),
            _ => attend_head_16(head, heads.query, &scratch.keys, heads.value, out, &mut scratch.scores),
        }
    }
}

/// One head of a panel, with its sums in registers.
#[cfg(target_arch = "x86_64")]
fn attend_avx512<const D: usize>(
    proof: Avx512,
    head: Head<'_>,
    heads: Heads<'_>,
    out: &mut [f32],
    scratch: &mut AttentionScratch,
) {
    let AttentionScratch { keys, scores } = scratch;
    attention_avx512::transpose::<D>(proof, heads.key, head.at, head.tokens, keys);
    attention_avx512::attend_head::<D>(proof, head, heads.query, keys, heads.value, out, scores);
}

impl DistanceBias {
    /// Of values as a model has them, in units of `ln`; `None` if there are none.
    pub fn of(mut values: Vec<f32>, most: usize) -> Option<Self> {
        values.iter_mut().for_each(|value| *value *= std::f32::consts::LOG2_E);
        (!values.is_empty()).then_some(Self { values, most })
    }

    /// The row of a head for a text: place `tokens - 1` is distance 0.
    fn head(&self, head: usize, tokens: usize) -> &[f32] {
        let row = 2 * self.most - 1;
        let middle = head * row + self.most - 1;
        self.values.get(middle + 1 - tokens..middle + tokens).unwrap_or_default()
    }
}

/// One head of a panel.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    /// Its first column in the panel.
    pub at: usize,
    /// Tokens of the text.
    pub tokens: usize,
    /// Empty, or as [`DistanceBias::head`] says.
    pub bias: &'a [f32],
}

vectorized! {
    /// Columns `at..` of a panel as rows; `keys` is `[head size, tokens filled up]`.
    pub fn transpose(panel: &[f32], at: usize, tokens: usize, keys: &mut [f32]) {
        let padded = tokens.next_multiple_of(LANES);
        let rows = panel.as_chunks::<PANEL>().0;
        for (d, to) in keys.chunks_exact_mut(padded).enumerate() {
            let (to, rest) = to.split_at_mut(tokens);
            for (to, row) in to.iter_mut().zip(rows) {
                *to = row.get(at + d).copied().unwrap_or_default();
            }
            rest.fill(0.0);
        }
    }
}

/// Defines the attention of a head whose size is known when compiling, so that its sums stay in registers.
macro_rules! attend_head {
    ($name:ident, $size:literal) => {
        vectorized! {
            /// One head, all queries.
            pub fn $name(
                head: Head<'_>, query: &[f32], keys: &[f32], value: &[f32], out: &mut [f32], scores: &mut [f32],
            ) {
                let mut first = 0;
                while first + QUERIES <= head.tokens {
                    some_queries::<QUERIES, $size>(head, first, query, keys, value, out, scores);
                    first += QUERIES;
                }
                while first < head.tokens {
                    some_queries::<1, $size>(head, first, query, keys, value, out, scores);
                    first += 1;
                }
            }
        }
    };
}
attend_head!(attend_head_16, 16);
attend_head!(attend_head_32, 32);
attend_head!(attend_head_64, 64);

/// `Q` queries from `first` on, of a head of size `D`.
#[inline(always)]
fn some_queries<const Q: usize, const D: usize>(
    head: Head<'_>,
    first: usize,
    query: &[f32],
    keys: &[f32],
    value: &[f32],
    out: &mut [f32],
    scores: &mut [f32],
) {
    let padded = head.tokens.next_multiple_of(LANES);
    let mut queries = [[0.0f32; D]; Q];
    let factor = std::f32::consts::LOG2_E / (D as f32).sqrt();
    for (to, row) in queries.iter_mut().zip(query.as_chunks::<PANEL>().0.iter().skip(first)) {
        let from = row.get(head.at..head.at + D).unwrap_or_default();
        to.iter_mut().zip(from).for_each(|(to, q)| *to = q * factor);
    }
    let mut block = 0;
    while block + BLOCKS * LANES <= padded {
        score_blocks::<Q, D, BLOCKS>(&queries, keys, block, padded, scores);
        block += BLOCKS * LANES;
    }
    while block < padded {
        score_blocks::<Q, D, 1>(&queries, keys, block, padded, scores);
        block += LANES;
    }
    let mut totals = [0.0f32; Q];
    for (i, (row, total)) in scores.chunks_exact_mut(padded).zip(&mut totals).enumerate() {
        add_bias(head, first + i, row);
        *total = soften(row, head.tokens);
    }
    let mixed = mix::<Q, D>(head, scores, padded, value);
    let rows = out.as_chunks_mut::<PANEL>().0.iter_mut().skip(first);
    for ((row, mixed), total) in rows.zip(&mixed).zip(totals) {
        let to = row.get_mut(head.at..head.at + D).unwrap_or_default();
        to.iter_mut().zip(mixed).for_each(|(to, x)| *to = x / total);
    }
}

/// Products of `Q` queries with `B` blocks of keys from `block` on.
#[inline(always)]
fn score_blocks<const Q: usize, const D: usize, const B: usize>(
    queries: &[[f32; D]; Q],
    keys: &[f32],
    block: usize,
    padded: usize,
    scores: &mut [f32],
) {
    let mut sums = [[[0.0f32; LANES]; B]; Q];
    for (d, row) in keys.chunks_exact(padded).enumerate().take(D) {
        let blocks = row.get(block..).unwrap_or_default().as_chunks::<LANES>().0;
        for (b, keys) in blocks.iter().enumerate().take(B) {
            for q in 0..Q {
                #[allow(clippy::indexing_slicing, reason = "bounds known when compiling")]
                let (sum, query) = (&mut sums[q][b], queries[q][d]);
                sum.iter_mut().zip(keys).for_each(|(s, k)| *s = query.mul_add(*k, *s));
            }
        }
    }
    for (row, sums) in scores.chunks_exact_mut(padded).zip(&sums) {
        let to = row.get_mut(block..).unwrap_or_default().as_chunks_mut::<LANES>().0;
        to.iter_mut().zip(sums).for_each(|(to, sums)| *to = *sums);
    }
}

#[inline(always)]
fn add_bias(head: Head<'_>, query: usize, scores: &mut [f32]) {
    if let Some(bias) = head.bias.get(head.tokens - 1 - query..) {
        scores.iter_mut().zip(bias).take(head.tokens).for_each(|(s, b)| *s += b);
    }
}

/// `2^(s - max)` of the first `tokens` scores, 0 for the rest; returns their sum.
#[inline(always)]
fn soften(scores: &mut [f32], tokens: usize) -> f32 {
    if let Some(rest) = scores.get_mut(tokens..) {
        rest.fill(f32::NEG_INFINITY);
    }
    let blocks = scores.as_chunks_mut::<LANES>().0;
    let mut most = [f32::NEG_INFINITY; LANES];
    for block in blocks.iter() {
        most.iter_mut().zip(block).for_each(|(m, s)| *m = if *s > *m { *s } else { *m });
    }
    let most = most.iter().fold(f32::NEG_INFINITY, |a, b| if *b > a { *b } else { a });
    let mut totals = [0.0f32; LANES];
    for block in blocks {
        for (score, total) in block.iter_mut().zip(&mut totals) {
            *score = exp2(*score - most);
            *total += *score;
        }
    }
    totals.iter().sum()
}

/// `2^x` on [-0.5, 0.5], fitted as the polynomials of the activation, with the relative error made even: 7.5e-8.
pub const EXP2: [f32; 6] =
    [1.000_000_1, 0.693_146_94, 0.240_221_2, 0.055_507_13, 0.009_675_541, 0.001_327_647_1];

/// `2^x` for `x <= 0`, to 2e-7; 0 below -126.
#[inline(always)]
fn exp2(x: f32) -> f32 {
    // Adding it rounds to an integer and leaves that integer in the low bits.
    const MAGIC: f32 = 12_582_912.0;
    let clamped = if x > -126.0 { x } else { -126.0 };
    let shifted = clamped + MAGIC;
    let rest = clamped - (shifted - MAGIC);
    let power = EXP2.iter().rev().fold(0.0f32, |sum, c| sum.mul_add(rest, *c));
    let exponent = shifted.to_bits().wrapping_sub(MAGIC.to_bits()) << 23;
    let result = f32::from_bits(power.to_bits().wrapping_add(exponent));
    if x > -126.0 { result } else { 0.0 }
}

/// Sums of the values, weighted by the scores of `Q` queries.
#[inline(always)]
fn mix<const Q: usize, const D: usize>(
    head: Head<'_>,
    scores: &[f32],
    padded: usize,
    value: &[f32],
) -> [[f32; D]; Q] {
    let mut sums = [[0.0f32; D]; Q];
    for (token, row) in value.as_chunks::<PANEL>().0.iter().enumerate().take(head.tokens) {
        let Some(values) = row.get(head.at..head.at + D).and_then(|v| v.first_chunk::<D>()) else { continue };
        for (q, sum) in sums.iter_mut().enumerate() {
            let weight = scores.get(q * padded + token).copied().unwrap_or_default();
            sum.iter_mut().zip(values).for_each(|(s, v)| *s = weight.mul_add(*v, *s));
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As in the textbook, in f64; `[tokens, 64]` each.
    fn naive(heads: Heads<'_>, tokens: usize) -> Vec<f64> {
        let mut out = vec![0.0; tokens * PANEL];
        for (h, at) in (0..PANEL).step_by(heads.size).enumerate() {
            let dims = at..at + heads.size;
            for t in 0..tokens {
                let score = |s: usize| {
                    let dot: f64 = dims
                        .clone()
                        .map(|i| f64::from(heads.query[t * PANEL + i] * heads.key[s * PANEL + i]))
                        .sum();
                    let bias = heads.bias.map_or(0.0, |b| {
                        let row = 2 * b.most - 1;
                        f64::from(b.values[(heads.first + h) * row + b.most - 1 + s - t])
                    });
                    dot / (heads.size as f64).sqrt() + bias * std::f64::consts::LN_2
                };
                let exps: Vec<f64> = (0..tokens).map(|s| score(s).exp()).collect();
                let total: f64 = exps.iter().sum();
                for i in dims.clone() {
                    out[t * PANEL + i] =
                        (0..tokens).map(|s| exps[s] / total * f64::from(heads.value[s * PANEL + i])).sum();
                }
            }
        }
        out
    }

    fn noise(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| (((i + seed) * 7919) % 1009) as f32 / 300.0 - 1.7).collect()
    }

    #[test]
    fn agrees_with_the_textbook_at_every_length_around_a_block() {
        let bias = DistanceBias { values: noise(4 * 139, 3), most: 70 };
        for size in [16, 32, 64] {
            for tokens in [1, 2, 5, 6, 7, 15, 16, 17, 31, 33, 48, 70] {
                for bias in [None, Some(&bias)] {
                    let [query, key, value] = [0, 11, 23].map(|seed| noise(tokens * PANEL, seed));
                    let heads = Heads { query: &query, key: &key, value: &value, size, first: 0, bias };
                    let expected = naive(heads, tokens);
                    for kernel in [Kernel::Best, Kernel::Fallback] {
                        let mut out = vec![9.0; tokens * PANEL];
                        attend(heads, kernel, &mut out, &mut AttentionScratch::default());
                        let off = out.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs());
                        let worst = off.fold(0.0, f64::max);
                        assert!(worst < 3e-6, "{kernel:?}, heads of {size}, {tokens} tokens: {worst}");
                    }
                }
            }
        }
    }

    #[test]
    fn powers_of_two_are_right_to_a_few_bits() {
        for i in 0..=130_000 {
            let x = -(i as f32) / 1000.0;
            let (found, expected) = (f64::from(exp2(x)), f64::from(x).exp2());
            assert!((found - expected).abs() <= 3e-7 * expected + 1.2e-38, "{x}: {found} {expected}");
        }
    }
}
