//! What a check of the ledger found.

use std::fmt;

use crate::error::LedgerError;

/// The first thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, from the ledger's folder on.
    pub file: String,
    /// Its line, from 1, where there is one.
    pub line: Option<u64>,
    /// The record, where it is one.
    pub seq: Option<u64>,
    /// What is wrong.
    pub what: String,
}

impl Problem {
    /// About a file as a whole.
    pub fn file(file: impl Into<String>, what: impl Into<String>) -> Self {
        Self { file: file.into(), line: None, seq: None, what: what.into() }
    }

    /// About a record.
    pub fn record(file: impl Into<String>, line: u64, seq: u64, what: impl Into<String>) -> Self {
        Self { file: file.into(), line: Some(line).filter(|l| *l > 0), seq: Some(seq), what: what.into() }
    }

    fn place(&self) -> String {
        let line = self.line.map(|line| format!(" line {line}")).unwrap_or_default();
        match self.seq {
            Some(seq) => format!("record {seq} ({}{line})", self.file),
            None => format!("{}{line}", self.file),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place(), self.what)
    }
}

impl std::error::Error for Problem {}

impl From<Problem> for LedgerError {
    fn from(problem: Problem) -> Self {
        Self::Damaged { place: problem.place(), problem: problem.what }
    }
}
