//! Texts to vectors: from the caches, or through the tokenizer and the queue.

use std::ops::Range;
use std::sync::Arc;

use rhumb_drift::{IntentIndex, TextVectors, Window};
use rhumb_models::encoder::Encoding;
use rhumb_models::tokenizer::{TokenWindow, Tokenizer, WindowRule};

use crate::answer::{Call, Timings};
use crate::cache::key;
use crate::engine::{INLINE_BYTES, Shared};
use crate::error::EngineError;
use crate::request::{Anchor, Request};
use crate::schedule::{Computed, Text};
use crate::scheduler::Made;

/// No token of a vocabulary is as long.
const WORD_BYTES: usize = 100;

/// A text as vectors, and whether it was seen whole.
pub(crate) struct Vectors {
    pub vectors: TextVectors,
    pub truncated: bool,
}

/// Offsets of each window, and whether something was left out.
struct Read {
    offsets: Vec<Vec<Range<usize>>>,
    truncated: bool,
}

impl Shared {
    pub(crate) fn rule(&self) -> WindowRule {
        WindowRule {
            max_length: self.info.max_length,
            overlap: self.config.window_overlap,
            max_windows: self.config.max_windows,
        }
    }

    /// Vectors of the request, the action and what stands beside it. What is not at hand goes to the encoder: it is
    /// admitted as a whole.
    pub(crate) async fn all_vectors(
        self: &Arc<Self>,
        request: &mut Request,
        call: &Call,
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
        let mut made = self.vectors(wanted, call, timings).await?.into_iter();
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

    /// Vectors of all `texts`, in their order. They are admitted together.
    pub(crate) async fn vectors(
        self: &Arc<Self>,
        texts: Vec<String>,
        call: &Call,
        timings: &mut Timings,
    ) -> Result<Vec<Vectors>, EngineError> {
        let (mut read, mut wanted) = (Vec::with_capacity(texts.len()), Vec::with_capacity(texts.len()));
        for text in texts {
            let key = key(&text);
            let (windows, cut) = self.tokenize(text, self.rule()).await?;
            let (ids, offsets): (Vec<_>, Vec<_>) = windows.into_iter().map(|w| (w.ids, w.offsets)).unzip();
            // A tokenizer gives up on a word that is too long and makes one unknown token of it: the model never sees it.
            let unread = offsets.iter().flatten().any(|o: &Range<usize>| o.len() > WORD_BYTES);
            read.push(Read { offsets, truncated: cut || unread });
            wanted.push(Text { key, windows: ids.into() });
        }
        if read.is_empty() {
            return Ok(Vec::new());
        }
        let encoded = self.scheduler.encode(call, wanted).await?;
        timings.queue += encoded.queue;
        timings.encode += encoded.encode;
        let width = self.info.width;
        Ok(read.into_iter().zip(encoded.texts).map(|(read, text)| read.with(&text, width)).collect())
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
}

impl Read {
    fn with(self, computed: &Computed<Made>, width: usize) -> Vectors {
        let degraded = computed.windows.iter().any(|made| made.degraded);
        let windows = self.offsets.into_iter().zip(&computed.windows);
        let windows = windows.map(|(offsets, made)| window(offsets, &made.encoding, width)).collect();
        let vectors = TextVectors::new(width, windows).degraded(degraded);
        Vectors { vectors, truncated: self.truncated }
    }
}

/// Puts offsets and vectors together, without the special tokens at both ends. Copies: an equal text may have been asked for
/// by somebody else too.
fn window(offsets: Vec<Range<usize>>, encoding: &Encoding, width: usize) -> Window {
    let inner = encoding.tokens.len().saturating_sub(width);
    let tokens = encoding.tokens.get(width..inner).unwrap_or_default().to_vec();
    Window { pooled: encoding.pooled.clone(), tokens, offsets }
}
