//! The policy file, as it is written.

use std::path::Path;

use rhumb_drift::InputError;
use serde::Deserialize;
use toml::Spanned;

use crate::message;

use super::rule::{EffectRule, PinRule, Rule};
use super::settings::Settings;

/// Rules of one file: each is looked at for every action.
const RULES: usize = 1024;

/// The whole file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    /// HTTP status of a refusal, where the contract leaves it to us: 200, or 400 to 599.
    pub deny_http_status: Option<u16>,
    /// How requests are read.
    pub reading: Option<Spanned<message::Rules>>,
    /// What holds where no rule says otherwise.
    pub defaults: Option<Spanned<Settings>>,
    /// What tools do, the first that matches.
    pub effects: Vec<EffectRule>,
    /// What tools may say of themselves, the first that matches.
    pub pins: Vec<PinRule>,
    /// Every rule that matches applies, in order: a later one wins.
    pub rules: Vec<Spanned<Rule>>,
}

/// A rule and the line where it begins, from 1.
#[derive(Debug, Clone)]
pub struct Placed<T> {
    /// From 1.
    pub line: usize,
    /// The rule.
    pub value: T,
}

/// A file that was checked.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    pub(super) deny_http_status: Option<u16>,
    pub(super) reading: message::Checked,
    pub(super) defaults: Placed<Settings>,
    pub(super) effects: Vec<EffectRule>,
    pub(super) pins: Vec<PinRule>,
    pub(super) rules: Vec<Placed<Rule>>,
    /// What is in order, but hardly meant.
    pub(super) warnings: Vec<String>,
}

impl<T: Default> Default for Placed<T> {
    fn default() -> Self {
        Self { line: 1, value: T::default() }
    }
}

/// Reads and checks a file. Files that it names are taken from `folder`.
///
/// # Errors
/// Says line and key.
pub fn parse(text: &str, folder: &Path) -> Result<Checked, String> {
    let file: File = toml::from_str(text).map_err(|e| e.to_string().trim_end().to_owned())?;
    let placed = |start: usize| text.get(..start).map_or(0, |before| before.matches('\n').count()) + 1;
    if file.rules.len() > RULES {
        return Err(format!("rules: {} of them, at most {RULES} are taken", file.rules.len()));
    }
    if file.deny_http_status.is_some_and(|status| status != 200 && !(400..=599).contains(&status)) {
        return Err("deny_http_status: needs 200, or 400 to 599".to_owned());
    }
    if let Some(pin) = file.pins.iter().find(|pin| !pin.is_good()) {
        let problem = "needs at least one \"sha256:\" with 64 hexadecimal digits";
        return Err(format!("pins: tool \"{}\": digests: {problem}", pin.tool));
    }
    let mut checked = Checked {
        deny_http_status: file.deny_http_status,
        effects: file.effects,
        pins: file.pins,
        ..Checked::default()
    };
    if let Some(reading) = file.reading {
        let line = placed(reading.span().start);
        let at = |e: InputError| format!("line {line}: reading.{}: {}", e.field, e.problem);
        let mut rules = reading.into_inner();
        rules.openapi.iter_mut().for_each(|document| document.file = folder.join(&document.file));
        checked.reading = rules.check().map_err(at)?;
    }
    if let Some(defaults) = file.defaults {
        let line = placed(defaults.span().start);
        let value = defaults.into_inner();
        value.check().map_err(|e| format!("line {line}: defaults.{e}"))?;
        checked.defaults = Placed { line, value };
    }
    for rule in file.rules {
        let line = placed(rule.span().start);
        checked.add(Placed { line, value: rule.into_inner() })?;
    }
    Ok(checked)
}

impl Checked {
    fn add(&mut self, rule: Placed<Rule>) -> Result<(), String> {
        let Placed { line, value } = &rule;
        let name = &value.name;
        if name.is_empty() || name.len() > 128 || name.chars().any(char::is_control) {
            return Err(format!("line {line}: rules.name: needs 1 to 128 bytes without control characters"));
        }
        if let Some(earlier) = self.rules.iter().find(|earlier| earlier.value.name == *name) {
            let problem = format!("\"{name}\" is the name of the rule in line {} too", earlier.line);
            return Err(format!("line {line}: rules.name: {problem}"));
        }
        value.set.check().map_err(|e| format!("line {line}: rule \"{name}\": set.{e}"))?;
        if value.set.keys().is_empty() {
            self.warnings.push(format!("line {line}: rule \"{name}\" sets nothing"));
        }
        self.rules.push(rule);
        Ok(())
    }
}
