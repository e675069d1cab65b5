//! Which layers made a ruling, and why the others did not.

use super::{Policies, Subject};

/// A layer of a ruling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// `defaults`, or the name of a rule.
    pub name: String,
    /// Where it begins in the file, from 1.
    pub line: usize,
    /// The first key that does not match; `None` where it applies.
    pub misses: Option<&'static str>,
    /// The keys that it sets.
    pub sets: Vec<&'static str>,
}

impl Policies {
    /// Every layer of the file in order, and whether it is about an action.
    pub fn explain(&self, subject: &Subject<'_>) -> Vec<Layer> {
        let defaults = &self.checked.defaults;
        let first = (!defaults.value.keys().is_empty()).then(|| Layer {
            name: "defaults".to_owned(),
            line: defaults.line,
            misses: None,
            sets: defaults.value.keys(),
        });
        let rules = self.checked.rules.iter().map(|rule| Layer {
            name: rule.value.name.clone(),
            line: rule.line,
            misses: rule.value.subject.misses(subject),
            sets: rule.value.set.keys(),
        });
        first.into_iter().chain(rules).collect()
    }
}
