//! Whatever is pushed, taken, cancelled and promoted in whatever order: nothing is lost and nothing is answered twice.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may stop at the first surprise"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rhumb_engine::EngineConfig;
use rhumb_engine::schedule::{
    Admission, Batch, Lane, Outcome, PerLane, Queue, QueueStats, Request, Tenant, Text, Ticket,
};

#[derive(Debug, Clone)]
enum Step {
    Push {
        lane: usize,
        tenant: u8,
        texts: Vec<(u8, Vec<usize>)>,
        deadline_ms: Option<u64>,
        wait: bool,
    },
    /// One of the encoders takes a batch, if it has none.
    Take(usize),
    /// Completes it, well or badly.
    Complete {
        encoder: usize,
        fails: bool,
    },
    /// One of the encoders is gone, unless it is the last.
    Lose(usize),
    /// The caller of one of the requests that are open goes away.
    Cancel(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    // A text without windows fails, and holds up nobody.
    let text = (0..24u8, prop::collection::vec(1..40usize, 0..4));
    prop_oneof![
        6 => (0..3usize, 0..5u8, prop::collection::vec(text, 1..4), prop::option::of(0..400u64), any::<bool>())
            .prop_map(|(lane, tenant, texts, deadline_ms, wait)| Step::Push { lane, tenant, texts, deadline_ms, wait }),
        4 => any::<usize>().prop_map(Step::Take),
        4 => (any::<usize>(), prop::bool::weighted(0.1))
            .prop_map(|(encoder, fails)| Step::Complete { encoder, fails }),
        1 => any::<usize>().prop_map(Step::Lose),
        2 => any::<usize>().prop_map(Step::Cancel),
        2 => (0..30u64).prop_map(Step::Pass),
    ]
}

/// Small bounds, so that they are reached.
fn config() -> EngineConfig {
    EngineConfig {
        queue: 8,
        queue_tokens: PerLane { enforcement: 200, interactive: 200, bulk: 300 },
        waiting: 6,
        tenants: 3,
        batch_tokens: 100,
        bulk_batch_ms: 20.0,
        batch_ms: 60.0,
        assumed_tokens_per_s: 1000.0,
        ..EngineConfig::default()
    }
}

/// A text of which the windows have these lengths: the same number is the same text.
fn text(id: u8, windows: &[usize]) -> Text {
    let mut key = [0; 32];
    key[0] = id;
    Text { key, windows: windows.iter().map(|n| vec![u32::from(id); *n]).collect() }
}

struct World {
    queue: Queue<usize, Vec<u32>>,
    now: Instant,
    texts: BTreeMap<u8, Vec<usize>>,
    /// Wanted texts, deadline.
    open: BTreeMap<usize, (Ticket, Vec<u8>, Option<Instant>)>,
    ended: BTreeSet<usize>,
    next: usize,
    /// Of the encoders that are left, by number.
    batches: BTreeMap<usize, Option<Batch>>,
}

impl World {
    fn new(encoders: usize) -> Self {
        Self {
            queue: Queue::new(&config(), encoders),
            now: Instant::now(),
            texts: BTreeMap::new(),
            open: BTreeMap::new(),
            ended: BTreeSet::new(),
            next: 0,
            batches: (0..encoders).map(|encoder| (encoder, None)).collect(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Push { lane, tenant, texts, deadline_ms, wait } => {
                self.push(lane, tenant, texts, deadline_ms, wait);
            }
            Step::Take(n) => self.take(self.encoder(n)),
            Step::Complete { encoder, fails } => self.complete(self.encoder(encoder), fails),
            Step::Lose(n) if self.batches.len() > 1 => self.lose(self.encoder(n)),
            Step::Lose(_) => {}
            Step::Cancel(n) => {
                if let Some(id) = self.open.keys().nth(n % self.open.len().max(1)).copied() {
                    let (ticket, ..) = self.open.remove(&id).unwrap();
                    self.queue.cancel(ticket, self.now);
                    self.ended.insert(id);
                }
            }
            Step::Pass(ms) => self.now += Duration::from_millis(ms),
        }
        self.collect();
    }

    fn push(&mut self, lane: usize, tenant: u8, texts: Vec<(u8, Vec<usize>)>, ms: Option<u64>, wait: bool) {
        // A text is what it was when it was first seen.
        let texts: Vec<(u8, Vec<usize>)> =
            texts.into_iter().map(|(id, w)| (id, self.texts.entry(id).or_insert(w).clone())).collect();
        let deadline = ms.map(|ms| self.now + Duration::from_millis(ms));
        let request = Request {
            lane: Lane::ALL[lane],
            tenant: Tenant::new(&format!("t{tenant}")).unwrap(),
            deadline,
            admission: if wait { Admission::Wait } else { Admission::Refuse },
            texts: texts.iter().map(|(id, windows)| text(*id, windows)).collect(),
            reply: self.next,
        };
        if let Ok(ticket) = self.queue.push(request, self.now) {
            self.open.insert(self.next, (ticket, texts.into_iter().map(|t| t.0).collect(), deadline));
        } else {
            self.ended.insert(self.next);
        }
        self.next += 1;
    }

    fn encoder(&self, n: usize) -> usize {
        *self.batches.keys().nth(n % self.batches.len()).unwrap()
    }

    fn take(&mut self, encoder: usize) {
        if self.batches[&encoder].is_some() {
            return;
        }
        let budgets = Lane::ALL.map(|lane| self.queue.budget(encoder, lane));
        let Some(batch) = self.queue.take(encoder, self.now) else {
            assert!(self.queue.stats().lanes == Default::default() || waiting(&self.queue.stats()) == 0);
            return;
        };
        let lengths: Vec<usize> = batch.entries.iter().map(|entry| entry.ids().len()).collect();
        assert!(!lengths.is_empty() && lengths.is_sorted_by(|a, b| a >= b), "{lengths:?}");
        assert_eq!(lengths.iter().sum::<usize>(), batch.total());
        let top = Lane::ALL.iter().position(|lane| *batch.tokens.of(*lane) > 0).unwrap();
        // Beyond the budget of its lane goes a first window, and what two lower lanes are owed.
        let owed = if top == 2 { 0 } else { 2 * budgets[2].max(40) };
        assert!(batch.total() <= budgets[top].max(40) + owed, "{lengths:?} {budgets:?}");
        self.batches.insert(encoder, Some(batch));
        self.nothing_is_computed_twice_at_once();
    }

    /// Of a text with several windows the rest may be asked for anew.
    fn nothing_is_computed_twice_at_once(&self) {
        let mut seen = BTreeSet::new();
        for entry in self.batches.values().flatten().flat_map(|batch| &batch.entries) {
            let id = entry.ids()[0] as u8;
            assert!(self.texts[&id].len() > 1 || seen.insert(id), "text {id}");
        }
    }

    fn lose(&mut self, encoder: usize) {
        self.queue.lose(encoder);
        if let Some(Some(batch)) = self.batches.remove(&encoder) {
            self.queue.complete(batch, Err("it is gone".to_owned()), self.now);
        }
        assert!(self.queue.take(encoder, self.now).is_none());
    }

    fn complete(&mut self, encoder: usize, fails: bool) {
        let Some(batch) = self.batches.insert(encoder, None).flatten() else { return };
        // Others go on meanwhile.
        self.now += Duration::from_millis(batch.total() as u64) / self.batches.len() as u32;
        let answers = batch.entries.iter().map(|entry| entry.ids().to_vec()).collect();
        let answer = if fails { Err("as the test asked".to_owned()) } else { Ok(answers) };
        self.queue.complete(batch, answer, self.now);
    }

    fn collect(&mut self) {
        for reply in self.queue.replies() {
            let (_, texts, deadline) = self.open.remove(&reply.to).expect("nothing is answered twice");
            self.ended.insert(reply.to);
            match reply.outcome {
                Outcome::Done { texts: answers, .. } => {
                    let wanted: Vec<Vec<Vec<u32>>> =
                        texts.iter().map(|id| text(*id, &self.texts[id]).windows.to_vec()).collect();
                    let found: Vec<Vec<Vec<u32>>> = answers.iter().map(|a| a.windows.clone()).collect();
                    assert_eq!(found, wanted, "each window in its place");
                }
                Outcome::Expired => assert!(deadline.is_some(), "who has all the time is never late"),
                Outcome::Failed(_) => {}
            }
        }
        let stats = self.queue.stats();
        assert!(stats.lanes.enforcement.waiting_for_room <= 6 && self.queue.tenants() <= 3 * 4);
        for lane in Lane::ALL {
            let s = stats.lanes.of(lane);
            let ended = s.completed + s.expired + s.cancelled + s.failed;
            assert!(s.accepted >= ended);
        }
        assert_eq!(self.open.len() + self.ended.len(), self.next, "nothing is lost");
        let sum = |f: fn(&rhumb_engine::schedule::LaneStats) -> u64| -> u64 {
            Lane::ALL.iter().map(|lane| f(stats.lanes.of(*lane))).sum()
        };
        let open = sum(|s| s.accepted) - sum(|s| s.completed + s.expired + s.cancelled + s.failed);
        assert_eq!(open, self.open.len() as u64);
    }

    fn drain(&mut self) {
        for _ in 0..10_000 {
            (0..self.batches.len()).for_each(|n| self.step(Step::Take(n)));
            if self.batches.values().all(Option::is_none) {
                break;
            }
            (0..self.batches.len()).for_each(|n| self.step(Step::Complete { encoder: n, fails: false }));
        }
        assert!(self.open.is_empty(), "{:?}", self.open);
        assert!(self.queue.is_idle());
        let stats = self.queue.stats();
        assert_eq!(waiting(&stats), 0, "{stats:?}");
    }
}

fn waiting(stats: &QueueStats) -> u64 {
    let of = |lane: &Lane| {
        let lane = stats.lanes.of(*lane);
        lane.waiting_texts + lane.waiting_tokens + lane.waiting_for_room
    };
    Lane::ALL.iter().map(of).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_nothing_is_answered_twice(
        encoders in 1..5usize,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut world = World::new(encoders);
        for step in steps {
            world.step(step);
        }
        (0..world.batches.len()).for_each(|encoder| world.step(Step::Complete { encoder, fails: false }));
        world.drain();
    }

    #[test]
    fn one_tenant_of_one_lane_is_first_in_first_out(
        pushes in prop::collection::vec((0..3usize, 0..4u8, 1..60usize), 1..60),
        every in 1..6usize,
        encoders in 1..5usize,
    ) {
        let config = EngineConfig { queue: 10_000, assumed_tokens_per_s: 2000.0, ..EngineConfig::default() };
        let mut queue: Queue<(usize, u8, usize), usize> = Queue::new(&config, encoders);
        let start = Instant::now();
        let mut now = start;
        // Lane and tenant, place in its line, batch that it was in.
        let mut found: Vec<((usize, u8), usize, usize)> = Vec::new();
        let mut batches = 0;
        // All encoders that find something work at once, and the last to begin is the first to end.
        let mut compute = |queue: &mut Queue<(usize, u8, usize), usize>| {
            let taken: Vec<_> = (0..encoders).filter_map(|encoder| queue.take(encoder, now)).collect();
            let any = !taken.is_empty();
            batches += taken.len();
            for (i, batch) in taken.into_iter().rev().enumerate() {
                now += Duration::from_millis(5);
                let answers = vec![batches - i; batch.entries.len()];
                queue.complete(batch, Ok(answers), now);
            }
            for reply in queue.replies() {
                let Outcome::Done { texts, .. } = reply.outcome else { panic!("it was computed") };
                found.push(((reply.to.0, reply.to.1), reply.to.2, texts[0].windows[0]));
            }
            any
        };
        for (i, (lane, tenant, tokens)) in pushes.iter().enumerate() {
            let request = Request {
                lane: Lane::ALL[*lane], tenant: Tenant::new(&format!("t{tenant}")).unwrap(), deadline: None,
                admission: Admission::Wait, reply: (*lane, *tenant, i),
                texts: vec![text(i as u8, &[*tokens])],
            };
            queue.push(request, start).unwrap();
            if i % every == 0 {
                compute(&mut queue);
            }
        }
        while compute(&mut queue) {}
        prop_assert_eq!(found.len(), pushes.len());
        found.sort_unstable();
        // Within a batch the longest come first, so only the batch in which a text was counts.
        let in_order = |pair: &[((usize, u8), usize, usize)]| pair[0].0 != pair[1].0 || pair[0].2 <= pair[1].2;
        prop_assert!(found.windows(2).all(in_order), "{:?}", found);
    }

    #[test]
    fn nothing_is_taken_after_its_deadline(
        pushes in prop::collection::vec((0..3usize, 1..60usize, 0..200u64), 1..60),
        slow in 1..5u64,
        encoders in 1..5usize,
    ) {
        let config = EngineConfig { assumed_tokens_per_s: 1000.0, ..EngineConfig::default() };
        let mut queue: Queue<Instant, Instant> = Queue::new(&config, encoders);
        let mut now = Instant::now();
        let mut pushes = pushes.into_iter().enumerate();
        loop {
            for (i, (lane, tokens, ms)) in pushes.by_ref().take(6) {
                let mut key = [0; 32];
                key[..8].copy_from_slice(&i.to_le_bytes());
                let deadline = now + Duration::from_millis(ms);
                let _ = queue.push(Request {
                    lane: Lane::ALL[lane], tenant: Tenant::default(), deadline: Some(deadline),
                    admission: Admission::Refuse, reply: deadline,
                    texts: vec![Text { key, windows: vec![vec![0; tokens]].into() }],
                }, now);
            }
            let taken = now;
            let mut batches: Vec<_> = (0..encoders).filter_map(|encoder| queue.take(encoder, now)).collect();
            if batches.is_empty() {
                break;
            }
            batches.sort_by_key(|batch| batch.total());
            for batch in batches {
                // The encoder is slower than it was when the promise was given.
                now = now.max(taken + Duration::from_millis(batch.total() as u64 * slow));
                let answers = vec![taken; batch.entries.len()];
                queue.complete(batch, Ok(answers), now);
            }
            for reply in queue.replies() {
                if let Outcome::Done { texts, .. } = reply.outcome {
                    prop_assert!(texts.iter().all(|t| t.windows.iter().all(|taken| *taken < reply.to)));
                }
            }
        }
        prop_assert!(queue.is_idle());
    }
}
