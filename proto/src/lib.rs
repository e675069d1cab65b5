//! The wire of Rhumb: messages, services and the JSON of both.

pub mod codec;
pub mod json;

pub use generated::{agentgateway, openshell, v1};

/// Written by the generators, whose ways are not ours.
#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    rust_2018_idioms
)]
mod generated {
    /// Messages and services of package `rhumb.v1`; the comments are in `proto/rhumb/v1/*.proto`.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/rhumb.v1.rs"));
        include!(concat!(env!("OUT_DIR"), "/rhumb.v1.serde.rs"));
    }

    /// agentgateway's contract, package `agentgateway.dev.ext_mcp`; the comments are in `proto/agentgateway/**/*.proto`.
    pub mod agentgateway {
        include!(concat!(env!("OUT_DIR"), "/agentgateway.dev.ext_mcp.rs"));
    }

    /// OpenShell's two contracts; the comments are in `proto/openshell/**/*.proto`.
    pub mod openshell {
        /// Messages and service of package `openshell.middleware.v1`.
        pub mod middleware {
            include!(concat!(env!("OUT_DIR"), "/openshell.middleware.v1.rs"));
        }

        /// Messages and service of package `openshell.gateway_interceptor.v1`.
        pub mod gateway_interceptor {
            include!(concat!(env!("OUT_DIR"), "/openshell.gateway_interceptor.v1.rs"));
        }
    }
}

/// The encoded `FileDescriptorSet` of the contracts of others, for server reflection.
pub const CONTRACT_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/contracts_descriptor.bin"));

/// The encoded `FileDescriptorSet` of all our `.proto` files, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/rhumb_descriptor.bin"));
