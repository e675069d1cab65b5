//! Labelled JSON lines, and their answers: what `eval`, `train` and `calibrate` share.

use std::path::PathBuf;

use futures::stream::{self, StreamExt as _};
use rhumb_drift::Effect;
use rhumb_engine::{Answer, Call, Engine, EngineError, ScoreInput};
use rhumb_proto::{json, v1};
use sha2::{Digest as _, Sha256};

use crate::convert;
use crate::failure::Failure;
use crate::lines::{self, Line, Lines};

/// A line with its label.
#[derive(Debug, Clone)]
pub struct Labelled {
    /// What to score.
    pub input: ScoreInput,
    /// Whether it is labelled `drifted`.
    pub drifted: bool,
    /// Where it comes from.
    pub family: String,
    /// Kind of line.
    pub kind: String,
    /// File and line, for complaints.
    pub place: String,
    /// Names the request, for what belongs together: the part of `requestId` before its first dot, else the digest of
    /// the request's text.
    pub intent: String,
}

impl Labelled {
    /// The action's effect.
    pub fn effect(&self) -> Effect {
        self.input.action.effect
    }
}

/// Reads all files; only families that begin with one of `families`, if there are any.
///
/// # Errors
/// A measurement on half of the data would be wrong, so any bad line ends it: file, line and field are named.
pub fn read(paths: &[PathBuf], families: &[String]) -> Result<Vec<Labelled>, Failure> {
    read_with(paths, families, Unlabelled::Refused)
}

/// What a line without a label is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlabelled {
    /// Bad input.
    Refused,
    /// Taken as aligned.
    Aligned,
}

/// As [`read`], where lines without a label may be in order.
///
/// # Errors
/// As [`read`].
pub fn read_with(
    paths: &[PathBuf],
    families: &[String],
    unlabelled: Unlabelled,
) -> Result<Vec<Labelled>, Failure> {
    let mut all = Vec::new();
    for path in paths {
        for line in Lines::new(lines::open(path)?) {
            let line = line.map_err(Failure::file(path))?;
            let place = format!("{}: line {}", lines::name(path), line.number);
            let fail = |problem| Failure::input(format!("{place}: {problem}"));
            let labelled = parse(line, unlabelled, &place).map_err(fail)?;
            if families.is_empty() || families.iter().any(|f| labelled.family.starts_with(f)) {
                all.push(labelled);
            }
        }
    }
    if all.is_empty() {
        return Err(Failure::input("no line to measure: the input is empty, or no family begins as asked"));
    }
    Ok(all)
}

/// Refuses lines of one label only: figures tell one label from the other.
///
/// # Errors
/// Names the label that is missing.
pub fn check_both_labels(lines: &[Labelled]) -> Result<(), Failure> {
    let labels = [(true, "drifted", "aligned"), (false, "aligned", "drifted")];
    match labels.iter().find(|(drifted, ..)| lines.iter().all(|line| line.drifted != *drifted)) {
        Some((_, missing, other)) => Err(Failure::input(format!(
            "no line is labelled {missing:?}: all {} are {other}, and a figure needs both",
            lines.len()
        ))),
        None => Ok(()),
    }
}

fn parse(line: Line, unlabelled: Unlabelled, place: &str) -> Result<Labelled, String> {
    let request: v1::ScoreRequest = json::parse(&line.text?).map_err(|e| e.to_string())?;
    let drifted = match request.label.as_str() {
        "aligned" => false,
        "drifted" => true,
        "" if unlabelled == Unlabelled::Aligned => false,
        other => return Err(format!("label: {other:?} is neither \"aligned\" nor \"drifted\"")),
    };
    let (family, kind) = (request.family.clone(), request.kind.clone());
    let named = request.request_id.split_once('.').map(|(intent, _)| intent.to_owned());
    let input = convert::input(request).map_err(|e| e.to_string())?;
    let intent = named.unwrap_or_else(|| digest(&input.intent.text));
    Ok(Labelled { input, drifted, family, kind, place: place.to_owned(), intent })
}

/// A request's text without the text, in hexadecimal.
pub fn digest(text: &str) -> String {
    format!("{:x}", Sha256::digest(text.as_bytes()))
}

/// Scores every line, in order.
///
/// # Errors
/// The first line that cannot be scored.
pub async fn score(engine: &Engine, lines: Vec<Labelled>) -> Result<Vec<(Labelled, Answer)>, Failure> {
    let answers = stream::iter(lines).map(|line| async move {
        let answer = engine.score(line.input.clone(), &Call::bulk()).await;
        match answer {
            Ok(answer) => Ok((line, answer)),
            Err(EngineError::Input(e)) => Err(Failure::input(format!("{}: {e}", line.place))),
            Err(e) => Err(Failure::check(format!("{}: {e}", line.place))),
        }
    });
    answers.buffered(64).collect::<Vec<_>>().await.into_iter().collect()
}
