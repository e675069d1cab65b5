//! Text to vectors: bundles, tokenizer and encoders.

pub mod bundle;

pub use bundle::{Bundle, BundleError, FetchEvent, FetchOutcome, Manifest, Store};
