//! Every encoder against the golden vectors of an independent implementation, and against itself in other company.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

use rhumb_models::bundle::fetch;
use rhumb_models::encoder::cpu::{Arithmetic, CpuEncoder, Kernel};
use rhumb_models::encoder::reference::ReferenceEncoder;
use rhumb_models::encoder::{Encoder, Encoding};
use rhumb_models::golden::Golden;
use rhumb_models::tokenizer::Tokenizer;
use rhumb_models::{Bundle, Store};

fn bundle() -> Bundle {
    let store = Store::open(None).unwrap();
    fetch(&store, "minilm", &mut |_| {}).unwrap();
    store.load("minilm").unwrap()
}

fn golden(bundle: &Bundle) -> Golden {
    Golden::of_model(&bundle.manifest.digest()).unwrap().unwrap()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// All golden texts in one batch.
fn encode_all(encoder: &mut dyn Encoder, golden: &Golden) -> Vec<Encoding> {
    let batch: Vec<&[u32]> = golden.ids.iter().map(Vec::as_slice).collect();
    encoder.encode(&batch).unwrap()
}

#[test]
fn f32_agrees_with_the_golden_vectors_to_1e_5() {
    let bundle = bundle();
    let golden = golden(&bundle);
    assert!(golden.texts.len() >= 64 && golden.tokens.len() >= 4);
    let tokenizer = Tokenizer::from_bytes(&bundle.tokenizer).unwrap();
    let encoders: [Box<dyn Encoder>; 2] = [
        Box::new(ReferenceEncoder::load(&bundle, 0).unwrap()),
        Box::new(CpuEncoder::load(&bundle, Arithmetic::F32, 0, Kernel::Best).unwrap()),
    ];
    for mut encoder in encoders {
        let backend = encoder.info().backend;
        let agreement = golden.compare(&tokenizer, encoder.as_mut(), 1).unwrap();
        assert_eq!(agreement.texts, golden.texts.len());
        assert!(agreement.largest_difference <= 1e-5, "{backend}: {agreement:?}");
        for (index, expected) in &golden.tokens {
            let found = encoder.encode(&[&golden.ids[*index]]).unwrap().remove(0).tokens;
            let difference = largest_difference(&found, expected);
            assert!(difference <= 1e-4, "{backend}, tokens of text {index}: {difference}");
        }
    }
}

#[test]
fn int8_stays_close_to_f32_on_every_text() {
    let bundle = bundle();
    let golden = golden(&bundle);
    let found =
        encode_all(&mut CpuEncoder::load(&bundle, Arithmetic::Int8, 0, Kernel::Best).unwrap(), &golden);
    let cosines: Vec<f64> = found.iter().zip(&golden.pooled).map(|(f, g)| cosine(&f.pooled, g)).collect();

    let floor = 0.995;
    let low: Vec<_> = golden.texts.iter().zip(&cosines).filter(|(_, c)| **c < floor).collect();
    assert!(low.is_empty(), "{low:?}");
    let mean = cosines.iter().sum::<f64>() / cosines.len() as f64;
    // Over these texts, many of them odd on purpose.
    let worst = cosines.iter().copied().fold(1.0, f64::min);
    println!("int8: mean {mean}, worst {worst}");
    assert!(mean >= 0.998, "{mean}");
}

#[test]
fn company_and_threads_change_no_bit() {
    let bundle = bundle();
    let golden = golden(&bundle);
    let some: Vec<&[u32]> = golden.ids.iter().step_by(5).map(Vec::as_slice).collect();
    for arithmetic in [Arithmetic::F32, Arithmetic::Int8] {
        let load = |threads| CpuEncoder::load(&bundle, arithmetic, threads, Kernel::Best).unwrap();
        let mut one = load(1);
        let alone: Vec<Encoding> = some.iter().map(|ids| one.encode(&[ids]).unwrap().remove(0)).collect();
        for threads in [1, 2, 5] {
            assert!(load(threads).encode(&some).unwrap() == alone, "{arithmetic:?}, {threads} threads");
            let mut reversed: Vec<&[u32]> = some.clone();
            reversed.reverse();
            let mut back = load(threads).encode(&reversed).unwrap();
            back.reverse();
            assert!(back == alone, "{arithmetic:?}, {threads} threads, reversed");
        }
    }
}

#[test]
fn encoders_side_by_side_change_no_bit() {
    let bundle = bundle();
    let golden = golden(&bundle);
    let some: Vec<&[u32]> = golden.ids.iter().step_by(5).map(Vec::as_slice).collect();
    let mut one = CpuEncoder::load(&bundle, Arithmetic::Int8, 1, Kernel::Best).unwrap();
    let alone: Vec<Encoding> = some.iter().map(|ids| one.encode(&[ids]).unwrap().remove(0)).collect();
    for threads in [2, 5, 16] {
        let encoders = CpuEncoder::load(&bundle, Arithmetic::Int8, threads, Kernel::Best).unwrap();
        let encoders = encoders.and_others();
        assert!(encoders.len() > 1);
        // They begin and end at different times, so that threads come and go in the middle of a batch.
        std::thread::scope(|scope| {
            for (mut encoder, size) in encoders.into_iter().zip([1, 3, 7, some.len()]) {
                let (some, alone) = (&some, &alone);
                scope.spawn(move || {
                    for at in (0..some.len()).step_by(size) {
                        let upto = (at + size).min(some.len());
                        let made = encoder.encode(&some[at..upto]).unwrap();
                        assert!(made == alone[at..upto], "{threads} threads, {size} texts at {at}");
                    }
                });
            }
        });
    }
}
