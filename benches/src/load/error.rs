//! What ends a run.

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Arguments that do not go together, or are out of range.
    #[error("{0}")]
    Usage(String),
    /// A file of requests that cannot be used.
    #[error("--texts {path}: {reason}")]
    Texts {
        /// The file.
        path: String,
        /// What is wrong, with the line.
        reason: String,
    },
    /// A server that cannot be started or reached.
    #[error("server: {0}")]
    Server(String),
    /// A signal.
    #[error("interrupted")]
    Interrupted,
    /// Threads, pipes, standard output.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The report as JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

impl LoadError {
    /// 2 for wrong use or bad input, 1 for the rest, as in `rhumb` itself.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Texts { .. } => 2,
            _ => 1,
        }
    }
}
