//! A file that is read and never written: what redb repairs while it checks a copy stays in memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use redb::StorageBackend;

const PAGE: u64 = 4096;

/// The file, and the pages that were changed in memory.
#[derive(Debug)]
pub struct Overlay {
    file: File,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    len: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Overlay {
    /// Over a file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self { file, state: Mutex::new(State { len, pages: BTreeMap::new() }) })
    }

    /// A page as it is now; zeros beyond the file.
    fn page(&self, state: &State, number: u64) -> io::Result<Vec<u8>> {
        if let Some(page) = state.pages.get(&number) {
            return Ok(page.clone());
        }
        let mut page = vec![0; PAGE as usize];
        let mut filled = 0;
        while let Some(rest) = page.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, number * PAGE + filled as u64)? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(page)
    }
}

impl State {
    fn check(&self, offset: u64, len: usize) -> io::Result<()> {
        match offset.checked_add(len as u64) {
            Some(end) if end <= self.len => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// The parts of pages that a range of bytes touches: page, first byte in it, and how many.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let (mut at, end) = (offset, offset + len as u64);
    std::iter::from_fn(move || {
        let (page, from) = (at / PAGE, (at % PAGE) as usize);
        let count = (end - at).min(PAGE - at % PAGE) as usize;
        at += count as u64;
        (count > 0).then_some((page, from, count))
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state.lock().unwrap_or_else(PoisonError::into_inner).len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.check(offset, out.len())?;
        let mut rest = out;
        for (number, from, count) in parts(offset, rest.len()) {
            let page = self.page(&state, number)?;
            let (now, later) = rest.split_at_mut(count);
            now.copy_from_slice(page.get(from..from + count).ok_or(io::ErrorKind::UnexpectedEof)?);
            rest = later;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if len < state.len {
            // What is cut off must read as zeros if the file grows again.
            return Err(io::Error::other("a checked copy does not shrink"));
        }
        state.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.check(offset, data.len())?;
        let mut rest = data;
        for (number, from, count) in parts(offset, data.len()) {
            let mut page = self.page(&state, number)?;
            let (now, later) = rest.split_at(count);
            page.get_mut(from..from + count).ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(now);
            state.pages.insert(number, page);
            rest = later;
        }
        Ok(())
    }
}
