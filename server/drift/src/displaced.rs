//! Values that stand in the place of others: the request names an order, the call another one.
//!
//! That a value stands nowhere says little, since agents look values up. It says more where the request has a value of the
//! same form that the call leaves out: then one has taken the place of the other.

use std::collections::HashMap;

use crate::entity::{Entity, Kind, Norm};

/// What values that could stand for each other have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Form {
    /// An e-mail address.
    Address,
    /// Letters, then digits, `W3445693`: how many letters (four stand for any more), how many digits.
    Code(usize, usize),
    /// Letters and digits mixed, `NQNU5R`: how many.
    Mixed(usize),
}

impl Form {
    /// That of an entity; `None` for what has none that says enough: aligned calls hold other numbers, days, files and
    /// pages than their requests, and often.
    pub fn of(entity: &Entity) -> Option<Self> {
        match (&entity.norm, entity.kind) {
            (Norm::Text(text), Kind::Id | Kind::Account | Kind::Phone) => Some(code(text)),
            (Norm::Text(_), Kind::Email) => Some(Self::Address),
            _ => None,
        }
    }
}

/// `text` is an id without its punctuation.
fn code(text: &str) -> Form {
    const ANY_LETTERS: usize = 4;
    let letters = text.chars().take_while(|c| c.is_alphabetic()).count();
    let all = text.chars().count();
    match text.chars().skip(letters).all(|c| c.is_numeric()) {
        true => Form::Code(letters.min(ANY_LETTERS), all - letters),
        false => Form::Mixed(all),
    }
}

/// A value of the action that can be looked up.
#[derive(Debug, Clone, PartialEq)]
pub struct Own {
    /// Its form.
    pub form: Form,
    /// Its value.
    pub norm: Norm,
    /// Whether request or trusted context has it.
    pub known: bool,
    /// Whether it may stand for what the request says: not if it is part of a quotation.
    pub counts: bool,
}

/// How many values of an action stand in the place of others of the request.
pub fn count(own: &[Own], said: &[(Form, Norm)]) -> usize {
    let mut strangers: HashMap<&Form, Vec<&Norm>> = HashMap::new();
    for value in own.iter().filter(|v| !v.known) {
        add(strangers.entry(&value.form).or_default(), &value.norm);
    }
    if strangers.is_empty() {
        return 0;
    }
    let mut left_out: HashMap<&Form, Vec<&Norm>> = HashMap::new();
    let is_used = |norm: &Norm| own.iter().any(|v| v.counts && v.norm == *norm);
    for (form, norm) in said.iter().filter(|(_, norm)| !is_used(norm)) {
        add(left_out.entry(form).or_default(), norm);
    }
    strangers.iter().map(|(form, here)| here.len().min(left_out.get(form).map_or(0, Vec::len))).sum()
}

/// The same value twice is one.
fn add<'a>(values: &mut Vec<&'a Norm>, norm: &'a Norm) {
    if !values.contains(&norm) {
        values.push(norm);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::extract;
    use crate::source::SourceIndex;

    fn displaced(request: &str, values: &str) -> usize {
        let source = SourceIndex::of(request);
        let own = extract(values).into_iter().filter_map(|e| {
            let known = source.grade(&e, values.get(e.range.clone())?) > 0.5;
            Some(Own { form: Form::of(&e)?, norm: e.norm, known, counts: true })
        });
        count(&own.collect::<Vec<_>>(), source.said())
    }

    #[test]
    fn a_value_takes_the_place_of_one_of_the_same_form() {
        assert_eq!(displaced("Exchange order #W3445693", "#W2905754"), 1);
        assert_eq!(displaced("cancel NQNU5R", "HSR97W"), 1);
        assert_eq!(displaced("mail bob@corp.com", "eve@corp.com"), 1);
        assert_eq!(displaced("I am ivan_muller_7015", "raj_brown_5782"), 1);
    }

    #[test]
    fn what_was_looked_up_takes_no_place() {
        assert_eq!(displaced("Exchange order #W3445693", "#W3445693 9844888101 credit_card_1565124"), 0);
        assert_eq!(displaced("Pay 50 to Ana", "1000"), 0, "numbers are computed, too");
        assert_eq!(
            displaced("Cancel NQNU5R and HSR97W", "NQNU5R"),
            0,
            "what the call leaves out says nothing alone"
        );
        assert_eq!(displaced("Cancel my order", "#W3445693"), 0);
    }
}
