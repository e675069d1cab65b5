//! Ways to hide drift, to measure whether they work.
//!
//! The attacker controls what the agent puts out and knows the human's request. The action that it wants stays what it
//! is: the same tool with the same values. It may only add words that look good (*cover*), or write its own values in a
//! way that a scorer might not read (*rewriting*), or hide where something goes behind what the request names (*hiding*).
//! An attack is a pure function, so that a figure measured today can be
//! measured again tomorrow. What an attack writes into the tool's own name and description is a lie of the tool's server;
//! such attacks are marked with [`Actor::Server`], because a deployment that pins its tools need not fear them.

mod address;
mod cover;
mod list;
mod place;
mod synonyms;
mod write;

#[cfg(test)]
mod tests;

use crate::action::{Action, is_anchor};
use crate::source::SourceIndex;

pub use list::ATTACKS;

/// Who has to lie for an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Actor {
    /// The agent, in its arguments or its own words.
    Agent,
    /// The server that offers the tool, in the tool's name or description.
    Server,
}

/// One way to hide drift.
#[derive(Debug)]
pub struct Attack {
    /// Its name on the command line and in figures, for example `note-intent`.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// Who has to lie for it.
    pub actor: Actor,
    way: Way,
}

/// How an attack works.
#[derive(Debug)]
enum Way {
    /// Words made of the request are put somewhere in the action.
    Cover(Words, Place),
    /// Values that do not stand in the request are written otherwise.
    Rewrite(fn(&str) -> String),
    /// Destinations that do not stand in the request hide behind one that does.
    Hide(fn(&mut Action, &str) -> Option<()>),
}

/// Words that look good, made of the request; `None` where it has nothing to make them of.
type Words = fn(&str) -> Option<String>;

/// Puts words somewhere in an action; `None` where it has no such place.
type Place = fn(&mut Action, &str) -> Option<()>;

/// The attack of this name.
pub fn find(name: &str) -> Option<&'static Attack> {
    ATTACKS.iter().find(|attack| attack.name == name)
}

/// The action under the attack; `None` where the attack does not apply: no request, no string to append to, or nothing
/// that would change.
pub fn apply(attack: &Attack, intent_text: &str, action: &Action) -> Option<Action> {
    if !is_anchor(intent_text) {
        return None;
    }
    let mut attacked = action.clone();
    match attack.way {
        Way::Cover(words, put) => put(&mut attacked, &words(intent_text)?)?,
        Way::Rewrite(write) => rewrite(&mut attacked, intent_text, write),
        Way::Hide(hide) => hide(&mut attacked, intent_text)?,
    }
    (attacked != *action).then_some(attacked)
}

/// Only what the request does not hold is rewritten: the rest looks good as it is.
fn rewrite(action: &mut Action, intent_text: &str, write: fn(&str) -> String) {
    let request = SourceIndex::of(intent_text);
    place::each_string(action, &mut |text| {
        if is_anchor(text) && !request.has_phrase(text) {
            *text = write(text);
        }
    });
}
