//! The folder that keys lie in.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::PublicKeys;
use crate::error::LedgerError;

const PUBLIC: &str = "jwks.json";

/// A folder of keys that no other process changes while this value lives.
pub(super) struct Folder {
    dir: PathBuf,
    // The lock goes with the file, also when the process is killed.
    _lock: File,
}

impl Folder {
    pub(super) fn lock(dir: &Path) -> Result<Self, LedgerError> {
        fs::create_dir_all(dir).map_err(at(dir))?;
        let path = dir.join("keys.lock");
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(at(&path))?;
        lock.lock().map_err(at(&path))?;
        Ok(Self { dir: dir.to_owned(), _lock: lock })
    }

    pub(super) fn public(&self) -> Result<Option<PublicKeys>, LedgerError> {
        let path = self.dir.join(PUBLIC);
        if path.try_exists().map_err(at(&path))? { PublicKeys::read(&path).map(Some) } else { Ok(None) }
    }

    pub(super) fn write_public(&self, keys: &PublicKeys) -> Result<(), LedgerError> {
        self.write(PUBLIC, keys.jwks().as_bytes(), 0o644)
    }

    /// Private key `kid`; refused where others may read it.
    pub(super) fn read_private(&self, kid: &str) -> Result<Vec<u8>, LedgerError> {
        let path = self.private(kid);
        if is_open_to_others(&path)? {
            return Err(self.damaged(&format!("{kid}.pk8"), "others may read it; set its mode to 0600"));
        }
        fs::read(&path).map_err(at(&path))
    }

    pub(super) fn write_private(&self, kid: &str, document: &[u8]) -> Result<(), LedgerError> {
        self.write(&format!("{kid}.pk8"), document, 0o600)
    }

    /// It must not sign again. Where it cannot be removed it is dead weight, but no danger to the new key.
    pub(super) fn remove_private(&self, kid: &str) {
        let path = self.private(kid);
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!(path = %path.display(), %error, "an old private key could not be removed");
        }
    }

    /// The private key of a folder that has one alone, with its name; `None` where there is none.
    pub(super) fn only_private(&self) -> Result<Option<(String, Vec<u8>)>, LedgerError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(at(&self.dir))? {
            let name = entry.map_err(at(&self.dir))?.file_name();
            names.extend(name.to_str().and_then(|n| n.strip_suffix(".pk8")).map(str::to_owned));
        }
        match names.as_slice() {
            [] => Ok(None),
            [kid] => Ok(Some((kid.clone(), self.read_private(kid)?))),
            _ => Err(self.damaged(PUBLIC, "is missing, and there are several private keys")),
        }
    }

    pub(super) fn check_name(&self, name: &str, kid: &str) -> Result<(), LedgerError> {
        if name == kid { Ok(()) } else { Err(self.damaged(&format!("{name}.pk8"), "holds another key")) }
    }

    pub(super) fn damaged(&self, name: &str, problem: &str) -> LedgerError {
        let place = self.dir.join(name).display().to_string();
        LedgerError::Damaged { place, problem: problem.to_owned() }
    }

    fn private(&self, kid: &str) -> PathBuf {
        self.dir.join(format!("{kid}.pk8"))
    }

    /// Writes a file so that it is there whole or not at all, also after a power cut.
    fn write(&self, name: &str, bytes: &[u8], mode: u32) -> Result<(), LedgerError> {
        let new = self.dir.join(format!("{name}.new"));
        // Left by a process that died; the lock says that nobody writes it now.
        match fs::remove_file(&new) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(at(&new)(e)),
            _ => {}
        }
        let mut file = create(&new, mode).map_err(at(&new))?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(at(&new))?;
        fs::rename(&new, self.dir.join(name)).map_err(at(&new))?;
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(at(&self.dir))
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> LedgerError {
    let path = path.to_owned();
    move |source| LedgerError::Io { path: path.clone(), source }
}

#[cfg(unix)]
fn create(path: &Path, mode: u32) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

#[cfg(not(unix))]
fn create(path: &Path, _mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

#[cfg(unix)]
fn is_open_to_others(path: &Path) -> Result<bool, LedgerError> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(fs::metadata(path).map_err(at(path))?.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_open_to_others(_path: &Path) -> Result<bool, LedgerError> {
    Ok(false)
}
