//! Every GPU kernel against the plain formula in f64, on the emulated driver: odd lengths, mixed batches, every tile.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use half::f16;
use rhumb_tests::gpu::{Gpu, difference, floats, halves};

/// Half precision of the result, and a little for sums in f32.
const ROUNDING: f64 = 1.2e-3;
/// Around the edges of warps, fragments, tiles and the longest text.
const LENGTHS: [usize; 8] = [1, 31, 32, 33, 64, 65, 511, 512];

fn sizes(rows: usize, texts: usize, items: usize) -> [u32; 4] {
    [rows, texts, items, 0].map(|n| u32::try_from(n).unwrap())
}

fn values(halves: &[f16]) -> Vec<f64> {
    halves.iter().map(|x| f64::from(x.to_f32())).collect()
}

/// Name, rows and outputs of its tile, threads, stages.
const TILES: [(&str, usize, usize, usize, usize); 3] =
    [("small", 32, 32, 128, 4), ("medium", 64, 64, 128, 4), ("large", 128, 128, 256, 3)];

struct Product {
    rows: usize,
    inputs: usize,
    outputs: usize,
    x: Vec<f16>,
    matrix: Vec<f16>,
    bias: Vec<f32>,
}

impl Product {
    fn random(rows: usize, inputs: usize, outputs: usize) -> Self {
        let (x, matrix) = (halves(rows * inputs, 1.0), halves(inputs * outputs, 0.05));
        Self { rows, inputs, outputs, x, matrix, bias: floats(outputs, 0.5) }
    }

    fn on(&self, gpu: &Gpu, tile: usize, gelu: bool) -> Vec<f16> {
        let (name, tile_rows, tile_outputs, threads, stages) = TILES[tile];
        let shared = (stages * (tile_rows + tile_outputs) * 128).max(tile_rows * (tile_outputs + 8) * 4);
        // More rows in memory than are counted: nothing beyond the count may be written.
        let out = gpu.room(self.rows * self.outputs * 2);
        let args = [
            gpu.upload(&sizes(self.rows, 1, 1)).into(),
            gpu.upload(&self.x).into(),
            gpu.upload(&self.matrix).into(),
            gpu.upload(&self.bias).into(),
            self.inputs.into(),
            self.outputs.into(),
            out.into(),
        ];
        // A row of blocks more than there is work for, as in a bucket that is not full.
        let blocks = (self.outputs / tile_outputs, self.rows.div_ceil(tile_rows) + 1);
        let name = if gelu { format!("product_gelu_{name}") } else { format!("product_{name}") };
        gpu.run(&name, blocks, threads, shared, &args);
        gpu.download(out)
    }

    fn expected(&self, gelu: bool) -> Vec<f64> {
        let (x, matrix) = (values(&self.x), values(&self.matrix));
        let mut out = Vec::with_capacity(self.rows * self.outputs);
        for row in x.chunks_exact(self.inputs) {
            for (column, bias) in matrix.chunks_exact(self.inputs).zip(&self.bias) {
                let sum = row.iter().zip(column).map(|(a, b)| a * b).sum::<f64>() + f64::from(*bias);
                out.push(if gelu { 0.5 * sum * (1.0 + erf(sum / 2f64.sqrt())) } else { sum });
            }
        }
        out
    }
}

/// By its series, or beyond 3 by its continued fraction; to 1e-12.
fn erf(x: f64) -> f64 {
    if x < 0.0 {
        return -erf(-x);
    }
    if x < 3.0 {
        let (mut term, mut sum) = (x, x);
        for n in 1..60 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        return sum * 2.0 / std::f64::consts::PI.sqrt();
    }
    let fraction = (1..60).rev().fold(0.0, |below, n| f64::from(n) / 2.0 / (x + below));
    1.0 - (-x * x).exp() / ((x + fraction) * std::f64::consts::PI.sqrt())
}

#[test]
fn products_agree_for_every_tile_and_are_the_same_bits_in_all() {
    fastrand::seed(1);
    let gpu = Gpu::open();
    for (rows, inputs, outputs) in [
        (1, 384, 384),
        (31, 64, 128),
        (32, 384, 128),
        (33, 128, 384),
        (65, 192, 128),
        (130, 1536, 128),
        (511, 64, 128),
    ] {
        let product = Product::random(rows, inputs, outputs);
        for gelu in [false, true] {
            let found: Vec<Vec<f16>> = (0..TILES.len()).map(|tile| product.on(&gpu, tile, gelu)).collect();
            let off = difference(&found[0], &product.expected(gelu));
            assert!(off < ROUNDING, "{rows} x {inputs} x {outputs}, gelu {gelu}: {off}");
            assert!(found[0] == found[1] && found[0] == found[2], "{rows} x {inputs} x {outputs}");
        }
    }
}

fn normalized(row: &[f64], gamma: &[f32], beta: &[f32], eps: f64) -> Vec<f64> {
    let count = row.len() as f64;
    let mean = row.iter().sum::<f64>() / count;
    let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
    let scale = 1.0 / (variance + eps).sqrt();
    row.iter()
        .zip(gamma.iter().zip(beta))
        .map(|(x, (g, b))| (x - mean) * scale * f64::from(*g) + f64::from(*b))
        .collect()
}

#[test]
fn rows_are_embedded_and_normalized_at_every_width() {
    fastrand::seed(2);
    let gpu = Gpu::open();
    for width in [384, 768, 1024] {
        for count in [1, 3, 33] {
            let (vocabulary, positions) = (50, 40);
            let (words, places) = (halves(vocabulary * width, 1.0), halves(positions * width, 1.0));
            let (gamma, beta) = (floats(width, 1.0), floats(width, 0.3));
            let rows: Vec<[u32; 2]> = (0..count).map(|i| [fastrand::u32(0..50), i % 40]).collect();
            let (counted, out) = (gpu.upload(&sizes(rows.len(), 1, 1)), gpu.room(rows.len() * width * 2));
            let (g, b) = (gpu.upload(&gamma), gpu.upload(&beta));
            let blocks = (rows.len().div_ceil(4) + 2, 1);
            let (table, place_table) = (gpu.upload(&words), gpu.upload(&places));
            let args = [
                counted.into(),
                gpu.upload(&rows).into(),
                table.into(),
                place_table.into(),
                g.into(),
                b.into(),
                1e-12f32.into(),
                out.into(),
            ];
            gpu.run(&format!("embed_{width}"), blocks, 128, 0, &args);
            let (w, p) = (values(&words), values(&places));
            let at = |table: &[f64], i: u32| table[i as usize * width..(i as usize + 1) * width].to_vec();
            let sums = rows.iter().map(|[id, position]| {
                let sum: Vec<f64> = at(&w, *id).iter().zip(at(&p, *position)).map(|(a, b)| a + b).collect();
                normalized(&sum, &gamma, &beta, 1e-12)
            });
            let states: Vec<f16> = gpu.download(out);
            assert!(difference(&states, &sums.flatten().collect::<Vec<_>>()) < ROUNDING, "embed_{width}");

            let change = halves(rows.len() * width, 2.0);
            let args =
                [counted.into(), gpu.upload(&change).into(), g.into(), b.into(), 1e-12f32.into(), out.into()];
            gpu.run(&format!("normalize_{width}"), blocks, 128, 0, &args);
            let sums: Vec<f64> = values(&states).iter().zip(values(&change)).map(|(a, b)| a + b).collect();
            let expected = sums.chunks_exact(width).flat_map(|row| normalized(row, &gamma, &beta, 1e-12));
            assert!(
                difference(&gpu.download(out), &expected.collect::<Vec<_>>()) < ROUNDING,
                "normalize_{width}"
            );
        }
    }
}

/// Attention of one text and head: `[length, head]` each.
fn attended(query: &[Vec<f64>], key: &[Vec<f64>], value: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let head = query[0].len();
    let one = |q: &Vec<f64>| {
        let dot = |k: &Vec<f64>| q.iter().zip(k).map(|(a, b)| a * b).sum::<f64>() / (head as f64).sqrt();
        let scores: Vec<f64> = key.iter().map(dot).collect();
        let most = scores.iter().copied().fold(f64::MIN, f64::max);
        let weights: Vec<f64> = scores.iter().map(|s| (s - most).exp()).collect();
        let sum: f64 = weights.iter().sum();
        (0..head).map(|d| weights.iter().zip(value).map(|(w, v)| w * v[d]).sum::<f64>() / sum).collect()
    };
    query.iter().map(one).collect()
}

#[test]
fn attention_keeps_to_its_text_at_every_length() {
    fastrand::seed(3);
    let gpu = Gpu::open();
    for head in [32, 64] {
        let width = 2 * head;
        for lengths in [LENGTHS.to_vec(), vec![1], vec![33, 1, 1, 40], vec![512]] {
            let rows: usize = lengths.iter().sum();
            let qkv = halves(rows * 3 * width, 2.0);
            let mut items: Vec<[u32; 4]> = Vec::new();
            let mut start = 0;
            for length in &lengths {
                let n = |x: usize| u32::try_from(x).unwrap();
                items.extend((0..*length).step_by(64).map(|query| [n(start), n(*length), n(query), 0]));
                start += length;
            }
            let out = gpu.room(rows * width * 2);
            let scale = std::f64::consts::LOG2_E / (head as f64).sqrt();
            let args = [
                gpu.upload(&sizes(rows, lengths.len(), items.len())).into(),
                gpu.upload(&items).into(),
                gpu.upload(&qkv).into(),
                width.into(),
                (scale as f32).into(),
                out.into(),
            ];
            gpu.run(&format!("attend_{head}"), (items.len() + 3, 2), 128, 3 * 64 * head * 2, &args);
            let qkv = values(&qkv);
            let part = |row: usize, which: usize, h: usize| {
                qkv[row * 3 * width + which * width + h * head..][..head].to_vec()
            };
            let mut expected = vec![0.0; rows * width];
            let mut start = 0;
            for length in &lengths {
                for h in 0..2 {
                    let of =
                        |which| (start..start + length).map(|row| part(row, which, h)).collect::<Vec<_>>();
                    for (i, row) in attended(&of(0), &of(1), &of(2)).into_iter().enumerate() {
                        expected[(start + i) * width + h * head..][..head].copy_from_slice(&row);
                    }
                }
                start += length;
            }
            let off = difference(&gpu.download(out), &expected);
            assert!(off < 2.0 * ROUNDING, "head {head}, {lengths:?}: {off}");
        }
    }
}

#[test]
fn texts_are_pooled_by_mean_or_first_row() {
    fastrand::seed(4);
    let gpu = Gpu::open();
    for width in [384, 1024] {
        let rows: usize = LENGTHS.iter().sum();
        let states = halves(rows * width, 1.0);
        let mut start = 0;
        let texts: Vec<[u32; 2]> = LENGTHS
            .iter()
            .map(|length| {
                let text = [u32::try_from(start).unwrap(), u32::try_from(*length).unwrap()];
                start += length;
                text
            })
            .collect();
        for (first, normalize) in [(0usize, 1usize), (1, 1), (0, 0), (1, 0)] {
            let out = gpu.room(texts.len() * width * 4);
            let args = [
                gpu.upload(&sizes(rows, texts.len(), 0)).into(),
                gpu.upload(&texts).into(),
                gpu.upload(&states).into(),
                width.into(),
                first.into(),
                normalize.into(),
                out.into(),
            ];
            gpu.run("pool", (texts.len() + 1, 1), 128, 16, &args);
            let found: Vec<f32> = gpu.download(out);
            let states = values(&states);
            for ([start, length], found) in texts.iter().zip(found.chunks_exact(width)) {
                let count = if first == 1 { 1 } else { *length as usize };
                let own = &states[*start as usize * width..(*start as usize + count) * width];
                let mut pooled: Vec<f64> = (0..width)
                    .map(|column| own.chunks_exact(width).map(|row| row[column]).sum::<f64>() / count as f64)
                    .collect();
                let norm = pooled.iter().map(|x| x * x).sum::<f64>().sqrt();
                if normalize == 1 {
                    pooled.iter_mut().for_each(|x| *x /= norm);
                }
                let off =
                    found.iter().zip(&pooled).map(|(f, e)| (f64::from(*f) - e).abs()).fold(0.0, f64::max);
                assert!(off < 1e-5, "width {width}, length {length}, first {first}: {off}");
            }
        }
    }
}
