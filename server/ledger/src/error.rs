//! What can go wrong.

use std::path::{Path, PathBuf};

use rhumb_drift::InputError;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A field that cannot be used.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The request is well formed, but the state of the ledger forbids it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What lies on the disk is not what was written.
    #[error("{place}: {problem}")]
    Damaged {
        /// File and line, or record number.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The tables' store failed.
    #[error("tables: {0}")]
    Store(String),
    /// Too much waits to be written.
    #[error("the ledger has no room for more")]
    Full,
    /// An earlier write failed, or the ledger is closed: nothing is acknowledged any more.
    #[error("the ledger is closed: {0}")]
    Closed(String),
}

/// What the caller may do about a refusal; maps to a gRPC code one to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// NOT_FOUND
    NotFound,
    /// ALREADY_EXISTS
    AlreadyExists,
    /// FAILED_PRECONDITION
    FailedPrecondition,
    /// PERMISSION_DENIED
    PermissionDenied,
    /// UNAUTHENTICATED
    Unauthenticated,
    /// RESOURCE_EXHAUSTED
    ResourceExhausted,
}

/// A refusal with its reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// What kind.
    pub kind: RefusalKind,
    /// Machine-readable, `[a-z][a-z0-9_]{0,63}`.
    pub reason: &'static str,
    /// For a person.
    pub detail: String,
}

impl LedgerError {
    /// For `map_err` on whatever touches `path`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }

    /// What lies at `place` is not what was written.
    pub(crate) fn damaged(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Damaged { place: place.into(), problem: problem.into() }
    }

    /// The tables' store failed.
    pub(crate) fn store(error: impl std::fmt::Display) -> Self {
        Self::Store(error.to_string())
    }
}

impl Refusal {
    /// A refusal.
    pub fn new(kind: RefusalKind, reason: &'static str, detail: impl Into<String>) -> Self {
        Self { kind, reason, detail: detail.into() }
    }
}
