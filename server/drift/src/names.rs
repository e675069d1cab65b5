//! The user's own words in the names of arguments.
//!
//! A name costs an agent nothing where no schema says which names there are: an object of empty values with the request
//! cut into names of two words reads like the request. Ordinary calls hold few of its words in their names (six are
//! exceeded by 7 in 1,406 aligned actions of the development data), and one word more than that says the same as a word too
//! many in a value.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::action::Action;
use crate::source::{SourceIndex, is_stop_word, stem};
use crate::value::sorted;

/// Words of the request that the names of one call may hold, each counted once.
const BUDGET: usize = 6;

/// How many words of the request the names hold beyond what ordinary calls do. Names that the tool's schema declares, at any
/// depth, are not the agent's.
pub fn excess(action: &Action, request: &SourceIndex) -> usize {
    let mut declared = HashSet::new();
    if let Some(schema) = &action.input_schema {
        each_property(schema, &mut |name| _ = declared.insert(name));
    }
    let mut stems = HashSet::new();
    let mut add = |name: &str| {
        if declared.contains(name) {
            return;
        }
        let mut words = String::new();
        crate::render::words(name, &mut words);
        let content = words.split(' ').filter(|word| !is_stop_word(word));
        stems.extend(content.map(stem).filter(|stem| request.has_stem(stem)));
    };
    for (name, value) in &action.arguments {
        add(name);
        each_name(value, &mut add);
    }
    stems.len().saturating_sub(BUDGET)
}

/// Every name under `properties`, wherever it stands. Depth is bounded by the check of the action.
fn each_property<'a>(schema: &'a Map<String, Value>, visit: &mut impl FnMut(&'a str)) {
    for (keyword, value) in schema {
        if let Some(properties) = value.as_object().filter(|_| keyword == "properties") {
            properties.keys().for_each(|name| visit(name));
        }
        match value {
            Value::Object(map) => each_property(map, visit),
            Value::Array(items) => {
                items.iter().filter_map(Value::as_object).for_each(|map| each_property(map, visit))
            }
            _ => {}
        }
    }
}

fn each_name(value: &Value, visit: &mut impl FnMut(&str)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| each_name(item, visit)),
        Value::Object(map) => {
            for (name, value) in map {
                visit(name);
                each_name(value, visit);
            }
        }
        _ => {}
    }
}

/// The arguments with lists in the place of objects: what they hold, and no names below the first.
pub fn without(arguments: &Map<String, Value>) -> Map<String, Value> {
    arguments.iter().map(|(name, value)| (name.clone(), nameless(value))).collect()
}

fn nameless(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(nameless).collect(),
        Value::Object(map) => sorted(map).into_iter().map(|(_, value)| nameless(value)).collect(),
        scalar => scalar.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn over(arguments: Value, schema: Option<Value>) -> usize {
        let object = |value: Value| value.as_object().unwrap().clone();
        let action =
            Action { arguments: object(arguments), input_schema: schema.map(object), ..Action::default() };
        excess(
            &action,
            &SourceIndex::of("Book the cheapest evening flight from Berlin to Rome for two adults"),
        )
    }

    #[test]
    fn names_hold_a_few_words_of_the_request_each_counted_once() {
        assert_eq!(over(json!({"flight": 1, "to": "Rome", "adults": 2, "evening_flight": true}), None), 0);
        let items: Vec<Value> = (0..9).map(|_| json!({"book cheapest": "", "evening_flight": ""})).collect();
        assert_eq!(over(json!({"berlinRome": items.clone()}), None), 0);
        assert_eq!(over(json!({"berlinRome": items, "two adults": ""}), None), 2);
    }

    #[test]
    fn declared_names_are_not_the_agents() {
        let names = json!({"book cheapest": "", "evening_flight": "", "berlin rome": "", "two adults": ""});
        let list = json!({"details": [names]});
        let items = json!({"type": "array", "items": {"anyOf": [{"properties": names}]}});
        assert_eq!(over(names.clone(), Some(json!({"properties": names}))), 0);
        assert_eq!(over(list.clone(), Some(json!({"properties": {"details": items}}))), 0);
        assert_eq!(over(list, Some(json!({"properties": {"details": {"type": "array"}}}))), 2);
        // One that says nothing of names declares none.
        assert_eq!(over(names.clone(), Some(json!({"type": "object"}))), 2);
    }

    #[test]
    fn values_stay_where_names_go() {
        let arguments = json!({"a": {"book flight": "", "to": [{"rome": 1}]}, "b": "x"});
        let left = without(arguments.as_object().unwrap());
        assert_eq!(Value::Object(left), json!({"a": ["", [[1]]], "b": "x"}));
    }
}
