//! The kernels' machine code, as `scripts/build-kernels` made it.

use std::io::Read;

use flate2::read::GzDecoder;

/// Packed machine code, and what it is called.
#[derive(Debug, Clone, Copy)]
pub struct Code {
    /// `cuda sm_90`.
    pub name: &'static str,
    packed: &'static [u8],
}

macro_rules! code {
    ($name:literal, $file:literal) => {
        Code { name: $name, packed: include_bytes!(concat!("../../../kernels/image/", $file, ".gz")) }
    };
}

/// Machine code by compute capability, ascending.
const CODE: [((i32, i32), Code); 4] = [
    ((8, 0), code!("cuda sm_80", "sm_80.cubin")),
    ((8, 6), code!("cuda sm_86", "sm_86.cubin")),
    ((8, 9), code!("cuda sm_89", "sm_89.cubin")),
    ((9, 0), code!("cuda sm_90", "sm_90.cubin")),
];
/// For newer devices, whose driver translates it.
const PORTABLE: Code = code!("cuda ptx", "compute_80.ptx");

/// The code for a device of this compute capability: machine code runs on the same major version from its minor one on.
///
/// # Errors
/// Older than 8.0.
pub fn code_for((major, minor): (i32, i32)) -> Result<Code, String> {
    if major < 8 {
        return Err(format!("compute capability {major}.{minor}: 8.0 (Ampere) or newer is needed"));
    }
    let fits = |code: &&((i32, i32), Code)| code.0.0 == major && code.0.1 <= minor;
    Ok(CODE.iter().rev().find(fits).map_or(PORTABLE, |(_, code)| *code))
}

/// What is loaded into a device, and what it is called.
#[derive(Debug)]
pub struct Image {
    /// `cuda sm_90`.
    pub name: &'static str,
    /// Ends in a zero, as the driver wants text to.
    pub bytes: Vec<u8>,
}

impl Image {
    /// For a device of this compute capability: the best, and what to try where the driver does not take it.
    ///
    /// # Errors
    /// As [`code_for`].
    pub fn of(capability: (i32, i32)) -> Result<Vec<Self>, String> {
        let best = code_for(capability)?;
        let other = (best.name != PORTABLE.name).then_some(PORTABLE);
        [Some(best), other].into_iter().flatten().map(Self::unpacked).collect()
    }

    fn unpacked(Code { name, packed }: Code) -> Result<Self, String> {
        let mut bytes = Vec::new();
        GzDecoder::new(packed).read_to_end(&mut bytes).map_err(|e| format!("{name}: {e}"))?;
        bytes.push(0);
        Ok(Self { name, bytes })
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    fn hex(digest: impl AsRef<[u8]>) -> String {
        digest.as_ref().iter().map(|b| format!("{b:02x}")).collect()
    }

    fn manifest() -> serde_json::Value {
        serde_json::from_slice(include_bytes!("../../../kernels/image/image.json")).unwrap()
    }

    #[test]
    fn each_device_gets_the_newest_code_that_runs_on_it() {
        let name = |capability| code_for(capability).unwrap().name;
        let names = [(8, 0), (8, 6), (8, 7), (8, 9), (9, 0), (10, 0), (12, 0)].map(name);
        let expected =
            ["cuda sm_80", "cuda sm_86", "cuda sm_86", "cuda sm_89", "cuda sm_90", "cuda ptx", "cuda ptx"];
        assert_eq!(names, expected);
        assert!(code_for((7, 5)).unwrap_err().contains("7.5"));
        let tried = |capability| Image::of(capability).unwrap().iter().map(|i| i.name).collect::<Vec<_>>();
        assert_eq!((tried((8, 7)), tried((10, 0))), (vec!["cuda sm_86", "cuda ptx"], vec!["cuda ptx"]));
    }

    #[test]
    fn the_image_was_made_from_the_sources_that_are_here() {
        // As it is when the test runs: another checkout may have compiled it.
        let folder = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
        let folder = std::path::Path::new(&folder).join("kernels");
        let mut names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
        names.retain(|path| path.extension().is_some_and(|e| e == "cu" || e == "cuh"));
        names.sort();
        let mut digest = Sha256::new();
        for path in names {
            let bytes = std::fs::read(&path).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap();
            digest.update(format!("{name} {}\n", bytes.len()));
            digest.update(bytes);
        }
        assert_eq!(
            manifest()["sources"],
            hex(digest.finalize()),
            "run scripts/build-kernels and commit the image"
        );
    }

    #[test]
    fn the_image_is_whole_and_spills_nothing() {
        let manifest = manifest();
        for (capability, name) in [((8, 0), "sm_80.cubin"), ((8, 6), "sm_86.cubin"), ((8, 9), "sm_89.cubin")]
            .into_iter()
            .chain([((9, 0), "sm_90.cubin"), ((10, 0), "compute_80.ptx")])
        {
            let mut bytes = Image::of(capability).unwrap().remove(0).bytes;
            bytes.pop();
            assert_eq!(manifest["files"][name], hex(Sha256::digest(&bytes)), "{name}");
        }
        for (architecture, kernels) in manifest["kernels"].as_object().unwrap() {
            assert!(kernels.as_object().unwrap().len() > 10);
            for (kernel, use_) in kernels.as_object().unwrap() {
                assert_eq!(
                    (&use_["spills"], &use_["stack"]),
                    (&0.into(), &0.into()),
                    "{kernel} on {architecture}"
                );
            }
        }
    }
}
