//! From what came in to what is compared.

use std::sync::Arc;

use rhumb_drift::action::check_context;
use rhumb_drift::clean::{clean_at, named};
use rhumb_drift::{ContextItem, IntentIndex, IntentText, Prepared};
use serde_json::{Map, Value};

use crate::answer::ScoreInput;
use crate::cache::key;
use crate::engine::Shared;
use crate::error::EngineError;

/// A request, ready for the encoder.
pub(crate) struct Request {
    pub intent: Anchor,
    pub action: Prepared,
    pub context: Vec<ContextItem>,
}

/// The originating request: at hand, or still without its vectors.
pub(crate) enum Anchor {
    Cached(Arc<IntentIndex>),
    Fresh(Box<IntentText>),
}

impl Default for Anchor {
    fn default() -> Self {
        Self::Fresh(Box::default())
    }
}

impl Anchor {
    pub fn text(&self) -> &IntentText {
        match self {
            Self::Cached(index) => &index.text,
            Self::Fresh(text) => text,
        }
    }
}

impl ScoreInput {
    /// Rough bytes of what has to be read.
    pub(crate) fn size(&self) -> usize {
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
pub(crate) async fn off_thread<T: Send + 'static>(
    big: bool,
    work: impl FnOnce() -> Result<T, EngineError> + Send + 'static,
) -> Result<T, EngineError> {
    if !big {
        return work();
    }
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(EngineError::Stopped))
}

impl Shared {
    pub(crate) fn check(&self, input: &ScoreInput) -> Result<(), EngineError> {
        let limits = &self.config.limits;
        input.intent.check(limits)?;
        input.action.check(limits)?;
        Ok(check_context(&input.context, limits)?)
    }

    pub(crate) fn prepare(&self, input: ScoreInput) -> Result<Request, EngineError> {
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
}
