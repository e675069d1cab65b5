//! The one way to a score.

use std::sync::Arc;
use std::thread::JoinHandle;

use rhumb_drift::action::is_anchor;
use rhumb_drift::{
    Calibration, ChainParameters, Effect, InputError, IntentIndex, Limits, Policy, SourceIndex, TextVectors,
};
use rhumb_models::encoder::{Encoder, EncoderInfo};
use rhumb_models::tokenizer::Tokenizer;
use tokio::sync::Semaphore;

use crate::answer::{Answer, Call, ScoreInput, Timings};
use crate::cache::{Key, key};
use crate::config::EngineConfig;
use crate::decision;
use crate::error::EngineError;
use crate::finish::Compared;
use crate::request::off_thread;
use crate::scheduler::{EncoderState, Scheduler, now};
use crate::spare::{Encoders, Spare, same_model};
use crate::stats::{Counted, EngineStats};
use crate::vectors::Vectors;
use crate::worker::Seat;

/// Scores actions. Cheap to clone; all clones share the encoders and the caches.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub tokenizer: Tokenizer,
    pub info: EncoderInfo,
    spare: Arc<Spare>,
    pub calibration: Calibration,
    calibration_id: String,
    chain_parameters: ChainParameters,
    pub policy: Policy,
    pub config: EngineConfig,
    pub scheduler: Arc<Scheduler>,
    pub intents: Counted<IntentIndex>,
    pub actions: Counted<Vectors>,
    pub contexts: Counted<SourceIndex>,
    decisions: Option<Counted<Answer>>,
    /// For comparisons that take long.
    heavy: Arc<Semaphore>,
}

impl Drop for Shared {
    /// The encoder threads end.
    fn drop(&mut self) {
        self.scheduler.close();
    }
}

/// Texts up to this many bytes are tokenized on the async thread: it takes less than handing them over.
pub(crate) const INLINE_BYTES: usize = 8 * 1024;
/// Up to this many pairs of an intent's and an action's token are compared on the async thread: a few milliseconds.
const INLINE_TOKEN_PAIRS: usize = 32 * 1024;
/// Tokens of the shortest text, with those that the model adds at both ends.
const LEAST_TOKENS: usize = 3;
/// As long as an ordinary action.
const WARM_UP: &str =
    "pay the electricity bill of last month to the account of the city and send the receipt to me";

impl Engine {
    /// Starts a thread for each encoder; all of them are to be the same model. They end when the last clone of the engine is
    /// dropped; the handles tell. Each one warms its encoder up first; see [`Engine::ready`]. What becomes of one whose device
    /// is lost is told at [`crate::spare`].
    ///
    /// # Errors
    /// If there is no encoder, if one is of another model, or if a thread cannot be started.
    pub fn start(
        tokenizer: Tokenizer,
        encoders: impl Into<Encoders>,
        calibration: Calibration,
        policy: Policy,
        config: EngineConfig,
    ) -> std::io::Result<(Self, Vec<JoinHandle<()>>)> {
        let Encoders { all, fallback } = encoders.into();
        let info = common(&all)?;
        let config = config.suited_to(&info);
        let scheduler = Arc::new(Scheduler::new(&config, all.len()));
        let decisions = config.decision_cache_mb;
        let shared = Arc::new(Shared {
            tokenizer,
            spare: Arc::new(Spare::new(fallback, info.clone())),
            info,
            calibration_id: calibration.id(),
            chain_parameters: calibration.chain(),
            calibration,
            policy,
            scheduler: Arc::clone(&scheduler),
            intents: Counted::new(config.intent_cache_mb, IntentIndex::bytes),
            actions: Counted::new(config.action_cache_mb, |v: &Vectors| v.vectors.bytes()),
            contexts: Counted::new(config.context_cache_mb, SourceIndex::bytes),
            decisions: (decisions > 0).then(|| Counted::new(decisions, decision::bytes)),
            heavy: Arc::new(Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from))),
            config: config.clone(),
        });
        let warm_up: Option<Arc<[u32]>> = shared.warm_up().map(Arc::from);
        let start = |(number, encoder): (usize, Box<dyn Encoder>)| {
            let (scheduler, spare) = (Arc::clone(&scheduler), Arc::clone(&shared.spare));
            let seat = Seat::new(scheduler, number, spare, config.clone(), warm_up.clone());
            std::thread::Builder::new()
                .name(format!("rhumb-encoder-{number}"))
                .spawn(move || seat.run(encoder))
        };
        let threads = all.into_iter().enumerate().map(start).collect::<Result<_, _>>()?;
        Ok((Self { shared }, threads))
    }

    /// What encodes: what stands in for the devices where all are lost.
    pub fn info(&self) -> &EncoderInfo {
        let shared = &self.shared;
        let spare = shared.scheduler.encoders().degraded.then(|| shared.spare.info()).flatten();
        spare.unwrap_or(&shared.info)
    }

    /// The encoders that are left.
    pub fn encoders(&self) -> EncoderState {
        self.shared.scheduler.encoders()
    }

    /// Waits until no encoder is left: then every request is refused with [`EngineError::NoEncoder`].
    pub async fn gone(&self) {
        self.shared.scheduler.gone().await;
    }

    /// Names the calibration in answers.
    pub fn calibration_id(&self) -> &str {
        &self.shared.calibration_id
    }

    /// What chains look like, for a [`ChainTracker`](rhumb_drift::ChainTracker).
    pub fn chain_parameters(&self) -> &ChainParameters {
        &self.shared.chain_parameters
    }

    /// The policy in force.
    pub fn policy(&self) -> &Policy {
        &self.shared.policy
    }

    /// The drift at and above which an action of this effect is no longer simply allowed.
    pub fn threshold(&self, effect: Effect) -> f64 {
        self.shared.calibration.call.threshold(effect)
    }

    /// What one request may carry.
    pub fn limits(&self) -> &Limits {
        &self.shared.config.limits
    }

    /// Waits until every encoder is warm and its speed measured. Requests are taken before that too.
    pub async fn ready(&self) {
        self.shared.scheduler.ready().await;
    }

    /// What was counted since the start.
    pub fn stats(&self) -> EngineStats {
        let shared = &self.shared;
        EngineStats {
            queue: shared.scheduler.stats(),
            encoders: shared.scheduler.encoders(),
            intents: shared.intents.stats(),
            actions: shared.actions.stats(),
            contexts: shared.contexts.stats(),
            decisions: shared.decisions.as_ref().map(Counted::stats).unwrap_or_default(),
        }
    }

    /// Scores one action.
    ///
    /// # Errors
    /// Input that cannot be scored, a full queue, a deadline that passed or cannot be kept, a failed encoder. Never an
    /// invented score.
    pub async fn score(&self, input: ScoreInput, call: &Call) -> Result<Answer, EngineError> {
        let Some(deadline) = call.deadline else { return self.score_inner(input, call).await };
        let scoring = self.score_inner(input, call);
        tokio::time::timeout_at(deadline.into(), scoring).await.unwrap_or(Err(EngineError::Deadline))
    }

    /// The pooled vector of a text, of its first window where it is long, L2-normalised: for reference banks.
    ///
    /// # Errors
    /// A full queue, a failed encoder, a text without tokens.
    pub async fn embed(&self, text: &str, call: &Call) -> Result<Vec<f32>, EngineError> {
        let vectors = self.shared.vectors(vec![text.to_owned()], call, &mut Timings::default()).await?;
        let first = vectors.first().and_then(|v| v.vectors.windows().first()).map(|w| w.pooled.clone());
        first.ok_or_else(|| InputError::new("text", "holds nothing that the model can read").into())
    }

    async fn score_inner(&self, input: ScoreInput, call: &Call) -> Result<Answer, EngineError> {
        let started = now();
        let shared = &self.shared;
        shared.check(&input)?;
        if !is_anchor(&input.intent.text) {
            return Ok(shared.without_anchor(&input.action, Vec::new(), started));
        }
        let big = input.size() > INLINE_BYTES;
        // Of a big request even the digest costs more than an early refusal may.
        if big {
            shared.check_load(&input, call)?;
        }
        let (input, key) = shared.key(input, big).await?;
        if let Some(answer) = key.and_then(|key| shared.decision(&key, started)) {
            return Ok(answer);
        }
        if !big {
            shared.check_load(&input, call)?;
        }
        let answer = self.compute(input, call, big, started).await?;
        if let (Some(decisions), Some(key), Some(_)) = (&shared.decisions, key, answer.drift) {
            decisions.insert(key, Arc::new(answer.clone()));
        }
        Ok(answer)
    }

    async fn compute(
        &self,
        input: ScoreInput,
        call: &Call,
        big: bool,
        started: std::time::Instant,
    ) -> Result<Answer, EngineError> {
        let shared = &self.shared;
        let mut request = {
            let shared = Arc::clone(shared);
            off_thread(big, move || shared.prepare(input)).await?
        };
        let mut timings = Timings::default();
        // What cleaning leaves as punctuation, or as nothing that the model can read, is no anchor either.
        if !is_anchor(&request.intent.text().text) {
            return Ok(shared.without_anchor(&request.action.action, request.action.findings, started));
        }
        let (intent, main, side) = shared.all_vectors(&mut request, call, &mut timings).await?;
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

/// What all encoders are. Vectors of different models cannot be compared.
fn common(encoders: &[Box<dyn Encoder>]) -> std::io::Result<EncoderInfo> {
    let invalid = |problem| std::io::Error::new(std::io::ErrorKind::InvalidInput, problem);
    let first = encoders.first().ok_or_else(|| invalid("there is no encoder"))?.info();
    match encoders.iter().all(|encoder| same_model(first, encoder.info())) {
        true => Ok(first.clone()),
        false => Err(invalid("the encoders are of different models")),
    }
}

fn has_tokens(vectors: &TextVectors) -> bool {
    vectors.token_count() > 0
}

impl Shared {
    /// A text for the warm-up, as the model reads it.
    fn warm_up(&self) -> Option<Vec<u32>> {
        let windows = self.tokenizer.windows(WARM_UP, self.rule()).ok()?.windows;
        self.config.warm_up.then(|| windows.into_iter().next().map(|window| window.ids)).flatten()
    }

    /// Refuses what is bound to be refused, before it is cleaned and tokenized. That the action's vectors may be at hand is
    /// not known before it is cleaned, and not waited for.
    fn check_load(&self, input: &ScoreInput, call: &Call) -> Result<(), EngineError> {
        let texts = if self.intents.contains(&key(&input.intent.text)) { 1 } else { 2 };
        self.scheduler.check(call, texts * LEAST_TOKENS)
    }

    /// The key of a request in the cache of decisions, if there is one.
    async fn key(&self, input: ScoreInput, big: bool) -> Result<(ScoreInput, Option<Key>), EngineError> {
        if self.decisions.is_none() {
            return Ok((input, None));
        }
        off_thread(big, move || {
            let key = decision::key(&input);
            Ok((input, key))
        })
        .await
    }

    /// An answer that was given before, with the times of this one: nothing was queued, nothing was computed.
    fn decision(&self, key: &Key, started: std::time::Instant) -> Option<Answer> {
        let found = self.decisions.as_ref()?.get(key)?;
        let timings = Timings {
            total: now().saturating_duration_since(started),
            intent_cached: true,
            action_cached: true,
            decision_cached: true,
            ..Timings::default()
        };
        Some(Answer { timings, ..(*found).clone() })
    }
}
