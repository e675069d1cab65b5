//! Benches live in `benches/`, the comparison with other encoders in `compare/`; this library is empty.
