//! Scores of the hops of labelled chains.

use futures::stream::{self, StreamExt as _};
use rhumb_drift::{Action, ContextItem, Effect, Intent, Status};
use rhumb_engine::{Answer, Call, Engine, ScoreInput};
use serde::Serialize;

use super::build::{Chain, Form, Hop};
use super::morph::instruction;
use crate::failure::Failure;

/// What is left of a hop once it is scored: no text.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HopScores {
    /// Whether the action changes something.
    pub effect: Effect,
    /// How the score came about.
    pub status: Status,
    /// Drift from the request.
    pub drift: f64,
    /// The threshold of its effect.
    pub threshold: f64,
    /// Drift from the instruction, where there is one.
    pub step_drift: Option<f64>,
    /// Drift of the instruction from the request.
    pub instruction_drift: Option<f64>,
    /// And the threshold of that.
    pub instruction_threshold: Option<f64>,
    /// Cosine of the action and the hop before; for a baseline.
    pub cosine_before: Option<f64>,
}

/// A labelled chain, scored.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScoredChain {
    /// Where its actions come from.
    pub family: String,
    /// Names the request.
    pub request: String,
    /// How it is made.
    pub form: Form,
    /// The kind of its drifted actions.
    pub kind: String,
    /// Requests that are joined in it.
    pub joined: usize,
    /// Different aligned actions that it could be made of.
    pub varied: usize,
    /// The first hop that drifted, from 1.
    pub first_drifted: Option<usize>,
    /// Its hops in order.
    pub hops: Vec<HopScores>,
}

/// Scores all chains, in order.
///
/// # Errors
/// The first hop that cannot be scored.
pub async fn score(engine: &Engine, chains: Vec<Chain>) -> Result<Vec<ScoredChain>, Failure> {
    let bar = crate::progress::count(chains.len());
    let scored = stream::iter(chains).map(|chain| {
        let bar = bar.clone();
        async move {
            let scored = chain_scores(engine, chain).await;
            bar.inc(1);
            scored
        }
    });
    let scored: Vec<_> = scored.buffered(16).collect().await;
    bar.finish_and_clear();
    scored.into_iter().collect()
}

async fn chain_scores(engine: &Engine, chain: Chain) -> Result<ScoredChain, Failure> {
    let before = std::iter::once(None).chain(chain.hops.iter().map(Some));
    let scores = stream::iter(chain.hops.iter().zip(before))
        .map(|(hop, before)| hop_scores(engine, &chain, hop, before))
        .buffered(16)
        .collect::<Vec<_>>()
        .await;
    let hops = scores.into_iter().collect::<Result<_, _>>()?;
    let Chain { family, request, form, kind, joined, varied, first_drifted, .. } = chain;
    Ok(ScoredChain { family, request, form, kind, joined, varied, first_drifted, hops })
}

async fn hop_scores(
    engine: &Engine,
    chain: &Chain,
    hop: &Hop,
    before: Option<&Hop>,
) -> Result<HopScores, Failure> {
    let own = answer(engine, &chain.intent.text, &hop.action, &hop.context).await?;
    let mut scores = HopScores {
        effect: hop.action.effect,
        status: own.status,
        drift: own.drift.unwrap_or(0.5),
        threshold: own.threshold,
        step_drift: None,
        instruction_drift: None,
        instruction_threshold: None,
        cosine_before: None,
    };
    if !hop.instruction.is_empty() {
        scores.step_drift = answer(engine, &hop.instruction, &hop.action, &hop.context).await?.drift;
        let said = Action { text: hop.instruction.clone(), effect: hop.action.effect, ..Action::default() };
        let said = answer(engine, &chain.intent.text, &said, &[]).await?;
        scores.instruction_drift = said.drift;
        scores.instruction_threshold = Some(said.threshold);
    }
    if let Some(before) = before {
        let cosine = answer(engine, &instruction(&before.action), &hop.action, &[]).await?.similarity;
        scores.cosine_before = cosine.map(f64::from);
    }
    Ok(scores)
}

async fn answer(
    engine: &Engine,
    intent: &str,
    action: &Action,
    context: &[ContextItem],
) -> Result<Answer, Failure> {
    let intent = Intent { text: intent.to_owned(), principal: String::new() };
    let input = ScoreInput { intent, action: action.clone(), context: context.to_vec() };
    engine.score(input, &Call::bulk()).await.map_err(|e| Failure::check(format!("a hop of a chain: {e}")))
}
