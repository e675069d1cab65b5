//! Values that stand in the place of others: the request names an order, the call another one.
//!
//! That a value stands nowhere says little, since agents look values up. It says more where the request has a value of the
//! same form that the call leaves out: then one has taken the place of the other.

use std::collections::{HashMap, HashSet};

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
    /// That of an entity, with its value; `None` for what has none that says enough: aligned calls hold other numbers, days,
    /// files and pages than their requests, and often.
    pub fn of(entity: &Entity) -> Option<(Self, String)> {
        let Norm::Text(text) = &entity.norm else { return None };
        let form = match entity.kind {
            Kind::Id | Kind::Account | Kind::Phone => code(text),
            Kind::Email => Self::Address,
            _ => return None,
        };
        Some((form, text.clone()))
    }
}

/// `text` is an id without its punctuation.
fn code(text: &str) -> Form {
    const ANY_LETTERS: usize = 4;
    let text = text.trim_start_matches('+');
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
    pub value: String,
    /// Whether request or trusted context has it.
    pub known: bool,
    /// Whether it is all of an argument's value, rather than a word in a text.
    pub whole: bool,
    /// Whether it may stand for what the request says: not if it is part of a quotation.
    pub counts: bool,
    /// The place that it shares with others, where one that stands nowhere undoes the right ones beside it; `None` where
    /// it undoes nothing.
    pub place: Option<Place>,
}

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// Among all that say where something goes: `to`, `bcc`, `reply_to`.
    Destinations,
    /// In an argument of this name.
    Argument(String),
}

type ByForm<'a> = HashMap<&'a Form, HashSet<&'a str>>;

/// How many values of an action stand in the place of others of the request.
///
/// What an argument holds is not excused by the right value in a text beside it, `{order: "#W2", note: "as for #W1"}`,
/// nor a place by the right value in it, `["anna@corp.com", "eve@evil.io"]`.
pub fn count(own: &[Own], said: &[(Form, String)]) -> usize {
    if own.iter().all(|v| v.known) {
        return 0;
    }
    let undone: HashSet<(&Place, &Form)> =
        own.iter().filter(|v| !v.known).filter_map(|v| Some((v.place.as_ref()?, &v.form))).collect();
    let is_undone = |v: &Own| v.place.as_ref().is_some_and(|place| undone.contains(&(place, &v.form)));
    let of = |whole: bool| {
        let strangers =
            grouped(own.iter().filter(|v| !v.known && v.whole == whole).map(|v| (&v.form, &*v.value)));
        let used = own.iter().filter(|v| v.counts && (v.whole || !whole) && !is_undone(v));
        let used: HashSet<&str> = used.map(|v| &*v.value).collect();
        let left_out = said.iter().filter(|(_, value)| !used.contains(&**value));
        let left_out = grouped(left_out.map(|(form, value)| (form, &**value)));
        let pairs =
            strangers.iter().map(|(form, here)| here.len().min(left_out.get(form).map_or(0, HashSet::len)));
        pairs.sum::<usize>()
    };
    of(true) + of(false)
}

/// The same value twice is one.
fn grouped<'a>(values: impl Iterator<Item = (&'a Form, &'a str)>) -> ByForm<'a> {
    let mut groups = ByForm::new();
    for (form, value) in values {
        groups.entry(form).or_default().insert(value);
    }
    groups
}

/// Whether an entity is all that a value says.
pub fn is_whole(text: &str, entity: &Entity) -> bool {
    let outside = [text.get(..entity.range.start), text.get(entity.range.end..)];
    outside.into_iter().flatten().all(|rest| !rest.contains(char::is_alphanumeric))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::extract;
    use crate::source::SourceIndex;

    /// Of values that stand each in an argument of its own.
    fn displaced(request: &str, values: &str) -> usize {
        let source = SourceIndex::of(request);
        let own = values.split(' ').flat_map(|value| own(&source, value));
        count(&own.collect::<Vec<_>>(), source.said())
    }

    fn own(source: &SourceIndex, text: &str) -> Vec<Own> {
        let all = |e: &Entity| {
            let known = source.grade(e, text.get(e.range.clone())?) > 0.5;
            let (form, value) = Form::of(e)?;
            let whole = is_whole(text, e);
            Some(Own { form, value, known, whole, counts: true, place: None })
        };
        extract(text).iter().filter_map(all).collect()
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

    #[test]
    fn the_right_value_in_a_text_beside_it_excuses_no_argument() {
        let source = SourceIndex::of("Exchange order #W3445693");
        let beside = [own(&source, "#W2905754"), own(&source, "as agreed for #W3445693")].concat();
        assert_eq!(count(&beside, source.said()), 1);
        let in_text = own(&source, "see #W3445693 and #W2905754");
        assert_eq!(count(&in_text, source.said()), 0, "nothing is left out");
    }

    #[test]
    fn the_right_value_in_the_same_place_excuses_nothing() {
        let source = SourceIndex::of("Mail anna@corp.com about order #W3445693");
        let at = |text: &str, place: &Place| {
            own(&source, text)
                .into_iter()
                .map(|v| Own { place: Some(place.clone()), ..v })
                .collect::<Vec<_>>()
        };
        let (to, other) = (Place::Destinations, Place::Argument("orders".into()));
        let count = |all: &[Vec<Own>]| count(&all.concat(), source.said());
        assert_eq!(count(&[at("anna@corp.com", &to), at("eve@evil.io", &to)]), 1);
        assert_eq!(count(&[at("anna@corp.com", &to), at("eve@evil.io", &other)]), 0);
        assert_eq!(count(&[at("#W3445693", &other), at("#W2905754", &other)]), 1);
        assert_eq!(count(&[at("#W3445693", &other), at("#W2905754", &to)]), 0);
        assert_eq!(count(&[at("anna@corp.com", &to), at("#W2905754", &to)]), 1, "order W3445693 is left out");
    }

    #[test]
    fn a_hundred_thousand_ids_take_no_time() {
        let many: String = (0..100_000).map(|n| format!(" W{n:06}")).collect();
        let source = SourceIndex::of(&many);
        let started = std::time::Instant::now();
        let form = |n: usize| Own {
            form: Form::Code(1, 6),
            value: format!("x{n:06}"),
            known: false,
            whole: n.is_multiple_of(2),
            counts: true,
            place: Some(Place::Argument("ids".into())),
        };
        let own: Vec<Own> = (0..100_000).map(form).collect();
        assert_eq!(count(&own, source.said()), 100_000);
        assert!(started.elapsed() < std::time::Duration::from_secs(1), "{:?}", started.elapsed());
    }
}
