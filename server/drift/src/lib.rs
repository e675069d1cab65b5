//! Vectors and text to a drift.
//!
//! Everything here is a pure function of its input: no clock, no device, no async, no network. The way of one
//! action is
//!
//! 1. [`Action::check`] and [`Intent::check`]: limits and shape, with errors that name the field;
//! 2. [`Rendering::of`]: one text for the encoder, with the byte range of every segment;
//! 3. [`TextVectors`]: the encoder's answer, and [`SourceIndex`]: the request's words, numbers and entities;
//! 4. [`features::measure`]: a handful of numbers, each with a direction;
//! 5. [`calibration::Head::drift`]: the probability that the action does not serve the request;
//! 6. [`Policy::decide`]: a verdict.
//!
//! [`chain`] gathers the drifts of a chain's actions and says where it left its course.
//!
//! [`per_effect::by_effect`] makes the thresholds of one deployment from the drifts of its own aligned actions.

pub mod action;
pub mod attack;
pub mod bank;
pub mod binomial;
pub mod calibration;
pub mod chain;
pub mod clean;
pub mod conformal;
pub mod delegation;
mod destination;
mod displaced;
pub mod entity;
pub mod features;
pub mod grounding;
mod names;
pub mod per_effect;
pub mod policy;
pub mod prepare;
pub mod quote;
pub mod rarity;
pub mod render;
pub mod score;
pub mod source;
pub mod thresholds;
pub mod train;
pub mod value;
pub mod vectors;
pub mod verb;

pub use action::{Action, ContextItem, Effect, InputError, Intent, Limits};
pub use calibration::{Calibration, CalibrationError};
pub use chain::{ChainParameters, ChainTracker};
pub use features::{FEATURES, Features};
pub use grounding::{Origin, ValueGrade};
pub use policy::{Decision, Policy, Status, Verdict};
pub use prepare::{IntentText, Prepared};
pub use render::{Rendering, Segment};
pub use score::{Evidence, IntentIndex, Scored, score};
pub use source::SourceIndex;
pub use thresholds::Thresholds;
pub use vectors::{TextVectors, Window};
