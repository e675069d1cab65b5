//! Who set the course: registered intents, the tokens and bindings that lead to them, and the checks on the way.
//!
//! The text of an intent is registered once, where the human wrote it. After that only a signed reference travels, and every
//! later hop is compared with the registered text. [`Registry`] decides (tables, time and request to events and a reply) and
//! looks up; [`apply()`](apply::apply) alone changes the tables, by the events that were recorded. Neither has a clock: times are
//! milliseconds since 1970, and are given.

pub mod action;
mod amount;
pub mod apply;
pub mod bind;
mod candidate;
pub mod canon;
pub mod carriers;
mod check;
pub mod config;
pub mod constraints;
pub mod issue;
pub mod issuer;
mod jcs;
mod json;
pub mod jws;
pub mod keyset;
pub mod lookup;
pub mod reason;
pub mod register;
pub mod registry;
mod settle;
pub mod state;
pub mod token;

pub use action::{action_digest, value_digest};
pub use apply::apply;
pub use bind::BoundReply;
pub use carriers::{Anchor, CarriedKey, Carriers, Found, NoAnchor, Open, TokenPlace, plain};
pub use config::{IntentConfig, META_PREFIX, MinProvenance, Provenance};
pub use constraints::{Breach, Constraints};
pub use issue::{Issued, TokenRequest};
pub use issuer::{ClaimPaths, IssuerConfig};
pub use jcs::jcs;
pub use register::{Amendment, Registration};
pub use registry::{Caller, Outcome, Registered, Registry};

#[cfg(test)]
mod tests;
