//! Attention of one text at a time: no padding, no mask.

use rten_simd::SimdOp as _;
use rten_vecmath::Softmax;

use super::rows::{LANES, vectorized};

/// Buffers, kept from call to call.
#[derive(Debug, Default)]
pub struct AttentionScratch {
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    weights: Vec<f32>,
}

/// `qkv` of one text, `[tokens, 3 * width]`, to `out`, `[tokens, width]`. `head_size` is a multiple of [`LANES`].
pub fn attend(qkv: &[f32], out: &mut [f32], heads: usize, head_size: usize, scratch: &mut AttentionScratch) {
    let width = heads * head_size;
    let tokens = out.len() / width;
    for head in 0..heads {
        let at = head * head_size;
        scratch.gather(qkv, width, at, head_size);
        scratch.weights.resize(tokens.next_multiple_of(LANES), 0.0);
        for (row, query) in out.chunks_exact_mut(width).zip(scratch.query.chunks_exact(head_size)) {
            scores(query, &scratch.key, &mut scratch.weights);
            let (weights, _) = scratch.weights.split_at_mut(tokens);
            Softmax::new_mut(weights).dispatch();
            if let Some(own) = row.get_mut(at..at + head_size) {
                weigh(weights, &scratch.value, own);
            }
        }
    }
}

impl AttentionScratch {
    /// Brings one head together: queries row by row and scaled; keys in blocks of [`LANES`] tokens, dimension by
    /// dimension; values in blocks of [`LANES`] dimensions, token by token.
    fn gather(&mut self, qkv: &[f32], width: usize, at: usize, head_size: usize) {
        let rows = || qkv.chunks_exact(3 * width);
        let tokens = rows().len();
        let scale = 1.0 / (head_size as f32).sqrt();
        self.query.clear();
        self.key.clear();
        self.key.resize(tokens.next_multiple_of(LANES) * head_size, 0.0);
        self.value.clear();
        self.value.resize(tokens * head_size, 0.0);
        for (token, row) in rows().enumerate() {
            let (query, rest) = row.split_at(width);
            let (key, value) = rest.split_at(width);
            self.query.extend(query.iter().skip(at).take(head_size).map(|q| q * scale));
            let block = token / LANES * LANES * head_size + token % LANES;
            let key = key.iter().skip(at).take(head_size);
            self.key.iter_mut().skip(block).step_by(LANES).zip(key).for_each(|(to, from)| *to = *from);
            let value = value.get(at..at + head_size).unwrap_or_default();
            let blocks = self.value.chunks_exact_mut(tokens * LANES).zip(value.chunks_exact(LANES));
            for (to, from) in blocks {
                if let Some(to) = to.get_mut(token * LANES..(token + 1) * LANES) {
                    to.copy_from_slice(from);
                }
            }
        }
    }
}

vectorized! {
    /// Dot products of one query with every key.
    pub fn scores(query: &[f32], keys: &[f32], out: &mut [f32]) {
        let (out, _) = out.as_chunks_mut::<LANES>();
        for (out, block) in out.iter_mut().zip(keys.chunks_exact(query.len() * LANES)) {
            let mut lanes = [0.0; LANES];
            for (q, row) in query.iter().zip(block.as_chunks::<LANES>().0) {
                lanes.iter_mut().zip(row).for_each(|(l, k)| *l += q * k);
            }
            *out = lanes;
        }
    }
}

vectorized! {
    /// Sum of the values, weighted.
    pub fn weigh(weights: &[f32], values: &[f32], out: &mut [f32]) {
        let (out, _) = out.as_chunks_mut::<LANES>();
        for (out, block) in out.iter_mut().zip(values.chunks_exact(weights.len() * LANES)) {
            let mut lanes = [0.0; LANES];
            for (w, row) in weights.iter().zip(block.as_chunks::<LANES>().0) {
                lanes.iter_mut().zip(row).for_each(|(l, v)| *l += w * v);
            }
            *out = lanes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As in the textbook, in f64.
    fn naive(qkv: &[f32], tokens: usize, heads: usize, head_size: usize) -> Vec<f64> {
        let width = heads * head_size;
        let at = |token: usize, part: usize, i: usize| f64::from(qkv[token * 3 * width + part * width + i]);
        let mut out = vec![0.0; tokens * width];
        for head in 0..heads {
            let dims = head * head_size..(head + 1) * head_size;
            for t in 0..tokens {
                let score = |s: usize| {
                    dims.clone().map(|i| at(t, 0, i) * at(s, 1, i)).sum::<f64>() / (head_size as f64).sqrt()
                };
                let exps: Vec<f64> = (0..tokens).map(|s| score(s).exp()).collect();
                let total: f64 = exps.iter().sum();
                for i in dims.clone() {
                    out[t * width + i] = (0..tokens).map(|s| exps[s] / total * at(s, 2, i)).sum();
                }
            }
        }
        out
    }

    #[test]
    fn agrees_with_the_textbook_at_every_length_around_a_block() {
        for (heads, head_size) in [(1, 16), (12, 32), (2, 64)] {
            for tokens in [1, 2, 15, 16, 17, 31, 33, 70] {
                let width = heads * head_size;
                let qkv: Vec<f32> =
                    (0..tokens * 3 * width).map(|i| ((i * 7919) % 1009) as f32 / 500.0 - 1.0).collect();
                let mut out = vec![0.0; tokens * width];
                attend(&qkv, &mut out, heads, head_size, &mut AttentionScratch::default());
                let expected = naive(&qkv, tokens, heads, head_size);
                let worst =
                    out.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
                assert!(worst < 2e-6, "{heads}x{head_size}, {tokens} tokens: {worst}");
            }
        }
    }
}
