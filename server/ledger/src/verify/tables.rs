//! Whether the tables say what the log says. They are only a convenience: the cure is always to delete them.

use std::path::Path;

use crate::apply;
use crate::error::LedgerError;
use crate::folder::{self, Lock};
use crate::log::scan::Checked;
use crate::log::{End, Position};
use crate::lookup;
use crate::problem::Problem;
use crate::record::Decision;
use crate::store::Store;
use crate::tables::Read;

const CURE: &str = "delete it: it is made again from the log";

/// Whether the tables were checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TablesState {
    /// They agree with the log.
    Checked,
    /// A running server holds them.
    InUse,
    /// There are none, or the secret of their tags cannot be read.
    NotThere,
    /// It was not asked for.
    Skipped,
}

/// The tables beside a log that is being read.
pub struct Tables {
    state: TablesState,
    open: Option<Open>,
}

struct Open {
    store: Store,
    progress: Position,
    retired: u64,
    entries: u64,
    met: bool,
    found: u64,
    // Held until the end: a server that starts now waits.
    _lock: Option<Lock>,
}

fn problem(what: impl std::fmt::Display) -> Problem {
    Problem::file("tables.redb", format!("{what}; {CURE}"))
}

impl Tables {
    pub fn skipped() -> Self {
        Self { state: TablesState::Skipped, open: None }
    }

    pub fn open(root: &Path) -> Result<Self, Problem> {
        let absent = Self { state: TablesState::NotThere, open: None };
        let path = folder::tables(root);
        if !path.exists() {
            return Ok(absent);
        }
        let Some(lock) = Lock::reader(root) else {
            return Ok(Self { state: TablesState::InUse, open: None });
        };
        let Ok(Some(secret)) = folder::secret(&folder::state_key(root)) else { return Ok(absent) };
        let unreadable = |e: LedgerError| problem(format!("cannot be read: {e}"));
        let store = Store::inspect(&path, &secret).map_err(unreadable)?;
        let entries = store.audit().map_err(unreadable)?;
        let read = |tables: &dyn Read| Ok((apply::progress(tables)?, apply::retired(tables)?));
        let (progress, retired) = store.read(read).map_err(unreadable)?;
        let met = progress == Position::default();
        let open = Open { store, progress, retired, entries, met, found: 0, _lock: lock };
        Ok(Self { state: TablesState::Checked, open: Some(open) })
    }

    pub fn check(&mut self, record: &Checked<'_>) -> Result<(), Problem> {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.met |= record.place.end() == open.progress;
        let seq = record.frame.seq;
        if record.frame.kind != "decision" || seq > open.progress.seq {
            return Ok(());
        }
        let decision: Decision = serde_json::from_slice(record.frame.data)
            .map_err(|e| record.problem(format!("cannot be read: {e}")))?;
        let id = decision.id.as_bytes();
        let place = open.store.read(|tables| lookup::place(tables, id)).map_err(problem)?;
        match place {
            Some(place) if place == record.place => open.found += 1,
            // On its way out: the file goes after the entries.
            None if seq <= open.retired => {}
            // An id that was used twice leads to the newer decision.
            Some(place) if place.seq > seq => {}
            _ => return Err(problem(format!("does not say where record {seq} stands"))),
        }
        Ok(())
    }

    pub fn finish(self, end: &End) -> Result<TablesState, Problem> {
        let Some(open) = self.open else { return Ok(self.state) };
        let seq = open.progress.seq;
        if seq > end.at.seq {
            let what = format!("has seen record {seq}, but the log ends at {}", end.at.seq);
            return Err(Problem::file(
                "tables.redb",
                format!("{what}: the log was cut off, or put back from a copy"),
            ));
        }
        // Tables may lag behind a log whose first files are gone; the next start makes them anew.
        if !open.met && seq + 1 >= end.first_seq {
            return Err(problem(format!("has another record {seq} than the log")));
        }
        if open.entries != open.found {
            let what = format!("knows {} decisions, but the log has {}", open.entries, open.found);
            return Err(problem(what));
        }
        Ok(self.state)
    }
}
