//! Smoothing: what lets int8 tell small inputs beside large ones.
//!
//! A few inputs of a product are some ten times as large as the others, and one scale for a row must cover them all. So
//! each input is divided by a factor, and its weights are multiplied by the same (SmoothQuant, Xiao et al. 2023): with
//! `factor = inputs^a / weights^(1 - a)`, the largest of each, both are spread evenly. The factors are rounded to eighths
//! of a power of two, so that they are the same wherever they were measured.

use serde::{Deserialize, Serialize};

use super::product::Product;
use crate::encoder::EncoderError;

const MINILM: &str = include_str!("../../../smoothing/minilm.json");

/// The share of the inputs in a factor; measured best of .3 to .7 on texts that were not observed.
const SHARE: f32 = 0.55;
/// Products of a layer: query with key and value, attended, up, down.
pub const PRODUCTS: usize = 4;

/// Factors for the inputs of every product of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Smoothing {
    /// `sha256:` and the digest of the weights it was made for.
    pub model: String,
    /// Texts that were observed.
    pub texts: usize,
    /// For each product, `[layers * 4]`: the factors in eighths of a power of two, a character each from `!`.
    products: Vec<String>,
    #[serde(skip)]
    factors: Vec<Vec<f32>>,
}

/// The character of the factor 1.
const ONE: i32 = 80;
const LEAST: i32 = 33;
const MOST: i32 = 126;

impl Smoothing {
    /// That of the weights with this digest (`sha256:...`), if there is one.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn of_model(digest: &str) -> Result<Option<Self>, EncoderError> {
        let smoothing = Self::parse(MINILM)?;
        Ok(Some(smoothing).filter(|s| s.model == digest))
    }

    /// Whether int8 is good enough to be the choice for the weights with this digest on this machine: there are factors
    /// for them, and products take weights of eight bits. With seven the cosine to f32 falls to .993 on odd texts.
    pub fn suits(digest: &str) -> bool {
        matches!(Self::of_model(digest), Ok(Some(_))) && Product::takes_8_bits()
    }

    /// Reads the JSON that [`Smoothing::to_json`] writes.
    ///
    /// # Errors
    /// If it is not of that form.
    pub fn parse(json: &str) -> Result<Self, EncoderError> {
        let mut smoothing: Self =
            serde_json::from_str(json).map_err(|e| EncoderError::Config(format!("smoothing: {e}")))?;
        smoothing.factors = factors(&smoothing.products);
        Ok(smoothing)
    }

    /// From the largest inputs and weights that each product has seen for each of its inputs.
    pub fn measured(model: String, texts: usize, inputs: &[Vec<f32>], weights: &[Vec<f32>]) -> Self {
        let products: Vec<String> = inputs.iter().zip(weights).map(|(x, w)| codes(x, w)).collect();
        let factors = factors(&products);
        Self { model, texts, products, factors }
    }

    /// As JSON, a line for each product.
    ///
    /// # Errors
    /// If it cannot be written, which a measured one rules out.
    pub fn to_json(&self) -> Result<String, EncoderError> {
        let json = serde_json::to_string_pretty(self).map_err(|e| EncoderError::Config(e.to_string()))?;
        Ok(json + "\n")
    }

    /// Factors of the weights of a product, `[inputs]`; empty if there are none.
    pub fn factors(&self, layer: usize, product: usize) -> &[f32] {
        self.factors.get(layer * PRODUCTS + product).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Powers of two by eighths. Not computed: libraries differ in the last bit, and a weight may then round elsewhere.
const EIGHTHS: [f32; 8] = [
    1.0,
    1.090_507_7,
    1.189_207_1,
    1.296_839_6,
    std::f32::consts::SQRT_2,
    1.542_210_8,
    1.681_792_9,
    1.834_008_1,
];

fn factors(products: &[String]) -> Vec<Vec<f32>> {
    products.iter().map(|codes| codes.bytes().map(factor).collect()).collect()
}

fn factor(code: u8) -> f32 {
    let eighths = i32::from(code) - ONE;
    let rest = usize::try_from(eighths.rem_euclid(8)).unwrap_or_default();
    EIGHTHS.get(rest).copied().unwrap_or(1.0) * 2.0f32.powi(eighths.div_euclid(8))
}

/// Relative to their geometric mean, which changes nothing and keeps the codes in range.
fn codes(inputs: &[f32], weights: &[f32]) -> String {
    let logs = inputs
        .iter()
        .zip(weights)
        .map(|(x, w)| SHARE * x.max(1e-5).log2() - (1.0 - SHARE) * w.max(1e-5).log2());
    let mean = logs.clone().sum::<f32>() / inputs.len().max(1) as f32;
    let code = |log: f32| (ONE + ((log - mean) * 8.0).round() as i32).clamp(LEAST, MOST);
    logs.filter_map(|log| char::from_u32(code(log) as u32)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_survive_being_written_and_read() {
        let (x, w) = (vec![vec![8.0, 0.5, 1.0, 1000.0]], vec![vec![0.1, 0.1, 0.2, 0.1]]);
        let made = Smoothing::measured("sha256:0".into(), 3, &x, &w);
        let read = Smoothing::parse(&made.to_json().unwrap()).unwrap();
        assert_eq!(made, read);
        let f = read.factors(0, 0);
        assert!(f.len() == 4 && f[3] > f[0] && f[0] > f[2] && f[0] > f[1] && f.iter().all(|f| f.is_finite()));
        assert!(read.factors(1, 0).is_empty());
    }

    #[test]
    fn the_built_in_model_has_factors_for_every_product() {
        let digest = crate::Manifest::built_in("minilm").unwrap().digest();
        let smoothing = Smoothing::of_model(&digest).unwrap().unwrap();
        for layer in 0..6 {
            let widths: Vec<usize> = (0..PRODUCTS).map(|p| smoothing.factors(layer, p).len()).collect();
            assert_eq!(widths, [384, 384, 384, 1536]);
        }
        assert!(Smoothing::of_model("sha256:1").unwrap().is_none());
    }
}
