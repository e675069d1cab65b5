//! Work on rows, compiled for the vector units of several machines and chosen at run time.
//!
//! Sums run in sixteen interleaved lanes in a fixed order, so they vectorise and give the same bits on every machine.

/// Lanes of a sum.
pub const LANES: usize = 16;

/// Defines a function that is compiled for AVX-512, for AVX2 and plainly, and calls the best that this machine has.
macro_rules! vectorized {
    ($(#[$doc:meta])* pub fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $out:ty)? $body:block) => {
        $(#[$doc])*
        #[allow(unsafe_code, reason = "calls of functions compiled for a vector unit that was just detected")]
        pub fn $name($($arg: $type),*) $(-> $out)? {
            #[inline(always)]
            fn plain($($arg: $type),*) $(-> $out)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
                fn avx512($($arg: $type),*) $(-> $out)? { plain($($arg),*) }
                #[target_feature(enable = "avx2")]
                fn avx2($($arg: $type),*) $(-> $out)? { plain($($arg),*) }
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                {
                    // SAFETY: the features were detected on this machine.
                    return unsafe { avx512($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: the feature was detected on this machine.
                    return unsafe { avx2($($arg),*) };
                }
            }
            plain($($arg),*)
        }
    };
}
pub(super) use vectorized;

/// Adds the lanes in a fixed order.
#[inline(always)]
fn total(lanes: [f32; LANES]) -> f32 {
    lanes.iter().sum()
}

vectorized! {
    /// `x = norm(x + y) * gamma + beta`, row by row: the residual and the layer norm after it.
    pub fn add_and_normalize(x: &mut [f32], y: &[f32], gamma: &[f32], beta: &[f32], eps: f32) {
        let width = gamma.len();
        for (x, y) in x.chunks_exact_mut(width).zip(y.chunks_exact(width)) {
            x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
            let mean = sum(x) / width as f32;
            x.iter_mut().for_each(|x| *x -= mean);
            let variance = sum_of_squares(x) / width as f32;
            let scale = 1.0 / (variance + eps).sqrt();
            x.iter_mut().zip(gamma.iter().zip(beta)).for_each(|(x, (g, b))| *x = *x * scale * g + b);
        }
    }
}

#[inline(always)]
fn sum(x: &[f32]) -> f32 {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(l, x)| *l += x);
    }
    total(lanes) + rest.iter().sum::<f32>()
}

#[inline(always)]
fn sum_of_squares(x: &[f32]) -> f32 {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(l, x)| *l += x * x);
    }
    total(lanes) + rest.iter().map(|x| x * x).sum::<f32>()
}

vectorized! {
    /// A row as u8: `x = scale * (value - zero)`. Returns scale and zero; the range always includes 0, so that zero is
    /// exact.
    pub fn quantize_row(x: &[f32], values: &mut [u8]) -> (f32, i32) {
        let (chunks, rest) = x.as_chunks::<LANES>();
        let (mut low, mut high) = ([0.0f32; LANES], [0.0f32; LANES]);
        for chunk in chunks {
            low.iter_mut().zip(chunk).for_each(|(l, x)| *l = if *x < *l { *x } else { *l });
            high.iter_mut().zip(chunk).for_each(|(h, x)| *h = if *x > *h { *x } else { *h });
        }
        let low = low.iter().chain(rest).fold(0.0f32, |a, b| a.min(*b));
        let high = high.iter().chain(rest).fold(0.0f32, |a, b| a.max(*b));
        let scale = ((high - low) / 255.0).max(f32::MIN_POSITIVE);
        let inverse = 1.0 / scale;
        let zero = (-low * inverse).round().clamp(0.0, 255.0);
        // Adding 1.5 * 2^23 leaves the rounded integer in the low bits of the float.
        const MAGIC: f32 = 12_582_912.0;
        for (x, v) in x.iter().zip(values) {
            let rounded = (x * inverse + zero + MAGIC).to_bits() as i32 - MAGIC.to_bits() as i32;
            *v = rounded.clamp(0, 255) as u8;
        }
        (scale, zero as i32)
    }
}

vectorized! {
    /// `y = (sums - zero * totals) * scale * scales + bias`; the part in brackets is exact.
    pub fn dequantize(
        sums: &[i32], totals: &[i32], zero: i32, scale: f32, scales: &[f32], bias: &[f32], y: &mut [f32],
    ) {
        let weights = totals.iter().zip(scales).zip(bias);
        for ((y, sum), ((total, s), b)) in y.iter_mut().zip(sums).zip(weights) {
            *y = (sum - zero * total) as f32 * (scale * s) + b;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(n: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7919) % 1000) as f32 / 250.0 - 1.5).collect()
    }

    #[test]
    fn rows_are_normalized_to_mean_and_deviation() {
        for width in [16, 24, 384] {
            let (mut x, y) = (noise(2 * width), vec![0.5; 2 * width]);
            add_and_normalize(&mut x, &y, &vec![2.0; width], &vec![1.0; width], 1e-12);
            let mean = x[..width].iter().sum::<f32>() / width as f32;
            let variance = x[..width].iter().map(|x| (x - 1.0).powi(2)).sum::<f32>() / width as f32;
            assert!((mean - 1.0).abs() < 1e-5 && (variance - 4.0).abs() < 1e-4, "{width}: {mean} {variance}");
        }
    }

    #[test]
    fn quantized_values_come_back_within_half_a_step_and_zero_is_exact() {
        let mut x = noise(100);
        x[7] = 0.0;
        let mut values = vec![0; 100];
        let (scale, zero) = quantize_row(&x, &mut values);
        for (x, v) in x.iter().zip(&values) {
            let back = scale * (f32::from(*v) - zero as f32);
            assert!((x - back).abs() <= 0.5 * scale + 1e-6, "{x} {back}");
        }
        assert_eq!(i32::from(values[7]), zero);
    }

    #[test]
    fn a_row_of_zeros_stays_zero() {
        let mut values = vec![9; 20];
        let (scale, zero) = quantize_row(&[0.0; 20], &mut values);
        assert!(scale.is_finite() && values.iter().all(|v| i32::from(*v) == zero));
    }
}
