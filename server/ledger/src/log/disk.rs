//! What the log does to the disk, behind a trait so that tests can let it fail.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::head::SLOT;
use super::lines;
use crate::error::LedgerError;
use crate::folder;

/// Where the log goes.
pub trait Disk: Send {
    /// Writes at the end of the current file.
    ///
    /// # Errors
    /// If the file system refuses; this goes for all of them.
    fn append(&mut self, bytes: &[u8]) -> Result<(), LedgerError>;
    /// Returns when the current file is on the disk.
    ///
    /// # Errors
    /// If the file system refuses.
    fn sync(&mut self) -> Result<(), LedgerError>;
    /// Writes a slot of the head.
    ///
    /// # Errors
    /// If the file system refuses.
    fn head(&mut self, slot: usize, text: &[u8]) -> Result<(), LedgerError>;
    /// Returns when the head is on the disk.
    ///
    /// # Errors
    /// If the file system refuses.
    fn sync_head(&mut self) -> Result<(), LedgerError>;
    /// Goes on with a new file.
    ///
    /// # Errors
    /// If the file system refuses.
    fn begin(&mut self, segment: u32) -> Result<(), LedgerError>;
}

/// The log of a ledger that is not kept.
#[derive(Debug, Default)]
pub struct Nowhere;

impl Disk for Nowhere {
    fn append(&mut self, _: &[u8]) -> Result<(), LedgerError> {
        Ok(())
    }
    fn sync(&mut self) -> Result<(), LedgerError> {
        Ok(())
    }
    fn head(&mut self, _: usize, _: &[u8]) -> Result<(), LedgerError> {
        Ok(())
    }
    fn sync_head(&mut self) -> Result<(), LedgerError> {
        Ok(())
    }
    fn begin(&mut self, _: u32) -> Result<(), LedgerError> {
        Ok(())
    }
}

/// The files of a log.
#[derive(Debug)]
pub struct Files {
    dir: PathBuf,
    path: PathBuf,
    file: Option<File>,
    head: File,
}

impl Files {
    /// Goes on at `offset` of `segment`, cutting off what lies beyond; `segment` 0: there is no file yet.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn open(dir: &Path, segment: u32, offset: u64) -> Result<Self, LedgerError> {
        let path = dir.join("HEAD");
        let head = folder::private().open(&path).map_err(LedgerError::io(&path))?;
        let mut files = Self { dir: dir.to_owned(), path, file: None, head };
        if segment > 0 {
            files.path = lines::path(dir, segment);
            let file = folder::private().open(&files.path).and_then(|mut file| {
                file.set_len(offset)?;
                file.seek(SeekFrom::Start(offset))?;
                Ok(file)
            });
            files.file = Some(file.map_err(LedgerError::io(&files.path))?);
        }
        Ok(files)
    }
}

impl Disk for Files {
    fn append(&mut self, bytes: &[u8]) -> Result<(), LedgerError> {
        let Some(file) = &mut self.file else { return Err(LedgerError::store("no file of the log is open")) };
        file.write_all(bytes).map_err(LedgerError::io(&self.path))
    }

    fn sync(&mut self) -> Result<(), LedgerError> {
        let Some(file) = &self.file else { return Ok(()) };
        file.sync_data().map_err(LedgerError::io(&self.path))
    }

    fn head(&mut self, slot: usize, text: &[u8]) -> Result<(), LedgerError> {
        let at = if slot == 0 { 0 } else { SLOT as u64 };
        self.head.write_all_at(text, at).map_err(LedgerError::io(&self.dir.join("HEAD")))
    }

    fn sync_head(&mut self) -> Result<(), LedgerError> {
        self.head.sync_data().map_err(LedgerError::io(&self.dir.join("HEAD")))
    }

    fn begin(&mut self, segment: u32) -> Result<(), LedgerError> {
        self.path = lines::path(&self.dir, segment);
        // An empty file of this number is what a crash between here and the first record leaves behind.
        let file = folder::private().create(true).truncate(true).open(&self.path);
        self.file = Some(file.map_err(LedgerError::io(&self.path))?);
        folder::sync(&self.dir)
    }
}
