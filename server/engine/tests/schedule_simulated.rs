//! The queue before encoders of known speed, on a clock that is driven by hand: a second of load takes no second.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may stop at the first surprise"
)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rhumb_engine::EngineConfig;
use rhumb_engine::schedule::{
    Admission, Lane, Outcome, PerLane, Queue, Refusal, Request, Tenant, Text, Ticket,
};

/// Of a simulated encoder.
const TOKENS_PER_S: f64 = 20_000.0 / SLOW as f64;
const OVERHEAD: Duration = Duration::from_micros(200 * SLOW);
/// The clock of tokio counts whole milliseconds; everything here is so many times slower, that it matters less.
const SLOW: u64 = 10;

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Milliseconds of an encoder that is not slowed down.
fn ms(n: u64) -> Duration {
    Duration::from_millis(n * SLOW)
}

fn config() -> EngineConfig {
    let normal = EngineConfig::default();
    let slow = SLOW as f64;
    EngineConfig {
        batch_ms: normal.batch_ms * slow,
        bulk_batch_ms: normal.bulk_batch_ms * slow,
        deadline_margin_ms: normal.deadline_margin_ms * slow,
        // Here everything can be foreseen.
        deadline_reserve: 0.0,
        ..normal
    }
}

/// What became of a request.
#[derive(Debug, Clone)]
struct End {
    lane: Lane,
    tenant: u8,
    tokens: usize,
    pushed: Instant,
    deadline: Option<Instant>,
    ended: Instant,
    /// Until the encoder took it; `None` if it was not computed.
    queue: Option<Duration>,
}

#[derive(Debug, Clone)]
struct Asked {
    lane: Lane,
    tenant: u8,
    tokens: usize,
    pushed: Instant,
    deadline: Option<Instant>,
}

#[derive(Clone)]
struct World(Rc<RefCell<Inner>>);

struct Inner {
    queue: Queue<u64, ()>,
    asked: BTreeMap<u64, Asked>,
    ends: Vec<End>,
    refused: BTreeMap<Lane, u64>,
    next: u64,
    wake: Rc<tokio::sync::Notify>,
}

impl World {
    /// Starts one encoder.
    fn start(config: EngineConfig) -> Self {
        Self::of(1, config)
    }

    /// Starts so many encoders.
    fn of(encoders: usize, config: EngineConfig) -> Self {
        let mut queue = Queue::new(&config, encoders);
        for encoder in 0..encoders {
            [20, 160].into_iter().for_each(|n| queue.observe(encoder, n, lasts(n)));
        }
        let inner = Inner {
            queue,
            asked: BTreeMap::new(),
            ends: Vec::new(),
            refused: BTreeMap::new(),
            next: 0,
            wake: Rc::default(),
        };
        let world = Self(Rc::new(RefCell::new(inner)));
        for encoder in 0..encoders {
            tokio::task::spawn_local(world.clone().encode(encoder));
        }
        world
    }

    async fn encode(self, encoder: usize) {
        loop {
            let batch = self.0.borrow_mut().queue.take(encoder, now());
            self.collect();
            let Some(batch) = batch else {
                let wake = Rc::clone(&self.0.borrow().wake);
                wake.notified().await;
                continue;
            };
            if self.0.borrow().queue.has_waiting() {
                self.0.borrow().wake.notify_one();
            }
            tokio::time::sleep(lasts(batch.total())).await;
            let answers = vec![(); batch.entries.len()];
            self.0.borrow_mut().queue.complete(batch, Ok(answers), now());
            self.collect();
        }
    }

    fn collect(&self) {
        let mut inner = self.0.borrow_mut();
        for reply in inner.queue.replies() {
            let Asked { lane, tenant, tokens, pushed, deadline } = inner.asked.remove(&reply.to).unwrap();
            let queue = match reply.outcome {
                Outcome::Done { queue, .. } => Some(queue),
                _ => None,
            };
            inner.ends.push(End { lane, tenant, tokens, pushed, deadline, ended: now(), queue });
        }
    }

    /// A text that nobody else has, unless `key` says which.
    fn push(
        &self,
        lane: Lane,
        tenant: u8,
        windows: &[usize],
        time: Option<Duration>,
        admission: Admission,
        key: Option<u64>,
    ) -> Result<Ticket, Refusal> {
        let mut inner = self.0.borrow_mut();
        inner.next += 1;
        let id = inner.next;
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&key.unwrap_or(id).to_le_bytes());
        digest[8] = u8::from(key.is_some());
        let deadline = time.map(|time| now() + time);
        let text = Text { key: digest, windows: windows.iter().map(|n| vec![0; *n]).collect() };
        let tenant_name = Tenant::new(&format!("t{tenant}")).unwrap();
        let request =
            Request { lane, tenant: tenant_name, deadline, admission, texts: vec![text], reply: id };
        let taken = inner.queue.push(request, now());
        inner.wake.notify_one();
        match taken {
            Ok(_) => {
                let asked = Asked { lane, tenant, tokens: windows.iter().sum(), pushed: now(), deadline };
                inner.asked.insert(id, asked);
            }
            Err(_) => *inner.refused.entry(lane).or_default() += 1,
        }
        taken
    }

    /// Sources of texts of 10 to 60 tokens, so many tokens in a second each.
    fn sources(
        &self,
        count: usize,
        lane: Lane,
        tenant: u8,
        tokens_per_s: f64,
        time: Option<Duration>,
        admission: Admission,
    ) {
        for nth in 0..count {
            let seed = u64::from(tenant) + 7 * lane as u64 + 1 + 1000 * nth as u64;
            let (world, mut random) = (self.clone(), seed);
            tokio::task::spawn_local(async move {
                loop {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    let tokens = 10 + (random >> 33) as usize % 51;
                    let _ = world.push(lane, tenant, &[tokens], time, admission, None);
                    tokio::time::sleep(Duration::from_secs_f64(tokens as f64 / tokens_per_s)).await;
                }
            });
        }
    }

    fn ends(&self) -> Vec<End> {
        self.0.borrow().ends.clone()
    }

    /// Tokens that were computed, by what `by` says.
    fn computed<K: Ord>(&self, by: impl Fn(&End) -> K) -> BTreeMap<K, usize> {
        let mut sums = BTreeMap::new();
        for end in self.ends().iter().filter(|end| end.queue.is_some()) {
            *sums.entry(by(end)).or_default() += end.tokens;
        }
        sums
    }
}

fn lasts(tokens: usize) -> Duration {
    OVERHEAD + Duration::from_secs_f64(tokens as f64 / TOKENS_PER_S)
}

async fn simulate(test: impl Future<Output = ()>) {
    tokio::task::LocalSet::new().run_until(test).await;
}

/// Of the clock, at both ends of a wait.
const TICK: Duration = Duration::from_millis(2);

#[tokio::test(start_paused = true)]
async fn enforcement_waits_for_one_bulk_batch_at_most() {
    for encoders in 1..=4 {
        enforcement_waits_for_one_bulk_batch_at_most_with(encoders).await;
    }
}

async fn enforcement_waits_for_one_bulk_batch_at_most_with(encoders: usize) {
    simulate(async {
        let world = World::of(encoders, config());
        world.sources(encoders, Lane::Bulk, 1, 5.0 * TOKENS_PER_S, None, Admission::Wait);
        // Long texts are computed window by window.
        for _ in 0..40 {
            let _ = world.push(Lane::Bulk, 2, &[100; 16], None, Admission::Wait, None);
        }
        tokio::time::sleep(ms(200)).await;
        for i in 0..200 {
            let _ = world.push(Lane::Enforcement, 3, &[20], None, Admission::Refuse, None);
            tokio::time::sleep(ms(7 + i % 13)).await;
        }
        let ends = world.ends();
        let waits: Vec<Duration> =
            ends.iter().filter(|e| e.lane == Lane::Enforcement).map(|e| e.queue.unwrap()).collect();
        assert!(waits.len() >= 199, "{}", waits.len());
        let worst = waits.iter().max().unwrap();
        assert!(*worst <= ms(5) + TICK, "{worst:?}");
        let whole =
            ends.iter().filter(|e| e.lane == Lane::Enforcement).map(|e| e.ended - e.pushed).max().unwrap();
        assert!(whole <= 2 * ms(5) + TICK + TICK, "its own batch is not filled up with bulk: {whole:?}");
        assert!(ends.iter().any(|e| e.tokens == 1600), "the long texts are computed too");
        let mut encoded: Vec<Duration> = ends
            .iter()
            .filter(|e| e.lane == Lane::Enforcement)
            .map(|e| e.ended - e.pushed - e.queue.unwrap())
            .collect();
        encoded.sort_unstable();
        // Alone it lasts 1.2 ms.
        assert!(encoded[100] <= ms(2), "{:?}", encoded[100]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn at_three_times_the_capacity_what_is_taken_is_in_time_and_the_rest_is_refused() {
    for (lane, encoders) in Lane::ALL.into_iter().flat_map(|lane| (1..=4).map(move |n| (lane, n))) {
        simulate(async {
            let world = World::of(encoders, config());
            for tenant in 0..3 {
                world.sources(encoders, lane, tenant, TOKENS_PER_S, Some(ms(60)), Admission::Refuse);
            }
            tokio::time::sleep(ms(10000)).await;
            let ends = world.ends();
            let late = ends.iter().filter(|e| e.queue.is_none() || Some(e.ended) > e.deadline).count();
            let computed: usize = world.computed(|_| ()).values().sum();
            let refused = world.0.borrow().refused[&lane];
            assert_eq!(late, 0, "{lane:?}: of {}", ends.len());
            assert!(refused as usize > ends.len(), "{refused} refused, {} taken", ends.len());
            // Refusing leaves the encoders busy.
            let most = ms(10_000).as_secs_f64() * TOKENS_PER_S * encoders as f64;
            assert!(computed as f64 > 0.75 * most, "{lane:?}, {encoders} encoders: {computed} of {most}");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn bulk_under_changing_enforcement_keeps_its_promises_nearly_always() {
    for encoders in 1..=4 {
        bulk_under_changing_enforcement_keeps_its_promises_with(encoders).await;
    }
}

async fn bulk_under_changing_enforcement_keeps_its_promises_with(encoders: usize) {
    simulate(async {
        let world = World::of(encoders, config());
        let half = 0.5 * TOKENS_PER_S;
        world.sources(encoders, Lane::Enforcement, 1, half, Some(ms(60)), Admission::Refuse);
        world.sources(encoders, Lane::Bulk, 2, 4.0 * half, Some(ms(200)), Admission::Refuse);
        tokio::time::sleep(ms(10000)).await;
        let ends = world.ends();
        let of = |lane: Lane| ends.iter().filter(move |e| e.lane == lane);
        let late = |lane: Lane| of(lane).filter(|e| e.queue.is_none() || Some(e.ended) > e.deadline).count();
        assert_eq!(late(Lane::Enforcement), 0);
        let (late, all) = (late(Lane::Bulk), of(Lane::Bulk).count());
        // The first moments, before the load above is known.
        assert!(late * 100 <= all, "{late} of {all}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn two_tenants_of_unequal_demand_get_equal_service() {
    for encoders in 1..=4 {
        two_tenants_of_unequal_demand_get_equal_service_from(encoders).await;
    }
}

async fn two_tenants_of_unequal_demand_get_equal_service_from(encoders: usize) {
    simulate(async {
        let world = World::of(encoders, config());
        world.sources(encoders, Lane::Bulk, 1, 10.0 * TOKENS_PER_S, None, Admission::Wait);
        world.sources(encoders, Lane::Bulk, 2, TOKENS_PER_S, None, Admission::Wait);
        tokio::time::sleep(ms(5000)).await;
        let served = world.computed(|end| end.tenant);
        let share = served[&1] as f64 / (served[&1] + served[&2]) as f64;
        assert!((0.48..=0.52).contains(&share), "{served:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn service_is_counted_in_tokens_and_not_in_texts() {
    simulate(async {
        let world = World::start(config());
        for _ in 0..400 {
            world.push(Lane::Bulk, 1, &[80], None, Admission::Wait, None).unwrap();
            world.push(Lane::Bulk, 2, &[10], None, Admission::Wait, None).unwrap();
        }
        tokio::time::sleep(ms(300)).await;
        let served = world.computed(|end| end.tenant);
        let share = served[&1] as f64 / (served[&1] + served[&2]) as f64;
        assert!((0.45..=0.55).contains(&share), "{served:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_tenant_never_has_the_whole_room_of_a_lane() {
    simulate(async {
        let world = World::start(EngineConfig { queue: 16, ..config() });
        let push = |tenant| world.push(Lane::Enforcement, tenant, &[30], None, Admission::Refuse, None);
        let taken = (0..100).filter(|_| push(1).is_ok()).count();
        assert_eq!(taken, 8, "half of the lane");
        assert!(push(2).is_ok());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_flood_of_one_tenant_gets_no_other_refused() {
    for encoders in 1..=4 {
        the_flood_of_one_tenant_gets_no_other_refused_by(encoders).await;
    }
}

async fn the_flood_of_one_tenant_gets_no_other_refused_by(encoders: usize) {
    simulate(async {
        let world = World::of(encoders, config());
        let flood = 10.0 * TOKENS_PER_S;
        world.sources(encoders, Lane::Enforcement, 1, flood, Some(ms(60)), Admission::Refuse);
        tokio::time::sleep(ms(500)).await;
        for _ in 0..200 {
            let taken = world.push(Lane::Enforcement, 2, &[30], Some(ms(60)), Admission::Refuse, None);
            assert!(taken.is_ok(), "{taken:?}");
            tokio::time::sleep(ms(11)).await;
        }
        tokio::time::sleep(ms(60)).await;
        let ends = world.ends();
        let mine: Vec<&End> = ends.iter().filter(|e| e.tenant == 2).collect();
        let late: Vec<_> = mine.iter().filter(|e| e.queue.is_none() || Some(e.ended) > e.deadline).collect();
        assert!(mine.len() == 200 && late.is_empty(), "{encoders} encoders, {} done: {late:?}", mine.len());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn callers_of_one_tenant_that_wait_for_room_do_not_keep_another_out() {
    simulate(async {
        let config = EngineConfig { queue: 16, ..config() };
        let world = World::start(config);
        for _ in 0..500 {
            world.push(Lane::Bulk, 1, &[60], None, Admission::Wait, None).unwrap();
        }
        world.push(Lane::Bulk, 2, &[60], None, Admission::Wait, None).unwrap();
        tokio::time::sleep(ms(40)).await;
        let ends = world.ends();
        assert!(ends.iter().any(|e| e.tenant == 2) && ends.len() < 30, "{}", ends.len());
        tokio::time::sleep(ms(5000)).await;
        assert_eq!(world.ends().len(), 501);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn lower_lanes_keep_their_share() {
    for encoders in 1..=4 {
        lower_lanes_keep_their_share_of(encoders).await;
    }
}

async fn lower_lanes_keep_their_share_of(encoders: usize) {
    simulate(async {
        let world = World::of(encoders, config());
        for lane in Lane::ALL {
            world.sources(encoders, lane, 1, 3.0 * TOKENS_PER_S, None, Admission::Refuse);
        }
        tokio::time::sleep(ms(5000)).await;
        let served = world.computed(|end| end.lane);
        let all: usize = served.values().sum();
        let share = |lane| served[&lane] as f64 / all as f64;
        for lane in [Lane::Interactive, Lane::Bulk] {
            assert!((0.09..=0.12).contains(&share(lane)), "{lane:?} {served:?}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn work_that_was_cancelled_is_not_computed() {
    simulate(async {
        let world = World::start(config());
        let tickets: Vec<Ticket> =
            (0..50).map(|_| world.push(Lane::Bulk, 1, &[50], None, Admission::Wait, None).unwrap()).collect();
        tokio::time::sleep(ms(1)).await;
        for ticket in tickets {
            world.0.borrow_mut().queue.cancel(ticket, now());
        }
        tokio::time::sleep(ms(1000)).await;
        let stats = world.0.borrow().queue.stats();
        assert!(stats.tokens <= 150, "the batch in the encoder at most: {stats:?}");
        assert_eq!((stats.lanes.bulk.cancelled, stats.lanes.bulk.waiting_tokens), (50, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn equal_texts_are_computed_once_and_urgency_is_catching() {
    simulate(async {
        let world = World::start(config());
        for _ in 0..100 {
            let _ = world.push(Lane::Bulk, 1, &[100], None, Admission::Wait, None);
        }
        let shared = |lane, tenant| world.push(lane, tenant, &[40], None, Admission::Wait, Some(1)).unwrap();
        let first = shared(Lane::Bulk, 1);
        shared(Lane::Bulk, 2);
        let urgent = shared(Lane::Enforcement, 3);
        tokio::time::sleep(ms(20)).await;
        let ends = world.ends();
        let of: Vec<u8> = ends.iter().filter(|e| e.tokens == 40).map(|e| e.tenant).collect();
        assert_eq!(of, [1, 2, 3], "all at once, and before the bulk that was there first");
        for ticket in [first, urgent] {
            world.0.borrow_mut().queue.cancel(ticket, now());
        }
        tokio::time::sleep(ms(2000)).await;
        let stats = world.0.borrow().queue.stats();
        assert_eq!((stats.tokens, stats.joined), (100 * 100 + 40, 2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_asks_again_gets_what_is_being_computed() {
    simulate(async {
        let world = World::of(3, config());
        let shared = || world.push(Lane::Bulk, 1, &[40], None, Admission::Wait, Some(1)).unwrap();
        let first = shared();
        tokio::time::sleep(ms(1)).await;
        world.0.borrow_mut().queue.cancel(first, now());
        shared();
        tokio::time::sleep(ms(100)).await;
        assert_eq!((world.ends().len(), world.0.borrow().queue.stats().tokens), (1, 40));
        assert!(world.0.borrow().queue.is_idle());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn when_one_of_several_encoders_is_gone_promises_are_made_for_those_that_are_left() {
    simulate(async {
        let world = World::of(2, config());
        world.sources(2, Lane::Enforcement, 1, 2.0 * TOKENS_PER_S, Some(ms(60)), Admission::Refuse);
        tokio::time::sleep(ms(2000)).await;
        world.0.borrow_mut().queue.lose(1);
        let since = now();
        tokio::time::sleep(ms(4000)).await;
        let ends = world.ends();
        let of = |from, to| ends.iter().filter(move |e| (from..to).contains(&e.pushed));
        let is_late = |e: &&End| e.queue.is_none() || Some(e.ended) > e.deadline;
        assert_eq!(of(since - ms(1900), since - ms(60)).filter(is_late).count(), 0);
        assert_eq!(of(since, since + ms(3900)).filter(is_late).count(), 0);
        let before: usize = of(since - ms(1900), since - ms(60)).map(|e| e.tokens).sum();
        let after: usize = of(since, since + ms(1840)).map(|e| e.tokens).sum();
        assert!((0.4..0.6).contains(&(after as f64 / before as f64)), "{before} {after}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_of_many_texts_is_the_work_of_all_encoders() {
    simulate(async {
        let world = World::of(4, config());
        // 16 windows in batches of at most 5 ms each.
        world.push(Lane::Bulk, 1, &[80; 16], None, Admission::Wait, None).unwrap();
        tokio::time::sleep(ms(1000)).await;
        let took = world.ends().first().map(|end| end.ended - end.pushed).unwrap();
        assert!(took <= 4 * lasts(80) + TICK, "{took:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_shared_text_stays_until_its_last_waiter_leaves() {
    simulate(async {
        let world = World::start(config());
        let shared = || world.push(Lane::Bulk, 1, &[40], None, Admission::Wait, Some(1)).unwrap();
        let tickets = [shared(), shared(), shared()];
        let mut inner = world.0.borrow_mut();
        inner.queue.cancel(tickets[0], now());
        inner.queue.cancel(tickets[2], now());
        assert_eq!(inner.queue.stats().lanes.bulk.waiting_texts, 1);
        inner.queue.cancel(tickets[1], now());
        assert!(inner.queue.is_idle() && inner.queue.take(0, now()).is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_even_an_idle_engine_cannot_do_in_time_is_no_overload() {
    simulate(async {
        let config =
            EngineConfig { queue_tokens: PerLane { enforcement: 9000, interactive: 1, bulk: 1 }, ..config() };
        let world = World::start(config);
        let push = |time| world.push(Lane::Enforcement, 1, &[200], Some(time), Admission::Refuse, None);
        // One request a second is tried all the same: the measured speed may be that of a bad moment.
        assert!(push(ms(3)).is_ok());
        tokio::time::sleep(ms(50)).await;
        assert_eq!(push(ms(3)).unwrap_err(), Refusal::Deadline);
        assert_eq!(push(ms(0)).unwrap_err(), Refusal::Deadline);
        assert!(push(ms(40)).is_ok() && push(ms(40)).is_ok());
        let Refusal::Overloaded { retry_after } = push(ms(30)).unwrap_err() else { panic!("not overloaded") };
        assert!((ms(2)..=ms(30)).contains(&retry_after), "{retry_after:?}");
        tokio::time::sleep(retry_after).await;
        assert!(push(ms(30)).is_ok(), "the hint was right");
    })
    .await;
}

/// A batch of it lasts seconds, most of which is overhead: its budget is less than a token.
#[test]
fn an_encoder_too_slow_for_its_budget_takes_a_window_at_a_time() {
    let mut queue: Queue<u64, ()> = Queue::new(&EngineConfig::default(), 1);
    for tokens in [40, 80, 40, 80] {
        queue.observe(0, tokens, Duration::from_secs_f64(3.6 + 0.01 * tokens as f64));
    }
    let now = Instant::now();
    let mut push = |n: u8, seconds: u64| {
        let text = Text { key: [n; 32], windows: vec![vec![1; 40]].into() };
        let deadline = Some(now + Duration::from_secs(seconds));
        let (lane, tenant) = (Lane::Enforcement, Tenant::default());
        let request =
            Request { lane, tenant, deadline, admission: Admission::Refuse, texts: vec![text], reply: 0 };
        queue.push(request, now).map(|_| ())
    };
    // Four seconds each, one after the other, with what is kept free.
    assert_eq!(push(1, 7), Ok(()));
    assert_eq!(push(2, 13), Ok(()));
    assert!(matches!(push(3, 13), Err(Refusal::Overloaded { .. })));
}

#[tokio::test(start_paused = true)]
async fn tenants_are_forgotten_when_they_have_nothing_to_come() {
    simulate(async {
        let world = World::start(EngineConfig { tenants: 8, ..config() });
        for tenant in 0..100 {
            world.push(Lane::Bulk, tenant, &[30], None, Admission::Wait, None).unwrap();
        }
        assert!(world.0.borrow().queue.tenants() <= 9);
        tokio::time::sleep(ms(1000)).await;
        assert_eq!((world.ends().len(), world.0.borrow().queue.tenants()), (100, 0));
    })
    .await;
}

/// One text of `tokens` for enforcement.
fn asked(id: u64, tokens: usize) -> Request<u64> {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&id.to_le_bytes());
    Request {
        lane: Lane::Enforcement,
        tenant: Tenant::new("t").unwrap(),
        deadline: None,
        admission: Admission::Refuse,
        texts: vec![Text { key, windows: vec![vec![0; tokens]].into() }],
        reply: id,
    }
}

#[test]
fn a_batch_holds_what_pays_and_of_a_long_line_half() {
    // Ten tokens take a millisecond. With an overhead of three, 270 tokens are nine tenths work; without, any number is.
    for (overhead_ms, waiting, expected) in [(3, 6, 6), (0, 1, 1), (0, 2, 1), (0, 6, 3), (3, 40, 20)] {
        let config = EngineConfig { batch_ms: 1000.0, ..EngineConfig::default() };
        let (mut queue, start): (Queue<u64, ()>, _) = (Queue::new(&config, 1), Instant::now());
        for tokens in [20, 160] {
            queue.observe(0, tokens, Duration::from_millis(overhead_ms + tokens as u64 / 10));
        }
        (0..waiting).for_each(|id| {
            queue.push(asked(id, 30), start).unwrap();
        });
        let batch = queue.take(0, start).unwrap();
        assert_eq!(batch.entries.len(), expected, "overhead {overhead_ms} ms, {waiting} waiting");
    }
}

/// `cargo test --release -p rhumb-engine --test schedule_simulated -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn cost_of_a_cycle_with_10_000_texts_in_the_queue() {
    for tenants in [1, 16, 256] {
        let config = EngineConfig {
            queue: 100_000,
            queue_tokens: PerLane { enforcement: 1 << 30, interactive: 1 << 30, bulk: 1 << 30 },
            batch_ms: 1000.0,
            tenant_share: 1.0,
            ..EngineConfig::default()
        };
        let mut queue: Queue<u64, ()> = Queue::new(&config, 1);
        queue.observe(0, 2048, lasts(2048));
        let names: Vec<Tenant> = (0..tenants).map(|t| Tenant::new(&format!("t{t}")).unwrap()).collect();
        let (start, mut id) = (Instant::now(), 0_u64);
        let mut made: Vec<Request<u64>> = Vec::new();
        let mut make = |deadline: Option<Duration>| {
            id += 1;
            let mut key = [0; 32];
            key[..8].copy_from_slice(&id.to_le_bytes());
            Request {
                lane: Lane::Enforcement,
                tenant: names[id as usize % names.len()].clone(),
                deadline: deadline.map(|d| start + d),
                admission: Admission::Refuse,
                texts: vec![Text { key, windows: vec![vec![0; 30]].into() }],
                reply: id,
            }
        };
        for _ in 0..10_000 {
            queue.push(make(None), start).unwrap();
        }
        made.extend((0..200_000).map(|_| make(Some(Duration::from_secs(86_400)))));
        let (mut pushed, mut done) = (0_u32, 0_u32);
        let begun = Instant::now();
        let mut in_push = Duration::ZERO;
        let mut made = made.into_iter();
        while pushed < 200_000 {
            let batch = queue.take(0, start).unwrap();
            let n = batch.entries.len();
            let answers = vec![(); n];
            queue.complete(batch, Ok(answers), start + lasts(30 * n));
            done += queue.replies().len() as u32;
            let at = Instant::now();
            for request in made.by_ref().take(n) {
                queue.push(request, start).unwrap();
                pushed += 1;
            }
            in_push += at.elapsed();
        }
        let all = begun.elapsed();
        println!(
            "{tenants} tenants: {} ns a cycle, of it push {} ns ({done} answered)",
            (all / done).as_nanos(),
            (in_push / pushed).as_nanos()
        );
    }
}
