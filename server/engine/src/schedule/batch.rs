//! The next batch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::arena::Key;
use super::estimate::Estimate;
use super::lane::{Lane, PerLane};
use super::{Queue, item::Pending};

/// One window of a batch.
#[derive(Debug, Clone)]
pub struct Entry {
    pub(super) item: Key,
    pub(super) window: usize,
    windows: Arc<[Vec<u32>]>,
}

impl Entry {
    /// Token ids, special tokens included.
    pub fn ids(&self) -> &[u32] {
        self.windows.get(self.window).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Windows that are computed together, the longest first.
#[derive(Debug)]
pub struct Batch {
    /// The windows.
    pub entries: Vec<Entry>,
    /// Tokens of each lane.
    pub tokens: PerLane<usize>,
    /// Whose it is.
    pub(super) encoder: usize,
    pub(super) taken: Instant,
}

impl Batch {
    /// Its time counts from now on: what was done for it before was in vain.
    pub fn begin_again(&mut self, now: Instant) {
        self.taken = now;
    }

    /// Tokens of all windows.
    pub fn total(&self) -> usize {
        Lane::ALL.iter().map(|lane| *self.tokens.of(*lane)).sum()
    }
}

/// A batch that is being filled.
struct Draft {
    batch: Batch,
    /// That of the encoder.
    speed: Estimate,
    total: usize,
    /// The time that the batch may take so that none of its texts is late.
    limit: Option<Duration>,
}

/// How a lane fills a batch.
#[derive(Clone, Copy)]
struct Allowance {
    tokens: usize,
    /// What is owed comes along even where that takes a text's reserve: it was reckoned with when the text was taken.
    owed: bool,
}

impl<R, E> Queue<R, E> {
    /// Takes the next batch for an encoder; `None` if nothing waits, or it is gone. Its batch before must have been completed.
    pub fn take(&mut self, encoder: usize, now: Instant) -> Option<Batch> {
        loop {
            let speed = self.encoders.speed(encoder)?.clone();
            Lane::ALL.into_iter().for_each(|lane| self.admit_parked(lane, now));
            let top = Lane::ALL.into_iter().find(|lane| self.has_work(*lane))?;
            let before = self.lanes.of(top).texts;
            if let Some(mut batch) = self.draft(top, encoder, speed, now) {
                // Texts of one length share the encoder's kernels best.
                batch.entries.sort_by_key(|entry| std::cmp::Reverse(entry.ids().len()));
                self.encoders.begin(encoder, batch.total(), now);
                return Some(batch);
            }
            if self.lanes.of(top).texts >= before {
                return None;
            }
        }
    }

    /// Fills a batch; `None` if all of the lane was late.
    fn draft(&mut self, top: Lane, encoder: usize, speed: Estimate, now: Instant) -> Option<Batch> {
        let below: Vec<Lane> = top.below().filter(|lane| self.has_work(*lane)).collect();
        let owed: Vec<usize> = below.iter().map(|lane| self.payable(*lane)).collect();
        let budget = self.size(&speed, top).saturating_sub(owed.iter().sum());
        let batch = Batch { entries: Vec::new(), tokens: PerLane::default(), encoder, taken: now };
        let mut draft = Draft { batch, speed, total: 0, limit: None };
        self.fill(top, Allowance { tokens: budget, owed: false }, &mut draft);
        if draft.batch.entries.is_empty() {
            return None;
        }
        for (lane, owed) in below.iter().zip(&owed) {
            let allowance = match *owed {
                0 => Allowance { tokens: self.free_ride(&draft), owed: false },
                owed => Allowance { tokens: owed, owed: true },
            };
            self.fill(*lane, allowance, &mut draft);
        }
        self.pay(&below, &draft);
        Some(draft.batch)
    }

    /// Tokens of a batch for a lane: no more than make it worth its overhead, since everybody in it waits for the last, and
    /// whoever comes meanwhile for all of it. Of a long line a share is taken in any case: then it is throughput that shortens
    /// the wait, and the overhead is measured on batches of all sizes, so that one that was taken to be small is put right.
    fn size(&self, speed: &Estimate, lane: Lane) -> usize {
        let share = self.lanes.of(lane).tokens / (2 * self.encoders.count().max(1));
        self.budget_at(speed, lane).min(share.max(speed.worthwhile()))
    }

    /// What a lane is owed, as soon as that is enough for its next window.
    fn payable(&self, lane: Lane) -> usize {
        let owed = self.lanes.of(lane).owed as usize;
        let item = self.lanes.of(lane).head().and_then(|key| self.items.get(key));
        let next = item.and_then(|item| item.text.windows.get(item.next)).map_or(0, Vec::len);
        if owed >= next { owed } else { 0 }
    }

    /// Tokens that cost less here than in a batch of their own, within the micro-batch.
    fn free_ride(&self, draft: &Draft) -> usize {
        let free = draft.speed.overhead().as_secs_f64() * draft.speed.rate();
        (free as usize).min(self.budget_at(&draft.speed, Lane::Bulk).saturating_sub(draft.total))
    }

    fn pay(&mut self, below: &[Lane], draft: &Draft) {
        let most = self.budget_at(&draft.speed, Lane::Bulk) as f64;
        for lane in Lane::ALL {
            let flows = self.lanes.of_mut(lane);
            if !below.contains(&lane) || flows.texts == 0 {
                // Who has nothing waiting is owed nothing, and the highest lane owes.
                flows.owed = 0.0;
                continue;
            }
            let item = flows.head().and_then(|key| self.items.get(key));
            let next = item.and_then(|item| item.text.windows.get(item.next)).map_or(0, Vec::len) as f64;
            let earned = self.config.lower_lane_share * draft.total as f64;
            let paid = *draft.batch.tokens.of(lane) as f64;
            flows.owed = (flows.owed + earned - paid).clamp(0.0, most.max(next));
        }
    }

    /// Adds windows of a lane, in its order, until the next one does not fit. The first window of a batch always fits.
    fn fill(&mut self, lane: Lane, allowance: Allowance, draft: &mut Draft) {
        let mut left = allowance.tokens;
        while let Some(key) = self.lanes.of(lane).head() {
            if !self.drop_late(key, draft) {
                // INVARIANT: an item that is gone has left its line. Looping here for ever would hold the lock.
                if self.lanes.of(lane).head() == Some(key) {
                    return;
                }
                continue;
            }
            let Some(item) = self.items.get(key) else { return };
            let Some(tokens) = item.text.windows.get(item.next).map(Vec::len) else {
                // A text without windows: nothing can be computed, and it must not hold up the line.
                self.fail_item(key, &"a text without windows".into());
                continue;
            };
            let limit = shorter(draft.limit, self.limit(key, tokens, draft));
            let in_time = allowance.owed
                || limit.is_none_or(|limit| self.lasts(&draft.speed, draft.total + tokens) <= limit);
            if !draft.batch.entries.is_empty() && (tokens > left || !in_time) {
                return;
            }
            left = left.saturating_sub(tokens);
            draft.limit = limit;
            self.take_window(key, tokens, draft);
        }
    }

    fn lasts(&self, speed: &Estimate, tokens: usize) -> Duration {
        speed.batch(tokens).mul_f64(self.config.deadline_factor)
    }

    fn take_window(&mut self, key: Key, tokens: usize, draft: &mut Draft) {
        let Some(item) = self.items.get_mut(key) else { return };
        let windows = Arc::clone(&item.text.windows);
        draft.batch.entries.push(Entry { item: key, window: item.next, windows });
        *draft.batch.tokens.of_mut(item.lane) += tokens;
        draft.total += tokens;
        item.next += 1;
        item.left -= tokens;
        item.taken.get_or_insert(draft.batch.taken);
        self.lanes.of_mut(item.lane).serve(item.place, tokens, item.is_taken());
    }

    /// The time that a batch with the next window of an item may take, so that the rest of the item is not late either.
    fn limit(&self, key: Key, tokens: usize, draft: &Draft) -> Option<Duration> {
        let item = self.items.get(key)?;
        let waiters = item.waiters.iter().filter_map(|(waiter, _)| self.requests.get(*waiter));
        let deadline = waiters.filter(|waiter| !waiter.probe).filter_map(|waiter| waiter.deadline).min()?;
        let rest = item.left - tokens;
        let rest = if rest > 0 { self.lasts(&draft.speed, rest) } else { Duration::ZERO };
        Some(deadline.saturating_duration_since(draft.batch.taken).saturating_sub(rest))
    }

    /// Ends the requests that would be late even if this item were next; false if nobody is left who waits for it.
    fn drop_late(&mut self, key: Key, draft: &Draft) -> bool {
        let Some(item) = self.items.get(key) else { return false };
        let now = draft.batch.taken;
        let end = now + draft.speed.batch(draft.total + item.left);
        let is_late =
            |waiter: &Pending<R, E>| waiter.deadline.is_some_and(|d| d <= now || (d < end && !waiter.probe));
        let waiters = item.waiters.iter().map(|(waiter, _)| *waiter);
        let late: Vec<Key> = waiters.filter(|w| self.requests.get(*w).is_some_and(is_late)).collect();
        late.into_iter().for_each(|request| self.expire(request));
        self.items.get(key).is_some()
    }
}

fn shorter(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
