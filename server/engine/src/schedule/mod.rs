//! What the encoders compute next, and what they are not asked at all.
//!
//! [`Queue`] is a pure data structure: no clock, no thread, no lock. Every method takes the time; whoever owns it calls
//! [`Queue::push`] for a new request, [`Queue::take`] for an encoder's next batch, [`Queue::complete`] with its answer,
//! [`Queue::cancel`] for a caller that went away, and sends what [`Queue::replies`] hands out.
//!
//! **Encoders.** Any number of them, known by number, take from the one queue, each one batch at a time. What is in one batch
//! is in no other; windows of one text may be in several. A batch is cut to the speed of the encoder that takes it, and a
//! time is foreseen with all encoders that are left: see `encoders.rs`. One that is gone is [`Queue::lose`]'s.
//!
//! **Windows are computed, texts are answered.** A batch is made of windows, so a long text never holds the encoder for
//! longer than a batch; a text is answered when its last window is. Equal texts are one item, whoever asked; a request is
//! answered when all its texts are.
//!
//! **Size.** A batch is as large as makes it worth its overhead, which on a processor is a text or two and on a GPU hundreds; where
//! many texts wait, half of them, up to the milliseconds of the configuration.
//!
//! **Lanes.** A batch is filled from the highest lane that has work. What is below rides along in two cases only, so that a
//! batch for enforcement is not made longer by work that nobody is in a hurry for: as many tokens as last no longer than the
//! fixed overhead of a batch of their own (free on a GPU, next to nothing on a CPU), and those that the lane is owed because
//! of its guaranteed share. Bulk alone is computed in micro-batches of a few milliseconds: that, and one window at most, is
//! what enforcement ever waits for. The share that is owed rides along, rather than being a batch of its own, for the same
//! reason: two bulk batches in a row would be one too many. With several encoders it waits for the first that is free.
//!
//! **Promises.** A request with a deadline is taken if its end can be foreseen before it, else refused at once. Batches stop
//! growing where that would make one of their own texts late. What is late all the same (the encoder became slower, another
//! tenant came with a better claim) is dropped when its turn comes, not computed.
//!
//! **Tenants** of a lane are served fairly; see `flows.rs`.

mod admit;
pub mod arena;
mod batch;
mod encoders;
pub mod estimate;
mod flows;
mod item;
pub mod lane;
mod settle;
mod stats;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cache::Key as TextKey;
use crate::config::EngineConfig;

use arena::{Arena, Key};
use encoders::Encoders;
use estimate::{Estimate, Loads};
use flows::Flows;
use item::{Item, Pending};

pub use batch::{Batch, Entry};
pub use item::{Admission, Computed, Outcome, Refusal, Request, Tenant, Text};
pub use lane::{Lane, PerLane};
pub use stats::{LaneStats, QueueStats};

/// Names a request that was taken, until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(Key);

/// An answer that is to be sent.
#[derive(Debug)]
pub struct Reply<R, E> {
    /// Where it goes.
    pub to: R,
    /// What it is.
    pub outcome: Outcome<E>,
}

/// Everything that waits for the encoders, and what is in them. `R` is where an answer goes, `E` an encoder's answer for one
/// window.
#[derive(Debug)]
pub struct Queue<R, E> {
    config: EngineConfig,
    lanes: PerLane<Flows>,
    items: Arena<Item<E>>,
    by_text: HashMap<TextKey, Key>,
    requests: Arena<Pending<R, E>>,
    replies: Vec<Reply<R, E>>,
    encoders: Encoders,
    loads: Loads,
    last_probe: Option<Instant>,
    /// Without what waits now and what the estimate knows.
    counters: QueueStats,
}

impl<R, E> Queue<R, E> {
    /// An empty queue before so many encoders.
    pub fn new(config: &EngineConfig, encoders: usize) -> Self {
        Self {
            lanes: PerLane::from_fn(|_| Flows::new(config.tenants)),
            items: Arena::default(),
            by_text: HashMap::new(),
            requests: Arena::default(),
            replies: Vec::new(),
            encoders: Encoders::new(encoders, config.assumed_tokens_per_s),
            loads: Loads::default(),
            last_probe: None,
            counters: QueueStats::default(),
            config: config.clone(),
        }
    }

    /// Adds a batch of a warm-up to the measured speed of an encoder.
    pub fn observe(&mut self, encoder: usize, tokens: usize, took: Duration) {
        if let Some(speed) = self.encoders.speed_mut(encoder) {
            speed.observe(tokens, took);
        }
    }

    /// An encoder is gone: nothing is expected of it any more. A batch that it had is still to be completed. False if it was
    /// gone before.
    pub fn lose(&mut self, encoder: usize) -> bool {
        self.encoders.lose(encoder)
    }

    /// Another encoder, of which nothing is known, takes the place of one, and the batch that it had.
    pub fn replace(&mut self, encoder: usize, now: Instant) {
        self.encoders.replace(encoder, self.config.assumed_tokens_per_s, now);
    }

    /// Encoders that are left.
    pub fn encoders(&self) -> usize {
        self.encoders.count()
    }

    /// Whether something is there that no encoder has taken.
    pub fn has_waiting(&self) -> bool {
        Lane::ALL.iter().any(|lane| self.has_work(*lane) || self.lanes.of(*lane).parked > 0)
    }

    /// Answers that are to be sent now, in the order in which they came about.
    pub fn replies(&mut self) -> Vec<Reply<R, E>> {
        std::mem::take(&mut self.replies)
    }

    /// Whether nothing waits and nothing is computed.
    pub fn is_idle(&self) -> bool {
        self.encoders.are_idle() && self.requests.is_empty()
    }

    /// Tokens of a batch of an encoder that holds work of `lane` or below; none if it is gone.
    pub fn budget(&self, encoder: usize, lane: Lane) -> usize {
        self.encoders.speed(encoder).map_or(0, |speed| self.budget_at(speed, lane))
    }

    fn budget_at(&self, speed: &Estimate, lane: Lane) -> usize {
        let ms = if lane == Lane::Bulk { self.config.bulk_batch_ms } else { self.config.batch_ms };
        speed.tokens_in(ms).clamp(1, self.config.most_batch_tokens())
    }

    fn has_work(&self, lane: Lane) -> bool {
        self.lanes.of(lane).texts > 0
    }

    /// Takes a request out, answered or not, with everything that only it waited for.
    fn detach(&mut self, key: Key) -> Option<Pending<R, E>> {
        let request = self.requests.remove(key)?;
        match &request.state {
            item::State::Parked { place, texts } => {
                let tokens = texts.iter().map(Text::tokens).sum();
                self.lanes.of_mut(request.lane).unpark(*place, tokens);
            }
            item::State::Queued(items) => items.iter().for_each(|item| self.leave(*item, key)),
        }
        Some(request)
    }

    /// A request no longer waits for an item; the last one takes it along, unless encoders have all of it: then whoever asks
    /// for it again gets what is being computed.
    fn leave(&mut self, item: Key, request: Key) {
        let Some(found) = self.items.get_mut(item) else { return };
        found.waiters.retain(|(waiter, _)| *waiter != request);
        if found.waiters.is_empty() && !found.is_taken() {
            self.remove_item(item);
        }
    }

    fn remove_item(&mut self, key: Key) -> Option<Item<E>> {
        let item = self.items.remove(key)?;
        self.by_text.remove(&item.text.key);
        if !item.is_taken() {
            self.lanes.of_mut(item.lane).remove(item.place, item.left);
        }
        Some(item)
    }

    /// The caller of a request went away. A request that was answered meanwhile is none any more.
    pub fn cancel(&mut self, ticket: Ticket, now: Instant) {
        let Some(request) = self.detach(ticket.0) else { return };
        let lane = self.counters.lanes.of_mut(request.lane);
        match request.deadline.is_some_and(|deadline| deadline <= now) {
            true => lane.expired += 1,
            false => lane.cancelled += 1,
        }
    }

    fn expire(&mut self, key: Key) {
        let Some(request) = self.detach(key) else { return };
        self.counters.lanes.of_mut(request.lane).expired += 1;
        self.replies.push(Reply { to: request.reply, outcome: Outcome::Expired });
    }

    fn fail(&mut self, key: Key, why: &Arc<str>) {
        let Some(request) = self.detach(key) else { return };
        self.counters.lanes.of_mut(request.lane).failed += 1;
        self.replies.push(Reply { to: request.reply, outcome: Outcome::Failed(Arc::clone(why)) });
    }
}
