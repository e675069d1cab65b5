//! Lines of a file, gzip or plain, that may be anything: too long, not UTF-8, not JSON.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use crate::failure::Failure;

/// A line is read up to this many bytes; the rest of a longer one is skipped and the line is refused.
pub const LINE_BYTES: usize = 32 * 1024 * 1024;

/// One line of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Counted from 1.
    pub number: usize,
    /// The text, or why there is none.
    pub text: Result<String, String>,
}

/// Whether `path` means a standard stream.
pub fn is_stream(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The name of an input in complaints.
pub fn name(input: &Path) -> String {
    if is_stream(input) { "standard input".to_owned() } else { input.display().to_string() }
}

/// Opens a file, or standard input for `-`; `.gz` is unpacked.
///
/// # Errors
/// If the file cannot be opened.
pub fn open(path: &Path) -> Result<Box<dyn BufRead + Send>, Failure> {
    if is_stream(path) {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let file = File::open(path).map_err(Failure::file(path))?;
    if path.extension().is_some_and(|e| e == "gz") {
        return Ok(Box::new(BufReader::new(flate2::read::MultiGzDecoder::new(file))));
    }
    Ok(Box::new(BufReader::new(file)))
}

/// Refuses an output that would overwrite the input before it is read.
///
/// # Errors
/// If both are the same file.
pub fn check_not_same(input: &Path, output: &Path) -> Result<(), Failure> {
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    match (real(input), real(output)) {
        (Some(a), Some(b)) if a == b && a.is_file() => {
            Err(Failure::input(format!("{}: is both input and output", input.display())))
        }
        _ => Ok(()),
    }
}

/// Creates a file, or takes standard output for `-`.
///
/// # Errors
/// If the file cannot be created.
pub fn create(path: &Path) -> Result<Box<dyn Write + Send>, Failure> {
    if is_stream(path) {
        return Ok(Box::new(BufWriter::new(io::stdout())));
    }
    let file = File::create(path).map_err(Failure::file(path))?;
    Ok(Box::new(BufWriter::new(file)))
}

/// A mark that some editors put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// All lines that are not blank, without a byte-order mark before the first.
pub struct Lines<R> {
    reader: R,
    number: usize,
    limit: usize,
}

impl<R: BufRead> Lines<R> {
    /// Lines of `reader`.
    pub fn new(reader: R) -> Self {
        Self { reader, number: 0, limit: LINE_BYTES }
    }

    fn read_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        let limit = self.limit as u64 + 1;
        if self.reader.by_ref().take(limit).read_until(b'\n', &mut bytes)? == 0 {
            return Ok(None);
        }
        if bytes.len() > self.limit && bytes.last() != Some(&b'\n') {
            skip_line(&mut self.reader)?;
        }
        Ok(Some(bytes))
    }

    fn text(&self, bytes: Vec<u8>) -> Result<String, String> {
        if bytes.len() > self.limit {
            return Err(format!("longer than {} bytes", self.limit));
        }
        String::from_utf8(bytes)
            .map_err(|e| format!("not UTF-8 at byte {}", e.utf8_error().valid_up_to() + 1))
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = io::Result<Line>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut bytes = match self.read_line() {
                Ok(bytes) => bytes?,
                Err(e) => return Some(Err(e)),
            };
            if self.number == 0 && bytes.starts_with(BYTE_ORDER_MARK) {
                bytes.drain(..BYTE_ORDER_MARK.len());
            }
            self.number += 1;
            if !bytes.iter().all(u8::is_ascii_whitespace) {
                return Some(Ok(Line { number: self.number, text: self.text(bytes) }));
            }
        }
    }
}

fn skip_line(reader: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let end = buffer.iter().position(|b| *b == b'\n');
        let used = end.map_or(buffer.len(), |i| i + 1);
        reader.consume(used);
        if end.is_some() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], limit: usize) -> Vec<Line> {
        let lines = Lines { reader: bytes, number: 0, limit };
        lines.map(Result::unwrap).collect()
    }

    #[test]
    fn a_byte_order_mark_is_skipped_at_the_start_alone() {
        let lines = read(b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", 8);
        assert_eq!(lines[0], Line { number: 1, text: Ok("a\n".to_owned()) });
        assert_eq!(lines[1].text, Ok("\u{feff}b\n".to_owned()));
        assert_eq!(read(b"\xef\xbb\xbf", 8), []);
        assert_eq!(read(b"\xef\xbb\xbf\nc", 8)[0].number, 2);
    }

    #[test]
    fn a_bad_line_costs_that_line_alone() {
        let lines = read(b"ok\n\n\xff\xfe\ntoo long a line\nend", 8);
        assert_eq!(lines.iter().map(|l| l.number).collect::<Vec<_>>(), [1, 3, 4, 5]);
        assert_eq!(lines[0].text, Ok("ok\n".to_owned()));
        assert_eq!(lines[1].text, Err("not UTF-8 at byte 1".to_owned()));
        assert_eq!(lines[2].text, Err("longer than 8 bytes".to_owned()));
        assert_eq!(lines[3].text, Ok("end".to_owned()));
    }
}
