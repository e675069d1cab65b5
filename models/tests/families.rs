//! BERT's relatives against what Hugging Face's transformers compute for the same weights (`scripts/make-family-golden.py`).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

use rhumb_models::encoder::Encoder;
use rhumb_models::encoder::cpu::{Arithmetic, CpuEncoder, Kernel};
use rhumb_models::encoder::reference::ReferenceEncoder;
use rhumb_models::{Bundle, Manifest};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;

const FAMILIES: [&str; 4] = ["bert", "roberta", "mpnet", "distilbert"];

fn golden() -> Value {
    let file: Value = serde_json::from_slice(include_bytes!("../golden/families.json")).unwrap();
    file["families"].clone()
}

/// FNV-1a.
fn seed(name: &str) -> u64 {
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |seed, byte| (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// splitmix64, from -1 to 1.
fn noise(seed: u64, i: u64) -> f32 {
    let mut z = seed.wrapping_add((i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 44) as f32 / (1 << 19) as f32 - 1.0
}

fn values(name: &str, count: u64) -> Vec<f32> {
    let around = if name.to_lowercase().contains("norm") && name.ends_with("weight") { 1.0 } else { 0.0 };
    let whole = name.contains("embeddings.weight") || name.contains("relative");
    let scale = if whole { 1.0 } else { 0.25 };
    (0..count).map(|i| scale * noise(seed(name), i) + around).collect()
}

/// The model of a family, its tensors named with or without a prefix.
fn bundle(golden: &Value, family: &str, prefix: &str) -> Bundle {
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for (name, shape) in golden[family]["tensors"].as_object().unwrap() {
        let shape: Vec<usize> = serde_json::from_value(shape.clone()).unwrap();
        let values = values(name, shape.iter().product::<usize>() as u64);
        tensors.push((
            format!("{prefix}{name}"),
            shape,
            values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        ));
    }
    let views =
        tensors.iter().map(|(name, shape, b)| (name, TensorView::new(Dtype::F32, shape.clone(), b).unwrap()));
    let file = |role, path| {
        format!(
            "[[files]]\nrole = \"{role}\"\npath = \"{path}\"\nsize = 1\nsha256 = \"{}\"\n",
            "0".repeat(64)
        )
    };
    let manifest = format!(
        "name = \"small\"\ndescription = \"for tests\"\nlicence = \"Apache-2.0\"\n[encoder]\narchitecture = \"{family}\"\n\
         pooling = \"mean\"\nnormalize = false\nmax_length = 158\n{}{}{}",
        file("weights", "a"),
        file("tokenizer", "b"),
        file("config", "c")
    );
    Bundle {
        manifest: Manifest::parse(&manifest, "test").unwrap(),
        weights: safetensors::serialize(views, None).unwrap(),
        tokenizer: Vec::new(),
        config: golden[family]["config"].to_string().into_bytes(),
    }
}

fn ids(length: usize) -> Vec<u32> {
    (0..length).map(|i| 2 + u32::try_from((i * 37 + length * 11) % 88).unwrap()).collect()
}

/// The largest difference from the golden vectors, relative to the largest number in them.
fn off(encoder: &mut dyn Encoder, golden: &Value) -> f32 {
    let (mut most, mut largest) = (0.0f32, 0.0f32);
    for text in golden["texts"].as_array().unwrap() {
        let ids = ids(usize::try_from(text["length"].as_u64().unwrap()).unwrap());
        let found = encoder.encode(&[&ids]).unwrap().remove(0);
        let width = found.pooled.len();
        let last = &found.tokens[found.tokens.len() - width..];
        for (name, found) in
            [("mean", found.pooled.as_slice()), ("first", &found.tokens[..width]), ("last", last)]
        {
            let expected: Vec<f32> = serde_json::from_value(text[name].clone()).unwrap();
            assert_eq!(expected.len(), width);
            for (a, b) in found.iter().zip(&expected) {
                most = most.max((a - b).abs());
                largest = largest.max(b.abs());
            }
        }
    }
    most / largest
}

#[test]
fn every_family_agrees_with_transformers_on_every_path() {
    let golden = golden();
    for family in FAMILIES {
        let bundle = bundle(&golden, family, "");
        let reference = off(&mut ReferenceEncoder::load(&bundle, 1).unwrap(), &golden[family]);
        assert!(reference < 1e-5, "{family}, reference: {reference}");
        for kernel in [Kernel::Best, Kernel::Fallback] {
            let load = |arithmetic| CpuEncoder::load(&bundle, arithmetic, 2, kernel).unwrap();
            let exact = off(&mut load(Arithmetic::F32), &golden[family]);
            assert!(exact < 1e-5, "{family}, {kernel:?}, f32: {exact}");
            let rounded = off(&mut load(Arithmetic::Int8), &golden[family]);
            assert!(rounded < 0.05, "{family}, {kernel:?}, int8: {rounded}");
        }
    }
}

#[test]
fn a_prefix_before_all_names_changes_nothing() {
    let golden = golden();
    for family in FAMILIES {
        let encode = |prefix: &str| {
            let bundle = bundle(&golden, family, prefix);
            let mut exact = CpuEncoder::load(&bundle, Arithmetic::F32, 1, Kernel::Best).unwrap();
            let mut reference = ReferenceEncoder::load(&bundle, 1).unwrap();
            (exact.encode(&[&ids(20)]).unwrap(), reference.encode(&[&ids(20)]).unwrap())
        };
        assert!(encode("") == encode(&format!("{family}.")), "{family}");
    }
}

#[test]
fn a_text_beyond_the_positions_is_refused_and_a_bundle_that_promises_more_too() {
    let golden = golden();
    let load = |family, config: &str| {
        let mut bundle = bundle(&golden, family, "");
        if !config.is_empty() {
            bundle.config = config.as_bytes().to_vec();
        }
        CpuEncoder::load(&bundle, Arithmetic::F32, 1, Kernel::Best)
    };
    // Of 160 positions RoBERTa and MPNet use 158.
    assert!(load("mpnet", "").unwrap().encode(&[&ids(158)]).is_ok());
    assert!(load("mpnet", "").unwrap().encode(&[&ids(159)]).is_err());
    let fewer = golden["roberta"]["config"].to_string().replace("160", "159");
    let error = load("roberta", &fewer).err().unwrap().to_string();
    assert!(error.contains("max_position_embeddings: allows 157 tokens"), "{error}");
    let other = golden["bert"]["config"].to_string();
    let error = load("mpnet", &other).err().unwrap().to_string();
    assert!(error.contains("model_type: is \"bert\""), "{error}");
}
