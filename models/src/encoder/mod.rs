//! Token ids to vectors.

pub mod config;
pub mod cpu;
pub mod cuda;
mod family;
pub mod reference;
mod weights;

/// What every encoder does. One thread owns an encoder; it may use more threads inside.
///
/// INVARIANT: the vectors of a text depend on that text alone, bit for bit, and never on the batch it came in or on the
/// number of threads.
pub trait Encoder: Send {
    /// What this encoder is.
    fn info(&self) -> &EncoderInfo;

    /// Encodes texts given as token ids with their special tokens; one answer for each, in order.
    ///
    /// # Errors
    /// If a text is empty, longer than [`EncoderInfo::max_length`], has an unknown token, or the device fails.
    fn encode(&mut self, batch: &[&[u32]]) -> Result<Vec<Encoding>, EncoderError>;
}

/// What an encoder is and where it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncoderInfo {
    /// Bundle name.
    pub model: String,
    /// `sha256:` and the digest of the weights.
    pub digest: String,
    /// `cpu`, `cuda:0`.
    pub device: String,
    /// `f32`, `f16`, `int8`.
    pub precision: String,
    /// Implementation, for example `candle`.
    pub backend: &'static str,
    /// Length of a vector.
    pub width: usize,
    /// Tokens of one text at most, special tokens included.
    pub max_length: usize,
    /// Threads it may use.
    pub threads: usize,
}

/// One text as vectors.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Encoding {
    /// Pooled vector `[width]`; L2-normalised if the bundle says so.
    pub pooled: Vec<f32>,
    /// Last hidden states `[tokens, width]`, special tokens included, not normalised.
    pub tokens: Vec<f32>,
}

/// Why a text was not encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncoderError {
    /// The bundle's configuration cannot be used.
    #[error("config.json: {0}")]
    Config(String),
    /// The tokenizer cannot be read or fails.
    #[error("tokenizer.json: {0}")]
    Tokenizer(String),
    /// The weights lack something.
    #[error("weights: {0}")]
    Weights(String),
    /// The input does not fit the model.
    #[error("text {index} of the batch: {problem}")]
    Input {
        /// Place in the batch, from 0.
        index: usize,
        /// What is wrong.
        problem: String,
    },
    /// The computation failed.
    #[error("encoder: {0}")]
    Compute(String),
    /// The device is lost: this encoder will not work again.
    #[error("device {device}: {problem}")]
    Device {
        /// Which, for example `cuda:0`.
        device: String,
        /// What it said.
        problem: String,
    },
    /// The self-test against golden vectors failed.
    #[error("self-test: {0}")]
    SelfTest(String),
    /// The wanted device or precision is not to be had.
    #[error("{0}")]
    Unavailable(String),
}

impl From<candle_core::Error> for EncoderError {
    fn from(error: candle_core::Error) -> Self {
        Self::Compute(error.to_string())
    }
}

/// The threads of one encoder; 0: one for each core.
fn thread_count(threads: usize) -> usize {
    match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        _ => threads,
    }
}

/// The threads of one encoder; 0: one for each core.
fn thread_pool(threads: usize) -> Result<rayon::ThreadPool, EncoderError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|i| format!("rhumb-encode-{i}"))
        .build()
        .map_err(|e| EncoderError::Compute(e.to_string()))
}

/// Refuses a batch with a text that does not fit the model.
fn check_batch(batch: &[&[u32]], max_length: usize, vocab_size: usize) -> Result<(), EncoderError> {
    for (index, ids) in batch.iter().enumerate() {
        let fail = |problem| Err(EncoderError::Input { index, problem });
        if ids.is_empty() || ids.len() > max_length {
            return fail(format!("{} tokens, needs 1 to {max_length}", ids.len()));
        }
        if let Some(id) = ids.iter().find(|id| **id as usize >= vocab_size) {
            return fail(format!("token {id} is beyond the vocabulary of {vocab_size}"));
        }
    }
    Ok(())
}

/// Scales to length 1.
fn normalize(vector: &mut [f32]) {
    let norm = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt().max(1e-12);
    vector.iter_mut().for_each(|x| *x = (f64::from(*x) / norm) as f32);
}
