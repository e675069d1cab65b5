//! Compiles the `.proto` files without `protoc`: protox parses them, prost and pbjson generate the Rust code.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

/// Ours, with their JSON.
const FILES: [&str; 3] = ["rhumb/v1/drift.proto", "rhumb/v1/intent.proto", "rhumb/v1/ledger.proto"];
/// Contracts of others that we answer.
const CONTRACTS: [&str; 3] = [
    "agentgateway/dev/ext_mcp/ext_mcp.proto",
    "openshell/middleware/v1/middleware.proto",
    "openshell/gateway_interceptor/v1/gateway_interceptor.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES.iter().chain(&CONTRACTS) {
        println!("cargo:rerun-if-changed={file}");
    }
    let ours = generate(&FILES, "rhumb_descriptor.bin")?;
    pbjson_build::Builder::new().register_descriptors(&ours)?.build(&[".rhumb.v1"])?;
    generate(&CONTRACTS, "contracts_descriptor.bin")?;
    Ok(())
}

/// Makes the Rust code of messages and services, and keeps the descriptors in a file for server reflection.
fn generate(files: &[&str], descriptors_file: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let descriptors = protox::compile(files, ["."])?;
    let bytes = descriptors.encode_to_vec();
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join(descriptors_file), &bytes)?;
    tonic_prost_build::configure()
        // Of the contracts too: it skips unknown fields as any other, and bounds how many a message may have.
        .codec_path("crate::codec::StrictCodec")
        .compile_well_known_types(true)
        .extern_path(".google.protobuf.Empty", "()")
        .extern_path(".google.protobuf", "::pbjson_types")
        .compile_fds(descriptors)?;
    Ok(bytes)
}
