//! From a verified bundle to something that encodes.

use std::fmt;
use std::str::FromStr;

use crate::bundle::{Bundle, Manifest};
use crate::choose::{Chosen, choose};
use crate::encoder::{Encoder, EncoderError, EncoderInfo};
use crate::golden::{Agreement, Golden};
use crate::tokenizer::Tokenizer;

/// Where to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// The best that is there.
    #[default]
    Auto,
    /// This machine's processor.
    Cpu,
    /// The NVIDIA GPU with this number, or every one.
    Cuda(Option<u32>),
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "auto" => Ok(Self::Auto),
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "cuda" => Ok(Self::Cuda(None)),
            Some(("cuda", n)) => {
                n.parse().map(|n| Self::Cuda(Some(n))).map_err(|_| format!("{n:?} is no GPU number"))
            }
            _ => Err(format!("{text:?} is none of auto, cpu, cuda, cuda:N")),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(None) => f.write_str("cuda"),
            Self::Cuda(Some(n)) => write!(f, "cuda:{n}"),
        }
    }
}

/// How numbers are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// What suits the device.
    #[default]
    Auto,
    /// 32-bit floating point.
    F32,
    /// 16-bit floating point.
    F16,
    /// 8-bit integers.
    Int8,
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "f32" => Ok(Self::F32),
            "f16" => Ok(Self::F16),
            "int8" => Ok(Self::Int8),
            _ => Err(format!("{text:?} is none of auto, f32, f16, int8")),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Int8 => "int8",
        })
    }
}

/// What to load.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoadOptions {
    /// Where to compute.
    pub device: Device,
    /// How numbers are held.
    pub precision: Precision,
    /// Threads of the encoder; 0: one for each core.
    pub threads: usize,
    /// The slow reference encoder on candle, in f32, for comparison.
    pub reference: bool,
    /// MiB of each GPU's memory at most; 0: what is free.
    pub gpu_memory_mb: u64,
}

/// A model that encodes, and how well it agrees with the golden vectors.
pub struct Loaded {
    /// Text to token ids.
    pub tokenizer: Tokenizer,
    /// Token ids to vectors: one or more of the same model, each for a thread of its own.
    pub encoders: Vec<Box<dyn Encoder>>,
    /// Which device computes, and why; for a person.
    pub why: String,
    /// Of the worst device; absent for a bundle without golden vectors.
    pub self_test: Option<Agreement>,
}

impl Loaded {
    /// What the encoders are.
    ///
    /// # Errors
    /// If there is none.
    pub fn info(&self) -> Result<&EncoderInfo, EncoderError> {
        self.encoders.first().map(|encoder| encoder.info()).ok_or_else(none)
    }

    /// The first encoder, for callers with one thread.
    ///
    /// # Errors
    /// If there is none.
    pub fn encoder(&mut self) -> Result<&mut dyn Encoder, EncoderError> {
        match self.encoders.first_mut() {
            Some(encoder) => Ok(encoder.as_mut()),
            None => Err(none()),
        }
    }
}

fn none() -> EncoderError {
    EncoderError::Unavailable("no encoder was loaded".to_owned())
}

/// Every this many golden texts are part of the self-test at load: enough to notice a broken build, few enough to start
/// in well under a second.
const SELF_TEST_STRIDE: usize = 19;

/// Loads a verified bundle and tests it.
///
/// # Errors
/// A device or precision that is not to be had, a bundle that does not fit, a failed self-test.
pub fn load(bundle: &Bundle, options: LoadOptions) -> Result<Loaded, EncoderError> {
    let tokenizer = Tokenizer::from_bytes(&bundle.tokenizer)?;
    let chosen = choose(bundle, options, &|encoder| self_test(&bundle.manifest, &tokenizer, encoder))?;
    let Chosen { encoders, why, agreement } = chosen;
    Ok(Loaded { tokenizer, encoders, why, self_test: agreement })
}

/// Encoders of one device share weights and kernels; one of them speaks for all.
pub fn first_of_each_device(encoders: &mut [Box<dyn Encoder>]) -> impl Iterator<Item = &mut dyn Encoder> {
    let mut seen: Vec<String> = Vec::new();
    encoders.iter_mut().filter_map(move |encoder| {
        let device = &encoder.info().device;
        let new = !seen.contains(device);
        seen.extend(new.then(|| device.clone()));
        new.then_some(encoder.as_mut() as &mut dyn Encoder)
    })
}

fn self_test(
    manifest: &Manifest,
    tokenizer: &Tokenizer,
    encoder: &mut dyn Encoder,
) -> Result<Option<Agreement>, EncoderError> {
    let Some(golden) = Golden::of_model(&manifest.digest()) else { return Ok(None) };
    let agreement = golden?.compare(tokenizer, encoder, SELF_TEST_STRIDE)?;
    // Weights that were rounded before are no better than what rounds them itself.
    let precision = if manifest.rounded_from.is_some() { "f16" } else { &encoder.info().precision };
    if !agreement.is_good(precision) {
        return Err(EncoderError::SelfTest(format!(
            "vectors differ from the golden ones by up to {:e} (lowest cosine {})",
            agreement.largest_difference, agreement.lowest_cosine
        )));
    }
    Ok(Some(agreement))
}
