//! CUDA drivers for the program to find, in folders for `LD_LIBRARY_PATH`.

use std::env;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::in_repository;

/// The driver that runs our kernels without a GPU; `models/kernels/emulation/driver.cpp` says what can be set.
pub fn emulated() -> &'static Path {
    Path::new(env!("RHUMB_EMULATED_DRIVER"))
}

/// A driver that something is wrong with: `no_device` or `old`, of `fixtures/drivers`.
pub fn fake(name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    // The name that cudarc tries first, so that no real driver wins.
    let library = folder.path().join("libcuda.so");
    let built = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--edition=2024", "--crate-type=cdylib", "--crate-name=cuda", "-Copt-level=1", "-o"])
        .arg(&library)
        .arg(in_repository(&format!("tests/fixtures/drivers/{name}.rs")))
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    folder
}
