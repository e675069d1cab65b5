//! The ledger for other programs: JSON lines, OCSF, Parquet. Reads the log alone, one record at a time, beside a
//! running server or on a copy, without its keys.

mod answer;
mod filter;
mod json_lines;
mod kind;
mod ocsf;
mod parquet;
mod rows;
mod source;
mod time;

use std::io::Write;

use crate::error::LedgerError;

pub use filter::Filter;
pub use json_lines::JsonLines;
pub use kind::RecordKind;
pub use ocsf::Ocsf;
pub use parquet::Parquet;
pub use source::{Entry, Source};
pub use time::rfc3339;

/// A form to write records in.
pub trait Sink {
    /// Writes one record, or passes over it where the form has no place for it. Says whether it was written.
    ///
    /// # Errors
    /// If writing fails.
    fn write(&mut self, entry: &Entry) -> Result<bool, LedgerError>;

    /// Ends the output.
    ///
    /// # Errors
    /// If writing fails.
    fn finish(self: Box<Self>) -> Result<(), LedgerError>;
}

/// Which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Each record as it is, one a line.
    JsonLines,
    /// Each decision as an OCSF event, one a line.
    Ocsf,
    /// Each decision as a row.
    Parquet,
}

/// Writes the records of a ledger that pass a filter. Returns their number.
///
/// # Errors
/// If the log is damaged, or writing fails.
pub fn export(
    source: Source,
    filter: &Filter,
    format: Format,
    out: impl Write + Send + 'static,
) -> Result<u64, LedgerError> {
    let mut sink: Box<dyn Sink> = match format {
        Format::JsonLines => Box::new(JsonLines::new(out)),
        Format::Ocsf => Box::new(Ocsf::new(out)),
        Format::Parquet => Box::new(Parquet::new(out)?),
    };
    let mut written = 0;
    for entry in source {
        let entry = entry?;
        if filter.passes(&entry.record) {
            written += u64::from(sink.write(&entry)?);
        }
    }
    sink.finish()?;
    Ok(written)
}

fn write_failed(source: std::io::Error) -> LedgerError {
    LedgerError::Io { path: "output".into(), source }
}

#[cfg(test)]
mod tests;
