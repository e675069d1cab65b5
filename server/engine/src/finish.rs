//! Vectors and text to an answer.

use std::sync::Arc;
use std::time::Instant;

use rhumb_drift::features::Measured;
use rhumb_drift::{Action, ContextItem, Evidence, IntentIndex, Prepared, SourceIndex, Status, score};

use crate::answer::{Answer, Timings};
use crate::cache::key;
use crate::engine::Shared;
use crate::scheduler::now;
use crate::vectors::Vectors;

/// All that is compared.
pub(crate) struct Compared {
    pub action: Prepared,
    pub main: Arc<Vectors>,
    pub side: Option<(Box<Prepared>, Arc<Vectors>)>,
    pub intent: Arc<IntentIndex>,
    pub context: Vec<ContextItem>,
}

impl Shared {
    pub(crate) fn without_anchor(&self, action: &Action, findings: Vec<String>, started: Instant) -> Answer {
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
            timings: Timings { total: now().saturating_duration_since(started), ..Timings::default() },
        }
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

    pub(crate) fn finish(&self, compared: &Compared, mut timings: Timings, started: Instant) -> Answer {
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
        timings.total = now().saturating_duration_since(started);
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
