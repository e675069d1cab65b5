//! What is kept of sessions in memory: the latest prompt, for ledgers that keep no words, and what tools answered.

use std::sync::Arc;
use std::time::Duration;

use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use rhumb_ledger::intent::canon;
use rhumb_proto::v1::ContextItem;

use crate::caller::Caller;
use crate::http::litellm::history::untrusted;
use crate::http::repeats::Same;

/// A session that is quiet for longer begins anew.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// Bytes of all prompts, and of all results.
const BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of an entry besides its texts.
const ENTRY_BYTES: usize = 256;
/// Results of one session.
const RESULTS: usize = 64;

/// Sources and texts, the oldest first.
type Results = Arc<Vec<(String, String)>>;

/// Sessions under way.
pub struct Sessions {
    prompts: Cache<Same, Arc<str>>,
    results: Cache<Same, Results>,
    /// Bytes of results of one session; 0: none are kept.
    most: usize,
}

fn cache<V: Clone + Send + Sync + 'static>(
    bytes: impl Fn(&V) -> usize + Send + Sync + 'static,
) -> Cache<Same, V> {
    Cache::builder()
        .max_capacity(BYTES)
        .weigher(move |_, value| u32::try_from(ENTRY_BYTES + bytes(value)).unwrap_or(u32::MAX))
        .time_to_idle(KEPT)
        .eviction_policy(EvictionPolicy::lru())
        .build()
}

/// The session of this caller.
pub fn key(caller: &Caller, session: &str) -> Same {
    Same::of([caller.tenant.as_str().as_bytes(), caller.name().as_bytes(), session.as_bytes()])
}

impl Sessions {
    /// Empty; so many kilobytes of results of each session are kept.
    pub fn new(context_kb: usize) -> Self {
        let size = |results: &Results| results.iter().map(|(source, text)| source.len() + text.len()).sum();
        let most = context_kb.saturating_mul(1024);
        Self { prompts: cache(|text: &Arc<str>| text.len()), results: cache(size), most }
    }

    /// Keeps a prompt.
    pub fn prompted(&self, session: Same, text: &str) {
        self.prompts.insert(session, Arc::from(text));
    }

    /// The latest prompt, if it has this digest.
    pub fn prompt(&self, session: Same, digest: &str) -> Option<String> {
        let text = self.prompts.get(&session)?;
        let same = canon::canonical(&text).is_ok_and(|canonical| canon::digest(canonical) == digest);
        same.then(|| text.to_string())
    }

    /// Keeps what a tool answered.
    pub fn answered(&self, session: Same, source: &str, text: &str) {
        if self.most == 0 || text.is_empty() {
            return;
        }
        let end = rhumb_drift::render::floor_boundary(text, self.most);
        let result = (source.to_owned(), text.get(..end).unwrap_or_default().to_owned());
        self.results.entry(session).and_compute_with(|known| {
            let mut results = known.map(|entry| entry.into_value().to_vec()).unwrap_or_default();
            results.push(result);
            self.forget_old(&mut results);
            Op::Put(Arc::new(results))
        });
    }

    fn forget_old(&self, results: &mut Vec<(String, String)>) {
        let (mut bytes, mut keep) = (0, 0);
        for (_, text) in results.iter().rev().take(RESULTS) {
            bytes += text.len();
            if bytes > self.most {
                break;
            }
            keep += 1;
        }
        results.drain(..results.len().saturating_sub(keep));
    }

    /// What tools answered so far.
    pub fn context(&self, session: Same) -> Vec<ContextItem> {
        let results = self.results.get(&session).unwrap_or_default();
        untrusted(results.iter().rev().map(|(source, text)| (source.as_str(), text.as_str())), self.most)
    }

    /// Forgets a session.
    pub fn end(&self, session: Same) {
        self.prompts.invalidate(&session);
        self.results.invalidate(&session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_kept_up_to_their_limit_and_only_where_they_are_wanted() {
        let (wanted, unwanted, session) = (Sessions::new(1), Sessions::new(0), Same::of([b"s".as_slice()]));
        for i in 0..5 {
            wanted.answered(session, "Read", &format!("{i}{}", "x".repeat(300)));
            unwanted.answered(session, "Read", "x");
        }
        let texts: Vec<char> =
            wanted.context(session).iter().filter_map(|item| item.text.chars().next()).collect();
        assert_eq!(texts, ['2', '3', '4']);
        assert!(unwanted.context(session).is_empty());
        wanted.end(session);
        assert!(wanted.context(session).is_empty());
    }

    #[test]
    fn a_prompt_stands_in_for_the_text_that_was_registered_and_no_other() {
        let (sessions, session) = (Sessions::new(0), Same::of([b"s".as_slice()]));
        sessions.prompted(session, " Pay the bill in bill.txt\n");
        let digest = canon::digest("Pay the bill in bill.txt");
        assert!(sessions.prompt(session, &digest).is_some());
        assert!(sessions.prompt(session, &canon::digest("other")).is_none());
    }
}
