//! Compiles the `.proto` files without `protoc`: protox parses them, prost and pbjson generate the Rust code.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

const FILES: [&str; 3] = ["rhumb/v1/drift.proto", "rhumb/v1/intent.proto", "rhumb/v1/ledger.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["."])?;
    let bytes = descriptors.encode_to_vec();
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("rhumb_descriptor.bin"), &bytes)?;
    tonic_prost_build::configure()
        .codec_path("crate::codec::StrictCodec")
        .compile_well_known_types(true)
        .extern_path(".google.protobuf", "::pbjson_types")
        .compile_fds(descriptors)?;
    pbjson_build::Builder::new().register_descriptors(&bytes)?.build(&[".rhumb.v1"])?;
    Ok(())
}
