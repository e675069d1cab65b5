//! The files of the log, and their lines one by one.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::line::{MAX_JSON, PREFIX};
use crate::error::LedgerError;

const BUFFER: usize = 256 << 10;

/// The file of a segment.
pub fn path(dir: &Path, segment: u32) -> PathBuf {
    dir.join(format!("{segment:08}.log"))
}

/// As messages name it.
pub fn name(segment: u32) -> String {
    format!("log/{segment:08}.log")
}

/// The numbers of the segments there are, in order.
///
/// # Errors
/// If the folder cannot be read.
pub fn list(dir: &Path) -> Result<Vec<u32>, LedgerError> {
    let io = || LedgerError::io(dir);
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io())? {
        let file = entry.map_err(io())?.file_name();
        let number = file.to_str().and_then(|f| f.strip_suffix(".log")).and_then(|n| n.parse().ok());
        // Only the name that the ledger itself would give: `1.log` is no segment.
        numbers.extend(number.filter(|n: &u32| path(dir, *n).file_name() == Some(&file)));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// A line as it stands.
#[derive(Debug, Clone, Copy)]
pub struct Raw<'a> {
    /// Without the line feed.
    pub bytes: &'a [u8],
    /// Its first byte in the file.
    pub offset: u64,
    /// From 1; 0 where reading did not begin at the first line.
    pub number: u64,
    /// Whether a line feed ends it.
    pub whole: bool,
}

/// The lines of one file.
#[derive(Debug)]
pub struct Lines {
    reader: BufReader<File>,
    line: Vec<u8>,
    offset: u64,
    number: u64,
    counted: bool,
}

impl Lines {
    /// From `offset` on.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(dir: &Path, segment: u32, offset: u64) -> io::Result<Self> {
        let mut file = File::open(path(dir, segment))?;
        file.seek(SeekFrom::Start(offset))?;
        let reader = BufReader::with_capacity(BUFFER, file);
        Ok(Self { reader, line: Vec::new(), offset, number: 0, counted: offset == 0 })
    }

    /// The next line; `None` at the end of the file.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read(&mut self) -> io::Result<Option<Raw<'_>>> {
        self.line.clear();
        let most = (PREFIX + MAX_JSON + 1) as u64;
        let read = (&mut self.reader).take(most).read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        let offset = self.offset;
        self.offset += read as u64;
        self.number += u64::from(self.counted);
        let whole = self.line.last() == Some(&b'\n');
        let bytes = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        Ok(Some(Raw { bytes, offset, number: self.number, whole }))
    }

    /// The line that was read last, without the line feed.
    pub fn current(&self) -> &[u8] {
        self.line.strip_suffix(b"\n").unwrap_or(&self.line)
    }

    /// Whether nothing is left to read.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn at_end(&mut self) -> io::Result<bool> {
        Ok(self.reader.fill_buf()?.is_empty())
    }

    /// Bytes of the file now.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn file_len(&self) -> io::Result<u64> {
        Ok(self.reader.get_ref().metadata()?.len())
    }
}
