//! Who comes in: deadlines, room, equal texts.

use std::time::{Duration, Instant};

use super::arena::Key;
use super::estimate::Estimate;
use super::item::{Admission, Item, Pending, Refusal, Request, State, Tenant, Text};
use super::lane::Lane;
use super::{Queue, Ticket};

/// A request that was refused is not asked for sooner.
const LEAST_RETRY: Duration = Duration::from_millis(2);
/// And not later: by then everything may have changed.
const MOST_RETRY: Duration = Duration::from_secs(5);
/// An idle engine whose measured speed makes it refuse tries a request all the same, once in this time: the measurement
/// may be an old one of a bad moment, and refusing everything would never correct it.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// Tokens of a window at most: longer texts have several.
const WINDOW: usize = 512;

/// New tokens that a request brings.
#[derive(Clone, Copy)]
struct Own {
    tokens: usize,
    /// Of the longest window.
    window: usize,
}

impl<R, E> Queue<R, E> {
    /// Time until what is new of a tenant would be computed.
    fn forecast(&self, lane: Lane, tenant: &Tenant, own: Own, now: Instant) -> Duration {
        let above: usize = lane.above().map(|lane| self.lanes.of(lane).tokens).sum();
        let tokens = above + self.lanes.of(lane).before(tenant, own.tokens) + own.tokens;
        let share = self.available(lane, now);
        let below = self.encoders.speeds().map(|speed| self.riding(speed, lane)).max().unwrap_or_default();
        // An encoder that is too slow for its budget takes a window at a time all the same, and not a token.
        let least = own.window.max(self.mean_window(lane));
        self.encoders.until(tokens, |speed| self.budget_at(speed, lane).max(least), share, now) + below
    }

    /// Tokens of a window that waits in a lane or above, about.
    fn mean_window(&self, lane: Lane) -> usize {
        let waiting = || lane.above().chain([lane]).map(|lane| self.lanes.of(lane));
        let (tokens, texts): (usize, usize) =
            waiting().fold((0, 0), |(n, m), of| (n + of.tokens, m + of.texts));
        (tokens / texts.max(1)).min(WINDOW)
    }

    /// What may ride along from the lanes below.
    fn riding(&self, speed: &Estimate, lane: Lane) -> Duration {
        let micro = self.budget_at(speed, Lane::Bulk);
        let tokens: usize = lane.below().map(|lane| self.lanes.of(lane).tokens.min(micro)).sum();
        Duration::from_secs_f64(tokens as f64 / speed.rate())
    }

    /// Time for so much of a lane if nothing else were there.
    fn work(&self, tokens: usize, lane: Lane) -> Duration {
        self.encoders.together(tokens, |speed| self.budget_at(speed, lane))
    }

    /// The share of the encoders' time that a lane can count on: what lanes above took of late is gone, and those below may
    /// be owed their share.
    fn available(&self, lane: Lane, now: Instant) -> f64 {
        let share = self.config.lower_lane_share;
        let owing = lane.below().filter(|lane| self.has_work(*lane)).count() as f64;
        let left = if lane == Lane::Enforcement { 1.0 } else { 1.0 - self.loads.above(lane, now) };
        (left - share * owing).max(share).max(0.01)
    }

    fn with_margin(&self, time: Duration) -> Duration {
        time.mul_f64(self.config.deadline_factor)
            + Duration::from_secs_f64(self.config.deadline_margin_ms / 1e3)
    }

    /// Whether `own` tokens at least, of a request that is still to be read, would be refused. Cheap: for callers that would
    /// otherwise clean and tokenize for nothing.
    ///
    /// # Errors
    /// As [`Queue::push`].
    pub fn check(
        &mut self,
        lane: Lane,
        tenant: &Tenant,
        deadline: Option<Instant>,
        admission: Admission,
        own: usize,
        now: Instant,
    ) -> Result<(), Refusal> {
        let least = Own { tokens: own, window: own.min(WINDOW) };
        let checked = self.foresee(lane, tenant, deadline, least, now).and_then(|_| match admission {
            Admission::Refuse => self.check_room(lane, tenant, 1, own),
            Admission::Wait => Ok(()),
        });
        checked.inspect_err(|_| self.counters.lanes.of_mut(lane).refused += 1)
    }

    /// Whether a deadline can be kept; `Ok(true)` if only by a probe.
    fn foresee(
        &self,
        lane: Lane,
        tenant: &Tenant,
        deadline: Option<Instant>,
        own: Own,
        now: Instant,
    ) -> Result<bool, Refusal> {
        let Some(deadline) = deadline else { return Ok(false) };
        let time = deadline.saturating_duration_since(now);
        if time.is_zero() {
            return Err(Refusal::Deadline);
        }
        let time = time.mul_f64(1.0 - self.config.deadline_reserve);
        if self.with_margin(self.encoders.batch(own.tokens)) > time {
            let may_probe =
                self.last_probe.is_none_or(|last| now.saturating_duration_since(last) >= PROBE_EVERY);
            return if self.is_idle() && may_probe { Ok(true) } else { Err(Refusal::Deadline) };
        }
        let needed = self.with_margin(self.forecast(lane, tenant, own, now));
        if needed > time {
            return Err(overloaded(needed - time));
        }
        Ok(false)
    }

    /// Whether what is in an encoder already, and one cannot tell here in which, will be there in time.
    fn foresee_joined(&self, deadline: Option<Instant>, now: Instant) -> Result<(), Refusal> {
        let Some(deadline) = deadline else { return Ok(()) };
        let time = deadline.saturating_duration_since(now).mul_f64(1.0 - self.config.deadline_reserve);
        let needed = self.with_margin(self.encoders.all_free_in(now));
        if needed > time { Err(overloaded(needed - time)) } else { Ok(()) }
    }

    fn check_room(&self, lane: Lane, tenant: &Tenant, texts: usize, tokens: usize) -> Result<(), Refusal> {
        if self.has_room(lane, tenant, texts, tokens) {
            return Ok(());
        }
        // Not the whole lane must drain for one request to fit, but others wait for the same room.
        let waiting = self.lanes.of(lane).tokens;
        Err(overloaded(self.work(waiting / 4 + tokens, lane)))
    }

    /// An empty lane takes whatever comes, and a tenant without texts whatever fits the lane: else a request that is larger
    /// than a bound would never be taken.
    fn has_room(&self, lane: Lane, tenant: &Tenant, texts: usize, tokens: usize) -> bool {
        let (flows, share) = (self.lanes.of(lane), self.config.tenant_share);
        let (most_texts, most_tokens) = (self.config.queue, *self.config.queue_tokens.of(lane));
        if texts == 0 || flows.texts == 0 {
            return true;
        }
        let (held_texts, held_tokens) = flows.held(tenant);
        let within = |n: usize, most: usize| n as f64 <= share * most as f64;
        let fits = flows.texts + texts <= most_texts && flows.tokens + tokens <= most_tokens;
        let fair = within(held_texts + texts, most_texts) && within(held_tokens + tokens, most_tokens);
        fits && (held_texts == 0 || fair)
    }

    /// Texts and tokens that would be new to a lane: not those that are queued there or above, or in the encoder.
    fn new_work(&self, lane: Lane, texts: &[Text]) -> (usize, usize) {
        let of = |text: &Text| match self.by_text.get(&text.key).and_then(|key| self.items.get(*key)) {
            None => Some(text.tokens()),
            Some(item) => (!item.is_taken() && item.lane > lane).then_some(item.left),
        };
        texts.iter().filter_map(of).fold((0, 0), |(n, sum), tokens| (n + 1, sum + tokens))
    }

    /// Takes a request, or refuses it. All its texts are taken, or none.
    ///
    /// # Errors
    /// [`Refusal`]; then nothing has changed.
    pub fn push(&mut self, request: Request<R>, now: Instant) -> Result<Ticket, Refusal> {
        let lane = request.lane;
        let taken = self.try_push(request, now);
        let counters = self.counters.lanes.of_mut(lane);
        match taken {
            Ok(_) => counters.accepted += 1,
            Err(_) => counters.refused += 1,
        }
        taken
    }

    fn try_push(&mut self, request: Request<R>, now: Instant) -> Result<Ticket, Refusal> {
        let Request { lane, tenant, deadline, admission, texts, reply } = request;
        // A text of another tenant's may stand at the end of a long line: what is shared counts as if it were not, unless
        // the encoder has it.
        let new = texts.iter().filter(|text| !self.is_in_encoder(text));
        let own = new.fold(Own { tokens: 0, window: 0 }, |own, text| Own {
            tokens: own.tokens + text.tokens(),
            window: text.windows.iter().map(Vec::len).fold(own.window, usize::max),
        });
        let probe = self.foresee(lane, &tenant, deadline, own, now)?;
        if !probe && texts.iter().any(|text| self.is_in_encoder(text)) {
            self.foresee_joined(deadline, now)?;
        }
        let (count, tokens) = self.new_work(lane, &texts);
        let must_wait = match admission {
            Admission::Refuse => {
                self.check_room(lane, &tenant, count, tokens)?;
                false
            }
            Admission::Wait => self.lanes.of(lane).parked > 0 || !self.has_room(lane, &tenant, count, tokens),
        };
        if must_wait {
            self.check_parked(lane, &tenant, own.tokens)?;
        }
        if probe {
            self.last_probe = Some(now);
        }
        let missing = texts.len();
        let pending = Pending {
            lane,
            tenant: tenant.clone(),
            deadline,
            probe,
            submitted: now,
            reply,
            state: State::Queued(Vec::new()),
            results: (0..missing).map(|_| None).collect(),
            missing,
        };
        let key = self.requests.insert(pending);
        match must_wait {
            false => self.enqueue(key, texts),
            true => {
                let tokens = texts.iter().map(Text::tokens).sum();
                let place = self.lanes.of_mut(lane).park(&tenant, key, tokens);
                if let Some(request) = self.requests.get_mut(key) {
                    request.state = State::Parked { place, texts };
                }
                self.admit_parked(lane, now);
            }
        }
        Ok(Ticket(key))
    }

    fn is_in_encoder(&self, text: &Text) -> bool {
        let item = self.by_text.get(&text.key).and_then(|key| self.items.get(*key));
        item.is_some_and(Item::is_taken)
    }

    fn check_parked(&self, lane: Lane, tenant: &Tenant, tokens: usize) -> Result<(), Refusal> {
        let (flows, most) = (self.lanes.of(lane), self.config.waiting);
        let own = flows.parked_of(tenant);
        if flows.parked < most && (own == 0 || ((own + 1) as f64) <= self.config.tenant_share * most as f64) {
            return Ok(());
        }
        let waiting = flows.tokens / 4 + tokens;
        Err(overloaded(self.work(waiting, lane)))
    }

    /// Lets in whoever waits for room that is there, tenant by tenant.
    pub(super) fn admit_parked(&mut self, lane: Lane, now: Instant) {
        let mut in_vain = 0;
        while in_vain < self.lanes.of(lane).turns() {
            let Some(key) = self.lanes.of_mut(lane).next_turn() else { return };
            in_vain = if self.admit_one(key, now) { 0 } else { in_vain + 1 };
        }
    }

    fn admit_one(&mut self, key: Key, now: Instant) -> bool {
        let Some(request) = self.requests.get(key) else { return false };
        let State::Parked { place, texts } = &request.state else { return false };
        let (lane, place) = (request.lane, *place);
        if request.deadline.is_some_and(|deadline| deadline <= now) {
            self.expire(key);
            return true;
        }
        let (count, tokens) = self.new_work(lane, texts);
        if !self.has_room(lane, &request.tenant, count, tokens) {
            return false;
        }
        let all = texts.iter().map(Text::tokens).sum();
        self.lanes.of_mut(lane).unpark(place, all);
        let Some(request) = self.requests.get_mut(key) else { return false };
        if let State::Parked { texts, .. } = std::mem::replace(&mut request.state, State::Queued(Vec::new()))
        {
            self.enqueue(key, texts);
        }
        true
    }

    fn enqueue(&mut self, request: Key, texts: Vec<Text>) {
        let Some(pending) = self.requests.get(request) else { return };
        let (lane, tenant) = (pending.lane, pending.tenant.clone());
        let mut items = Vec::with_capacity(texts.len());
        for (index, text) in texts.into_iter().enumerate() {
            let item = match self.by_text.get(&text.key) {
                Some(found) => *found,
                None => self.add_item(text, lane, &tenant),
            };
            if let Some(found) = self.items.get_mut(item) {
                self.counters.joined += u64::from(!found.waiters.is_empty());
                found.waiters.push((request, index));
            }
            self.move_up(item, lane, &tenant);
            items.push(item);
        }
        if let Some(pending) = self.requests.get_mut(request) {
            pending.state = State::Queued(items);
            if pending.missing == 0 {
                self.finish_request(request);
            }
        }
    }

    fn add_item(&mut self, text: Text, lane: Lane, tenant: &Tenant) -> Key {
        let (key, tokens, windows) = (text.key, text.tokens(), text.windows.len());
        let place = super::item::Place::nowhere();
        let item = Item {
            text,
            lane,
            place,
            waiters: Vec::with_capacity(1),
            next: 0,
            left: tokens,
            taken: None,
            done: (0..windows).map(|_| None).collect(),
            undone: windows,
        };
        let item = self.items.insert(item);
        let place = self.lanes.of_mut(lane).push(tenant, item, tokens);
        if let Some(found) = self.items.get_mut(item) {
            found.place = place;
        }
        self.by_text.insert(key, item);
        item
    }

    /// Moves a queued item to where a new waiter would have it computed sooner: into a higher lane, or into its tenant's own
    /// line where that is shorter than what is before the item.
    fn move_up(&mut self, key: Key, lane: Lane, tenant: &Tenant) {
        let Some(item) = self.items.get_mut(key) else { return };
        if item.is_taken() || item.lane < lane {
            return;
        }
        let sooner =
            item.lane > lane || self.lanes.of(lane).backlog(tenant) < self.lanes.of(lane).ahead(item.place);
        if !sooner {
            return;
        }
        self.lanes.of_mut(item.lane).remove(item.place, item.left);
        item.lane = lane;
        item.place = self.lanes.of_mut(lane).push(tenant, key, item.left);
    }
}

fn overloaded(wait: Duration) -> Refusal {
    Refusal::Overloaded { retry_after: wait.clamp(LEAST_RETRY, MOST_RETRY) }
}
