//! The reference bank: requests and actions of the training data, as strangers to any other, and how common words are in them.

use std::collections::{BTreeMap, BTreeSet};

use rhumb_drift::bank::{Bank, Rows};
use rhumb_drift::rarity::Rarity;
use rhumb_drift::{IntentText, Prepared};
use rhumb_engine::{Call, Engine};

use super::super::labelled::{Labelled, digest};
use crate::failure::Failure;

/// Requests, and as many actions: more say the same and make the file larger.
const ROWS: usize = 256;
/// At most this share of the rows comes from one family.
const SHARE: f64 = 0.75;
/// Bytes of a rendering in the bank.
const BYTES: usize = 4096;

/// One aligned action for each of the chosen requests, with its request.
pub async fn of(engine: &Engine, lines: &[Labelled]) -> Result<Bank, Failure> {
    let (mut requests, mut actions) = (Vec::new(), Vec::new());
    for line in chosen(lines) {
        let intent = IntentText::of(&line.input.intent.text);
        let action = Prepared::of(&line.input.action, &IntentText::default(), BYTES);
        let embed = |text: String| async move {
            engine
                .embed(&text, &Call::bulk())
                .await
                .map_err(|e| Failure::check(format!("{}: {e}", line.place)))
        };
        requests.push(embed(intent.text).await?);
        actions.push(embed(action.main.text).await?);
    }
    let width = engine.info().width;
    Ok(Bank {
        requests: Rows::new(width, &requests),
        actions: Rows::new(width, &actions),
        rarity: rarity(lines),
    })
}

/// Of all requests and of all actions, as they are rendered, each different text once.
fn rarity(lines: &[Labelled]) -> Rarity {
    let render = |line: &Labelled| Prepared::of(&line.input.action, &IntentText::default(), BYTES).main.text;
    let requests: BTreeSet<&str> = lines.iter().map(|line| line.input.intent.text.as_str()).collect();
    let requests: BTreeSet<String> = requests.into_iter().map(|text| IntentText::of(text).text).collect();
    let actions: BTreeSet<String> = lines.iter().map(render).collect();
    Rarity::of(requests.iter().chain(&actions).map(String::as_str))
}

/// By digest of the request, so that neither order nor number of the lines decides.
fn chosen(lines: &[Labelled]) -> Vec<&Labelled> {
    let aligned = lines.iter().filter(|l| !l.drifted);
    let by_digest: BTreeMap<String, &Labelled> =
        aligned.rev().map(|l| (digest(&l.input.intent.text), l)).collect();
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    let mut fits = |family: &str| {
        let taken = taken.entry(family.to_owned()).or_default();
        *taken += 1;
        *taken as f64 <= SHARE * ROWS as f64
    };
    by_digest.into_values().filter(|line| fits(&line.family)).take(ROWS).collect()
}
