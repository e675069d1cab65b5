//! candle-transformers' BERT as its users run it: batches padded to their longest text.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use rhumb_models::Bundle;
use rhumb_models::tokenizer::Tokenizer;

use crate::Failure;
use crate::worker::{Embed, Output, tokenize};

struct Padded {
    tokenizer: Tokenizer,
    model: BertModel,
    max_length: usize,
}

/// The model on the CPU. Its threads are rayon's: `RAYON_NUM_THREADS` sets them.
pub fn open(bundle: &Bundle, threads: usize) -> Result<(Box<dyn Embed>, serde_json::Value), Failure> {
    let config: Config = serde_json::from_slice(&bundle.config)?;
    let weights = VarBuilder::from_slice_safetensors(&bundle.weights, DType::F32, &Device::Cpu)?;
    let padded = Padded {
        tokenizer: Tokenizer::from_bytes(&bundle.tokenizer)?,
        model: BertModel::load(weights, &config)?,
        max_length: bundle.manifest.encoder.max_length,
    };
    let about = serde_json::json!({
        "backend": "candle-transformers", "precision": "f32", "threads": threads, "digest": bundle.manifest.digest(),
    });
    Ok((Box::new(padded), about))
}

impl Embed for Padded {
    fn embed(&mut self, texts: &[&str]) -> Result<Output, Failure> {
        let ids = tokenize(&self.tokenizer, texts, self.max_length)?;
        let longest = ids.iter().map(Vec::len).max().unwrap_or_default();
        let shape = (ids.len(), longest);
        let padded = ids.iter().flat_map(|row| {
            row.iter().copied().chain(std::iter::repeat_n(0, longest.saturating_sub(row.len())))
        });
        let mask = ids.iter().flat_map(|row| (0..longest).map(|i| if i < row.len() { 1f32 } else { 0f32 }));
        let tokens = Tensor::from_vec(padded.collect::<Vec<u32>>(), shape, &Device::Cpu)?;
        let mask = Tensor::from_vec(mask.collect::<Vec<f32>>(), shape, &Device::Cpu)?;
        let states = self.model.forward(&tokens, &tokens.zeros_like()?, Some(&mask))?;
        let weights = mask.unsqueeze(2)?;
        let mean = states.broadcast_mul(&weights)?.sum(1)?.broadcast_div(&weights.sum(1)?)?;
        let vectors = mean.broadcast_div(&mean.sqr()?.sum_keepdim(1)?.sqrt()?)?;
        Ok(Output { ids, vectors: vectors.to_vec2()? })
    }
}
