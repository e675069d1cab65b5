//! One module for each subcommand.

pub mod bench;
pub mod calibrate;
pub mod chains;
pub mod demo;
pub mod embed;
pub mod eval;
pub mod keys;
mod labelled;
pub mod ledger;
pub mod model;
pub mod policy;
mod random;
pub mod score;
pub mod serve;
pub mod trace;
pub mod train;
