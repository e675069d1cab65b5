//! Wrong actions that are hard to tell from right ones: a value exchanged, another tool of the same words, a wrong action
//! that hides behind words of the request.

use std::collections::{BTreeMap, BTreeSet};

use rhumb_drift::Action;
use rhumb_drift::attack::{ATTACKS, apply};
use rhumb_drift::render::words;
use serde_json::{Map, Value};

use super::super::super::labelled::Labelled;
use super::super::super::random::SplitMix;

/// What wrong actions are made of.
pub struct Negatives {
    /// Values by the last word of their names: recipients, amounts, dates, paths of other requests.
    values: BTreeMap<String, Vec<Value>>,
    /// An action of each tool, by each word of its name.
    tools: BTreeMap<String, Vec<Action>>,
}

impl Negatives {
    /// Gathers the values and tools of labelled actions.
    pub fn of(lines: &[Labelled]) -> Self {
        let (mut values, mut tools) = (BTreeMap::<_, Vec<Value>>::new(), BTreeMap::<_, Vec<Action>>::new());
        let (mut known, mut seen) = (BTreeSet::new(), BTreeSet::new());
        for action in lines.iter().map(|l| &l.input.action) {
            for (name, value) in scalars(&action.arguments) {
                let kind = last_word(&name);
                if known.insert((kind.clone(), value.to_string())) {
                    values.entry(kind).or_default().push(value);
                }
            }
            if seen.insert(action.tool.clone()) {
                let words: BTreeSet<String> = tool_words(&action.tool).collect();
                words.into_iter().for_each(|w| tools.entry(w).or_default().push(action.clone()));
            }
        }
        Self { values, tools }
    }

    /// The action with one value, of those that the request names if it names any, that is another request's.
    pub fn swapped(&self, request: &str, action: &Action, random: &mut SplitMix) -> Option<Action> {
        let request = request.to_lowercase();
        let stands = |value: &Value| request.contains(&plain(value).to_lowercase());
        let all = scalars(&action.arguments);
        let named: Vec<_> = all.iter().filter(|(_, value)| stands(value)).cloned().collect();
        let (name, old) = random.pick(if named.is_empty() { &all } else { &named })?.clone();
        let alike = |value: &&Value| value.is_string() == old.is_string() && !stands(value);
        let others: Vec<&Value> =
            self.values.get(&last_word(&name)).into_iter().flatten().filter(alike).collect();
        let new = random.pick(&others).map_or_else(|| altered(&old, random), |v| Some((*v).clone()))?;
        let mut wrong = action.clone();
        replace_first(&mut wrong.arguments, &old, &new);
        (wrong != *action && !stands(&new)).then_some(wrong)
    }

    /// Another tool whose name shares a word, with its own arguments or these values under its names.
    pub fn neighbour(&self, action: &Action, random: &mut SplitMix) -> Option<Action> {
        let alike = tool_words(&action.tool).filter_map(|w| self.tools.get(&w)).flatten();
        let alike: Vec<&Action> = alike.filter(|other| other.tool != action.tool).collect();
        let mut other = (*random.pick(&alike)?).clone();
        if random.below(2) == 0 {
            let own = action.arguments.values().cloned();
            other.arguments.values_mut().zip(own).for_each(|(theirs, own)| *theirs = own);
        }
        Some(other)
    }
}

/// A wrong action under one of the attacks.
pub fn attacked(request: &str, wrong: &Action, random: &mut SplitMix) -> Option<Action> {
    apply(random.pick(ATTACKS)?, request, wrong)
}

/// Scalars that say something, with the name nearest to them.
fn scalars(arguments: &Map<String, Value>) -> Vec<(String, Value)> {
    fn walk(name: &str, value: &Value, found: &mut Vec<(String, Value)>) {
        match value {
            Value::Array(items) => items.iter().for_each(|v| walk(name, v, found)),
            Value::Object(map) => map.iter().for_each(|(name, v)| walk(name, v, found)),
            Value::String(text) if !text.trim().is_empty() => found.push((name.to_owned(), value.clone())),
            Value::Number(_) => found.push((name.to_owned(), value.clone())),
            _ => {}
        }
    }
    let mut found = Vec::new();
    arguments.iter().for_each(|(name, value)| walk(name, value, &mut found));
    found
}

/// Puts `new` where `old` stands first.
fn replace_first(arguments: &mut Map<String, Value>, old: &Value, new: &Value) -> bool {
    fn within(value: &mut Value, old: &Value, new: &Value) -> bool {
        if value == old {
            *value = new.clone();
            return true;
        }
        match value {
            Value::Array(items) => items.iter_mut().any(|v| within(v, old, new)),
            Value::Object(map) => map.values_mut().any(|v| within(v, old, new)),
            _ => false,
        }
    }
    arguments.values_mut().any(|value| within(value, old, new))
}

/// The same with other digits; `None` of a text without any.
fn altered(value: &Value, random: &mut SplitMix) -> Option<Value> {
    let text = plain(value);
    let other = |c: char| match c.to_digit(10) {
        Some(digit) => char::from_digit((digit + 1 + random.below(9) as u32) % 10, 10).unwrap_or(c),
        None => c,
    };
    let new: String = text.chars().map(other).collect();
    match value {
        Value::Number(_) => new.parse().ok().map(Value::Number),
        _ => (new != text).then_some(Value::String(new)),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn tool_words(tool: &str) -> impl Iterator<Item = String> {
    let mut name = String::new();
    words(tool, &mut name);
    name.split(' ').map(str::to_owned).collect::<Vec<_>>().into_iter()
}

fn last_word(name: &str) -> String {
    tool_words(name).last().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhumb_engine::ScoreInput;
    use serde_json::json;

    fn action(tool: &str, arguments: Value) -> Action {
        let arguments = arguments.as_object().cloned().unwrap();
        Action { tool: tool.into(), arguments, ..Action::default() }
    }

    fn negatives() -> Negatives {
        let line = |action: Action| Labelled {
            input: ScoreInput { action, ..ScoreInput::default() },
            drifted: false,
            family: "f".into(),
            kind: "gold".into(),
            place: "here".into(),
            intent: "i".into(),
        };
        let lines = [
            line(action("send_money", json!({"recipient": "Bob", "amount": 20}))),
            line(action("send_mail", json!({"recipient": "Eve", "amount": 300}))),
            line(action("book_room", json!({"hotel": "Ritz"}))),
        ];
        Negatives::of(&lines)
    }

    #[test]
    fn one_value_of_the_request_gives_way_to_one_of_another_request() {
        let right = action("send_money", json!({"recipient": "Bob", "amount": 20}));
        for seed in 0..20 {
            let wrong =
                negatives().swapped("Pay Bob his 20", &right, &mut SplitMix::of(seed)).unwrap().arguments;
            let (to, amount) = (wrong["recipient"] == json!("Eve"), wrong["amount"] == json!(300));
            assert!(to != amount, "{wrong:?}");
        }
    }

    #[test]
    fn a_value_without_a_like_gets_other_digits_or_stays() {
        let random = &mut SplitMix::of(1);
        let dated = action("x", json!({"on": "2024-05-01"}));
        let wrong = negatives().swapped("Go on 2024-05-01", &dated, random).unwrap();
        let on = wrong.arguments["on"].as_str().unwrap();
        assert!(on != "2024-05-01" && on.len() == 10 && on.matches('-').count() == 2, "{on}");
        assert_eq!(negatives().swapped("Go", &action("x", json!({"on": "foot"})), random), None);
    }

    #[test]
    fn a_neighbour_is_another_tool_that_shares_a_word() {
        let right = action("send_money", json!({"recipient": "Bob", "amount": 20}));
        let other = negatives().neighbour(&right, &mut SplitMix::of(1)).unwrap();
        assert_eq!(other.tool, "send_mail");
        assert_eq!(negatives().neighbour(&action("sleep", json!({})), &mut SplitMix::of(1)), None);
    }
}
