//! From a verified bundle to something that encodes.

use std::fmt;
use std::str::FromStr;

use crate::bundle::Bundle;
use crate::encoder::cpu::smoothing::Smoothing;
use crate::encoder::cpu::{Arithmetic, CpuEncoder, Kernel};
use crate::encoder::reference::ReferenceEncoder;
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
    /// The NVIDIA GPU with this number.
    Cuda(u32),
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "auto" => Ok(Self::Auto),
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "cuda" => Ok(Self::Cuda(0)),
            Some(("cuda", n)) => n.parse().map(Self::Cuda).map_err(|_| format!("{n:?} is no GPU number")),
            _ => Err(format!("{text:?} is none of auto, cpu, cuda, cuda:N")),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(n) => write!(f, "cuda:{n}"),
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
}

/// A model that encodes, and how well it agrees with the golden vectors.
pub struct Loaded {
    /// Text to token ids.
    pub tokenizer: Tokenizer,
    /// Token ids to vectors: one or more of the same model, each for a thread of its own.
    pub encoders: Vec<Box<dyn Encoder>>,
    /// Absent for a bundle without golden vectors.
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
/// A device or precision that this build does not have, a bundle that does not fit, a failed self-test.
pub fn load(bundle: &Bundle, options: LoadOptions) -> Result<Loaded, EncoderError> {
    if let Device::Cuda(_) = options.device {
        let problem = format!("device {}: this build has no CUDA encoder; use --device cpu", options.device);
        return Err(EncoderError::Unavailable(problem));
    }
    let tokenizer = Tokenizer::from_bytes(&bundle.tokenizer)?;
    let mut encoder = encoder(bundle, options)?;
    let self_test = self_test(&bundle.manifest.digest(), &tokenizer, encoder.as_mut())?;
    Ok(Loaded { tokenizer, encoders: vec![encoder], self_test })
}

/// Unless asked otherwise int8 where it is known to be good, else f32. `rhumb eval` gives the same figures for both.
fn encoder(bundle: &Bundle, options: LoadOptions) -> Result<Box<dyn Encoder>, EncoderError> {
    let threads = options.threads;
    let arithmetic = match options.precision {
        _ if options.reference => return Ok(Box::new(ReferenceEncoder::load(bundle, threads)?)),
        Precision::Auto if Smoothing::suits(&bundle.manifest.digest()) => Arithmetic::Int8,
        Precision::Auto | Precision::F32 => Arithmetic::F32,
        Precision::Int8 => Arithmetic::Int8,
        Precision::F16 => {
            let problem = "precision f16: the CPU computes in f32 or int8; use --precision f32, int8 or auto";
            return Err(EncoderError::Unavailable(problem.to_owned()));
        }
    };
    Ok(Box::new(CpuEncoder::load(bundle, arithmetic, threads, Kernel::Best)?))
}

fn self_test(
    digest: &str,
    tokenizer: &Tokenizer,
    encoder: &mut dyn Encoder,
) -> Result<Option<Agreement>, EncoderError> {
    let Some(golden) = Golden::of_model(digest) else { return Ok(None) };
    let agreement = golden?.compare(tokenizer, encoder, SELF_TEST_STRIDE)?;
    if !agreement.is_good(&encoder.info().precision) {
        return Err(EncoderError::SelfTest(format!(
            "vectors differ from the golden ones by up to {:e} (lowest cosine {})",
            agreement.largest_difference, agreement.lowest_cosine
        )));
    }
    Ok(Some(agreement))
}
