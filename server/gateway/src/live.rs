//! Chains that are under way.
//!
//! A chain is held in memory while it is used, within a budget, and made again from the ledger where it was let go. Without
//! a ledger a chain that was let go begins anew.

use std::sync::{Arc, Mutex, PoisonError};

use moka::sync::Cache;
use rhumb_drift::ChainTracker;
use rhumb_drift::chain::{ChainHop, ChainParameters, FoundBy};
use rhumb_ledger::record::Decision;
use rhumb_ledger::{Ledger, LedgerError};

use crate::errors::GatewayError;
use crate::keyed::{Key, key};
use crate::record;
use crate::standing::{Standing, passed};

/// Decisions that a chain is made from again, the last ones.
const REPLAYED: usize = 4096;
/// What the cache spends on a chain, besides the chain.
const ENTRY: usize = 192;

/// A chain that several requests may hold at once.
pub type Shared = Arc<Mutex<Course>>;

/// A chain, and who counts in it.
#[derive(Debug, Default)]
pub struct Course {
    /// Its hops.
    pub tracker: ChainTracker,
    /// Whose actions count.
    pub(crate) standing: Standing,
}

/// Names a chain of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainKey(Key);

impl ChainKey {
    /// The key of a chain.
    pub fn new(tenant: &str, chain: &str) -> Self {
        Self(key([tenant, chain]))
    }
}

/// Chains that are under way.
#[derive(Clone)]
pub struct Live {
    chains: Cache<ChainKey, Shared>,
    ledger: Ledger,
}

impl Live {
    /// Chains of `megabytes` at most.
    pub fn new(megabytes: u64, ledger: Ledger) -> Self {
        let weigh = |_: &ChainKey, chain: &Shared| {
            u32::try_from(lock(chain).tracker.bytes() + ENTRY).unwrap_or(u32::MAX)
        };
        Self { chains: Cache::builder().max_capacity(megabytes << 20).weigher(weigh).build(), ledger }
    }

    /// A chain, from memory, else from the ledger, else a new one.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub async fn chain(
        &self,
        parameters: &ChainParameters,
        tenant: &str,
        chain: &str,
    ) -> Result<Shared, GatewayError> {
        let key = ChainKey::new(tenant, chain);
        if let Some(found) = self.chains.get(&key) {
            return Ok(found);
        }
        if !self.ledger.is_kept() {
            return Ok(self.chains.get_with(key, Shared::default));
        }
        let (chains, ledger) = (self.chains.clone(), self.ledger.clone());
        let (parameters, tenant, chain) = (parameters.clone(), tenant.to_owned(), chain.to_owned());
        let load = move || {
            let again = || replayed(&ledger, &parameters, &tenant, &chain).map(|t| Arc::new(Mutex::new(t)));
            chains.try_get_with(key, again)
        };
        let loaded = tokio::task::spawn_blocking(load).await.map_err(GatewayError::broken)?;
        loaded.map_err(|e| LedgerError::Store(e.to_string()).into())
    }

    /// Weighs a chain again after it has grown.
    pub fn weigh(&self, tenant: &str, id: &str, chain: &Shared) {
        let key = ChainKey::new(tenant, id);
        // A chain that was made again meanwhile knows more, and one that was forgotten lacks what was recorded since.
        let is_held = match self.chains.get(&key) {
            Some(held) => Arc::ptr_eq(&held, chain),
            None => !self.ledger.is_kept(),
        };
        if is_held {
            self.chains.insert(key, Arc::clone(chain));
        }
    }

    /// Lets a chain go, because what it holds is not what was recorded.
    pub fn forget(&self, tenant: &str, id: &str) {
        self.chains.invalidate(&ChainKey::new(tenant, id));
    }
}

/// A chain's lock. What a panic left behind is a tracker like any other: its steps are all or nothing.
pub fn lock(chain: &Shared) -> std::sync::MutexGuard<'_, Course> {
    chain.lock().unwrap_or_else(PoisonError::into_inner)
}

fn replayed(
    ledger: &Ledger,
    parameters: &ChainParameters,
    tenant: &str,
    chain: &str,
) -> Result<Course, LedgerError> {
    let is_longer = ledger.chain_len(Some(tenant), chain)? > REPLAYED;
    let mut course = (!is_longer).then(Course::default);
    ledger.chain(Some(tenant), chain, REPLAYED, false, |stored| {
        let course = course.get_or_insert_with(|| resumed(&stored.value));
        let key = record::key(&stored.value.request_id, &stored.value.request_digest);
        if let Some(hop) = hop(&stored.value, &key)
            && course.standing.counts(&stored.value)
        {
            let state = course.tracker.insert(parameters, hop);
            course.tracker.told(&state, passed(&stored.value));
        }
        Ok::<_, LedgerError>(())
    })?;
    Ok(course.unwrap_or_default())
}

/// What was known before the first decision that is replayed of a longer chain, as that decision says.
fn resumed(first: &Decision) -> Course {
    let known = record::chain_state(first);
    let before = known.actions.saturating_sub(1);
    let drifted = known.first_drifted_hop.zip(FoundBy::of(&known.found_by)).filter(|_| before > 0);
    Course { tracker: ChainTracker::resumed(before, drifted), standing: Standing::default() }
}

/// A recorded decision as a hop of its chain.
fn hop<'a>(decision: &'a Decision, key: &'a str) -> Option<ChainHop<'a>> {
    let place = decision.chain.as_ref()?;
    Some(ChainHop {
        hop: place.hop,
        request_id: key,
        agent: &place.agent,
        delegator: &place.delegator,
        enforcement_point: &decision.enforcement_point,
        effect: decision.effect,
        status: decision.status.unwrap_or(rhumb_drift::Status::NoAnchor),
        verdict: decision.verdict,
        drift: decision.drift,
        threshold: decision.threshold.unwrap_or(1.0),
        step_drift: place.step_drift,
        instruction_drift: place.instruction_drift.zip(place.instruction_threshold),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rhumb_drift::{Effect, Status, Verdict};
    use rhumb_ledger::Keys;
    use rhumb_proto::v1;

    use super::*;

    fn hop_of(number: u32) -> ChainHop<'static> {
        ChainHop {
            hop: number,
            request_id: "",
            agent: "worker",
            delegator: "supervisor",
            enforcement_point: "edge",
            effect: Effect::Write,
            status: Status::Scored,
            verdict: Verdict::Allow,
            drift: Some(0.1),
            threshold: 0.5,
            step_drift: None,
            instruction_drift: None,
        }
    }

    #[tokio::test]
    async fn a_hundred_thousand_chains_stay_within_their_budget() {
        const MEGABYTES: u64 = 16;
        let ledger = Ledger::in_memory(Arc::new(Keys::ephemeral().unwrap())).unwrap();
        let live = Live::new(MEGABYTES, ledger);
        let parameters = ChainParameters::default();
        for round in 1..=3 {
            for n in 0..100_000 {
                let id = format!("chain-{n}");
                let chain = live.chain(&parameters, "", &id).await.unwrap();
                lock(&chain).tracker.insert(&parameters, hop_of(round));
                live.weigh("", &id, &chain);
            }
        }
        live.chains.run_pending_tasks();
        assert!(live.chains.weighted_size() <= MEGABYTES << 20, "{}", live.chains.weighted_size());
        assert!(live.chains.entry_count() > 5_000, "{}", live.chains.entry_count());
    }

    #[test]
    fn what_came_before_the_decisions_that_are_replayed_is_not_forgotten() {
        let known = v1::ChainState {
            actions: 5001,
            first_drifted_hop: Some(7),
            found_by: "cumulative".to_owned(),
            ..v1::ChainState::default()
        };
        let answer = v1::ScoreResponse { chain: Some(known), ..v1::ScoreResponse::default() };
        let request = v1::ScoreRequest::default();
        let asked = record::Asked {
            written: &record::Written::of(&request),
            tenant: "",
            caller: "",
            agent: "",
            delegator: "",
            instruction_threshold: None,
        };
        let mut course = resumed(&record::decision(asked, &answer).unwrap());
        let state = course.tracker.insert(&ChainParameters::default(), hop_of(5001));
        assert_eq!((state.actions, state.first_drifted_hop), (5001, Some(7)));
        assert_eq!(state.found_by, Some(FoundBy::Cumulative));
    }

    #[tokio::test]
    async fn an_older_copy_does_not_take_the_place_of_a_newer_one() {
        let live = Live::new(1, Ledger::in_memory(Arc::new(Keys::ephemeral().unwrap())).unwrap());
        let parameters = ChainParameters::default();
        let old = live.chain(&parameters, "", "c").await.unwrap();
        live.forget("", "c");
        let new = live.chain(&parameters, "", "c").await.unwrap();
        live.weigh("", "c", &old);
        assert!(Arc::ptr_eq(&live.chain(&parameters, "", "c").await.unwrap(), &new));
    }
}
