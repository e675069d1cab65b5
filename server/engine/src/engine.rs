//! The way of one request.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use moka::sync::Cache;
use rhumb_drift::action::{check_context, is_anchor};
use rhumb_drift::clean::{clean_at, named};
use rhumb_drift::features::Measured;
use rhumb_drift::{
    Action, Calibration, ContextItem, Evidence, InputError, IntentIndex, IntentText, Policy, Prepared,
    SourceIndex, Status, TextVectors, Window, score,
};
use rhumb_models::encoder::{Encoder, EncoderInfo, Encoding};
use rhumb_models::tokenizer::{TokenWindow, Tokenizer, WindowRule};
use serde_json::{Map, Value};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::answer::{Answer, ScoreInput, Timings};
use crate::cache::{Key, cache, key};
use crate::config::EngineConfig;
use crate::error::EngineError;
use crate::worker::{Counters, Encoded, Job, run};

/// What to do where the queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Refuse at once: for callers in the path of an action.
    Refuse,
    /// Wait for a place: for files and batches.
    Wait,
}

/// Scores actions. Cheap to clone; all clones share one encoder and its caches.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    tokenizer: Tokenizer,
    info: EncoderInfo,
    calibration: Calibration,
    calibration_id: String,
    policy: Policy,
    config: EngineConfig,
    jobs: mpsc::Sender<Job>,
    intents: Cache<Key, Arc<IntentIndex>>,
    actions: Cache<Key, Arc<Vectors>>,
    contexts: Cache<Key, Arc<SourceIndex>>,
    /// For comparisons that take long.
    heavy: Arc<Semaphore>,
    /// For texts of callers that wait: they never fill more than half of the queue, so that callers who may not wait
    /// still find a place.
    patient: Semaphore,
    counters: Arc<Counters>,
}

/// A text as vectors, and whether it was seen whole.
struct Vectors {
    vectors: TextVectors,
    truncated: bool,
}

/// A request, ready for the encoder.
struct Request {
    intent: Anchor,
    action: Prepared,
    context: Vec<ContextItem>,
}

/// The originating request: at hand, or still without its vectors.
enum Anchor {
    Cached(Arc<IntentIndex>),
    Fresh(Box<IntentText>),
}

impl Default for Anchor {
    fn default() -> Self {
        Self::Fresh(Box::default())
    }
}

impl Anchor {
    fn text(&self) -> &IntentText {
        match self {
            Self::Cached(index) => &index.text,
            Self::Fresh(text) => text,
        }
    }
}

/// No token of a vocabulary is as long.
const WORD_BYTES: usize = 100;
/// Texts up to this many bytes are tokenized on the async thread: it takes less than handing them over.
const INLINE_BYTES: usize = 8 * 1024;
/// Up to this many pairs of an intent's and an action's token are compared on the async thread: a few milliseconds.
const INLINE_TOKEN_PAIRS: usize = 32 * 1024;

impl Engine {
    /// Starts the encoder thread. It ends when the last clone of the engine is dropped; the handle tells.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(
        tokenizer: Tokenizer,
        mut encoder: Box<dyn Encoder>,
        calibration: Calibration,
        policy: Policy,
        config: EngineConfig,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (jobs, receiver) = mpsc::channel(config.queue.max(1));
        let counters = Arc::new(Counters::default());
        let info = encoder.info().clone();
        let (budget, worker_counters) = (config.batch_tokens, Arc::clone(&counters));
        let thread = std::thread::Builder::new()
            .name("rhumb-encoder".into())
            .spawn(move || run(receiver, encoder.as_mut(), budget, &worker_counters))?;
        let shared = Shared {
            tokenizer,
            info,
            calibration_id: calibration.id(),
            calibration,
            policy,
            jobs,
            intents: cache(config.intent_cache_mb, IntentIndex::bytes),
            actions: cache(config.action_cache_mb, |v: &Vectors| v.vectors.bytes()),
            contexts: cache(config.context_cache_mb, SourceIndex::bytes),
            heavy: Arc::new(Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from))),
            patient: Semaphore::new(config.queue.div_ceil(2).max(1)),
            config,
            counters,
        };
        Ok((Self { shared: Arc::new(shared) }, thread))
    }

    /// What encodes.
    pub fn info(&self) -> &EncoderInfo {
        &self.shared.info
    }

    /// Names the calibration in answers.
    pub fn calibration_id(&self) -> &str {
        &self.shared.calibration_id
    }

    /// The policy in force.
    pub fn policy(&self) -> &Policy {
        &self.shared.policy
    }

    /// Counters of the encoder thread.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Scores one action.
    ///
    /// # Errors
    /// Input that cannot be scored, a full queue, a passed deadline, a failed encoder. Never an invented score.
    pub async fn score(
        &self,
        input: ScoreInput,
        deadline: Option<Instant>,
        admission: Admission,
    ) -> Result<Answer, EngineError> {
        let Some(deadline) = deadline else {
            return self.score_inner(input, None, admission).await;
        };
        let scoring = self.score_inner(input, Some(deadline), admission);
        tokio::time::timeout_at(deadline.into(), scoring).await.unwrap_or(Err(EngineError::Deadline))
    }

    /// The pooled vector of a text, of its first window where it is long, L2-normalised: for reference banks.
    ///
    /// # Errors
    /// A full queue, a failed encoder, a text without tokens.
    pub async fn embed(&self, text: &str, admission: Admission) -> Result<Vec<f32>, EngineError> {
        let texts = vec![text.to_owned()];
        let vectors = self.shared.vectors(texts, None, admission, &mut Timings::default()).await?;
        let first = vectors.first().and_then(|v| v.vectors.windows().first()).map(|w| w.pooled.clone());
        first.ok_or_else(|| InputError::new("text", "holds nothing that the model can read").into())
    }

    async fn score_inner(
        &self,
        input: ScoreInput,
        deadline: Option<Instant>,
        admission: Admission,
    ) -> Result<Answer, EngineError> {
        let started = Instant::now();
        let shared = &self.shared;
        shared.check(&input)?;
        if !is_anchor(&input.intent.text) {
            return Ok(shared.without_anchor(&input.action, Vec::new(), started));
        }
        let big = input.size() > INLINE_BYTES;
        let mut request = {
            let shared = Arc::clone(shared);
            off_thread(big, move || shared.prepare(input)).await?
        };
        let mut timings = Timings::default();
        // What cleaning leaves as punctuation, or as nothing that the model can read, is no anchor either.
        if !is_anchor(&request.intent.text().text) {
            return Ok(shared.without_anchor(&request.action.action, request.action.findings, started));
        }
        let (intent, main, side) =
            shared.all_vectors(&mut request, deadline, admission, &mut timings).await?;
        if !has_tokens(&intent.vectors) {
            return Ok(shared.without_anchor(&request.action.action, request.action.findings, started));
        }
        if !has_tokens(&main.vectors) {
            return Err(InputError::new("action", "holds nothing that the model can read").into());
        }
        let side = request.action.side.take().zip(side);
        let compared = Compared { action: request.action, main, side, intent, context: request.context };
        let pairs = compared.intent.vectors.token_count() * compared.main.vectors.token_count();
        if !big && pairs <= INLINE_TOKEN_PAIRS {
            return Ok(shared.finish(&compared, timings, started));
        }
        // A comparison that has begun cannot be stopped, so only as many run as there are cores, whoever has left.
        let permit = Arc::clone(&shared.heavy).acquire_owned().await.map_err(|_| EngineError::Stopped)?;
        let shared = Arc::clone(shared);
        off_thread(true, move || {
            let _held = permit;
            Ok(shared.finish(&compared, timings, started))
        })
        .await
    }
}

/// All that is compared.
struct Compared {
    action: Prepared,
    main: Arc<Vectors>,
    side: Option<(Box<Prepared>, Arc<Vectors>)>,
    intent: Arc<IntentIndex>,
    context: Vec<ContextItem>,
}

impl ScoreInput {
    /// Rough bytes of what has to be read.
    fn size(&self) -> usize {
        let action = &self.action;
        let object =
            |map: &Map<String, Value>| -> usize { map.iter().map(|(k, v)| k.len() + value_size(v)).sum() };
        let json = object(&action.arguments) + action.input_schema.as_ref().map_or(0, object);
        let context: usize = self.context.iter().map(|c| c.text.len()).sum();
        self.intent.text.len() + action.text.len() + action.tool_description.len() + json + context
    }
}

fn value_size(value: &Value) -> usize {
    match value {
        Value::String(s) => s.len() + size_of::<Value>(),
        Value::Array(items) => items.iter().map(value_size).sum(),
        Value::Object(map) => map.iter().map(|(k, v)| k.len() + value_size(v)).sum(),
        _ => size_of::<Value>(),
    }
}

/// Runs `work` here if it is small, else on a thread that may block.
async fn off_thread<T: Send + 'static>(
    big: bool,
    work: impl FnOnce() -> Result<T, EngineError> + Send + 'static,
) -> Result<T, EngineError> {
    if !big {
        return work();
    }
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(EngineError::Stopped))
}

fn has_tokens(vectors: &TextVectors) -> bool {
    vectors.token_count() > 0
}

impl Shared {
    fn check(&self, input: &ScoreInput) -> Result<(), EngineError> {
        let limits = &self.config.limits;
        input.intent.check(limits)?;
        input.action.check(limits)?;
        Ok(check_context(&input.context, limits)?)
    }

    fn rule(&self) -> WindowRule {
        WindowRule {
            max_length: self.info.max_length,
            overlap: self.config.window_overlap,
            max_windows: self.config.max_windows,
        }
    }

    fn prepare(&self, input: ScoreInput) -> Result<Request, EngineError> {
        let intent = match self.intents.get(&key(&input.intent.text)) {
            Some(found) => Anchor::Cached(found),
            None => Anchor::Fresh(Box::new(IntentText::of(&input.intent.text))),
        };
        let mut action = Prepared::of(&input.action, intent.text(), self.config.action_bytes);
        // What cleans to nothing is nothing.
        action.action.check(&self.config.limits)?;
        let context = self.clean_context(input.context, &mut action.findings);
        Ok(Request { intent, action, context })
    }

    /// Cleans context within its byte budget; what is beyond it cannot vouch, which is the safe side.
    fn clean_context(&self, items: Vec<ContextItem>, findings: &mut Vec<String>) -> Vec<ContextItem> {
        let mut left = self.config.context_bytes;
        // What may vouch comes first: untrusted text must not push it out.
        let (trusted, untrusted): (Vec<_>, Vec<_>) = items.into_iter().partition(|i| i.trusted);
        let mut cut = false;
        let mut found = Vec::new();
        let mut cleaned = Vec::with_capacity(trusted.len() + untrusted.len());
        for item in trusted.into_iter().chain(untrusted) {
            let end = rhumb_drift::render::floor_boundary(&item.text, left);
            cut |= end < item.text.len();
            let text = item.text.get(..end).unwrap_or_default();
            left -= end;
            cleaned.push(ContextItem { text: clean_at(text, "context", &mut found), ..item });
        }
        findings.extend(named(&found));
        if cut {
            findings.push("context_cut".to_owned());
        }
        cleaned
    }

    fn without_anchor(&self, action: &Action, findings: Vec<String>, started: Instant) -> Answer {
        let threshold = self.calibration.call.threshold(action.effect);
        Answer {
            status: Status::NoAnchor,
            drift: None,
            similarity: None,
            decision: self.policy.decide(Status::NoAnchor, None, threshold, action.effect),
            threshold,
            evidence: Evidence { findings, ..Evidence::default() },
            features: None,
            tokens: 0,
            windows: 0,
            timings: Timings { total: started.elapsed(), ..Timings::default() },
        }
    }

    /// Vectors of the request, the action and what stands beside it. What is not at hand goes to the encoder as one job:
    /// it is admitted as a whole, and computed in one batch.
    async fn all_vectors(
        self: &Arc<Self>,
        request: &mut Request,
        deadline: Option<Instant>,
        admission: Admission,
        timings: &mut Timings,
    ) -> Result<(Arc<IntentIndex>, Arc<Vectors>, Option<Arc<Vectors>>), EngineError> {
        let fresh = match &request.intent {
            Anchor::Cached(_) => None,
            Anchor::Fresh(text) => Some(text.text.clone()),
        };
        let action_texts: Vec<&str> = std::iter::once(&request.action.main)
            .chain(request.action.side.iter().map(|side| &side.main))
            .map(|rendering| rendering.text.as_str())
            .collect();
        let cached: Vec<_> = action_texts.iter().map(|text| self.actions.get(&key(text))).collect();
        let missing = action_texts.iter().zip(&cached).filter(|(_, found)| found.is_none());
        let wanted: Vec<String> =
            fresh.clone().into_iter().chain(missing.map(|(t, _)| (*t).to_owned())).collect();
        timings.intent_cached = fresh.is_none();
        timings.action_cached = cached.iter().any(Option::is_some);
        let mut made = self.vectors(wanted, deadline, admission, timings).await?.into_iter();
        let of_intent = if fresh.is_some() { made.next() } else { None };
        let mut actions = Vec::with_capacity(cached.len());
        for (text, found) in action_texts.iter().zip(cached) {
            let vectors = match found {
                Some(found) => found,
                None => self.keep_action(text, made.next().ok_or(EngineError::Stopped)?),
            };
            actions.push(vectors);
        }
        let mut actions = actions.into_iter();
        let main = actions.next().ok_or(EngineError::Stopped)?;
        let intent = self.index(std::mem::take(&mut request.intent), of_intent)?;
        Ok((intent, main, actions.next()))
    }

    fn keep_action(&self, text: &str, vectors: Vectors) -> Arc<Vectors> {
        let vectors = Arc::new(vectors);
        self.actions.insert(key(text), Arc::clone(&vectors));
        vectors
    }

    fn index(&self, anchor: Anchor, vectors: Option<Vectors>) -> Result<Arc<IntentIndex>, EngineError> {
        let (text, vectors) = match (anchor, vectors) {
            (Anchor::Cached(found), _) => return Ok(found),
            (Anchor::Fresh(text), Some(vectors)) => (text, vectors),
            (Anchor::Fresh(_), None) => return Err(EngineError::Stopped),
        };
        let key = key(&text.original);
        let bank = &self.calibration.bank;
        let index = Arc::new(IntentIndex::new(*text, vectors.vectors, vectors.truncated, bank));
        self.intents.insert(key, Arc::clone(&index));
        Ok(index)
    }

    /// Vectors of all `texts`, in their order, from one job.
    async fn vectors(
        self: &Arc<Self>,
        texts: Vec<String>,
        deadline: Option<Instant>,
        admission: Admission,
        timings: &mut Timings,
    ) -> Result<Vec<Vectors>, EngineError> {
        let mut read = Vec::with_capacity(texts.len());
        for text in texts {
            read.push(self.tokenize(text, self.rule()).await?);
        }
        if read.is_empty() {
            return Ok(Vec::new());
        }
        let ids = read.iter().flat_map(|(windows, _)| windows.iter().map(|w| w.ids.clone())).collect();
        let encoded = self.encode(ids, deadline, admission).await?;
        timings.queue += encoded.queue;
        timings.encode += encoded.encode;
        let mut encodings = encoded.encodings.into_iter();
        let width = self.info.width;
        let of_text = |(windows, cut): (Vec<TokenWindow>, bool)| {
            // A tokenizer gives up on a word that is too long and makes one unknown token of it: the model never sees it.
            let unread = windows.iter().any(|w| w.offsets.iter().any(|o| o.len() > WORD_BYTES));
            let windows =
                windows.into_iter().zip(encodings.by_ref()).map(|(w, e)| window(w, e, width)).collect();
            Vectors { vectors: TextVectors::new(width, windows), truncated: cut || unread }
        };
        Ok(read.into_iter().map(of_text).collect())
    }

    async fn tokenize(
        self: &Arc<Self>,
        text: String,
        rule: WindowRule,
    ) -> Result<(Vec<TokenWindow>, bool), EngineError> {
        let failed = |e: rhumb_models::encoder::EncoderError| EngineError::Encoder(e.to_string());
        let cut = move |t: &Tokenizer, text: &str| {
            t.windows(text, rule).map(|w| (w.windows, w.truncated)).map_err(failed)
        };
        if text.len() <= INLINE_BYTES {
            return cut(&self.tokenizer, &text);
        }
        let shared = Arc::clone(self);
        let work = move || cut(&shared.tokenizer, &text);
        tokio::task::spawn_blocking(work).await.unwrap_or(Err(EngineError::Stopped))
    }

    async fn encode(
        &self,
        windows: Vec<Vec<u32>>,
        deadline: Option<Instant>,
        admission: Admission,
    ) -> Result<Encoded, EngineError> {
        let (reply, answer) = oneshot::channel();
        let _place = match admission {
            Admission::Wait => Some(self.patient.acquire().await.map_err(|_| EngineError::Stopped)?),
            Admission::Refuse => None,
        };
        let job = Job { windows, deadline, queued: Instant::now(), reply };
        match admission {
            Admission::Refuse => self.jobs.try_send(job).map_err(|e| match e {
                mpsc::error::TrySendError::Full(_) => EngineError::Overloaded,
                mpsc::error::TrySendError::Closed(_) => EngineError::Stopped,
            })?,
            Admission::Wait => self.jobs.send(job).await.map_err(|_| EngineError::Stopped)?,
        }
        answer.await.unwrap_or(Err(EngineError::Stopped))
    }

    fn source(&self, text: &str) -> Arc<SourceIndex> {
        let make = || Arc::new(SourceIndex::of(text));
        self.contexts.get_with(key(text), make)
    }

    /// All context of one kind as one source: looking a value up costs the same however many items there are.
    fn sources(&self, context: &[ContextItem], trusted: bool) -> Arc<SourceIndex> {
        let items = context.iter().filter(|c| c.trusted == trusted);
        self.source(&items.map(|c| c.text.as_str()).collect::<Vec<_>>().join("\n"))
    }

    fn finish(&self, compared: &Compared, mut timings: Timings, started: Instant) -> Answer {
        let begun = Instant::now();
        let (trusted, untrusted) =
            (self.sources(&compared.context, true), self.sources(&compared.context, false));
        let main = &compared.main;
        let measured = Measured {
            prepared: &compared.action,
            vectors: &main.vectors,
            intent: &compared.intent,
            bank: &self.calibration.bank,
            trusted: &trusted,
            untrusted: &untrusted,
        };
        let side = compared.side.as_ref();
        let side_measured =
            side.map(|(prepared, vectors)| Measured { prepared, vectors: &vectors.vectors, ..measured });
        let cut = compared.action.main.cut
            || main.truncated
            || side.is_some_and(|(prepared, vectors)| prepared.main.cut || vectors.truncated);
        let scored = score(&self.calibration, measured, side_measured, cut);
        let effect = compared.action.action.effect;
        let threshold = scored.threshold;
        timings.drift = begun.elapsed();
        timings.total = started.elapsed();
        Answer {
            status: scored.status,
            drift: Some(scored.drift),
            similarity: scored.similarity,
            decision: self.policy.decide(scored.status, Some(scored.drift), threshold, effect),
            threshold,
            evidence: scored.evidence,
            features: Some(scored.features),
            tokens: main.vectors.token_count(),
            windows: main.vectors.windows().len(),
            timings,
        }
    }
}

/// Puts ids and vectors together, without the special tokens at both ends.
fn window(ids: TokenWindow, encoding: Encoding, width: usize) -> Window {
    let inner = encoding.tokens.len().saturating_sub(width);
    let tokens = encoding.tokens.get(width..inner).unwrap_or_default().to_vec();
    Window { pooled: encoding.pooled, tokens, offsets: ids.offsets }
}

/// How long a caller that was refused should wait before it asks again.
pub const RETRY_AFTER: Duration = Duration::from_millis(100);
