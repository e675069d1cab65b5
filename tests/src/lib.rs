//! What the whole-program tests share: the built program, a home with the model, a running server, requests.
//!
//! The tests run the real binary, over pipes and over loopback. Every wait is bounded.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod authority;
pub mod calibration;
pub mod claude;
pub mod drivers;
pub mod envoy;
pub mod gpu;
pub mod http;
pub mod litellm;
pub mod openshell;
pub mod policy;
pub mod program;
pub mod raw;
pub mod registry;
pub mod samples;
pub mod score;
pub mod server;
pub mod tokens;

use std::path::{Path, PathBuf};

pub use http::HttpServer;
pub use program::{Run, run};
pub use score::{Answers, score_lines};
pub use server::{Client, Server};

/// A file or folder of the repository.
///
/// Asked for when a test runs: a build that two checkouts share remembers the folder of the one that built it.
pub fn in_repository(path: &str) -> PathBuf {
    let tests = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&tests).join("..").join(path)
}
