//! Progress bars on stderr; where there is no terminal, plain lines alone.

use indicatif::{ProgressBar, ProgressStyle};
use rhumb_models::{BundleError, FetchEvent, FetchOutcome, Store};

/// Fetches a bundle and shows how far it is.
///
/// # Errors
/// As [`rhumb_models::bundle::fetch`].
pub fn fetch(store: &Store, name: &str) -> Result<FetchOutcome, BundleError> {
    let bar = ProgressBar::new(0);
    // A template that cannot be read leaves the default bar.
    if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}") {
        bar.set_style(style);
    }
    let outcome = rhumb_models::bundle::fetch(store, name, &mut |event| show(&bar, event));
    bar.finish_and_clear();
    outcome
}

/// A bar that counts to `length`.
pub fn count(length: usize) -> ProgressBar {
    let bar = ProgressBar::new(length as u64);
    // A template that cannot be read leaves the default bar.
    if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} {eta}") {
        bar.set_style(style);
    }
    bar
}

fn show(bar: &ProgressBar, event: FetchEvent) {
    let line = match event {
        FetchEvent::Waiting => "another process is installing bundles; waiting".to_owned(),
        FetchEvent::Source { name } => format!("fetching from {name}"),
        FetchEvent::Fallback { reason } => format!("not from there: {reason}"),
        FetchEvent::File { path, size } => {
            bar.set_length(size);
            bar.set_position(0);
            bar.set_message(path);
            return;
        }
        FetchEvent::Progress { bytes } => return bar.set_position(bytes),
        FetchEvent::FileDone => return,
    };
    bar.suspend(|| anstream::eprintln!("{line}"));
}
