//! Logs: one line each on stderr. Texts of users never appear in them; digests and counts do.

use tracing_subscriber::EnvFilter;

/// Starts logging at `level` (a `tracing` filter, for example `info` or `rhumb_engine=debug`).
pub fn init(level: &str) {
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("warn"));
    let colour = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
    // A second start (in a test, say) keeps the first logger.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .with_target(false)
        .try_init();
}
