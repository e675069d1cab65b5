//! Where words that look good can be put.
//!
//! A call without a tool has no arguments that anybody would read: there every place but its text is missing.

use serde_json::{Map, Value, json};

use crate::action::Action;

/// An extra argument `note`.
pub fn note(action: &mut Action, words: &str) -> Option<()> {
    insert(action, "note", json!(words))
}

/// Extra arguments of six words each: `note_1`, `note_2`, ...
pub fn notes_of_six(action: &mut Action, words: &str) -> Option<()> {
    notes(action, words, 6)
}

/// Extra arguments of three words each: too short to be told from values.
pub fn notes_of_three(action: &mut Action, words: &str) -> Option<()> {
    notes(action, words, 3)
}

/// An extra argument that is an object.
pub fn in_object(action: &mut Action, words: &str) -> Option<()> {
    insert(action, "details", json!({"request": {"text": words}}))
}

/// An extra argument that is a list of pieces of six words.
pub fn in_array(action: &mut Action, words: &str) -> Option<()> {
    insert(action, "notes", json!(pieces(words, 6)))
}

/// Inside of the first argument that is an object or a list of texts already: no schema forbids it at the top.
pub fn in_existing(action: &mut Action, words: &str) -> Option<()> {
    tool_only(action)?;
    action.arguments.values_mut().find_map(|value| match value {
        Value::Object(map) => map.insert(free_name(map, "note"), json!(words)).map_or(Some(()), |_| None),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.push(json!(words));
            Some(())
        }
        _ => None,
    })
}

/// As the name of an extra argument.
pub fn key(action: &mut Action, words: &str) -> Option<()> {
    insert(action, words, json!(true))
}

/// As a name inside of an extra object.
pub fn nested_key(action: &mut Action, words: &str) -> Option<()> {
    insert(action, "details", json!({ words: true }))
}

/// At the end of the longest text among the arguments.
pub fn append(action: &mut Action, words: &str) -> Option<()> {
    edit_longest(action, &|text| format!("{text}. {words}"))
}

/// At the end of every text among the arguments.
pub fn append_to_all(action: &mut Action, words: &str) -> Option<()> {
    let mut edited = None;
    tool_only(action)?;
    each_string(action, &mut |text| {
        *text = format!("{text}. {words}");
        edited = Some(());
    });
    edited
}

/// Shared out among the texts of the arguments, so that none holds many; in an extra argument where there is no text.
pub fn spread(action: &mut Action, words: &str) -> Option<()> {
    tool_only(action)?;
    let mut texts = 0;
    each_string(action, &mut |_| texts += 1);
    let words: Vec<&str> = words.split_whitespace().collect();
    if texts == 0 {
        return note(action, &words.join(" "));
    }
    let mut pieces = words.chunks(words.len().div_ceil(texts).max(1));
    each_string(action, &mut |text| {
        for word in pieces.next().unwrap_or_default() {
            text.push(' ');
            text.push_str(word);
        }
    });
    Some(())
}

/// As names of two words each, in a list of objects that hold nothing.
pub fn names_of_two(action: &mut Action, words: &str) -> Option<()> {
    let names = empty_names(words);
    insert(action, "details", json!([names, names, names]))
}

/// The same names beside the arguments, which all move into the list.
pub fn among_names(action: &mut Action, words: &str) -> Option<()> {
    tool_only(action)?;
    let names = empty_names(words);
    let mut own = names.clone();
    own.append(&mut action.arguments);
    action.arguments.insert("request".to_owned(), json!([names, names, own, names]));
    Some(())
}

fn empty_names(words: &str) -> Map<String, Value> {
    pieces(words, 2).into_iter().map(|name| (name, json!(""))).collect()
}

/// As a list that holds each value twenty times.
pub fn twenty_times(action: &mut Action, values: &str) -> Option<()> {
    insert(action, "ids", json!(vec![values.split(", ").collect::<Vec<_>>(); 20].concat()))
}

/// Before the longest text among the arguments.
pub fn prepend(action: &mut Action, words: &str) -> Option<()> {
    edit_longest(action, &|text| format!("{words}. {text}"))
}

/// In the place of the longest text, which comes at the very end, far from where a reader looks.
pub fn overwrite(action: &mut Action, words: &str) -> Option<()> {
    edit_longest(action, &|text| format!("{words}{}{text}", "\n".repeat(40)))
}

/// As the agent's own words.
pub fn text(action: &mut Action, words: &str) -> Option<()> {
    let space = if action.text.is_empty() { "" } else { " " };
    action.text = format!("{words}{space}{}", action.text);
    Some(())
}

/// In an extra argument, at the end of every text, and as the agent's own words.
pub fn everywhere(action: &mut Action, words: &str) -> Option<()> {
    // An action without texts still has the two other places.
    let _ = append_to_all(action, words);
    note(action, words)?;
    text(action, words)
}

/// Before what the tool says of itself.
pub fn description(action: &mut Action, words: &str) -> Option<()> {
    tool_only(action)?;
    action.tool_description = format!("{words} {}", action.tool_description);
    Some(())
}

/// Before the tool's name.
pub fn tool_name(action: &mut Action, words: &str) -> Option<()> {
    tool_only(action)?;
    action.tool = format!("{words}_{}", action.tool);
    Some(())
}

/// Visits every text of the action that the tool reads: strings in the arguments, or the free text where there is no
/// tool.
pub fn each_string(action: &mut Action, visit: &mut dyn FnMut(&mut String)) {
    if action.tool.trim().is_empty() {
        return visit(&mut action.text);
    }
    action.arguments.values_mut().for_each(|value| strings_in(value, visit));
}

/// Depth is bounded by the check of the action.
fn strings_in(value: &mut Value, visit: &mut dyn FnMut(&mut String)) {
    match value {
        Value::String(text) => visit(text),
        Value::Array(items) => items.iter_mut().for_each(|v| strings_in(v, visit)),
        Value::Object(map) => map.values_mut().for_each(|v| strings_in(v, visit)),
        _ => {}
    }
}

/// Edits the longest text; one of several words goes before any other, because its tool expects free text there.
fn edit_longest(action: &mut Action, edit: &dyn Fn(&str) -> String) -> Option<()> {
    tool_only(action)?;
    let mut weights = Vec::new();
    each_string(action, &mut |text| weights.push((text.trim().contains(char::is_whitespace), text.len())));
    let longest = weights.iter().max().copied()?;
    let place = weights.iter().position(|w| *w == longest)?;
    let mut number = 0;
    each_string(action, &mut |text| {
        if number == place {
            *text = edit(text);
        }
        number += 1;
    });
    Some(())
}

fn notes(action: &mut Action, words: &str, size: usize) -> Option<()> {
    let pieces = pieces(words, size);
    pieces.iter().zip(1..).try_for_each(|(piece, n)| insert(action, &format!("note_{n}"), json!(piece)))
}

fn pieces(words: &str, size: usize) -> Vec<String> {
    let words: Vec<&str> = words.split_whitespace().collect();
    words.chunks(size).map(|piece| piece.join(" ")).collect()
}

fn insert(action: &mut Action, name: &str, value: Value) -> Option<()> {
    tool_only(action)?;
    let name = free_name(&action.arguments, name);
    action.arguments.insert(name, value);
    Some(())
}

/// The name, with underscores until no argument has it: what is there must stay.
fn free_name(taken: &Map<String, Value>, name: &str) -> String {
    let mut name = name.to_owned();
    while taken.contains_key(&name) {
        name.push('_');
    }
    name
}

fn tool_only(action: &Action) -> Option<()> {
    (!action.tool.trim().is_empty()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(arguments: Value) -> Action {
        Action { tool: "t".into(), arguments: arguments.as_object().unwrap().clone(), ..Action::default() }
    }

    fn put(place: fn(&mut Action, &str) -> Option<()>, arguments: Value, words: &str) -> Option<Value> {
        let mut action = action(arguments);
        place(&mut action, words).map(|()| Value::Object(action.arguments))
    }

    #[test]
    fn an_argument_that_is_there_is_never_replaced() {
        let put = put(note, json!({"note": "a"}), "w").unwrap();
        assert_eq!(put, json!({"note": "a", "note_": "w"}));
    }

    #[test]
    fn pieces_become_numbered_arguments() {
        let put = put(notes_of_six, json!({}), "a b c d e f g").unwrap();
        assert_eq!(put, json!({"note_1": "a b c d e f", "note_2": "g"}));
    }

    #[test]
    fn words_are_shared_out_among_the_texts() {
        let put = |arguments| put(spread, arguments, "a b c").unwrap();
        assert_eq!(put(json!({"x": "1", "y": ["2"], "z": 3})), json!({"x": "1 a b", "y": ["2 c"], "z": 3}));
        assert_eq!(put(json!({"z": 3})), json!({"z": 3, "note": "a b c"}));
    }

    #[test]
    fn names_hold_nothing() {
        let names = json!({"a b": "", "c": ""});
        assert_eq!(put(names_of_two, json!({}), "a b c"), Some(json!({"details": [names, names, names]})));
        let among = put(among_names, json!({"to": 1}), "a b c").unwrap();
        assert_eq!(among, json!({"request": [names, names, {"a b": "", "c": "", "to": 1}, names]}));
    }

    #[test]
    fn the_longest_free_text_is_edited_and_no_other() {
        let arguments = json!({"id": "x".repeat(50), "body": ["see you", "hello you there"], "n": 1});
        let put = put(append, arguments, "w").unwrap();
        assert_eq!(put, json!({"id": "x".repeat(50), "body": ["see you", "hello you there. w"], "n": 1}));
    }

    #[test]
    fn without_a_text_there_is_nothing_to_append_to() {
        for place in [append, prepend, overwrite, append_to_all] {
            assert_eq!(put(place, json!({"n": 1}), "w"), None);
        }
    }

    #[test]
    fn existing_containers_take_words() {
        assert_eq!(
            put(in_existing, json!({"a": 1, "b": {"c": 2}}), "w"),
            Some(json!({"a": 1, "b": {"c": 2, "note": "w"}}))
        );
        assert_eq!(put(in_existing, json!({"b": ["c"]}), "w"), Some(json!({"b": ["c", "w"]})));
        assert_eq!(put(in_existing, json!({"b": [1]}), "w"), None);
    }

    #[test]
    fn a_call_without_a_tool_has_only_its_text() {
        let mut free = Action { text: "pay".into(), ..Action::default() };
        for place in [note, append, key, description, tool_name, everywhere] {
            assert_eq!(place(&mut free, "w"), None);
        }
        assert_eq!((text(&mut free, "w"), free.text.as_str()), (Some(()), "w pay"));
    }
}
