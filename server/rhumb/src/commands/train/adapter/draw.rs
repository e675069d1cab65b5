//! Batches, drawn from labelled actions.

use std::collections::BTreeMap;

use rhumb_drift::{Action, IntentText, Prepared};
use rhumb_models::adapter::Batch;
use rhumb_models::tokenizer::{Tokenizer, WindowRule};

use super::super::super::labelled::Labelled;
use super::super::super::random::SplitMix;
use super::negatives::{Negatives, attacked};
use crate::cli::Wrong;
use crate::failure::Failure;

/// Bytes of a rendering.
const BYTES: usize = 2048;
/// Tokens of a text: the longest in a batch decides what all of them cost.
const TOKENS: usize = 160;

/// A request with its labelled actions.
#[derive(Default)]
struct Request<'a> {
    text: &'a str,
    aligned: Vec<&'a Action>,
    drifted: Vec<&'a Action>,
}

/// The requests of a family, and in which order they come.
struct Family<'a> {
    requests: Vec<Request<'a>>,
    order: Vec<usize>,
}

/// Draws batches; the same seed draws the same ones.
pub struct Draw<'a> {
    families: Vec<Family<'a>>,
    negatives: Negatives,
    drifted: Vec<&'a Action>,
    wrong: &'a [Wrong],
    tokenizer: &'a Tokenizer,
    random: SplitMix,
}

impl<'a> Draw<'a> {
    /// Groups the actions by family and request; requests without an aligned action are left out.
    pub fn of(
        lines: &'a [Labelled],
        wrong: &'a [Wrong],
        tokenizer: &'a Tokenizer,
        seed: u64,
    ) -> Result<Self, Failure> {
        let mut families: BTreeMap<&str, BTreeMap<&str, Request<'a>>> = BTreeMap::new();
        for line in lines {
            let family = families.entry(&line.family).or_default();
            let request = family.entry(&line.intent).or_default();
            request.text = &line.input.intent.text;
            let actions = if line.drifted { &mut request.drifted } else { &mut request.aligned };
            actions.push(&line.input.action);
        }
        let families = families.into_values().map(|requests| {
            let requests = requests.into_values().filter(|r| !r.aligned.is_empty()).collect();
            Family { requests, order: Vec::new() }
        });
        let families: Vec<_> = families.filter(|f| !f.requests.is_empty()).collect();
        if families.is_empty() {
            return Err(Failure::input("training needs requests with aligned actions"));
        }
        Ok(Self {
            families,
            negatives: Negatives::of(lines),
            drifted: lines.iter().filter(|l| l.drifted).map(|l| &l.input.action).collect(),
            wrong,
            tokenizer,
            random: SplitMix::named(seed, "batches"),
        })
    }

    /// The next batch, of so many requests.
    pub fn batch(&mut self, size: usize) -> Result<Batch, Failure> {
        let (mut batch, mut wrong) = (Batch::default(), Vec::new());
        for place in 0..size {
            let Some((family, request)) = self.next() else { break };
            let chosen = self.families.get(family).and_then(|f| f.requests.get(request));
            let Some((request, right)) = chosen.and_then(|r| Some((r, *self.random.pick(&r.aligned)?)))
            else {
                break;
            };
            let intent = IntentText::of(request.text);
            batch.requests.push(ids(self.tokenizer, &intent.text)?);
            batch.actions.push(ids(self.tokenizer, &rendered(right, &intent))?);
            for kind in self.wrong {
                let made = made(*kind, request, right, &self.negatives, &self.drifted, &mut self.random);
                if let Some(action) = made {
                    wrong.push(ids(self.tokenizer, &rendered(&action, &intent))?);
                    batch.wrong_for.push(place);
                }
            }
        }
        batch.actions.extend(wrong);
        Ok(batch)
    }

    /// A family, by the root of its size so that a small one is heard, and its next request.
    fn next(&mut self) -> Option<(usize, usize)> {
        let sizes: Vec<f64> = self.families.iter().map(|f| (f.requests.len() as f64).sqrt()).collect();
        let mut left = (self.random.draw() >> 11) as f64 / (1u64 << 53) as f64 * sizes.iter().sum::<f64>();
        let passed = sizes.iter().take_while(|size| {
            left -= **size;
            left >= 0.0
        });
        let chosen = passed.count().min(sizes.len().saturating_sub(1));
        let family = self.families.get_mut(chosen)?;
        if family.order.is_empty() {
            family.order = self.random.order(family.requests.len());
        }
        Some((chosen, family.order.pop()?))
    }
}

/// A wrong action of the kind; `None` where there is nothing to make it of.
fn made(
    kind: Wrong,
    request: &Request<'_>,
    right: &Action,
    negatives: &Negatives,
    drifted: &[&Action],
    random: &mut SplitMix,
) -> Option<Action> {
    match kind {
        Wrong::Labelled => random.pick(&request.drifted).map(|a| (*a).clone()),
        Wrong::Values => negatives.swapped(request.text, right, random),
        Wrong::Tools => negatives.neighbour(right, random),
        Wrong::Attacks => {
            let own = if request.drifted.is_empty() { drifted } else { &request.drifted };
            let wrong = *random.pick(own)?;
            attacked(request.text, wrong, random)
        }
    }
}

/// As the score would render it.
fn rendered(action: &Action, intent: &IntentText) -> String {
    Prepared::of(action, intent, BYTES).main.text
}

/// The first window of a text.
fn ids(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>, Failure> {
    let rule = WindowRule { max_length: TOKENS, overlap: 0, max_windows: 1 };
    let windows = tokenizer.windows(text, rule).map_err(Failure::check)?.windows;
    windows.into_iter().next().map(|w| w.ids).ok_or_else(|| Failure::check("a text without a window"))
}
