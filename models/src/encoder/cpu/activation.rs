//! GELU with erf, without a division or an exponential.
//!
//! `gelu(x) = max(x, 0) - g(|x|)` with `g(u) = u * erfc(u / sqrt 2) / 2`, a bump that is nearly zero from 5 on. So one
//! polynomial in `t = 2 u / limit - 1` does it; beyond the limit `g` keeps its last value. The coefficients are least
//! squares on 4,000 Chebyshev nodes, reweighted by the error until it is even (Lawson 1961).

use super::rows::vectorized;

/// `g` on `[0, limit]`, constant term first.
pub struct Bump<const N: usize> {
    /// Where the polynomial ends.
    pub limit: f32,
    /// Of `t`.
    pub coefficients: [f32; N],
}

/// Largest error 6.2e-7: for f32.
#[allow(clippy::excessive_precision, reason = "as fitted")]
pub const FINE: Bump<15> = Bump {
    limit: 5.2,
    coefficients: [
        0.012_119_560,
        -0.079_698_756,
        0.218_476_55,
        -0.285_643_34,
        0.062_638_2,
        0.374_073_18,
        -0.565_343_8,
        0.214_285_12,
        0.307_422_73,
        -0.367_647_02,
        0.006_179_161,
        0.177_608_386,
        -0.057_144_105,
        -0.032_977_823,
        0.015_651_949,
    ],
};

/// Largest error 3.6e-5, and 1.7e-4 beyond the limit: a fiftieth of a step of int8.
#[allow(clippy::excessive_precision, reason = "as fitted")]
pub const COARSE: Bump<10> = Bump {
    limit: 4.0,
    coefficients: [
        0.045_465_134,
        -0.170_488_39,
        0.217_848_03,
        0.000_406_388_86,
        -0.304_260_67,
        0.286_380_47,
        0.022_125_542,
        -0.141_553_01,
        0.018_920_51,
        0.025_317_894,
    ],
};

impl<const N: usize> Bump<N> {
    /// One value.
    #[inline(always)]
    pub fn gelu(&self, x: f32) -> f32 {
        let magnitude = x.abs();
        let magnitude = if magnitude < self.limit { magnitude } else { self.limit };
        let t = magnitude.mul_add(2.0 / self.limit, -1.0);
        let bump = self.coefficients.iter().rev().fold(0.0f32, |sum, c| sum.mul_add(t, *c));
        (if x > 0.0 { x } else { 0.0 }) - bump
    }
}

vectorized! {
    /// All of `x`, to the precision of f32.
    pub fn gelu_fine(x: &mut [f32]) {
        x.iter_mut().for_each(|x| *x = FINE.gelu(*x));
    }
}

vectorized! {
    /// All of `x`, to the precision that int8 can tell.
    pub fn gelu_coarse(x: &mut [f32]) {
        x.iter_mut().for_each(|x| *x = COARSE.gelu(*x));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the series of erf, in f64.
    fn gelu(x: f64) -> f64 {
        let z = x / std::f64::consts::SQRT_2;
        if z.abs() > 4.0 {
            return x.max(0.0);
        }
        let (mut term, mut sum) = (z, z);
        for n in 1..200 {
            term *= -z * z / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        0.5 * x * (1.0 + 2.0 / std::f64::consts::PI.sqrt() * sum)
    }

    #[test]
    fn agrees_with_the_series_of_erf() {
        let x: Vec<f32> = (-9000..=9000).map(|i| i as f32 / 1000.0).collect();
        let (mut fine, mut coarse) = (x.clone(), x.clone());
        gelu_fine(&mut fine);
        gelu_coarse(&mut coarse);
        for (x, (fine, coarse)) in x.iter().zip(fine.iter().zip(&coarse)) {
            let expected = gelu(f64::from(*x));
            assert!(
                (f64::from(*fine) - expected).abs() < 8e-7 + 1e-7 * expected.abs(),
                "{x}: {fine} {expected}"
            );
            assert!((f64::from(*coarse) - expected).abs() < 1.8e-4, "{x}: {coarse} {expected}");
        }
    }
}
