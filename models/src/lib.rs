//! Text to vectors: bundles, tokenizer and encoders.

pub mod bundle;
