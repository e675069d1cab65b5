//! The hub, through its own client, with the patience that the client lacks: it sets no time-out on anything, so
//! it runs in a thread of its own, and this one watches and may walk away.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use hf_hub::api::Progress;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError};
use hf_hub::{Cache, Repo, RepoType};

use super::{FetchEvent, Source};

/// Until the first answer: behind a firewall that drops packets nothing else would tell.
const FIRST: Duration = Duration::from_secs(8);
/// Between two signs of life after that.
const STALL: Duration = Duration::from_secs(30);
/// Attempts at one file, each of which must bring it further.
const ATTEMPTS: usize = 5;

/// What the downloading thread tells the watching one.
enum Step {
    File { path: String, size: u64 },
    Bytes(u64),
    FileDone,
    End(Result<Vec<PathBuf>, String>),
}

/// Downloads files into `cache` and gives their paths in the order asked for, or the reason why not. What has
/// come of a file stays in `cache`, and the next call goes on from there.
pub(super) fn download(
    source: &Source,
    files: Vec<String>,
    cache: PathBuf,
    events: &mut dyn FnMut(FetchEvent),
) -> Result<Vec<PathBuf>, String> {
    if is_offline(std::env::var("HF_HUB_OFFLINE").ok().as_deref()) {
        return Err("HF_HUB_OFFLINE is set".to_owned());
    }
    let (sender, steps) = mpsc::channel();
    let source = source.clone();
    // Nobody joins this thread: if the client hangs, it hangs alone, and ends with the process.
    let work = move || {
        let result = download_all(&source, &files, &cache, &sender);
        let _ = sender.send(Step::End(result));
    };
    thread::Builder::new().name("hub".to_owned()).spawn(work).map_err(|error| error.to_string())?;
    watch(&steps, FIRST, STALL, events)
}

/// As the Python client reads it.
fn is_offline(value: Option<&str>) -> bool {
    value.is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on"))
}

/// Passes steps on as events until the end, or until there has been none for too long.
fn watch(
    steps: &Receiver<Step>,
    first: Duration,
    stall: Duration,
    events: &mut dyn FnMut(FetchEvent),
) -> Result<Vec<PathBuf>, String> {
    let (mut patience, mut lacking) = (first, "answer");
    loop {
        match steps.recv_timeout(patience) {
            Ok(Step::File { path, size }) => events(FetchEvent::File { path, size }),
            Ok(Step::Bytes(bytes)) => events(FetchEvent::Progress { bytes }),
            Ok(Step::FileDone) => events(FetchEvent::FileDone),
            Ok(Step::End(result)) => return result,
            Err(RecvTimeoutError::Timeout) => {
                return Err(format!("no {lacking} within {patience:?}"));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err("the client stopped without a result".to_owned());
            }
        }
        (patience, lacking) = (stall, "progress");
    }
}

fn download_all(
    source: &Source,
    files: &[String],
    cache: &Path,
    steps: &Sender<Step>,
) -> Result<Vec<PathBuf>, String> {
    // No retries inside the client: its own go on from position 0 of a file opened for appending if the first
    // request of a resumed download fails. A new call looks at the length of what is there.
    let builder =
        ApiBuilder::from_env().with_cache_dir(cache.to_path_buf()).with_progress(false).with_retries(0);
    let api = builder.build().map_err(|error| explain(&error))?;
    let (repository, revision) = (source.repository.clone(), source.revision.clone());
    let repo = Repo::with_revision(repository, RepoType::Model, revision);
    files.iter().map(|file| download_one(&api, &repo, file, cache, steps)).collect()
}

/// Tries again as long as trying brings bytes.
fn download_one(
    api: &Api,
    repo: &Repo,
    file: &str,
    cache: &Path,
    steps: &Sender<Step>,
) -> Result<PathBuf, String> {
    if let Some(path) = Cache::new(cache.to_path_buf()).repo(repo.clone()).get(file) {
        return Ok(path);
    }
    let mut attempt = 1;
    loop {
        let mut meter = Meter::new(steps.clone(), file);
        let error = match api.repo(repo.clone()).download_with_progress(file, &mut meter) {
            Ok(path) => return Ok(path),
            Err(error) => error,
        };
        let unusable = is_unusable(&error);
        if unusable {
            discard_parts(repo, cache);
        }
        if attempt == ATTEMPTS || !(unusable || meter.read > 0) {
            return Err(explain(&error));
        }
        attempt += 1;
    }
}

/// The server refuses the range (416) because the part on disk is already whole, or the part is too long.
fn is_unusable(error: &ApiError) -> bool {
    matches!(error, ApiError::InvalidResume) || error.to_string().contains("status: 416")
}

/// A part that is as long as its file, or longer, cannot be gone on from: without this it would stay for ever.
fn discard_parts(repo: &Repo, cache: &Path) {
    let blob = Cache::new(cache.to_path_buf()).repo(repo.clone()).blob_path("any");
    let entries = blob.parent().and_then(|blobs| fs::read_dir(blobs).ok());
    let paths = entries.into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    for part in paths.filter(|path| path.extension().is_some_and(|extension| extension == "part")) {
        let _ = fs::remove_file(part);
    }
}

/// The client's message and those beneath it, on one line.
fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string().replace('\n', " ");
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

/// Turns the client's counts into steps.
struct Meter {
    steps: Sender<Step>,
    path: String,
    announced: bool,
    started: bool,
    /// Of the file, resumed part included.
    bytes: u64,
    /// In this attempt.
    read: u64,
}

impl Meter {
    /// For one attempt at one file.
    fn new(steps: Sender<Step>, path: &str) -> Self {
        Self { steps, path: path.to_owned(), announced: false, started: false, bytes: 0, read: 0 }
    }
}

impl Progress for &mut Meter {
    /// Called once before the request and once after it: the first is the first sign of life, and enough.
    fn init(&mut self, size: usize, _filename: &str) {
        if !std::mem::replace(&mut self.announced, true) {
            let _ = self.steps.send(Step::File { path: self.path.clone(), size: size as u64 });
        }
    }

    /// The first call after `init` tells where the download goes on, the others what has come.
    fn update(&mut self, size: usize) {
        self.bytes += size as u64;
        self.read += if self.started { size as u64 } else { 0 };
        self.started = true;
        let _ = self.steps.send(Step::Bytes(self.bytes));
    }

    fn finish(&mut self) {
        let _ = self.steps.send(Step::FileDone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn silence_is_given_up_on_before_and_after_the_first_answer() {
        let (_sender, steps) = mpsc::channel();
        assert_eq!(watch(&steps, SHORT, LONG, &mut |_| {}).unwrap_err(), "no answer within 20ms");
        let (sender, steps) = mpsc::channel();
        sender.send(Step::Bytes(1)).unwrap();
        let mut seen = Vec::new();
        let error = watch(&steps, LONG, SHORT, &mut |event| seen.push(event)).unwrap_err();
        assert_eq!(error, "no progress within 20ms");
        assert_eq!(seen, [FetchEvent::Progress { bytes: 1 }]);
    }

    #[test]
    fn a_client_that_dies_is_noticed() {
        let (sender, steps) = mpsc::channel();
        drop(sender);
        assert!(watch(&steps, LONG, LONG, &mut |_| {}).unwrap_err().contains("stopped"));
    }

    #[test]
    fn the_meter_counts_the_resumed_part_but_not_as_read() {
        let (sender, steps) = mpsc::channel();
        let mut meter = Meter::new(sender, "f");
        let mut progress = &mut meter;
        progress.init(10, "");
        progress.init(10, "");
        progress.update(4);
        progress.update(3);
        assert_eq!((meter.bytes, meter.read), (7, 3));
        assert!(matches!(steps.try_recv(), Ok(Step::File { size: 10, .. })));
        let bytes: Vec<_> = steps
            .try_iter()
            .filter_map(|step| if let Step::Bytes(bytes) = step { Some(bytes) } else { None })
            .collect();
        assert_eq!(bytes, [4, 7]);
    }

    #[test]
    fn offline_is_read_as_the_python_client_reads_it() {
        assert!(is_offline(Some("1")) && is_offline(Some("True")));
        assert!(!is_offline(Some("0")) && !is_offline(None));
    }
}
