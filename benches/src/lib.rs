//! Criterion benches live in `benches/`; the load generator is the program `load`, the comparison with other encoders the
//! program `compare`.

pub mod load;
