//! Bundles: a model with all that scoring needs, and the digests that prove it.
//!
//! A bundle is three files (weights, tokenizer, configuration) and a [`Manifest`] that pins each by size and
//! SHA-256. A [`Store`] keeps bundles in one directory; [`fetch`] and [`import`] fill it; [`Store::load`] hands
//! out bytes that have been checked.

mod archive;
mod derive;
mod digest;
mod error;
mod fetch;
mod home;
mod hub;
mod import;
mod install;
mod manifest;
mod round;
mod rules;
mod store;
pub(crate) mod tensors;
mod wheel;

#[cfg(test)]
mod testing;

pub use error::BundleError;
pub use fetch::{FetchEvent, FetchOutcome, fetch};
pub use import::import;
pub use manifest::{Architecture, EncoderSpec, FileSpec, Manifest, Pooling, Role, Source, Wheel};
pub use store::{Bundle, FileReport, Listed, State, Store};
