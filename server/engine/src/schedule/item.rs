//! What waits: texts, and the requests that they belong to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rhumb_drift::InputError;

use super::arena::Key;
use super::lane::Lane;
use crate::cache::Key as TextKey;

/// Bytes of a tenant's name at most.
const TENANT_BYTES: usize = 128;

/// On whose account a request is computed. Callers that name none are one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tenant(Arc<str>);

impl Default for Tenant {
    fn default() -> Self {
        Self("".into())
    }
}

impl Tenant {
    /// A tenant of this name.
    ///
    /// # Errors
    /// Unless the name is 1 to 128 visible ASCII characters.
    pub fn new(name: &str) -> Result<Self, InputError> {
        let good = (1..=TENANT_BYTES).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic());
        let problem = "is not 1 to 128 visible ASCII characters";
        if good { Ok(Self(name.into())) } else { Err(InputError::new("rhumb-tenant", problem)) }
    }

    /// Its name; empty for callers that name none.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Who shares an account because too many tenants are there at once. No caller can have this name.
    pub(super) fn others() -> Self {
        Self(" others".into())
    }
}

/// What to do where there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Refuse at once: for callers in the path of an action.
    Refuse,
    /// Wait for room: for files and batches.
    Wait,
}

/// A text as token ids.
#[derive(Debug, Clone)]
pub struct Text {
    /// Digest of the text: equal texts are computed once.
    pub key: TextKey,
    /// Token ids of each window, special tokens included.
    pub windows: Arc<[Vec<u32>]>,
}

impl Text {
    /// Tokens of all windows.
    pub fn tokens(&self) -> usize {
        self.windows.iter().map(Vec::len).sum()
    }
}

/// Texts that are wanted together; they are admitted together or not at all.
#[derive(Debug)]
pub struct Request<R> {
    /// How urgent.
    pub lane: Lane,
    /// On whose account.
    pub tenant: Tenant,
    /// When nobody will want the answer any more.
    pub deadline: Option<Instant>,
    /// What to do where there is no room.
    pub admission: Admission,
    /// What is to be computed.
    pub texts: Vec<Text>,
    /// Where the answer goes.
    pub reply: R,
}

/// One text, computed. `E` is the encoder's answer for one window.
#[derive(Debug)]
pub struct Computed<E> {
    /// In the order of the windows.
    pub windows: Vec<E>,
    pub(super) taken: Instant,
    pub(super) finished: Instant,
}

/// Why a request was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Too much is before it.
    Overloaded {
        /// When the same request would probably be taken.
        retry_after: Duration,
    },
    /// It would be too late even if nobody else were there.
    Deadline,
}

/// How a request ended.
#[derive(Debug)]
pub enum Outcome<E> {
    /// All its texts, in order.
    Done {
        /// The texts; shared with others who asked for the same.
        texts: Vec<Arc<Computed<E>>>,
        /// Until the encoder took the text that was finished last.
        queue: Duration,
        /// From then until that text was finished.
        encode: Duration,
    },
    /// Its deadline cannot be met any more.
    Expired,
    /// The encoder failed.
    Failed(Arc<str>),
}

/// A request that was taken.
#[derive(Debug)]
pub(super) struct Pending<R, E> {
    pub lane: Lane,
    pub tenant: Tenant,
    pub deadline: Option<Instant>,
    /// It was taken against the estimate, to measure anew.
    pub probe: bool,
    pub submitted: Instant,
    pub reply: R,
    pub state: State,
    pub results: Vec<Option<Arc<Computed<E>>>>,
    pub missing: usize,
}

/// Where a request is.
#[derive(Debug)]
pub(super) enum State {
    /// Waiting for room.
    Parked { place: Place, texts: Vec<Text> },
    /// Its texts are queued or in encoders: their keys.
    Queued(Vec<Key>),
}

/// Where something stands in the line of its tenant.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub flow: Key,
    pub seq: u64,
    /// Tokens that the tenant's line had ever taken in before.
    pub position: u64,
}

impl Place {
    /// Before there is a place: names no line.
    pub fn nowhere() -> Self {
        Self { flow: Key::none(), seq: 0, position: 0 }
    }
}

/// A text that is queued, in encoders, or in part both.
#[derive(Debug)]
pub(super) struct Item<E> {
    pub text: Text,
    pub lane: Lane,
    pub place: Place,
    /// Request, and which of its texts this is.
    pub waiters: Vec<(Key, usize)>,
    /// The first window that no batch has taken.
    pub next: usize,
    /// Tokens of the windows that no batch has taken.
    pub left: usize,
    pub taken: Option<Instant>,
    pub done: Vec<Option<E>>,
    pub undone: usize,
}

impl<E> Item<E> {
    /// Whether no window waits any more: all are in encoders. A text without windows never gets there.
    pub fn is_taken(&self) -> bool {
        let windows = self.text.windows.len();
        windows > 0 && self.next >= windows
    }
}
