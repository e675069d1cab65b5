//! A ledger's folder without its server: read from the log, beside a running server or on a copy.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use rhumb_ledger::export::{Entry, Filter, Source};
use rhumb_ledger::record::{Decision, Event, IntentVersion};
use rhumb_ledger::text::Texts;
use rhumb_ledger::{LedgerConfig, LedgerError, Stored};
use rhumb_proto::v1::{ChainTrace, RegisteredIntent};

use crate::errors::GatewayError;
use crate::{intents, trace};

/// A ledger's folder.
#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
    text_key: PathBuf,
}

impl Folder {
    /// That of a configuration.
    pub fn of(config: &LedgerConfig) -> Self {
        Self { root: config.path.clone(), text_key: config.text_key_path() }
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The records, their words opened if the key is there.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn source(&self) -> Result<Source, LedgerError> {
        Source::open(&self.root, Some(Texts::reader(&self.root, &self.text_key)?))
    }

    /// The last `most` decisions that pass a filter, in order.
    ///
    /// # Errors
    /// If the log is damaged.
    pub fn decisions(&self, filter: &Filter, most: usize) -> Result<Vec<Stored<Decision>>, LedgerError> {
        let mut found = VecDeque::new();
        for entry in self.source()? {
            let entry = entry?;
            if filter.passes(&entry.record) {
                found.extend(decision(entry));
            }
            if found.len() > most {
                found.pop_front();
            }
        }
        Ok(found.into())
    }

    /// A chain; `None` if no decision of it is recorded.
    ///
    /// # Errors
    /// If the log is damaged.
    pub fn trace(&self, chain: &str, most: usize) -> Result<Option<ChainTrace>, GatewayError> {
        let filter = Filter { chain: Some(chain.to_owned()), decisions_only: true, ..Filter::default() };
        let decisions = self.decisions(&filter, most.saturating_add(1))?;
        let cut = decisions.len() > most;
        let decisions = decisions.get(usize::from(cut)..).unwrap_or_default();
        if decisions.is_empty() {
            return Ok(None);
        }
        let id = decisions.iter().find_map(|d| d.value.intent.as_ref()).map(|intent| intent.id.clone());
        let intent = id.map(|id| self.intent(&id)).transpose()?.flatten();
        Ok(Some(ChainTrace { cut, ..trace::trace(chain, decisions, intent)? }))
    }

    /// An intent with its history.
    fn intent(&self, id: &str) -> Result<Option<RegisteredIntent>, LedgerError> {
        let mut intent: Option<RegisteredIntent> = None;
        for entry in self.source()? {
            let record = entry?.record;
            match record.event {
                Event::Intent(version) if version.id == id => {
                    take_in(intent.get_or_insert_default(), *version, record.time_ms);
                }
                Event::Revoked(revocation) if revocation.intent == id => {
                    let intent = intent.get_or_insert_default();
                    intent.revoked = Some(intents::timestamp(record.time_ms));
                    intent.revocation_reason = revocation.reason;
                }
                _ => {}
            }
        }
        Ok(intent)
    }
}

fn take_in(intent: &mut RegisteredIntent, version: IntentVersion, time_ms: u64) {
    intent.intent_id.clone_from(&version.id);
    intent.principal.clone_from(&version.principal);
    intent.expires = Some(intents::timestamp(version.expires_ms));
    let text = rhumb_ledger::intent::carriers::plain(&version).unwrap_or_default();
    intent.versions.push(intents::version(version, text, time_ms));
}

fn decision(entry: Entry) -> Option<Stored<Decision>> {
    let (seq, time_ms, digest) = (entry.record.seq, entry.record.time_ms, entry.digest);
    match entry.record.event {
        Event::Decision(value) => Some(Stored { seq, digest, time_ms, value: *value }),
        _ => None,
    }
}
