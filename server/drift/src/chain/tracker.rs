//! A chain that comes in hop by hop.

use super::change::Evidence;
use super::hop::{ChainHop, ChainState, ChainSummary, FirstDrifted, Flags, FoundBy, Kept, key};
use super::names::Names;
use super::parameters::ChainParameters;
use super::running::Running;
use crate::policy::Verdict;

/// Hops that are kept; of a longer chain the earliest are let go, some hundred at a time.
pub const KEPT: usize = 1024;
/// Hops that are let go at once.
const LET_GO: usize = 256;

/// One chain. Hops come in any order; a request that comes again changes nothing.
///
/// A hop that comes last in order takes one pass over at most [`super::LOOK_BACK`] hops, any other a pass over all that
/// are kept. What was let go still counts in the statistic, the maximum and the first drifted hop; requests that were let
/// go are not recognised any more, and hops that belong before them are taken in after them.
#[derive(Debug, Clone, Default)]
pub struct ChainTracker {
    /// In order of hop and arrival.
    hops: Vec<Kept>,
    names: Names,
    /// After what was let go.
    base: Running,
    now: Running,
    /// Actions that ever came.
    actions: u32,
    /// The last hop that was let go.
    gone: u32,
    /// Of what was let go: who let the first drifted hop pass, with that hop and the one where that was.
    passed: Option<(Kept, Kept)>,
}

impl ChainTracker {
    /// Takes a hop in and says what is known after it.
    pub fn insert(&mut self, parameters: &ChainParameters, hop: ChainHop<'_>) -> ChainState {
        let key = key(hop.request_id);
        if let Some(place) = self.place_of(key) {
            return self.state(parameters, place, true);
        }
        self.make_room(parameters);
        let kept = self.keep(parameters, key, hop);
        let place = self.hops.partition_point(|h| (h.hop, h.arrival) < (kept.hop, kept.arrival));
        self.hops.insert(place, kept);
        self.actions = self.actions.saturating_add(1);
        let before = self.now.statistic;
        if place + 1 == self.hops.len() {
            let before = self.hops.get(..place).unwrap_or_default();
            self.now.step(parameters, before, &kept);
        } else {
            self.now = self.upto(parameters, self.hops.len());
        }
        let state = self.state(parameters, place, false);
        // A place is the caller's word: an action that is put before others is judged by what it does to them, too.
        let whole = self.now.statistic >= parameters.threshold && self.now.statistic > before;
        ChainState { raised: state.raised || (whole && !kept.flags.alarm), ..state }
    }

    /// Whether the enforcement point let it pass in the end, whatever the verdict of the action alone. `state` is what
    /// [`ChainTracker::insert`] answered.
    pub fn told(&mut self, state: &ChainState, has_passed: bool) {
        if let Some(hop) = self.hops.iter_mut().rfind(|h| h.arrival == state.arrival) {
            hop.flags.passed = has_passed;
        }
    }

    /// Goes on with a chain of which only later actions are at hand: so many came before, and this was its first drifted hop.
    pub fn resumed(actions: u32, first: Option<(u32, FoundBy)>) -> Self {
        let base = first.map(|(hop, found_by)| Running::drifted(hop, found_by)).unwrap_or_default();
        Self { base, now: base, actions, ..Self::default() }
    }

    /// What is known of the chain.
    pub fn summary(&self, parameters: &ChainParameters) -> ChainSummary<'_> {
        let first = self.now.first_drifted(parameters.threshold);
        let first_drifted = first.map(|(hop, found_by)| FirstDrifted {
            hop: hop.hop,
            found_by,
            agent: self.names.name(hop.agent),
            delegator: self.names.name(hop.delegator),
            passed_by: self.passed(parameters, &hop).map(|h| (self.names.name(h.point), h.hop)),
        });
        ChainSummary {
            first_drifted,
            cumulative_drift: self.now.statistic,
            cumulative_threshold: parameters.threshold,
            max_drift: self.now.max_drift,
            actions: self.actions,
        }
    }

    /// Drift from its instruction, of a request that is kept.
    pub fn step_drift(&self, request_id: &str) -> Option<f64> {
        let hop = self.hops.get(self.place_of(key(request_id))?)?;
        Some(f64::from(hop.step_drift)).filter(|d| !d.is_nan())
    }

    /// The hop from which on drift explains the chain best, whether there was an alarm or not; for measuring.
    pub fn likeliest(&self) -> Option<u32> {
        self.now.likeliest()
    }

    /// Bytes held, names and spare room included.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.hops.capacity() * size_of::<Kept>() + self.names.bytes()
    }

    /// The last hop in order; 0 without any.
    pub fn last_hop(&self) -> u32 {
        self.hops.last().map_or(self.gone, |h| h.hop)
    }

    fn place_of(&self, key: [u8; 16]) -> Option<usize> {
        if key == [0; 16] {
            return None;
        }
        self.hops.iter().rposition(|h| h.key == key)
    }

    fn keep(&mut self, parameters: &ChainParameters, key: [u8; 16], hop: ChainHop<'_>) -> Kept {
        let drift = hop.drift.unwrap_or(0.0);
        let evidence = match hop.drift {
            Some(drift) => parameters.evidence(drift, hop.threshold, hop.instruction_drift),
            None => Evidence::default(),
        };
        Kept {
            key,
            drift,
            hop: if hop.hop == 0 { self.last_hop().saturating_add(1) } else { hop.hop },
            arrival: self.actions,
            evidence,
            step_drift: hop.step_drift.map_or(f32::NAN, |d| d as f32),
            agent: self.names.number(hop.agent),
            delegator: self.names.number(hop.delegator),
            point: self.names.number(hop.enforcement_point),
            flags: Flags {
                scored: hop.drift.is_some(),
                alarm: hop.drift.is_some_and(|d| d >= hop.threshold),
                passed: passed(hop.verdict),
            },
        }
    }

    /// State after the first `count` hops that are kept.
    fn upto(&self, parameters: &ChainParameters, count: usize) -> Running {
        let mut running = self.base;
        for (place, hop) in self.hops.iter().take(count).enumerate() {
            running.step(parameters, self.hops.get(..place).unwrap_or_default(), hop);
        }
        running
    }

    fn state(&self, parameters: &ChainParameters, place: usize, repeated: bool) -> ChainState {
        let last = place + 1 == self.hops.len();
        let here = if last { self.now } else { self.upto(parameters, place + 1) };
        let own = self.hops.get(place);
        let (hop, arrival) = own.map_or((0, 0), |h| (h.hop, h.arrival));
        let alarm = own.is_some_and(|h| h.flags.alarm);
        let first = self.now.first_drifted(parameters.threshold);
        ChainState {
            hop,
            arrival,
            repeated,
            cumulative_drift: here.statistic,
            cumulative_threshold: parameters.threshold,
            raised: here.statistic >= parameters.threshold && here.rose && !alarm,
            first_drifted_hop: first.map(|(hop, _)| hop.hop),
            found_by: first.map(|(_, found)| found),
            actions: self.actions,
        }
    }

    /// The first action that was let pass from `first` on, of those that are part of the drift: an action that leads back to
    /// the course is rightly let pass.
    fn passed(&self, parameters: &ChainParameters, first: &Kept) -> Option<Kept> {
        let gone = self.passed.filter(|(of, _)| same(of, first)).map(|(_, by)| by);
        gone.or_else(|| {
            let mut running = self.base;
            let mut hops = self.hops.iter().enumerate();
            let found = hops.find(|(place, hop)| {
                running.step(parameters, self.hops.get(..*place).unwrap_or_default(), hop);
                let drifted = same(hop, first) || hop.flags.alarm || running.rose;
                (hop.hop, hop.arrival) >= (first.hop, first.arrival) && drifted && hop.flags.passed
            });
            found.map(|(_, hop)| *hop)
        })
    }

    fn make_room(&mut self, parameters: &ChainParameters) {
        if self.hops.len() < KEPT {
            return;
        }
        let first = self.now.first_drifted(parameters.threshold);
        self.passed = first.and_then(|(hop, _)| Some((hop, self.passed(parameters, &hop)?)));
        self.base = self.upto(parameters, LET_GO);
        self.gone = self.hops.get(LET_GO - 1).map_or(self.gone, |h| h.hop);
        self.hops.drain(..LET_GO);
    }
}

fn passed(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Allow | Verdict::Warn)
}

fn same(a: &Kept, b: &Kept) -> bool {
    (a.hop, a.arrival) == (b.hop, b.arrival)
}
