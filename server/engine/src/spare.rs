//! What computes where a device is lost.
//!
//! An encoder whose device is lost says [`EncoderError::Device`] and is not asked again. Without a [`Fallback`] its batch
//! fails, its thread ends, and when no encoder is left every request is refused. With one, its batch is computed again by
//! what the fallback makes, once for all threads: not on another device, which the same batch might cost too. That goes on
//! computing only where no device is left; until then the others are faster. What it computed says so, see
//! [`rhumb_drift::Status::Degraded`], and what devices computed before stays what it was.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, OnceLock, PoisonError};

use rhumb_models::encoder::{Encoder, EncoderError, EncoderInfo, Encoding};

/// Makes the encoder that computes where a device is lost: the same model elsewhere, on the CPU for example. It may take a
/// second.
pub type Fallback = Box<dyn FnOnce() -> Result<Box<dyn Encoder>, EncoderError> + Send>;

/// The encoders of an engine, each for a thread of its own: one model, as often as it can compute at once.
pub struct Encoders {
    pub(crate) all: Vec<Box<dyn Encoder>>,
    pub(crate) fallback: Option<Fallback>,
}

impl From<Vec<Box<dyn Encoder>>> for Encoders {
    /// Without a fallback.
    fn from(all: Vec<Box<dyn Encoder>>) -> Self {
        Self { all, fallback: None }
    }
}

impl Encoders {
    /// With what computes where a device is lost.
    #[must_use]
    pub fn or(self, fallback: Option<Fallback>) -> Self {
        Self { fallback, ..self }
    }
}

/// Why a batch was not computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The batch's own: the next one may be.
    Batch(String),
    /// The device is lost.
    Device(String),
}

impl From<EncoderError> for Trouble {
    fn from(error: EncoderError) -> Self {
        match error {
            EncoderError::Device { .. } => Self::Device(error.to_string()),
            _ => Self::Batch(error.to_string()),
        }
    }
}

/// Encodes; a panic costs the batch and nothing else.
pub(crate) fn encode(encoder: &mut dyn Encoder, texts: &[&[u32]]) -> Result<Vec<Encoding>, Trouble> {
    match catch_unwind(AssertUnwindSafe(|| encoder.encode(texts))) {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Trouble::Batch("panicked".to_owned())),
    }
}

/// Whether vectors of both can be compared.
pub(crate) fn same_model(a: &EncoderInfo, b: &EncoderInfo) -> bool {
    (&a.digest, a.width, a.max_length) == (&b.digest, b.width, b.max_length)
}

/// The encoder of last resort, made when it is needed and shared by all threads that lost theirs.
pub(crate) struct Spare {
    state: Mutex<State>,
    /// What it has to be too.
    like: EncoderInfo,
    info: OnceLock<EncoderInfo>,
}

enum State {
    Absent,
    Unmade(Fallback),
    Made(Box<dyn Encoder>),
}

impl Spare {
    /// Nothing is made yet.
    pub fn new(fallback: Option<Fallback>, like: EncoderInfo) -> Self {
        let state = fallback.map_or(State::Absent, State::Unmade);
        Self { state: Mutex::new(state), like, info: OnceLock::new() }
    }

    /// Whether there is something to fall back to; waits while it is being made.
    pub fn is_there(&self) -> bool {
        !matches!(*self.state.lock().unwrap_or_else(PoisonError::into_inner), State::Absent)
    }

    /// What it is, once it is made.
    pub fn info(&self) -> Option<&EncoderInfo> {
        self.info.get()
    }

    /// Makes the encoder where that was not done.
    pub fn make(&self) -> Result<(), String> {
        // What panics is caught while the lock is held.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = match std::mem::replace(&mut *state, State::Absent) {
            State::Absent => return Err("there is no encoder to fall back to".to_owned()),
            State::Unmade(fallback) => State::Made(self.made(fallback)?),
            made @ State::Made(_) => made,
        };
        Ok(())
    }

    /// Encodes, once the encoder is made.
    pub fn encode(&self, texts: &[&[u32]]) -> Result<Vec<Encoding>, Trouble> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State::Made(encoder) = &mut *state else {
            return Err(Trouble::Device("there is no encoder to fall back to".to_owned()));
        };
        let answer = encode(encoder.as_mut(), texts);
        if matches!(answer, Err(Trouble::Device(_))) {
            *state = State::Absent;
        }
        answer
    }

    fn made(&self, fallback: Fallback) -> Result<Box<dyn Encoder>, String> {
        let lost = |problem: String| format!("nothing to fall back to: {problem}");
        let made =
            catch_unwind(AssertUnwindSafe(fallback)).map_err(|_| lost("loading panicked".to_owned()))?;
        let encoder = made.map_err(|error| lost(error.to_string()))?;
        if !same_model(&self.like, encoder.info()) {
            return Err(lost("it is another model".to_owned()));
        }
        let _ = self.info.set(encoder.info().clone());
        Ok(encoder)
    }
}
