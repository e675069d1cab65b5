//! Labelled chains, made of labelled actions.
//!
//! The data holds single actions, so chains are put together, the same for the same seed:
//!
//! - **steady** (aligned): the aligned actions of one request in the order of the file. Most requests have one to three,
//!   so they come round again, varied as another agent might write them ([`super::vary`]).
//! - **abrupt** (drifted): the same, and from a hop on that is drawn (the second at the earliest) drifted actions of one
//!   kind of that request.
//! - **once** (drifted): the same, but only that one hop drifted and the chain returns to its course.
//! - **slow** (drifted): ten steps from an aligned action to a drifted one, words and arguments changing a few at a time,
//!   each hop with an instruction that moves along ([`super::morph`]). Requests without a drifted action that differs in
//!   ten words have none: ten steps need ten things to change.
//! - **walk** (aligned): as slow, but to another aligned action, or to the same one: the control for slow.

use std::collections::BTreeMap;

use rhumb_drift::{Action, ContextItem, Intent};
use rhumb_engine::ScoreInput;
use serde::Serialize;

use super::super::labelled::Labelled;
use super::super::random::SplitMix;
use super::morph::{Morph, new_words};
use super::vary::vary;

/// Steps of a slow drift.
pub const STEPS: usize = 10;
/// Hops of the other chains.
const LENGTH: std::ops::RangeInclusive<usize> = 4..=10;
/// The step of a slow drift at which the tool may change.
const SWITCH: std::ops::RangeInclusive<usize> = 3..=8;

/// Different aligned actions that a joined request should have.
const MANY: usize = 4;
/// Requests that are joined at most.
const JOINED: usize = 4;

/// How a chain is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Form {
    /// Aligned throughout.
    Steady,
    /// Aligned throughout, in ten small steps.
    Walk,
    /// Drifted from one hop on.
    Abrupt,
    /// Drifted at one hop.
    Once,
    /// Drifting in ten small steps.
    Slow,
}

/// One hop before it is scored.
#[derive(Debug, Clone)]
pub struct Hop {
    /// What the agent does.
    pub action: Action,
    /// What it read.
    pub context: Vec<ContextItem>,
    /// What it was told; empty in chains that hand nothing down.
    pub instruction: String,
}

/// A chain with its label.
#[derive(Debug, Clone)]
pub struct Chain {
    /// Where its actions come from.
    pub family: String,
    /// Names the request.
    pub request: String,
    /// How it is made.
    pub form: Form,
    /// The kind of its drifted actions; `aligned` without any.
    pub kind: String,
    /// Requests that are joined in it.
    pub joined: usize,
    /// Different aligned actions that it could be made of.
    pub varied: usize,
    /// The request.
    pub intent: Intent,
    /// Its hops in order.
    pub hops: Vec<Hop>,
    /// The first hop that drifted, from 1; absent where none did, and in slow chains, which have no such hop.
    pub first_drifted: Option<usize>,
}

/// All chains of up to `requests` requests of each family, drawn by `seed`.
pub fn chains(lines: &[Labelled], requests: usize, seed: u64) -> Vec<Chain> {
    let mut by_request: BTreeMap<(&str, &str), Vec<&Labelled>> = BTreeMap::new();
    for line in lines {
        by_request.entry((&line.family, &line.intent)).or_default().push(line);
    }
    by_request.retain(|_, lines| lines.iter().any(|l| !l.drifted));
    let mut families: BTreeMap<&str, Vec<Source<'_>>> = BTreeMap::new();
    for ((family, _), lines) in by_request {
        families.entry(family).or_default().push(Source::of(lines, seed));
    }
    let drawn = families.into_iter().flat_map(|(family, sources)| {
        let order = SplitMix::named(seed, family).order(sources.len());
        let sources: Vec<&Source<'_>> = order.into_iter().filter_map(|i| sources.get(i)).collect();
        joined(&sources).into_iter().take(requests).flat_map(|s| s.chains()).collect::<Vec<_>>()
    });
    drawn.collect()
}

/// Every second request that has few aligned actions is joined with those that follow: "do this, and then that". One
/// aligned action that comes round again and again would make a chain far more even than chains are.
fn joined<'a>(sources: &[&Source<'a>]) -> Vec<Source<'a>> {
    let mut all = Vec::new();
    let mut rest = sources.iter();
    while let Some(source) = rest.next() {
        let mut source = (*source).clone();
        let few = source.aligned.len() < MANY;
        while few && all.len() % 2 == 1 && source.texts.len() < JOINED && source.aligned.len() < MANY {
            let Some(next) = rest.next() else { break };
            source.join(next);
        }
        all.push(source);
    }
    all
}

/// The lines of one request, or of some that are joined.
#[derive(Clone)]
struct Source<'a> {
    aligned: Vec<&'a Labelled>,
    drifted: BTreeMap<&'a str, Vec<&'a Labelled>>,
    first: Option<&'a Labelled>,
    texts: Vec<&'a str>,
    seed: u64,
}

impl<'a> Source<'a> {
    fn of(lines: Vec<&'a Labelled>, seed: u64) -> Self {
        let aligned: Vec<&Labelled> = lines.iter().copied().filter(|l| !l.drifted).collect();
        let mut drifted: BTreeMap<&str, Vec<&Labelled>> = BTreeMap::new();
        for line in lines.iter().filter(|l| l.drifted) {
            drifted.entry(&line.kind).or_default().push(line);
        }
        let first = aligned.first().copied();
        let texts = first.iter().map(|l| l.input.intent.text.as_str()).collect();
        Self { first, texts, aligned, drifted, seed }
    }

    /// Takes the actions of another request in.
    fn join(&mut self, other: &Self) {
        self.texts.extend(&other.texts);
        self.aligned.extend(&other.aligned);
        for (kind, lines) in &other.drifted {
            self.drifted.entry(kind).or_default().extend(lines);
        }
    }

    fn intent(&self) -> Intent {
        let principal = self.first.map(|l| l.input.intent.principal.clone()).unwrap_or_default();
        Intent { text: self.texts.join("\nThen: "), principal }
    }

    fn chains(&self) -> Vec<Chain> {
        let mut chains: Vec<Chain> = self.steady().into_iter().chain(self.small_steps(Form::Walk)).collect();
        for kind in self.drifted.keys() {
            chains.extend(self.broken(Form::Abrupt, kind));
        }
        let kinds: Vec<&&str> = self.drifted.keys().collect();
        chains.extend(self.random("once-kind").pick(&kinds).and_then(|kind| self.broken(Form::Once, kind)));
        chains.extend(self.small_steps(Form::Slow));
        chains
    }

    fn random(&self, purpose: &str) -> SplitMix {
        let request = self.first.map_or("", |l| l.intent.as_str());
        SplitMix::named(self.seed, &format!("{request}/{purpose}"))
    }

    fn chain(&self, form: Form, kind: &str, hops: Vec<Hop>, first_drifted: Option<usize>) -> Option<Chain> {
        let line = self.first?;
        Some(Chain {
            family: line.family.clone(),
            request: line.intent.clone(),
            form,
            kind: kind.to_owned(),
            joined: self.texts.len(),
            varied: self.aligned.len(),
            intent: self.intent(),
            hops,
            first_drifted,
        })
    }

    fn steady(&self) -> Option<Chain> {
        let mut random = self.random("steady");
        let length = random.within(LENGTH);
        self.chain(Form::Steady, "aligned", round(&self.aligned, length, &mut random), None)
    }

    /// Aligned up to a hop, drifted there, and after it drifted or aligned again.
    fn broken(&self, form: Form, kind: &str) -> Option<Chain> {
        let mut random = self.random(&format!("{form:?}/{kind}"));
        let length = random.within(LENGTH);
        let first = random.within(2..=length);
        let until = if form == Form::Once { first } else { length };
        let mut hops = round(&self.aligned, length, &mut random);
        let drifted = round(self.drifted.get(kind)?, until + 1 - first, &mut random);
        hops.iter_mut().skip(first - 1).zip(drifted).for_each(|(hop, drifted)| *hop = drifted);
        self.chain(form, kind, hops, Some(first))
    }

    fn small_steps(&self, form: Form) -> Option<Chain> {
        let mut random = self.random(&format!("{form:?}"));
        let from = *random.pick(&self.aligned)?;
        let (to, kind) = if form == Form::Slow {
            let far = |l: &&&Labelled| new_words(&from.input.action, &l.input.action) >= STEPS;
            let targets: Vec<&Labelled> = self.drifted.values().flatten().filter(far).copied().collect();
            let to = *random.pick(&targets)?;
            (to, to.kind.as_str())
        } else {
            let others: Vec<&Labelled> =
                self.aligned.iter().filter(|l| l.input.action != from.input.action).copied().collect();
            (random.pick(&others).copied().unwrap_or(from), "aligned")
        };
        let end = if form == Form::Slow || to.input.action != from.input.action {
            to.input.action.clone()
        } else {
            vary(&to.input.action, &mut random)
        };
        let intent = self.intent();
        let morph = Morph {
            from: &from.input.action,
            to: &end,
            instruction: &intent.text,
            switch: random.within(SWITCH),
            steps: STEPS,
            seed: self.seed,
        };
        let hop = |step| {
            let (action, instruction) = morph.at(step);
            Hop { action, instruction, context: from.input.context.clone() }
        };
        self.chain(form, kind, (1..=STEPS).map(hop).collect(), None)
    }
}

/// The actions in order, again and again, varied from the second time on.
fn round(lines: &[&Labelled], length: usize, random: &mut SplitMix) -> Vec<Hop> {
    let again = lines.iter().cycle().zip(0usize..).take(length);
    let hop = |(line, number): (&&Labelled, usize)| {
        let ScoreInput { action, context, .. } = &line.input;
        let action = if number < lines.len() { action.clone() } else { vary(action, random) };
        Hop { action, context: context.clone(), instruction: String::new() }
    };
    again.map(hop).collect()
}
