//! Parquet: each decision a row, compressed with Snappy. A row group is written when it is full, so memory is that of
//! one group.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;

use super::rows::{COLUMNS, Cell, Column, Kind};
use super::{Entry, Sink};
use crate::error::LedgerError;
use crate::record::Event;

/// A row group ends at so many rows ...
const ROWS: usize = 20_000;
/// ... or so many bytes of text.
const BYTES: usize = 32 << 20;

/// A Parquet file.
pub struct Parquet<W: Write + Send> {
    out: SerializedFileWriter<W>,
    columns: Vec<Values>,
    rows: usize,
    bytes: usize,
}

/// The values of one column of a row group, and for each row whether it has one.
#[derive(Default)]
struct Values {
    longs: Vec<i64>,
    doubles: Vec<f64>,
    texts: Vec<ByteArray>,
    present: Vec<i16>,
}

fn failed(error: impl std::fmt::Display) -> LedgerError {
    LedgerError::Store(format!("parquet: {error}"))
}

fn schema() -> String {
    let column = |column: &Column| {
        let kind = match column.kind {
            Kind::Long => ("int64", ""),
            Kind::Time => ("int64", "(TIMESTAMP(MILLIS,true))"),
            Kind::Double => ("double", ""),
            Kind::Text => ("binary", "(STRING)"),
            Kind::Json => ("binary", "(JSON)"),
        };
        let need = if column.optional { "optional" } else { "required" };
        format!("{need} {} {} {};", kind.0, column.name, kind.1)
    };
    format!("message decision {{ {} }}", COLUMNS.iter().map(column).collect::<String>())
}

impl<W: Write + Send> Parquet<W> {
    /// Into `out`.
    ///
    /// # Errors
    /// If writing fails.
    pub fn new(out: W) -> Result<Self, LedgerError> {
        let schema = Arc::new(parse_message_type(&schema()).map_err(failed)?);
        let properties = Arc::new(WriterProperties::builder().set_compression(Compression::SNAPPY).build());
        let out = SerializedFileWriter::new(out, schema, properties).map_err(failed)?;
        Ok(Self { out, columns: empty(), rows: 0, bytes: 0 })
    }

    fn flush(&mut self) -> Result<(), LedgerError> {
        if self.rows == 0 {
            return Ok(());
        }
        let columns = std::mem::replace(&mut self.columns, empty());
        (self.rows, self.bytes) = (0, 0);
        let mut group = self.out.next_row_group().map_err(failed)?;
        for (column, values) in COLUMNS.iter().zip(&columns) {
            let Some(mut writer) = group.next_column().map_err(failed)? else { break };
            values.write(column, &mut writer)?;
            writer.close().map_err(failed)?;
        }
        group.close().map_err(failed).map(drop)
    }
}

fn empty() -> Vec<Values> {
    COLUMNS.iter().map(|_| Values::default()).collect()
}

impl Values {
    /// Adds a cell; returns its size.
    fn push(&mut self, cell: Cell) -> usize {
        let (present, size) = match cell {
            Cell::Long(value) => (put(&mut self.longs, value), 8),
            Cell::Double(value) => (put(&mut self.doubles, value), 8),
            Cell::Text(value) => {
                let size = value.as_ref().map_or(0, String::len);
                (put(&mut self.texts, value.map(|text| ByteArray::from(text.into_bytes()))), size)
            }
        };
        self.present.push(i16::from(present));
        size
    }

    fn write(&self, column: &Column, writer: &mut SerializedColumnWriter<'_>) -> Result<(), LedgerError> {
        let present = column.optional.then_some(self.present.as_slice());
        let written = match column.kind {
            Kind::Long | Kind::Time => writer.typed::<Int64Type>().write_batch(&self.longs, present, None),
            Kind::Double => writer.typed::<DoubleType>().write_batch(&self.doubles, present, None),
            Kind::Text | Kind::Json => {
                writer.typed::<ByteArrayType>().write_batch(&self.texts, present, None)
            }
        };
        written.map_err(failed).map(drop)
    }
}

fn put<T>(values: &mut Vec<T>, value: Option<T>) -> bool {
    let present = value.is_some();
    values.extend(value);
    present
}

impl<W: Write + Send> Sink for Parquet<W> {
    fn write(&mut self, entry: &Entry) -> Result<bool, LedgerError> {
        let Event::Decision(decision) = &entry.record.event else { return Ok(false) };
        for (column, values) in COLUMNS.iter().zip(&mut self.columns) {
            self.bytes += values.push((column.of)(entry, decision));
        }
        self.rows += 1;
        if self.rows >= ROWS || self.bytes >= BYTES {
            self.flush()?;
        }
        Ok(true)
    }

    fn finish(mut self: Box<Self>) -> Result<(), LedgerError> {
        self.flush()?;
        self.out.close().map_err(failed).map(drop)
    }
}
