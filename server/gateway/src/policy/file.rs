//! The policy file, as it is written.

use serde::Deserialize;
use toml::Spanned;

use super::rule::{EffectRule, Rule};
use super::settings::Settings;

/// Rules of one file: each is looked at for every action.
const RULES: usize = 1024;

/// The whole file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    /// What holds where no rule says otherwise.
    pub defaults: Option<Spanned<Settings>>,
    /// What tools do, the first that matches.
    pub effects: Vec<EffectRule>,
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
    pub(super) defaults: Placed<Settings>,
    pub(super) effects: Vec<EffectRule>,
    pub(super) rules: Vec<Placed<Rule>>,
    /// What is in order, but hardly meant.
    pub(super) warnings: Vec<String>,
}

impl<T: Default> Default for Placed<T> {
    fn default() -> Self {
        Self { line: 1, value: T::default() }
    }
}

/// Reads and checks a file.
///
/// # Errors
/// Says line and key.
pub fn parse(text: &str) -> Result<Checked, String> {
    let file: File = toml::from_str(text).map_err(|e| e.to_string().trim_end().to_owned())?;
    let placed = |start: usize| text.get(..start).map_or(0, |before| before.matches('\n').count()) + 1;
    if file.rules.len() > RULES {
        return Err(format!("rules: {} of them, at most {RULES} are taken", file.rules.len()));
    }
    let mut checked = Checked { effects: file.effects, ..Checked::default() };
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
