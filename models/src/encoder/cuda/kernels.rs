//! The kernels of `models/kernels/`, by name, and the shapes in which they are launched.

use super::driver::{Function, Module, Shape};
use super::layout::QUERIES;
use crate::encoder::EncoderError;
use crate::encoder::config::ModelConfig;

const LANES: usize = 32;
const ROWS_OF_BLOCK: usize = 4;
const POOL_THREADS: usize = 128;
const ATTENTION_THREADS: usize = QUERIES / 16 * LANES;
/// Shared memory of pooling: a sum for each warp.
const POOL_SHARED: usize = POOL_THREADS / LANES * 4;
/// Widths that rows are compiled for, and head sizes of attention.
const WIDTHS: [usize; 3] = [384, 768, 1024];
const HEADS: [usize; 2] = [32, 64];
/// Products are cut into whole tiles of so many outputs, and whole steps of so many inputs.
const OUTPUTS: usize = 128;
const INPUTS: usize = 64;

/// A tile of the output that one block computes, as `product.cuh` has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tile {
    name: &'static str,
    rows: usize,
    outputs: usize,
    threads: usize,
    stages: usize,
}

const TILES: [Tile; 3] = [
    Tile { name: "large", rows: 128, outputs: 128, threads: 256, stages: 3 },
    Tile { name: "medium", rows: 64, outputs: 64, threads: 128, stages: 4 },
    Tile { name: "small", rows: 32, outputs: 32, threads: 128, stages: 4 },
];

impl Tile {
    /// The stages of halves, or the tile in f32 that takes their place at the end.
    fn shared(self) -> usize {
        let stages = self.stages * (self.rows + self.outputs) * INPUTS * 2;
        stages.max(self.rows * (self.outputs + 8) * 4)
    }

    fn blocks(self, rows: usize, outputs: usize) -> (usize, usize) {
        (outputs / self.outputs, rows.div_ceil(self.rows))
    }
}

/// The largest tile that gives every multiprocessor a block, else the smallest: then latency is all.
fn tile(rows: usize, outputs: usize, processors: usize) -> usize {
    let busy = |tile: &Tile| {
        let (x, y) = tile.blocks(rows, outputs);
        x * y >= processors
    };
    TILES.iter().position(busy).unwrap_or(TILES.len() - 1)
}

/// Shared memory of attention: a tile each of queries, keys and values.
fn attention_shared(head_size: usize) -> usize {
    3 * QUERIES * head_size * 2
}

#[derive(Debug, Clone, Copy)]
struct ProductKernels {
    plain: Function,
    gelu: Function,
}

/// All kernels that one model needs.
#[derive(Debug)]
pub struct Kernels {
    /// Keeps the functions alive.
    _module: Module,
    pub embed: Function,
    pub normalize: Function,
    pub attend: Function,
    pub pool: Function,
    products: [ProductKernels; 3],
    head_size: usize,
    heads: usize,
    processors: usize,
}

/// Refuses what the kernels are not compiled for.
///
/// # Errors
/// Names the key of `config.json`.
pub fn check(config: &ModelConfig) -> Result<(), EncoderError> {
    let fail = |key: &str, found: usize, known: String| {
        Err(EncoderError::Config(format!("{key}: {found} is not supported on a GPU, only {known}")))
    };
    if !WIDTHS.contains(&config.hidden_size) {
        return fail("hidden_size", config.hidden_size, format!("{WIDTHS:?}"));
    }
    if !HEADS.contains(&config.head_size()) {
        return fail("num_attention_heads", config.num_attention_heads, format!("heads of {HEADS:?}"));
    }
    if config.distance_buckets != 0 {
        let problem = "attention that knows distances is not computed on a GPU";
        return Err(EncoderError::Config(format!("relative_attention_num_buckets: {problem}")));
    }
    if !config.intermediate_size.is_multiple_of(OUTPUTS) {
        return fail("intermediate_size", config.intermediate_size, format!("multiples of {OUTPUTS}"));
    }
    Ok(())
}

impl Kernels {
    /// Looks up the kernels for a model that was checked.
    ///
    /// # Errors
    /// One is missing, or asks for more shared memory than the device has.
    pub fn of(module: Module, config: &ModelConfig, processors: usize) -> Result<Self, EncoderError> {
        let (width, head_size) = (config.hidden_size, config.head_size());
        let product = |tile: Tile| -> Result<ProductKernels, EncoderError> {
            Ok(ProductKernels {
                plain: module.function(&format!("product_{}", tile.name), tile.shared())?,
                gelu: module.function(&format!("product_gelu_{}", tile.name), tile.shared())?,
            })
        };
        let [large, medium, small] = TILES;
        Ok(Self {
            embed: module.function(&format!("embed_{width}"), 0)?,
            normalize: module.function(&format!("normalize_{width}"), 0)?,
            attend: module.function(&format!("attend_{head_size}"), attention_shared(head_size))?,
            pool: module.function("pool", POOL_SHARED)?,
            products: [product(large)?, product(medium)?, product(small)?],
            head_size,
            heads: config.num_attention_heads,
            processors,
            _module: module,
        })
    }

    /// One warp for each row.
    pub fn by_rows(&self, rows: usize) -> Shape {
        Shape { blocks: (rows.div_ceil(ROWS_OF_BLOCK), 1), threads: ROWS_OF_BLOCK * LANES, shared: 0 }
    }

    /// One block for each text.
    pub fn by_texts(&self, texts: usize) -> Shape {
        Shape { blocks: (texts, 1), threads: POOL_THREADS, shared: POOL_SHARED }
    }

    /// One block for each item and head.
    pub fn by_items(&self, items: usize) -> Shape {
        let shared = attention_shared(self.head_size);
        Shape { blocks: (items, self.heads), threads: ATTENTION_THREADS, shared }
    }

    /// The kernel of a product, and its shape.
    pub fn product(&self, rows: usize, outputs: usize, gelu: bool) -> (Function, Shape) {
        let [large, medium, small] = self.products;
        let (kernels, tile) = match tile(rows, outputs, self.processors) {
            0 => (large, TILES[0]),
            1 => (medium, TILES[1]),
            _ => (small, TILES[2]),
        };
        let shape =
            Shape { blocks: tile.blocks(rows, outputs), threads: tile.threads, shared: tile.shared() };
        (if gelu { kernels.gelu } else { kernels.plain }, shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_takes_small_tiles_and_a_thousand_large_ones() {
        let name = |rows, outputs| TILES[tile(rows, outputs, 132)].name;
        assert_eq!([name(32, 1152), name(32, 384), name(512, 1536)], ["small", "small", "medium"]);
        assert_eq!([name(2048, 1536), name(8192, 384)], ["large", "large"]);
    }

    #[test]
    fn shared_memory_fits_every_card() {
        // 99 KiB on compute capability 8.6 and 8.9, the least.
        assert!(TILES.iter().all(|tile| tile.shared() <= 99 * 1024), "{:?}", TILES.map(Tile::shared));
    }
}
