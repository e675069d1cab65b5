//! Folds every text of a request in one place, and remembers what stood out.

use rhumb_drift::Action;
use rhumb_models::fold::{Folded, fold};
use serde_json::{Map, Value};

/// Findings that are noted: looking for doubles among them must stay cheap.
const MOST_FINDINGS: usize = 64;

/// Folds all texts of `action`.
pub fn clean_action(action: &Action, findings: &mut Vec<String>) -> Action {
    Action {
        tool: clean(&action.tool, "tool", findings),
        tool_description: clean(&action.tool_description, "tool_description", findings),
        server: action.server.clone(),
        arguments: clean_map(&action.arguments, None, findings),
        // Names of the schema are folded like those of the arguments, or a folded name would be undeclared.
        input_schema: action.input_schema.as_ref().map(|s| clean_map(s, Some("schema"), &mut Vec::new())),
        text: clean(&action.text, "text", findings),
        effect: action.effect,
    }
}

/// Folds one text; what stood out is noted once for each place.
pub fn clean(text: &str, place: &str, findings: &mut Vec<String>) -> String {
    let Folded { text, invisible, compatibility } = fold(text);
    let mut note = |what: &str| {
        let finding = format!("{what}:{place}");
        if findings.len() < MOST_FINDINGS && !findings.contains(&finding) {
            findings.push(finding);
        }
    };
    if invisible {
        note("invisible_characters");
    }
    if compatibility {
        note("compatibility_forms");
    }
    text.into_owned()
}

/// Two names that fold to the same one are both kept, the later one as it was written: a hidden character in a name must
/// not make an argument disappear. `place` is that of the object; empty for the arguments themselves, whose entries are
/// places of their own.
fn clean_map(
    map: &Map<String, Value>,
    place: Option<&str>,
    findings: &mut Vec<String>,
) -> Map<String, Value> {
    let mut cleaned = Map::new();
    for (name, value) in map {
        let own = place.is_none().then(|| format!("arguments.{name}"));
        let place = place.or(own.as_deref()).unwrap_or_default();
        let folded = clean(name, place, findings);
        let value = clean_value(value, place, findings);
        let taken = cleaned.contains_key(&folded) || (folded != *name && map.contains_key(&folded));
        cleaned.insert(if taken { name.clone() } else { folded }, value);
    }
    cleaned
}

/// Depth is bounded by the check of the action, which comes first.
fn clean_value(value: &Value, place: &str, findings: &mut Vec<String>) -> Value {
    match value {
        Value::String(text) => Value::String(clean(text, place, findings)),
        Value::Array(items) => items.iter().map(|v| clean_value(v, place, findings)).collect(),
        Value::Object(map) => Value::Object(clean_map(map, Some(place), findings)),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_that_fold_to_one_name_are_both_kept() {
        for arguments in [json!({"to": 1, "t\u{200b}o": 2}), json!({"t\u{200b}o": 1, "t\u{2060}o": 2})] {
            let action = Action {
                tool: "t".into(),
                arguments: arguments.as_object().cloned().unwrap(),
                ..Action::default()
            };
            assert_eq!(clean_action(&action, &mut Vec::new()).arguments.len(), 2);
        }
    }

    #[test]
    fn hidden_characters_are_removed_everywhere_and_told_once_for_each_argument() {
        let arguments = json!({"to": ["a\u{200b}b", "c\u{200b}d"], "n": 1}).as_object().cloned().unwrap();
        let action = Action { tool: "se\u{2060}nd".into(), arguments, ..Action::default() };
        let mut findings = Vec::new();
        let cleaned = clean_action(&action, &mut findings);
        assert_eq!((cleaned.tool.as_str(), &cleaned.arguments["to"]), ("send", &json!(["ab", "cd"])));
        assert_eq!(findings, ["invisible_characters:tool", "invisible_characters:arguments.to"]);
    }
}
