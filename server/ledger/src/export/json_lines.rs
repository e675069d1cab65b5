//! Every record as it is, with its digest and its time for people.

use std::io::{BufWriter, Write};

use serde::Serialize;

use super::{Entry, Sink, rfc3339, write_failed};
use crate::error::LedgerError;
use crate::log::hex;
use crate::record::Event;

/// JSON lines: `{"seq":1,"time":"...","digest":"sha256:...","kind":"...","data":{...}}`.
pub struct JsonLines<W: Write> {
    out: BufWriter<W>,
}

#[derive(Serialize)]
struct Line<'a> {
    seq: u64,
    time: String,
    digest: String,
    #[serde(flatten)]
    event: &'a Event,
}

impl<W: Write> JsonLines<W> {
    /// Into `out`.
    pub fn new(out: W) -> Self {
        Self { out: BufWriter::new(out) }
    }
}

impl<W: Write> Sink for JsonLines<W> {
    fn write(&mut self, entry: &Entry) -> Result<bool, LedgerError> {
        let record = &entry.record;
        let digest = format!("sha256:{}", hex(&entry.digest));
        let line = Line { seq: record.seq, time: rfc3339(record.time_ms), digest, event: &record.event };
        serde_json::to_writer(&mut self.out, &line).map_err(|e| write_failed(e.into()))?;
        self.out.write_all(b"\n").map_err(write_failed)?;
        Ok(true)
    }

    fn finish(mut self: Box<Self>) -> Result<(), LedgerError> {
        self.out.flush().map_err(write_failed)
    }
}
