//! Counts what passes without a score: there is no record of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use crate::point::{Answered, ItemAnswer};
use crate::surface::Surface;

/// Calls that passed without a score, by contract and kind. Both are words of ours, so there are few.
#[derive(Debug, Default)]
pub struct Unscored(Mutex<BTreeMap<(&'static str, &'static str), u64>>);

impl Unscored {
    /// Counts the calls of a request that passed.
    pub fn count(&self, surface: Surface, answered: &Answered) {
        for (_, answer) in &answered.items {
            if let ItemAnswer::Passed(kind) = answer {
                let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                *counted.entry((surface.name(), kind)).or_default() += 1;
            }
        }
    }

    /// All counts so far, for example of `envoy.notification`.
    pub fn counts(&self) -> HashMap<String, u64> {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.iter().map(|((surface, kind), n)| (format!("{surface}.{kind}"), *n)).collect()
    }
}
