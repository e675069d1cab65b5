//! One lane: a line for each tenant, served by start-time fair queueing (Goyal, Vin, Cheng 1996) with equal weights.
//!
//! Every line has a tag: the virtual time at which its first text may start. The line with the smallest tag is served, its
//! tag grows by the tokens that were taken, and virtual time is the tag of the line in service. A tenant that comes back is
//! not given credit for its absence, and a tenant that asks for one text at a time pays for each of them, because its tag is
//! kept until virtual time has passed it.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::arena::{Arena, Key};
use super::item::{Place, Tenant};

#[derive(Debug)]
struct Flow {
    tenant: Tenant,
    tag: u64,
    queued: BTreeMap<u64, Key>,
    tokens: usize,
    parked: BTreeMap<u64, Key>,
    parked_tokens: usize,
    /// Tokens that ever came in, and that ever went out.
    came: u64,
    went: u64,
}

/// The lines of one lane.
#[derive(Debug)]
pub(super) struct Flows {
    flows: Arena<Flow>,
    by_tenant: HashMap<Tenant, Key>,
    ready: BTreeSet<(u64, Key)>,
    /// Tenants without work whose tag is still ahead of virtual time.
    idle: BTreeSet<(u64, Key)>,
    /// Lines with requests that wait for room, in turn.
    turns: VecDeque<Key>,
    most: usize,
    time: u64,
    seq: u64,
    /// Tokens and texts that no batch has taken.
    pub tokens: usize,
    pub texts: usize,
    /// Requests that wait for room.
    pub parked: usize,
    /// Tokens that this lane is owed by the lanes above.
    pub owed: f64,
}

impl Flows {
    /// A lane that tells `most` tenants apart.
    pub fn new(most: usize) -> Self {
        Self {
            flows: Arena::default(),
            by_tenant: HashMap::new(),
            ready: BTreeSet::new(),
            idle: BTreeSet::new(),
            turns: VecDeque::new(),
            most,
            time: 0,
            seq: 0,
            tokens: 0,
            texts: 0,
            parked: 0,
            owed: 0.0,
        }
    }

    /// Tenants that are remembered.
    pub fn tenants(&self) -> usize {
        self.flows.len()
    }

    /// The line in which a tenant stands, or would stand, if there is one.
    fn key_of(&self, tenant: &Tenant) -> Option<Key> {
        let own = self.by_tenant.get(tenant);
        let is_full = self.flows.len() >= self.most && self.idle.is_empty();
        own.or_else(|| is_full.then(|| self.by_tenant.get(&Tenant::others())).flatten()).copied()
    }

    fn find(&self, tenant: &Tenant) -> Option<&Flow> {
        self.key_of(tenant).and_then(|key| self.flows.get(key))
    }

    /// Texts and tokens that a tenant has queued.
    pub fn held(&self, tenant: &Tenant) -> (usize, usize) {
        self.find(tenant).map_or((0, 0), |flow| (flow.queued.len(), flow.tokens))
    }

    /// Requests of a tenant that wait for room.
    pub fn parked_of(&self, tenant: &Tenant) -> usize {
        self.find(tenant).map_or(0, |flow| flow.parked.len())
    }

    /// Tokens in the line of a tenant, with what waits for room.
    pub fn backlog(&self, tenant: &Tenant) -> usize {
        self.find(tenant).map_or(0, |flow| flow.tokens + flow.parked_tokens)
    }

    /// Tokens that are served before `own` new ones of a tenant are: its own line, and of every other at most as much. What
    /// others bring meanwhile may come before the end of this line too; they are expected to bring as much again as they
    /// have now.
    pub fn before(&self, tenant: &Tenant, own: usize) -> usize {
        let line = self.backlog(tenant);
        let ours = self.key_of(tenant);
        let others = self.flows.iter().filter(|(key, _)| Some(*key) != ours);
        line + others.map(|(_, f)| (2 * (f.tokens + f.parked_tokens)).min(line + own)).sum::<usize>()
    }

    /// Tokens before this place in its own line; about, for who left the line from behind it counts as served.
    pub fn ahead(&self, place: Place) -> usize {
        let went = self.flows.get(place.flow).map_or(0, |flow| flow.went);
        usize::try_from(place.position.saturating_sub(went)).unwrap_or(usize::MAX)
    }

    /// Adds an item at the end of its tenant's line.
    pub fn push(&mut self, tenant: &Tenant, item: Key, tokens: usize) -> Place {
        let (flow, seq) = (self.line(tenant), self.next_seq());
        self.tokens += tokens;
        self.texts += 1;
        let position = self.change(flow, |flow| {
            let position = flow.came;
            flow.came += tokens as u64;
            flow.queued.insert(seq, item);
            flow.tokens += tokens;
            position
        });
        Place { flow, seq, position: position.unwrap_or(0) }
    }

    /// Takes an item with `tokens` left out of its line.
    pub fn remove(&mut self, place: Place, tokens: usize) {
        let removed = self.change(place.flow, |flow| {
            let removed = flow.queued.remove(&place.seq).is_some();
            if removed {
                flow.tokens -= tokens;
                flow.went += tokens as u64;
            }
            removed
        });
        if removed == Some(true) {
            self.tokens -= tokens;
            self.texts -= 1;
        }
    }

    /// The item whose turn it is.
    pub fn head(&self) -> Option<Key> {
        let (_, flow) = self.ready.first()?;
        self.flows.get(*flow)?.queued.first_key_value().map(|(_, item)| *item)
    }

    /// A window of the item whose turn it is was taken; `last` if it was its last.
    pub fn serve(&mut self, place: Place, tokens: usize, last: bool) {
        self.tokens -= tokens;
        self.texts -= usize::from(last);
        let tag = self.change(place.flow, |flow| {
            let tag = flow.tag;
            flow.tag += tokens as u64;
            flow.tokens -= tokens;
            flow.went += tokens as u64;
            if last {
                flow.queued.remove(&place.seq);
            }
            tag
        });
        self.time = self.time.max(tag.unwrap_or(0));
        self.forget();
    }

    /// Adds a request at the end of those of its tenant that wait for room.
    pub fn park(&mut self, tenant: &Tenant, request: Key, tokens: usize) -> Place {
        let (flow, seq) = (self.line(tenant), self.next_seq());
        self.parked += 1;
        let first = self.change(flow, |flow| {
            flow.parked_tokens += tokens;
            flow.parked.insert(seq, request);
            flow.parked.len() == 1
        });
        if first == Some(true) {
            self.turns.push_back(flow);
        }
        Place { flow, seq, position: 0 }
    }

    /// Takes a request out of those that wait for room.
    pub fn unpark(&mut self, place: Place, tokens: usize) {
        let removed = self.change(place.flow, |flow| {
            let removed = flow.parked.remove(&place.seq).is_some();
            flow.parked_tokens -= if removed { tokens } else { 0 };
            (removed, flow.parked.is_empty())
        });
        let (removed, empty) = removed.unwrap_or((false, false));
        self.parked -= usize::from(removed);
        if removed && empty {
            self.turns.retain(|flow| *flow != place.flow);
        }
    }

    /// Tenants with requests that wait for room.
    pub fn turns(&self) -> usize {
        self.turns.len()
    }

    /// The first request of the tenant whose turn it is to come in; the tenant goes to the end.
    pub fn next_turn(&mut self) -> Option<Key> {
        let flow = self.turns.pop_front()?;
        self.turns.push_back(flow);
        self.flows.get(flow)?.parked.first_key_value().map(|(_, request)| *request)
    }

    fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// The line of a tenant; tenants beyond the bound share one.
    fn line(&mut self, tenant: &Tenant) -> Key {
        if let Some(key) = self.by_tenant.get(tenant) {
            return *key;
        }
        if self.flows.len() >= self.most {
            self.forget_first_idle();
        }
        let others = Tenant::others();
        let tenant = if self.flows.len() < self.most { tenant } else { &others };
        if let Some(key) = self.by_tenant.get(tenant) {
            return *key;
        }
        let flow = Flow {
            tenant: tenant.clone(),
            tag: self.time,
            queued: BTreeMap::new(),
            tokens: 0,
            parked: BTreeMap::new(),
            parked_tokens: 0,
            came: 0,
            went: 0,
        };
        let key = self.flows.insert(flow);
        self.by_tenant.insert(tenant.clone(), key);
        key
    }

    /// Changes a line and puts it where it then belongs.
    fn change<T>(&mut self, key: Key, change: impl FnOnce(&mut Flow) -> T) -> Option<T> {
        let time = self.time;
        let flow = self.flows.get_mut(key)?;
        let was_ready = self.ready.remove(&(flow.tag, key));
        self.idle.remove(&(flow.tag, key));
        let result = change(flow);
        if !flow.queued.is_empty() {
            if !was_ready {
                flow.tag = flow.tag.max(time);
            }
            self.ready.insert((flow.tag, key));
        } else if flow.parked.is_empty() {
            self.idle.insert((flow.tag, key));
        }
        Some(result)
    }

    /// Forgets tenants whom remembering would make no difference.
    fn forget(&mut self) {
        // Where nobody waits, nobody was kept from anything.
        while self.idle.first().is_some_and(|(tag, _)| *tag <= self.time || self.ready.is_empty()) {
            self.forget_first_idle();
        }
    }

    fn forget_first_idle(&mut self) {
        if let Some((_, key)) = self.idle.pop_first()
            && let Some(flow) = self.flows.remove(key)
        {
            self.by_tenant.remove(&flow.tenant);
        }
    }
}
