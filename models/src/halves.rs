//! Rounding to half precision.

use half::f16;
use half::slice::HalfFloatSliceExt;

/// Rounds every value; the place of the first that is beyond the range of halves, and would silently be infinite.
pub fn to_halves(values: &[f32]) -> Result<Vec<f16>, usize> {
    let mut halves = vec![f16::ZERO; values.len()];
    halves.convert_from_f32_slice(values);
    match halves.iter().position(|x| !x.is_finite()) {
        Some(place) => Err(place),
        None => Ok(halves),
    }
}
