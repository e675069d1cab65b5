//! Criterion benches live in `benches/`; the load generator is the program `load`.

pub mod load;
