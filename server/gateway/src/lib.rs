//! From a caller's message to a recorded decision and back.

pub mod agentgateway;
pub mod anchor;
pub mod batch;
pub mod caller;
pub mod callers;
pub mod carried;
pub mod chain;
pub mod convert;
pub mod decide;
mod draft;
pub mod envoy;
pub mod errors;
mod flights;
pub mod front;
pub mod handed;
pub mod http;
pub mod intents;
pub mod live;
pub mod message;
pub mod offline;
pub mod openshell;
mod place;
pub mod point;
pub mod policy;
pub mod record;
pub mod site;
pub mod surface;
pub mod told;
pub mod tools;
pub mod trace;
pub mod unscored;

pub use decide::{Decider, DeciderWatch};
pub use errors::GatewayError;
pub use front::Front;
pub use site::Site;
