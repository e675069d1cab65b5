//! Whether there is a driver, without a panic: cudarc panics where the library or a symbol is missing, so both are looked
//! for first.

use std::sync::OnceLock;

use libloading::Library;

/// What this encoder calls of the driver, and cudarc for it.
const SYMBOLS: [&str; 35] = [
    "cuCtxSetCurrent",
    "cuCtxSynchronize",
    "cuDeviceGet",
    "cuDeviceGetAttribute",
    "cuDeviceGetCount",
    "cuDeviceGetName",
    "cuDevicePrimaryCtxRelease_v2",
    "cuDevicePrimaryCtxRetain",
    "cuDevicePrimaryCtxSetFlags_v2",
    "cuDriverGetVersion",
    "cuFuncSetAttribute",
    "cuGetErrorName",
    "cuGetErrorString",
    "cuGraphDestroy",
    "cuGraphExecDestroy",
    "cuGraphInstantiateWithFlags",
    "cuGraphLaunch",
    "cuInit",
    "cuLaunchKernel",
    "cuMemAlloc_v2",
    "cuMemFreeHost",
    "cuMemFree_v2",
    "cuMemGetInfo_v2",
    "cuMemHostAlloc",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyHtoDAsync_v2",
    "cuMemcpyHtoD_v2",
    "cuModuleGetFunction",
    "cuModuleLoadData",
    "cuModuleUnload",
    "cuStreamBeginCapture_v2",
    "cuStreamCreate",
    "cuStreamDestroy_v2",
    "cuStreamEndCapture",
    "cuStreamSynchronize",
];

/// Looks for the driver once. The text says what is missing, and where it was looked for.
///
/// # Errors
/// No library, or one that lacks what is needed.
pub fn driver() -> Result<(), String> {
    static FOUND: OnceLock<Result<(), String>> = OnceLock::new();
    FOUND.get_or_init(look).clone()
}

fn look() -> Result<(), String> {
    // The order in which cudarc takes them.
    let mut names: Vec<String> = Vec::new();
    for name in ["cuda", "nvcuda"].iter().flat_map(|name| cudarc::get_lib_name_candidates(name)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let (name, library) = names.iter().find_map(|name| Some((name, open(name)?))).ok_or_else(|| {
        let path = std::env::var("LD_LIBRARY_PATH").unwrap_or_default();
        // The name that the driver's packages install; of the others nobody needs a list.
        let usual = names.iter().find(|name| name.ends_with(".so.1")).or(names.first());
        format!(
            "no NVIDIA driver: {}, or another of its {} names, is neither in the system's library folders nor in \
             LD_LIBRARY_PATH ({path:?})",
            usual.map_or("libcuda", String::as_str),
            names.len()
        )
    })?;
    let missing: Vec<&str> = SYMBOLS.into_iter().filter(|symbol| !has(&library, symbol)).collect();
    if !missing.is_empty() {
        return Err(format!(
            "the NVIDIA driver {name} is too old, or is none: it lacks {}; 525 or newer is needed",
            missing.join(", ")
        ));
    }
    Ok(())
}

#[allow(unsafe_code, reason = "a library is loaded")]
fn open(name: &str) -> Option<Library> {
    // SAFETY: what the driver does when it is loaded is the driver's; cudarc loads the same one.
    unsafe { Library::new(name).ok() }
}

#[allow(unsafe_code, reason = "a symbol is looked up")]
fn has(library: &Library, symbol: &str) -> bool {
    // SAFETY: the symbol is not called.
    unsafe { library.get::<unsafe extern "C" fn()>(symbol.as_bytes()).is_ok() }
}
