//! The folder of a ledger: who may read it, what lies where, and that only one program writes it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};

use crate::error::LedgerError;

/// How long a start waits for the one who holds the ledger: `verify` holds it for as long as it reads the tables.
const LOCK_TRIES: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// The file with the tables.
pub fn tables(root: &Path) -> PathBuf {
    root.join("tables.redb")
}

/// The folder of the log.
pub fn log(root: &Path) -> PathBuf {
    root.join("log")
}

/// The secret that the tags of the tables are made with.
pub fn state_key(root: &Path) -> PathBuf {
    root.join("keys/state.key")
}

/// Makes the folders that are not there, readable by the owner alone.
pub fn create(root: &Path) -> Result<(), LedgerError> {
    for dir in [root.to_owned(), log(root), root.join("keys"), root.join("text-keys")] {
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(LedgerError::io(&dir))?;
    }
    // A file on the disk in a folder that is not is lost with it.
    sync(root)?;
    let above = root.canonicalize().map_err(LedgerError::io(root))?;
    above.parent().map_or(Ok(()), sync)
}

/// How files are made: readable by the owner alone.
pub fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

/// Brings a folder's list of names to the disk.
pub fn sync(dir: &Path) -> Result<(), LedgerError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(LedgerError::io(dir))
}

/// Writes a small file whole or not at all.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), LedgerError> {
    let fresh = path.with_extension("new");
    let io = LedgerError::io(&fresh);
    let written = private().create(true).truncate(true).open(&fresh).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(io)?;
    std::fs::rename(&fresh, path).map_err(LedgerError::io(path))?;
    path.parent().map_or(Ok(()), sync)
}

/// Removes a file, if it is there.
pub fn remove(path: &Path) -> Result<(), LedgerError> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(LedgerError::io(path)(e)),
        _ => Ok(()),
    }
}

/// 32 random bytes.
pub fn random() -> Result<[u8; 32], LedgerError> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| LedgerError::store("no randomness for a key"))?;
    Ok(bytes)
}

/// A secret of 32 bytes; `None` if there is no such file.
pub fn secret(path: &Path) -> Result<Option<[u8; 32]>, LedgerError> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(64).read_to_end(&mut bytes).map_err(LedgerError::io(path))?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(LedgerError::io(path)(e)),
    };
    let secret = bytes.try_into().map_err(|bytes: Vec<u8>| {
        LedgerError::damaged(path.display().to_string(), format!("{} bytes instead of 32", bytes.len()))
    })?;
    Ok(Some(secret))
}

/// A secret of 32 bytes, made if it is not there.
pub fn secret_or_new(path: &Path) -> Result<[u8; 32], LedgerError> {
    if let Some(secret) = secret(path)? {
        return Ok(secret);
    }
    let fresh = random()?;
    write_whole(path, &fresh)?;
    Ok(fresh)
}

/// Held while a program writes the ledger; the operating system lets go of it when the program dies.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// For the one who writes.
    pub fn writer(root: &Path) -> Result<Self, LedgerError> {
        let path = root.join("lock");
        let file = private().create(true).truncate(false).open(&path).map_err(LedgerError::io(&path))?;
        for _ in 0..LOCK_TRIES {
            if file.try_lock().is_ok() {
                return Ok(Self { _file: file });
            }
            std::thread::park_timeout(LOCK_PAUSE);
        }
        let source =
            std::io::Error::new(std::io::ErrorKind::WouldBlock, "another program has the ledger open");
        Err(LedgerError::Io { path, source })
    }

    /// For one who reads the tables; `None` while somebody writes. A folder without the file has no writer.
    pub fn reader(root: &Path) -> Option<Option<Self>> {
        let Ok(file) = File::open(root.join("lock")) else { return Some(None) };
        file.try_lock_shared().is_ok().then_some(Some(Self { _file: file }))
    }
}
