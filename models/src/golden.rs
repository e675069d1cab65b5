//! Golden vectors: what an independent implementation computes for the same weights.
//!
//! `scripts/make-golden.py` computes them in f64 with NumPy alone. The server compares a few of them with its encoder
//! before it says SERVING; the tests compare all.

use safetensors::{SafeTensors, tensor::TensorView};

use crate::encoder::{Encoder, EncoderError};
use crate::tokenizer::{Tokenizer, WindowRule};

const MINILM: &[u8] = include_bytes!("../golden/minilm.safetensors");

/// Texts and what the model should make of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Golden {
    /// The texts.
    pub texts: Vec<String>,
    /// Token ids of each, special tokens included, cut at `max_length`.
    pub ids: Vec<Vec<u32>>,
    /// Pooled vector of each, L2-normalised.
    pub pooled: Vec<Vec<f32>>,
    /// Last hidden states `[tokens, width]` of some texts, by place.
    pub tokens: Vec<(usize, Vec<f32>)>,
    /// Tokens at which the texts were cut.
    pub max_length: usize,
}

/// How far an encoder is from the golden vectors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// Texts compared.
    pub texts: usize,
    /// Largest absolute difference of any component of a pooled vector.
    pub largest_difference: f32,
    /// Lowest cosine of any text.
    pub lowest_cosine: f32,
}

impl Golden {
    /// The golden vectors of the weights with this digest (`sha256:...`), if there are any.
    pub fn of_model(digest: &str) -> Option<Result<Self, EncoderError>> {
        let golden = Self::parse(MINILM);
        match &golden {
            Ok((model, _)) if format!("sha256:{model}") != digest => None,
            _ => Some(golden.map(|(_, golden)| golden)),
        }
    }

    /// Reads the file; the first part is the digest of the model's weights.
    fn parse(bytes: &[u8]) -> Result<(String, Self), EncoderError> {
        let fail = |problem: &str| EncoderError::SelfTest(format!("golden vectors: {problem}"));
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| fail(&e.to_string()))?;
        let meta = header.metadata().clone().unwrap_or_default();
        let entry = |key: &str| meta.get(key).ok_or_else(|| fail(&format!("{key} is missing")));
        let texts: Vec<String> = serde_json::from_str(entry("texts")?).map_err(|e| fail(&e.to_string()))?;
        let file = SafeTensors::deserialize(bytes).map_err(|e| fail(&e.to_string()))?;
        let tensor = |name: &str| file.tensor(name).map_err(|e| fail(&e.to_string()));
        let lengths: Vec<usize> = integers(&tensor("lengths")?).into_iter().map(|n| n as usize).collect();
        let ids = split(integers(&tensor("token_ids")?), &lengths);
        let pooled = floats(&tensor("pooled")?);
        let width = pooled.len() / texts.len().max(1);
        let tokens =
            (0..texts.len()).filter_map(|i| Some((i, floats(&file.tensor(&format!("tokens_{i}")).ok()?))));
        let golden = Self {
            pooled: pooled.chunks_exact(width.max(1)).map(<[f32]>::to_vec).collect(),
            tokens: tokens.collect(),
            max_length: entry("max_length")?.parse().map_err(|_| fail("max_length is no number"))?,
            texts,
            ids,
        };
        if golden.ids.len() != golden.texts.len() || golden.pooled.len() != golden.texts.len() {
            return Err(fail("texts, ids and vectors differ in number"));
        }
        Ok((entry("model_sha256")?.clone(), golden))
    }

    /// Runs every `stride`-th text through tokenizer and encoder.
    ///
    /// # Errors
    /// If token ids differ or the encoder fails.
    pub fn compare(
        &self,
        tokenizer: &Tokenizer,
        encoder: &mut dyn Encoder,
        stride: usize,
    ) -> Result<Agreement, EncoderError> {
        let rule = WindowRule { max_length: self.max_length, overlap: 0, max_windows: 1 };
        let mut agreement = Agreement { texts: 0, largest_difference: 0.0, lowest_cosine: 1.0 };
        let rows = self.texts.iter().zip(&self.ids).zip(&self.pooled).step_by(stride.max(1));
        let (mut batch, mut expected): (Vec<&[u32]>, Vec<&[f32]>) = (Vec::new(), Vec::new());
        for ((text, ids), pooled) in rows {
            let windows = tokenizer.windows(text, rule)?.windows;
            if windows.first().map(|w| w.ids.as_slice()) != Some(ids.as_slice()) {
                return Err(EncoderError::SelfTest(format!("token ids of text {:?} differ", head(text))));
            }
            batch.push(ids);
            expected.push(pooled);
        }
        let encodings = encoder.encode(&batch)?;
        if encodings.len() != expected.len() {
            return Err(EncoderError::SelfTest(format!(
                "{} vectors of {} texts",
                encodings.len(),
                expected.len()
            )));
        }
        encodings.iter().zip(expected).for_each(|(found, expected)| agreement.add(&found.pooled, expected));
        Ok(agreement)
    }
}

impl Agreement {
    /// Of two encoders the one that is further away, in each respect.
    #[must_use]
    pub fn or_worse(self, other: Self) -> Self {
        Self {
            texts: self.texts.min(other.texts),
            largest_difference: self.largest_difference.max(other.largest_difference),
            lowest_cosine: self.lowest_cosine.min(other.lowest_cosine),
        }
    }

    fn add(&mut self, found: &[f32], expected: &[f32]) {
        let same_length = found.len() == expected.len();
        let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
        // `f32::max` would drop a NaN.
        let largest = differences.fold(0.0, |m: f32, d| if d.is_nan() || d > m { d } else { m });
        let product: f32 = found.iter().zip(expected).map(|(a, b)| a * b).sum();
        self.texts += 1;
        self.largest_difference =
            if same_length { largest.max(self.largest_difference) } else { f32::INFINITY };
        if largest.is_nan() {
            self.largest_difference = f32::INFINITY;
        }
        self.lowest_cosine =
            if product < self.lowest_cosine || product.is_nan() { product } else { self.lowest_cosine };
    }

    /// Whether an encoder of this precision is good enough to serve: 1e-5 in f32; a cosine of 0.999 in f16, and of 0.99 in
    /// int8, which it reaches also where its products take weights of seven bits only.
    pub fn is_good(&self, precision: &str) -> bool {
        match precision {
            "f32" => self.texts > 0 && self.largest_difference <= 1e-5,
            // What is no number counts as infinitely far, whatever the cosine was.
            _ if self.largest_difference.is_infinite() => false,
            "f16" => self.texts > 0 && self.lowest_cosine >= 0.999,
            _ => self.texts > 0 && self.lowest_cosine >= 0.99,
        }
    }
}

fn integers(tensor: &TensorView<'_>) -> Vec<u32> {
    tensor.data().as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect()
}

fn floats(tensor: &TensorView<'_>) -> Vec<f32> {
    tensor.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

fn split(flat: Vec<u32>, lengths: &[usize]) -> Vec<Vec<u32>> {
    let mut rest = flat.into_iter();
    lengths.iter().map(|n| rest.by_ref().take(*n).collect()).collect()
}

fn head(text: &str) -> String {
    text.chars().take(40).collect()
}
