//! Who set the course: registered intents, the tokens and bindings that lead to them, and the checks on the way.

pub mod action;
mod amount;
pub mod apply;
pub mod bind;
pub mod canon;
mod check;
pub mod config;
pub mod constraints;
mod issue;
pub mod issuer;
pub mod jcs;
mod json;
pub mod jws;
pub mod keyset;
pub mod reason;
pub mod register;
pub mod registry;
mod settle;
pub mod state;
pub mod token;
