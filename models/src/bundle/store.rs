//! The directory that holds bundles, and the only way to bytes that may be trusted.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::digest::{self, Tally};
use super::{BundleError, FileSpec, Manifest, Role, home, manifest, rules};

/// Bytes of a manifest that are read; a real one is under two thousand.
pub(super) const MAX_MANIFEST: u64 = 64 * 1024;

/// Bundles on disk: `<home>/bundles/<name>/`.
#[derive(Debug, Clone)]
pub struct Store {
    home: PathBuf,
}

/// A bundle in memory; every byte has been checked against the manifest.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// The manifest that the bytes match.
    pub manifest: Manifest,
    /// The weights, as safetensors.
    pub weights: Vec<u8>,
    /// The tokenizer, as JSON.
    pub tokenizer: Vec<u8>,
    /// The network's shape, as JSON.
    pub config: Vec<u8>,
}

/// What [`Store::verify`] found out about one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// The file.
    pub path: PathBuf,
    /// Bytes, by the manifest.
    pub size: u64,
    /// Whether size and digest match.
    pub ok: bool,
    /// The digest, or what is wrong.
    pub detail: String,
}

/// How much of a bundle is there; sizes are compared, digests are not (see [`Store::verify`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing is.
    Absent,
    /// Every file is, and has the right size.
    Present,
    /// Some file is missing or has the wrong size, or the manifest cannot be read.
    Incomplete,
}

/// One line of [`Store::list`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The bundle's name.
    pub name: String,
    /// One line for people; where the manifest cannot be read, why not.
    pub description: String,
    /// The licence of the weights; empty where the manifest cannot be read.
    pub licence: String,
    /// How much of it is there.
    pub state: State,
    /// The model's digest, `sha256:` and 64 digits; none where the manifest cannot be read.
    pub digest: Option<String>,
    /// The bundle's directory, whether it is there or not.
    pub path: PathBuf,
    /// Whether the manifest ships with the program.
    pub built_in: bool,
}

impl Store {
    /// Takes the directory given, else `$RHUMB_HOME`, else the user's data directory. Creates nothing.
    ///
    /// # Errors
    /// [`BundleError::NoHome`] if there is none of them.
    pub fn open(home: Option<PathBuf>) -> Result<Self, BundleError> {
        Ok(Self { home: home::locate(home)? })
    }

    /// The store's directory, absolute.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The manifest that decides what the bundle is: the built-in one for a built-in name, whatever the disk
    /// says, else the one in the bundle's directory.
    ///
    /// # Errors
    /// [`BundleError::Name`], [`BundleError::Missing`], or why the manifest on disk cannot be used.
    pub fn manifest(&self, name: &str) -> Result<Manifest, BundleError> {
        match Manifest::built_in(name) {
            Some(manifest) => Ok(manifest),
            None => self.manifest_on_disk(name),
        }
    }

    /// Reads each file of a bundle once and checks size and digest of those very bytes.
    ///
    /// # Errors
    /// Names the bundle that is missing, or the file that is missing, unreadable or not what the manifest says.
    pub fn load(&self, name: &str) -> Result<Bundle, BundleError> {
        let manifest = self.installed(name)?;
        let read = |role| match manifest.file(role) {
            Some(spec) => read_checked(name, &self.directory(name).join(&spec.path), spec),
            None => Ok(Vec::new()),
        };
        let (weights, tokenizer, config) =
            (read(Role::Weights)?, read(Role::Tokenizer)?, read(Role::Config)?);
        Ok(Bundle { manifest, weights, tokenizer, config })
    }

    /// Digests every file of a bundle without holding it in memory; a bad file is a report, not an error.
    ///
    /// # Errors
    /// If the bundle is not installed, or its manifest cannot be read.
    pub fn verify(&self, name: &str) -> Result<Vec<FileReport>, BundleError> {
        let manifest = self.installed(name)?;
        Ok(manifest.files.iter().map(|spec| self.report(&manifest, spec)).collect())
    }

    /// Every built-in bundle and every other one in the store, by name.
    ///
    /// # Errors
    /// If the directory cannot be read; one that does not exist holds nothing.
    pub fn list(&self) -> Result<Vec<Listed>, BundleError> {
        let mut names: BTreeSet<String> = Manifest::built_in_names().map(str::to_owned).collect();
        names.extend(self.names_on_disk()?);
        Ok(names.into_iter().map(|name| self.listed(name)).collect())
    }

    /// `<home>/bundles`.
    pub(super) fn bundles(&self) -> PathBuf {
        self.home.join("bundles")
    }

    /// A bundle's directory; only for a name that has been checked.
    pub(super) fn directory(&self, name: &str) -> PathBuf {
        self.bundles().join(name)
    }

    /// Whether this very bundle is installed, digests and all.
    pub(super) fn holds(&self, wanted: &Manifest) -> bool {
        self.directory(&wanted.name).is_dir()
            && self.manifest(&wanted.name).is_ok_and(|manifest| manifest == *wanted)
            && wanted.files.iter().all(|spec| self.report(wanted, spec).ok)
    }

    /// The manifest of a bundle whose directory exists.
    fn installed(&self, name: &str) -> Result<Manifest, BundleError> {
        let manifest = self.manifest(name)?;
        if self.directory(name).is_dir() { Ok(manifest) } else { Err(self.missing(name)) }
    }

    fn missing(&self, name: &str) -> BundleError {
        let import = "`rhumb model import DIR|ARCHIVE`";
        let built_in = Manifest::built_in_names().any(|known| known == name);
        let hint =
            if built_in { format!("`rhumb model fetch {name}` or {import}") } else { import.to_owned() };
        BundleError::Missing { name: name.to_owned(), path: self.bundles(), hint }
    }

    fn manifest_on_disk(&self, name: &str) -> Result<Manifest, BundleError> {
        if !rules::is_name(name) {
            return Err(BundleError::Name { name: name.to_owned() });
        }
        let (directory, path) = (self.directory(name), self.directory(name).join(manifest::FILE_NAME));
        if !directory.is_dir() {
            return Err(self.missing(name));
        }
        let origin = path.display().to_string();
        let manifest = Manifest::parse(&read_manifest(name, &path)?, &origin)?;
        if manifest.name == name {
            return Ok(manifest);
        }
        Err(BundleError::Manifest { origin, reason: format!("is that of {}, not of {name}", manifest.name) })
    }

    fn report(&self, manifest: &Manifest, spec: &FileSpec) -> FileReport {
        let path = self.directory(&manifest.name).join(&spec.path);
        let checked = stream_checked(&manifest.name, &path, spec);
        let ok = checked.is_ok();
        let detail = checked.map_or_else(|error| error.to_string(), |()| format!("sha256 {}", spec.sha256));
        FileReport { path, size: spec.size, ok, detail }
    }

    /// Names that a bundle could have: staging directories and the lock start with a dot.
    fn names_on_disk(&self) -> Result<Vec<String>, BundleError> {
        let bundles = self.bundles();
        let entries = match fs::read_dir(&bundles) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(BundleError::io("list", &bundles))?,
        };
        let directories = entries.filter_map(Result::ok).filter(|entry| entry.path().is_dir());
        let names = directories.filter_map(|entry| entry.file_name().into_string().ok());
        Ok(names.filter(|name| rules::is_name(name)).collect())
    }

    fn listed(&self, name: String) -> Listed {
        let (path, built_in) = (self.directory(&name), Manifest::built_in(&name).is_some());
        match self.manifest(&name) {
            Ok(manifest) => {
                let (state, digest) = (self.state(&manifest), Some(manifest.digest()));
                let Manifest { description, licence, .. } = manifest;
                Listed { name, description, licence, state, digest, path, built_in }
            }
            Err(error) => {
                let (description, state) = (error.to_string(), State::Incomplete);
                Listed { name, description, licence: String::new(), state, digest: None, path, built_in }
            }
        }
    }

    fn state(&self, manifest: &Manifest) -> State {
        let directory = self.directory(&manifest.name);
        let right = |spec: &FileSpec| {
            fs::metadata(directory.join(&spec.path))
                .is_ok_and(|found| found.is_file() && found.len() == spec.size)
        };
        match directory.is_dir() {
            false => State::Absent,
            true if manifest.files.iter().all(right) => State::Present,
            true => State::Incomplete,
        }
    }
}

/// Opens a bundle's file, telling a missing one from an unreadable one.
fn open(bundle: &str, path: &Path) -> Result<File, BundleError> {
    File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            BundleError::MissingFile { name: bundle.to_owned(), path: path.to_path_buf() }
        }
        _ => BundleError::io("open", path)(error),
    })
}

/// Opens a file whose size is right: a wrong one is told without reading it all.
fn open_sized(bundle: &str, path: &Path, spec: &FileSpec) -> Result<File, BundleError> {
    let file = open(bundle, path)?;
    let found = file.metadata().map_err(BundleError::io("look at", path))?.len();
    if found == spec.size {
        return Ok(file);
    }
    Err(BundleError::Size { path: path.to_path_buf(), expected: spec.size, found })
}

/// The bytes themselves are digested, not a second reading of the file: nobody can swap it in between.
fn read_checked(bundle: &str, path: &Path, spec: &FileSpec) -> Result<Vec<u8>, BundleError> {
    let file = open_sized(bundle, path, spec)?;
    let mut bytes = Vec::new();
    let room = usize::try_from(spec.size).unwrap_or(usize::MAX);
    let reserved = bytes.try_reserve_exact(room).map_err(|_| io::ErrorKind::OutOfMemory.into());
    reserved.map_err(BundleError::io("hold in memory", path))?;
    file.take(spec.size + 1).read_to_end(&mut bytes).map_err(BundleError::io("read", path))?;
    digest::check(spec, path, &Tally { bytes: bytes.len() as u64, sha256: digest::of(&bytes) })?;
    Ok(bytes)
}

fn stream_checked(bundle: &str, path: &Path, spec: &FileSpec) -> Result<(), BundleError> {
    let mut file = open_sized(bundle, path, spec)?;
    let found = digest::tally(&mut file, spec.size).map_err(BundleError::io("read", path))?;
    digest::check(spec, path, &found)
}

fn read_manifest(bundle: &str, path: &Path) -> Result<String, BundleError> {
    let mut text = String::new();
    let file = open(bundle, path)?;
    file.take(MAX_MANIFEST).read_to_string(&mut text).map_err(BundleError::io("read", path))?;
    Ok(text)
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
