//! Compiles the kernels and the emulated CUDA driver, so that tests run the GPU's way on machines without one.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

const KERNELS: &str = "../models/kernels";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={KERNELS}");
    let folder = PathBuf::from(env::var("OUT_DIR")?).join("emulated");
    fs::create_dir_all(&folder)?;
    compile(&folder.join("libcuda.so.1"))?;
    // The name that cudarc tries first: a real driver's, if there is one, would win otherwise.
    let first = folder.join("libcuda.so");
    if first.exists() {
        fs::remove_file(&first)?;
    }
    fs::hard_link(folder.join("libcuda.so.1"), first)?;
    println!("cargo:rustc-env=RHUMB_EMULATED_DRIVER={}", folder.display());
    Ok(())
}

fn compile(library: &Path) -> Result<(), Box<dyn Error>> {
    let mut build = cc::Build::new();
    // Optimized in a debug build too: a model runs on it.
    build.cpp(true).no_default_flags(true).warnings(false).flags(["-std=c++17", "-O3"]);
    // Numbers as written: no fused operation but those that the source asks for.
    build.flags(["-ffp-contract=off", "-fno-strict-aliasing"]);
    // Where a thread's own data lies is asked at every emulated instruction.
    build.flag_if_supported("-ftls-model=initial-exec");
    // Where the compiler does not know its own processor, the kernels are slower, not wrong.
    build.flag_if_supported("-march=native");
    let mut command = build.try_get_compiler().map_err(needs_compiler)?.to_command();
    command
        .args([
            "-DRHUMB_EMULATION",
            "-fPIC",
            "-pthread",
            "-shared",
            "-Wl,--no-undefined",
            "-Wl,-soname,libcuda.so",
            "-o",
        ])
        .arg(library);
    for entry in fs::read_dir(Path::new(KERNELS).join("emulation"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "cpp") {
            command.arg(path);
        }
    }
    // What the compiler has to say goes to stderr, which cargo shows if this fails. The command does not: it holds
    // the whole environment.
    if !command.status().map_err(needs_compiler)?.success() {
        return Err("the tests' emulated CUDA driver does not compile".into());
    }
    Ok(())
}

fn needs_compiler(error: impl Error) -> Box<dyn Error> {
    format!(
        "the tests' emulated CUDA driver needs a C++ compiler; install g++ or clang++, or set CXX ({error})"
    )
    .into()
}
