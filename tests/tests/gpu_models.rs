//! Whole models on the emulated GPU against candle: the widths, head sizes and poolings that the kernels know, up to the
//! longest text.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use rhumb_models::encoder::Encoder;
use rhumb_models::encoder::cuda::{CudaEncoder, CudaOptions};
use rhumb_models::encoder::reference::ReferenceEncoder;
use rhumb_models::{Bundle, Manifest};
use rhumb_tests::gpu::{Gpu, floats};
use safetensors::tensor::{Dtype, TensorView};

const VOCABULARY: usize = 100;
const LAYERS: usize = 2;
/// RoBERTa leaves two of them out.
const POSITIONS: usize = 514;

struct Shape {
    architecture: &'static str,
    width: usize,
    heads: usize,
    inner: usize,
    pooling: &'static str,
    normalize: bool,
}

/// Random weights of about the size that real ones have.
fn weights(shape: &Shape) -> Vec<u8> {
    let (width, inner) = (shape.width, shape.inner);
    let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
    let mut add = |name: String, dims: Vec<usize>, scale: f32, around: f32| {
        let values = floats(dims.iter().product(), scale).into_iter().map(|x| x + around).collect();
        tensors.push((name, dims, values));
    };
    let embeddings = [("word", VOCABULARY), ("position", POSITIONS), ("token_type", 2)];
    for (name, rows) in embeddings {
        add(format!("embeddings.{name}_embeddings.weight"), vec![rows, width], 0.1, 0.0);
    }
    let mut norms = vec!["embeddings.LayerNorm".to_owned()];
    for layer in 0..LAYERS {
        let at = format!("encoder.layer.{layer}");
        for (name, from, to) in [
            ("attention.self.query", width, width),
            ("attention.self.key", width, width),
            ("attention.self.value", width, width),
            ("attention.output.dense", width, width),
            ("intermediate.dense", width, inner),
            ("output.dense", inner, width),
        ] {
            add(format!("{at}.{name}.weight"), vec![to, from], 0.06, 0.0);
            add(format!("{at}.{name}.bias"), vec![to], 0.1, 0.0);
        }
        norms.extend(["attention.output.LayerNorm", "output.LayerNorm"].map(|name| format!("{at}.{name}")));
    }
    for norm in norms {
        add(format!("{norm}.weight"), vec![width], 0.2, 1.0);
        add(format!("{norm}.bias"), vec![width], 0.1, 0.0);
    }
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .into_iter()
        .map(|(name, dims, values)| (name, dims, values.iter().flat_map(|x| x.to_le_bytes()).collect()))
        .collect();
    let views = bytes
        .iter()
        .map(|(name, dims, data)| (name, TensorView::new(Dtype::F32, dims.clone(), data).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

fn bundle(shape: &Shape) -> Bundle {
    let file = |role: &str| {
        format!(
            "[[files]]\nrole = \"{role}\"\npath = \"{role}\"\nsize = 1\nsha256 = \"{}\"\n",
            "0".repeat(64)
        )
    };
    let text = format!(
        "name = \"random\"\ndescription = \"random\"\nlicence = \"Apache-2.0\"\n[encoder]\narchitecture = \"{}\"\n\
         pooling = \"{}\"\nnormalize = {}\nmax_length = 512\n{}",
        shape.architecture,
        shape.pooling,
        shape.normalize,
        ["weights", "tokenizer", "config"].map(file).concat()
    );
    let config = serde_json::json!({
        "hidden_size": shape.width, "num_hidden_layers": LAYERS, "num_attention_heads": shape.heads,
        "intermediate_size": shape.inner, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
        "max_position_embeddings": POSITIONS, "type_vocab_size": 2, "vocab_size": VOCABULARY,
    });
    Bundle {
        manifest: Manifest::parse(&text, "test").unwrap(),
        weights: weights(shape),
        tokenizer: Vec::new(),
        config: config.to_string().into_bytes(),
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn agree(shape: &Shape, lengths: &[usize]) {
    let bundle = bundle(shape);
    let mut gpu = CudaEncoder::load(&bundle, 0, CudaOptions::default()).unwrap().remove(0);
    let mut reference = ReferenceEncoder::load(&bundle, 1).unwrap();
    let ids = |n: usize| (0..n).map(|_| fastrand::u32(0..VOCABULARY as u32)).collect::<Vec<_>>();
    let texts: Vec<Vec<u32>> = lengths.iter().copied().map(ids).collect();
    let batch: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    let (found, expected) = (gpu.encode(&batch).unwrap(), reference.encode(&batch).unwrap());
    for ((found, expected), length) in found.iter().zip(&expected).zip(lengths) {
        let pooled = cosine(&found.pooled, &expected.pooled);
        assert!(pooled > 0.9999, "width {}, length {length}: {pooled}", shape.width);
        for (f, e) in found.tokens.chunks_exact(shape.width).zip(expected.tokens.chunks_exact(shape.width)) {
            assert!(cosine(f, e) > 0.9999, "width {}, length {length}: {}", shape.width, cosine(f, e));
        }
    }
    // Again through the recorded graph, and each alone.
    assert!(gpu.encode(&batch).unwrap() == found);
    for (text, together) in batch.iter().zip(&found).take(3) {
        assert!(
            gpu.encode(&[text]).unwrap() == std::slice::from_ref(together),
            "{} tokens alone",
            text.len()
        );
    }
}

#[test]
fn models_of_every_width_agree_with_candle() {
    fastrand::seed(5);
    let _driver = Gpu::open();
    let [bert, roberta] = ["bert", "roberta"];
    let shape = |architecture, width, heads, inner| Shape {
        architecture,
        width,
        heads,
        inner,
        pooling: "mean",
        normalize: true,
    };
    agree(&shape(bert, 384, 12, 1536), &[1, 31, 32, 33, 511, 512]);
    agree(&Shape { pooling: "cls", ..shape(bert, 768, 12, 768) }, &[33, 1, 65]);
    agree(&Shape { normalize: false, ..shape(bert, 1024, 16, 1024) }, &[2, 64, 17]);
    agree(&shape(roberta, 384, 6, 384), &[40, 128, 3]);
}

#[test]
fn attention_that_knows_distances_is_refused() {
    let shape =
        Shape { architecture: "mpnet", width: 384, heads: 12, inner: 384, pooling: "mean", normalize: true };
    let _driver = Gpu::open();
    let refused = CudaEncoder::load(&bundle(&shape), 0, CudaOptions::default()).err().unwrap().to_string();
    assert!(refused.contains("relative_attention_num_buckets"), "{refused}");
}
