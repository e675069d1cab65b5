//! Where a chain of actions left the course that was set.
//!
//! One action may be near its request and still be a step away from it. [`change`] gathers what the hops of a chain say;
//! [`ChainTracker`] holds a chain that comes in hop by hop, in any order; [`ChainParameters`] say what ordinary chains
//! look like. It finds where drift began and who had delegated there. It does not say who erred.

pub mod change;
pub mod hop;
mod names;
mod parameters;
mod running;
#[cfg(test)]
mod tests;
mod tracker;

pub use change::LOOK_BACK;
pub use hop::{ChainHop, ChainState, ChainSummary, FirstDrifted, FoundBy};
pub use parameters::{ChainParameters, Handed, Level};
pub use tracker::{ChainTracker, KEPT};
