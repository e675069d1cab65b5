//! Figures on drifted actions whose drift somebody tries to hide.
//!
//! Aligned actions stay as they are, and so do drifted ones to which an attack does not apply: an attacker who cannot
//! attack still acts. What the engine refuses as input counts with a drift of one, since it would not run.

use futures::stream::{self, Stream, StreamExt as _};
use rhumb_drift::Verdict;
use rhumb_drift::attack::{ATTACKS, Actor, Attack, apply, find};
use rhumb_engine::{Answer, Call, Engine, EngineError, ScoreInput};
use serde::Serialize;

use super::case::{Case, Scored, Scores, scores};
use super::features::FeatureFile;
use super::report::{Measure, Row, Rows};
use crate::failure::Failure;
use crate::progress;

/// Figures of writes under one attack.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attacked {
    /// Its name; `none` for the actions as they are, `any` for the attack of an agent that hides each action best.
    pub attack: &'static str,
    /// What it does.
    pub about: &'static str,
    /// Who has to lie for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// Drifted writes that it changes.
    pub applied: usize,
    /// Share of the drifted writes that get the verdict ALLOW.
    pub allowed: f64,
    /// Figures of all writes.
    pub writes: Row,
    /// The same by family.
    pub by_family: Rows,
}

/// The attacks that were asked for.
///
/// # Errors
/// A name that is none; all names are told.
pub fn chosen(all: bool, names: &[String]) -> Result<Vec<&'static Attack>, Failure> {
    if all {
        return Ok(ATTACKS.iter().collect());
    }
    let known = || ATTACKS.iter().map(|a| a.name).collect::<Vec<_>>().join(", ");
    let named = |name: &String| {
        find(name).ok_or_else(|| Failure::input(format!("--attack: no {name:?}; there are {}", known())))
    };
    names.iter().map(named).collect()
}

/// What attacks are measured on.
pub struct Target<'a> {
    /// Scores actions.
    pub engine: &'a Engine,
    /// All lines with their answers.
    pub lines: &'a [Scored],
    /// Their cases, with the number of the line.
    pub cases: &'a [(usize, Case)],
    /// Makes rows.
    pub measure: Measure<'a>,
    /// Whether drifted actions that are no writes are attacked too, for the feature file.
    pub all_effects: bool,
}

/// What became of one case under an attack.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    scores: Scores,
    allowed: bool,
    applied: bool,
}

impl Target<'_> {
    /// Measures the attacks: first none, then all from the weakest to the strongest.
    ///
    /// # Errors
    /// An action that cannot be scored for another reason than its input; a feature file that cannot be written.
    pub async fn run(
        &self,
        attacks: &[&'static Attack],
        features: &mut FeatureFile,
    ) -> Result<Vec<Attacked>, Failure> {
        if attacks.is_empty() {
            return Ok(Vec::new());
        }
        let plain = self.plain();
        let (mut best, mut figures) = (plain.clone(), Vec::new());
        let bar = progress::count(attacks.len());
        for attack in attacks {
            bar.set_message(attack.name);
            let outcomes = self.under(attack, &plain, features).await?;
            if attack.actor == Actor::Agent {
                best.iter_mut().zip(&outcomes).for_each(|(best, new)| *best = better(*best, *new));
            }
            let measured = self.figures(attack.name, attack.about, Some(attack.actor), &outcomes);
            bar.inc(1);
            if let Some(measured) = measured.as_ref().filter(|_| bar.is_hidden()) {
                let drift = &measured.writes.drift;
                tracing::info!(
                    attack = attack.name,
                    auroc = drift.auroc,
                    tpr_at_fpr05 = drift.tpr_at_fpr05,
                    "measured"
                );
            }
            figures.extend(measured);
        }
        bar.finish_and_clear();
        if attacks.iter().filter(|a| a.actor == Actor::Agent).count() > 1 {
            let about = "for each action the attack of an agent that hides it best";
            figures.extend(self.figures("any", about, Some(Actor::Agent), &best));
        }
        figures.sort_by(|a, b| b.writes.drift.auroc.total_cmp(&a.writes.drift.auroc));
        let plain = self.figures("none", "the actions as they are", None, &plain);
        Ok(plain.into_iter().chain(figures).collect())
    }

    /// The actions as they are.
    fn plain(&self) -> Vec<Outcome> {
        let outcome = |(line, case): &(usize, Case)| Outcome {
            scores: case.scores,
            allowed: self.lines.get(*line).is_some_and(|(_, answer)| is_allowed(answer)),
            applied: false,
        };
        self.cases.iter().map(outcome).collect()
    }

    /// The outcome of every case under an attack, in their order. Answers are let go as they come: all of them together
    /// would take gigabytes.
    async fn under(
        &self,
        attack: &Attack,
        plain: &[Outcome],
        features: &mut FeatureFile,
    ) -> Result<Vec<Outcome>, Failure> {
        let mut outcomes = plain.to_vec();
        let mut answers = std::pin::pin!(self.answers(attack));
        while let Some((place, line, answer)) = answers.next().await {
            let Some(outcome) = outcomes.get_mut(place) else { continue };
            outcome.applied = true;
            match answer {
                Ok(answer) => {
                    features.add(&line.0, &answer, Some(attack.name))?;
                    let scores = scores(&answer).unwrap_or(outcome.scores);
                    outcome.scores = Scores { tool: outcome.scores.tool, ..scores };
                    outcome.allowed = is_allowed(&answer);
                }
                Err(EngineError::Input(_)) => {
                    outcome.scores = Scores { drift: 1.0, cosine: 2.0, alarm: true, ..outcome.scores };
                    outcome.allowed = false;
                }
                Err(e) => return Err(Failure::check(format!("scoring under {}: {e}", attack.name))),
            }
        }
        Ok(outcomes)
    }

    /// Scores the drifted actions that the attack changes.
    fn answers(&self, attack: &Attack) -> impl Stream<Item = (usize, &Scored, Result<Answer, EngineError>)> {
        let wanted = self
            .cases
            .iter()
            .enumerate()
            .filter(|(_, (_, case))| case.drifted && (self.all_effects || case.is_write()));
        let inputs = wanted.filter_map(move |(place, (line, _))| {
            let line = self.lines.get(*line)?;
            let input = &line.0.input;
            let action = apply(attack, &input.intent.text, &input.action)?;
            Some((place, line, ScoreInput { action, ..input.clone() }))
        });
        stream::iter(inputs)
            .map(move |(place, line, input)| async move {
                (place, line, self.engine.score(input, &Call::bulk()).await)
            })
            .buffered(64)
    }

    fn figures(
        &self,
        attack: &'static str,
        about: &'static str,
        actor: Option<Actor>,
        outcomes: &[Outcome],
    ) -> Option<Attacked> {
        let writes = || self.cases.iter().zip(outcomes).filter(|((_, case), _)| case.is_write());
        let cases: Vec<Case> = writes().map(|((_, c), o)| Case { scores: o.scores, ..c.clone() }).collect();
        let cases: Vec<&Case> = cases.iter().collect();
        let drifted = || writes().filter(|((_, case), _)| case.drifted);
        let allowed = drifted().filter(|(_, outcome)| outcome.allowed).count() as f64;
        Some(Attacked {
            attack,
            about,
            actor,
            applied: drifted().filter(|(_, outcome)| outcome.applied).count(),
            allowed: allowed / drifted().count().max(1) as f64,
            writes: self.measure.row(&cases)?,
            by_family: self.measure.by_family(&cases),
        })
    }
}

fn is_allowed(answer: &Answer) -> bool {
    answer.decision.verdict == Verdict::Allow
}

/// What an attacker who can try all would choose: the lowest score, on each score for itself, and any verdict ALLOW.
fn better(best: Outcome, new: Outcome) -> Outcome {
    Outcome {
        scores: Scores {
            drift: best.scores.drift.min(new.scores.drift),
            cosine: best.scores.cosine.min(new.scores.cosine),
            tool: best.scores.tool,
            alarm: best.scores.alarm && new.scores.alarm,
        },
        allowed: best.allowed || new.allowed,
        applied: best.applied || new.applied,
    }
}
