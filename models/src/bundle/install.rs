//! Putting a bundle in place at one stroke: other processes see all of it or none.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use fs4::fs_std::FileExt;

use super::digest::{self, CopyError};
use super::{BundleError, FileSpec, Manifest, Store, manifest};

/// What staging directories are called; a bundle's name cannot start with a dot.
const PREFIX: &str = ".staging-";

/// The right to write to the store; whoever holds it is the only one. Released when dropped, or by the system
/// when the process ends.
#[derive(Debug)]
pub(super) struct Lock {
    bundles: PathBuf,
    /// Open as long as the lock is held.
    _file: File,
}

impl Lock {
    /// Waits for the lock, after `waiting` if it is taken, and clears what a killed process left behind.
    pub(super) fn acquire(store: &Store, waiting: &mut dyn FnMut()) -> Result<Self, BundleError> {
        let bundles = store.bundles();
        fs::create_dir_all(&bundles).map_err(BundleError::io("create", &bundles))?;
        let path = bundles.join(".lock");
        let options = File::options().create(true).truncate(false).write(true).open(&path);
        let file = options.map_err(BundleError::io("open", &path))?;
        if !FileExt::try_lock_exclusive(&file).map_err(BundleError::io("lock", &path))? {
            waiting();
            FileExt::lock_exclusive(&file).map_err(BundleError::io("lock", &path))?;
        }
        clear_stale(&bundles)?;
        Ok(Self { bundles, _file: file })
    }

    /// An empty directory beside the bundles, hence on the same file system; gone when dropped.
    pub(super) fn scratch(&self, label: &str) -> Result<Scratch, BundleError> {
        let path = self.bundles.join(format!("{PREFIX}{label}-{}", std::process::id()));
        fs::create_dir(&path).map_err(BundleError::io("create", &path))?;
        Ok(Scratch { path })
    }

    /// A place to gather a bundle's files.
    pub(super) fn stage<'a>(&'a self, manifest: &'a Manifest) -> Result<Staging<'a>, BundleError> {
        Ok(Staging { lock: self, manifest, scratch: self.scratch(&manifest.name)? })
    }
}

/// All staging happens under the lock, so whatever is there when the lock has just been taken is dead.
fn clear_stale(bundles: &Path) -> Result<(), BundleError> {
    let entries = fs::read_dir(bundles).map_err(BundleError::io("list", bundles))?;
    for entry in entries.filter_map(Result::ok) {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            let path = entry.path();
            fs::remove_dir_all(&path).map_err(BundleError::io("remove", &path))?;
        }
    }
    Ok(())
}

/// A directory that is removed when dropped.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next one to take the lock.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// A bundle on its way in.
#[derive(Debug)]
pub(super) struct Staging<'a> {
    lock: &'a Lock,
    manifest: &'a Manifest,
    scratch: Scratch,
}

impl Staging<'_> {
    /// Copies one file in and checks the bytes on their way; `origin` is the file to name if they are wrong,
    /// `each` hears how many bytes have been copied.
    pub(super) fn put(
        &self,
        spec: &FileSpec,
        origin: &Path,
        reader: &mut dyn Read,
        each: &mut dyn FnMut(u64),
    ) -> Result<(), BundleError> {
        let target = self.scratch.path().join(&spec.path);
        let mut file = create(&target)?;
        let found = digest::copy(reader, &mut file, spec.size, each).map_err(|error| match error {
            CopyError::Read(error) => BundleError::io("read", origin)(error),
            CopyError::Write(error) => BundleError::io("write", &target)(error),
        })?;
        digest::check(spec, origin, &found)?;
        file.sync_all().map_err(BundleError::io("write", &target))
    }

    /// Adds the manifest and moves everything to its place. A bundle of that name goes; a reader in the middle
    /// of it gets an error from its digests, never a mixture.
    pub(super) fn commit(self) -> Result<(), BundleError> {
        let text = self.manifest.to_text()?;
        let path = self.scratch.path().join(manifest::FILE_NAME);
        let mut file = create(&path)?;
        io::Write::write_all(&mut file, text.as_bytes()).map_err(BundleError::io("write", &path))?;
        file.sync_all().map_err(BundleError::io("write", &path))?;
        sync_directory(self.scratch.path())?;
        self.swap()?;
        sync_directory(&self.lock.bundles)
    }

    /// Renames cannot replace a directory that has files, so the old one steps aside first, and back if the new
    /// one cannot take its place.
    fn swap(&self) -> Result<(), BundleError> {
        let target = self.lock.bundles.join(&self.manifest.name);
        let aside = self.lock.scratch(&format!("{}-old", self.manifest.name))?;
        let old = aside.path().join("bundle");
        let replaced = fs::symlink_metadata(&target).is_ok();
        if replaced {
            fs::rename(&target, &old).map_err(BundleError::io("move", &target))?;
        }
        let moved = fs::rename(self.scratch.path(), &target).map_err(BundleError::io("create", &target));
        if moved.is_err() && replaced {
            fs::rename(&old, &target).map_err(BundleError::io("restore", &target))?;
        }
        moved
    }
}

/// A new file and the folders above it.
fn create(path: &Path) -> Result<File, BundleError> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(BundleError::io("create", parent))?;
    File::create_new(path).map_err(BundleError::io("create", path))
}

/// Makes names last through a power failure, where the platform lets a directory be opened.
fn sync_directory(path: &Path) -> Result<(), BundleError> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    File::open(path).and_then(|directory| directory.sync_all()).map_err(BundleError::io("flush", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::testing::{self, FILES};

    fn install(store: &Store, name: &str) -> Result<(), BundleError> {
        let manifest = testing::manifest(name);
        let lock = Lock::acquire(store, &mut || {})?;
        let staging = lock.stage(&manifest)?;
        for (spec, (path, _, bytes)) in manifest.files.iter().zip(FILES) {
            staging.put(spec, Path::new(path), &mut &*bytes, &mut |_| {})?;
        }
        staging.commit()
    }

    fn names(store: &Store) -> Vec<String> {
        let entries = fs::read_dir(store.bundles()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_corrupt_bundle_and_stale_staging_give_way() {
        let (_home, store, folder) = testing::store_with_tiny();
        fs::write(folder.join("config.json"), "spoilt").unwrap();
        fs::create_dir_all(store.bundles().join(".staging-tiny-1/deep")).unwrap();
        install(&store, "tiny").unwrap();
        store.load("tiny").unwrap();
        assert_eq!(names(&store), [".lock", "tiny"]);
    }

    #[test]
    fn wrong_bytes_leave_what_was_there() {
        let (_home, store, _) = testing::store_with_tiny();
        let manifest = testing::manifest("tiny");
        let lock = Lock::acquire(&store, &mut || {}).unwrap();
        let staging = lock.stage(&manifest).unwrap();
        let spoilt = b"these are the Weights".as_slice();
        let error =
            staging.put(&manifest.files[0], Path::new("from"), &mut &*spoilt, &mut |_| {}).unwrap_err();
        assert!(matches!(&error, BundleError::Digest { path, .. } if path == Path::new("from")), "{error}");
        drop(staging);
        assert_eq!(names(&store), [".lock", "tiny"]);
        store.load("tiny").unwrap();
    }

    #[test]
    fn a_second_writer_waits_for_the_first() {
        let (_home, store, _) = testing::store_with_tiny();
        let lock = Lock::acquire(&store, &mut || {}).unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let second = store.clone();
        let thread = std::thread::spawn(move || {
            Lock::acquire(&second, &mut || tell.send("waiting").unwrap()).map(|_| tell.send("in").unwrap())
        });
        assert_eq!(told.recv().unwrap(), "waiting");
        assert!(told.try_recv().is_err());
        drop(lock);
        assert_eq!(told.recv().unwrap(), "in");
        thread.join().unwrap().unwrap();
    }
}
