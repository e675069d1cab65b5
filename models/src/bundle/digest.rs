//! SHA-256 of bytes in memory and of bytes on their way through.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{BundleError, FileSpec};

/// Big enough that the digest, not the system call, is the cost.
const CHUNK: usize = 128 * 1024;

/// What went through [`copy`].
#[derive(Debug)]
pub(super) struct Tally {
    /// How many bytes.
    pub(super) bytes: u64,
    /// Lower-case hexadecimal.
    pub(super) sha256: String,
}

/// Which end of a [`copy`] failed: the message must name the right file.
#[derive(Debug)]
pub(super) enum CopyError {
    /// The bytes could not be read.
    Read(io::Error),
    /// The bytes could not be written.
    Write(io::Error),
}

/// Lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The digest of bytes in memory, as lower-case hexadecimal.
pub(super) fn of(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Copies and digests at most one byte more than `limit`, so that a file that is too long shows as such without
/// being read to its end. `each` hears how many bytes have gone through so far.
pub(super) fn copy(
    reader: &mut dyn Read,
    writer: &mut dyn Write,
    limit: u64,
    each: &mut dyn FnMut(u64),
) -> Result<Tally, CopyError> {
    let mut reader = reader.take(limit.saturating_add(1));
    let (mut buffer, mut sha, mut bytes) = (vec![0; CHUNK], Sha256::new(), 0);
    loop {
        let chunk = match reader.read(&mut buffer) {
            Ok(count) => buffer.get(..count).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(CopyError::Read(error)),
        };
        if chunk.is_empty() {
            return Ok(Tally { bytes, sha256: hex(&sha.finalize()) });
        }
        sha.update(chunk);
        writer.write_all(chunk).map_err(CopyError::Write)?;
        bytes += chunk.len() as u64;
        each(bytes);
    }
}

/// Digests what a reader gives, up to one byte more than `limit`.
pub(super) fn tally(reader: &mut dyn Read, limit: u64) -> io::Result<Tally> {
    copy(reader, &mut io::sink(), limit, &mut |_| {}).map_err(|error| match error {
        CopyError::Read(error) | CopyError::Write(error) => error,
    })
}

/// Compares what was found with what the manifest says; `path` is the file to name.
pub(super) fn check(spec: &FileSpec, path: &Path, found: &Tally) -> Result<(), BundleError> {
    let path = path.to_path_buf();
    if found.bytes != spec.size {
        return Err(BundleError::Size { path, expected: spec.size, found: found.bytes });
    }
    if found.sha256 != spec.sha256 {
        let (expected, found) = (spec.sha256.clone(), found.sha256.clone());
        return Err(BundleError::Digest { path, expected, found });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The well-known digest of "abc" (FIPS 180-4).
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn memory_and_stream_agree_with_the_standard() {
        assert_eq!(of(b"abc"), ABC);
        let found = tally(&mut &b"abc"[..], 100).unwrap();
        assert_eq!((found.bytes, found.sha256.as_str()), (3, ABC));
    }

    #[test]
    fn a_long_file_stops_one_byte_after_the_limit() {
        let mut seen = 0;
        let found = copy(&mut io::repeat(7), &mut io::sink(), 1_000_000, &mut |bytes| seen = bytes).unwrap();
        assert_eq!((found.bytes, seen), (1_000_001, 1_000_001));
    }
}
