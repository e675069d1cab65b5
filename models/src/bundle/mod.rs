//! Bundles: a model with all that scoring needs, and the digests that prove it.
