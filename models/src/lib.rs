//! Text to vectors: bundles, text folding, tokenizer and encoders.

pub mod adapter;
pub mod bundle;
mod choose;
pub mod encoder;
pub mod golden;
mod halves;
pub mod load;
pub mod priority;
pub mod tokenizer;

pub use bundle::{Bundle, BundleError, FetchEvent, FetchOutcome, Manifest, Store};
pub use load::{Device, LoadOptions, Loaded, Precision, load};
