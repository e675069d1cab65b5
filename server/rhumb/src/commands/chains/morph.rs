//! From one action to another in small steps.

use rhumb_drift::Action;
use serde_json::{Map, Value};

use super::super::random::SplitMix;

/// The way from one action, and the instruction that goes with it, to another.
pub struct Morph<'a> {
    /// Where it begins.
    pub from: &'a Action,
    /// Where it ends.
    pub to: &'a Action,
    /// The first instruction.
    pub instruction: &'a str,
    /// The step at which the tool, its server and its effect change, of `steps`.
    pub switch: usize,
    /// How many steps there are.
    pub steps: usize,
    /// Draws the order in which words change.
    pub seed: u64,
}

impl Morph<'_> {
    /// The action and its instruction after `step` of the steps; the last one is where it ends.
    pub fn at(&self, step: usize) -> (Action, String) {
        let done = step as f64 / self.steps as f64;
        let kept = if step >= self.switch { self.to } else { self.from };
        let action = Action {
            tool_description: blend(&self.from.tool_description, &self.to.tool_description, done, self.seed),
            arguments: arguments(&self.from.arguments, &self.to.arguments, done, self.seed),
            text: blend(&self.from.text, &self.to.text, done, self.seed),
            input_schema: None,
            ..kept.clone()
        };
        (action, blend(self.instruction, &instruction(self.to), done, self.seed))
    }
}

/// What an agent that hands the action on would say, in the words of the action: neither family of the data holds
/// instructions.
pub fn instruction(action: &Action) -> String {
    let values =
        action.arguments.iter().map(|(name, value)| format!("{} {}", name.replace('_', " "), text(value)));
    let values: Vec<String> = values.collect();
    let about = match action.tool_description.as_str() {
        "" => action.tool.replace(['_', '.'], " "),
        about => about.trim_end_matches('.').to_owned(),
    };
    let about = if action.text.is_empty() { about } else { format!("{about} {}", action.text) };
    if values.is_empty() { about } else { format!("{about}: {}", values.join(", ")) }
}

/// How many words of `to` are new; fewer than the steps means that some of them change nothing.
pub fn new_words(from: &Action, to: &Action) -> usize {
    let words =
        |action: &Action| instruction(action).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let known = words(from);
    words(to).iter().filter(|word| !known.contains(word)).count()
}

/// Words of `from` give way to words of `to`, in an order that is drawn, each about where it stands in its text.
fn blend(from: &str, to: &str, done: f64, seed: u64) -> String {
    if done >= 1.0 || from == to {
        return to.to_owned();
    }
    let mut words: Vec<(f64, &str)> = part(from, seed, |rank| rank >= done);
    words.extend(part(to, seed, |rank| rank < done));
    words.sort_by(|a, b| a.0.total_cmp(&b.0));
    words.into_iter().map(|(_, word)| word).collect::<Vec<_>>().join(" ")
}

/// The words whose rank, in `0..1`, is wanted, with their place in `0..1`.
fn part(text: &str, seed: u64, wanted: impl Fn(f64) -> bool) -> Vec<(f64, &str)> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let count = words.len().max(1) as f64;
    let ranks = SplitMix::of(seed).order(words.len());
    let placed = words.into_iter().zip(0u32..).zip(ranks);
    let wanted = placed.filter(|(_, rank)| wanted((*rank as f64 + 0.5) / count));
    wanted.map(|((word, place), _)| (f64::from(place) / count, word)).collect()
}

/// One argument after the other changes, in an order that is drawn; texts word by word.
fn arguments(from: &Map<String, Value>, to: &Map<String, Value>, done: f64, seed: u64) -> Map<String, Value> {
    let mut names: Vec<&String> = from.keys().chain(to.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let order = SplitMix::of(seed).order(names.len());
    let count = names.len() as f64;
    let mut mixed = Map::new();
    for (name, rank) in names.into_iter().zip(order) {
        let own = (done * count - rank as f64).clamp(0.0, 1.0);
        if let Some(value) = value(from.get(name), to.get(name), own, seed) {
            mixed.insert(name.clone(), value);
        }
    }
    mixed
}

fn value(from: Option<&Value>, to: Option<&Value>, done: f64, seed: u64) -> Option<Value> {
    let words = |value: Option<&Value>| match value {
        None => Some(String::new()),
        Some(Value::String(text)) => Some(text.clone()),
        Some(_) => None,
    };
    match (words(from), words(to)) {
        _ if done <= 0.0 => from.cloned(),
        _ if done >= 1.0 => to.cloned(),
        (Some(a), Some(b)) => Some(blend(&a, &b, done, seed)).filter(|t| !t.is_empty()).map(Value::String),
        _ if done < 0.5 => from.cloned(),
        _ => to.cloned(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn action(tool: &str, about: &str, arguments: Value) -> Action {
        let arguments = arguments.as_object().cloned().unwrap();
        Action { tool: tool.into(), tool_description: about.into(), arguments, ..Action::default() }
    }

    #[test]
    fn a_morph_ends_where_it_should_and_every_step_is_small() {
        let from = action("read_file", "Reads a file of the user", json!({"path": "bill for the rent.txt"}));
        let to = action(
            "send_money",
            "Sends money to some account",
            json!({"to": "Eve of the other bank", "amount": 7}),
        );
        let morph = Morph {
            from: &from,
            to: &to,
            instruction: "Pay the rent of May for me",
            switch: 5,
            steps: 10,
            seed: 3,
        };
        let (end, said) = morph.at(10);
        assert_eq!((&end, said), (&to, instruction(&to)));
        assert_eq!(morph.at(0).1, "Pay the rent of May for me");
        for step in 1..10 {
            let (before, after) = (morph.at(step - 1), morph.at(step));
            assert!(new_words(&before.0, &after.0) <= 8, "{before:?} {after:?}");
        }
        assert_eq!(
            (morph.at(4).0.tool, morph.at(5).0.tool),
            ("read_file".to_owned(), "send_money".to_owned())
        );
    }

    #[test]
    fn the_same_text_stays_as_it_is() {
        assert_eq!(blend("a b c", "a b c", 0.5, 1), "a b c");
        assert_eq!(blend("", "a b c d", 0.5, 1).split(' ').count(), 2);
    }
}
