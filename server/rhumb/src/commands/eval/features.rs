//! Features of every action as JSON lines, for analysis elsewhere. No text of the action is in them.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use rhumb_drift::FEATURES;
use rhumb_engine::Answer;

use super::super::labelled::{Labelled, digest};
use crate::failure::Failure;
use crate::lines;

/// The file, if one is wanted.
pub struct FeatureFile {
    file: Option<(PathBuf, Box<dyn Write + Send>)>,
}

impl FeatureFile {
    /// Creates the file; without a path nothing is ever written.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn create(path: Option<&Path>) -> Result<Self, Failure> {
        let file = path.map(|path| Ok((path.to_owned(), lines::create(path)?))).transpose()?;
        Ok(Self { file })
    }

    /// Adds an action, under an attack or as it is. One without features (no anchor) is left out.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn add(&mut self, line: &Labelled, answer: &Answer, attack: Option<&str>) -> Result<(), Failure> {
        let (Some((path, file)), Some(features)) = (&mut self.file, &answer.features) else { return Ok(()) };
        let named: BTreeMap<_, _> = FEATURES.iter().map(|f| f.name).zip(features.values).collect();
        let mut row = serde_json::json!({
            "label": if line.drifted { "drifted" } else { "aligned" },
            "family": line.family, "kind": line.kind, "effect": line.effect(), "features": named,
            "intent": digest(&line.input.intent.text), "drift": answer.drift, "similarity": answer.similarity,
        });
        if let (Some(attack), Some(row)) = (attack, row.as_object_mut()) {
            row.insert("attack".to_owned(), attack.into());
        }
        writeln!(file, "{row}").map_err(Failure::file(path))
    }

    /// Writes what is still held back.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(self) -> Result<(), Failure> {
        self.file.map_or(Ok(()), |(path, mut file)| file.flush().map_err(Failure::file(&path)))
    }
}
