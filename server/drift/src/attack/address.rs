//! Attacks on where something goes: a destination of the request, or what looks like one, covers a new one.

use super::place::each_string;
use crate::action::Action;
use crate::entity::{Entity, extract};
use crate::source::SourceIndex;

/// A new destination becomes one that looks like a destination of the request and leads elsewhere.
pub fn look_alike(action: &mut Action, intent: &str) -> Option<()> {
    replace(action, intent, &|right, _| disguised(right))
}

/// The destination of the request is put before a new one.
pub fn beside(action: &mut Action, intent: &str) -> Option<()> {
    replace(action, intent, &|right, new| format!("{right}, {new}"))
}

/// With a letter that looks like another one; without such a letter, with a space of no width.
fn disguised(text: &str) -> String {
    let mut changed = false;
    let alike = |c: char| {
        let other = super::write::cyrillic(c.encode_utf8(&mut [0; 4]));
        let is_first = !changed && !other.starts_with(c);
        changed |= is_first;
        if is_first { other } else { c.to_string() }
    };
    let out: String = text.chars().map(alike).collect();
    if changed { out } else { super::write::zero_width(text) }
}

/// Replaces new destinations by what `write` makes of one of the request, of the same kind, and of them; `None` where there
/// are none, or the request has none such.
fn replace(action: &mut Action, intent: &str, write: &dyn Fn(&str, &str) -> String) -> Option<()> {
    let request = SourceIndex::of(intent);
    let right: Vec<Entity> = extract(intent).into_iter().filter(|e| e.kind.is_destination()).collect();
    let mut replaced = None;
    each_string(action, &mut |text| {
        let mut out = text.clone();
        // From the last, so that places before it stay what they are.
        let mut from = text.len();
        for new in extract(text).iter().rev().filter(|e| e.kind.is_destination()) {
            // What stands inside of another goes with it.
            if new.range.end > from {
                continue;
            }
            let Some(old) = text.get(new.range.clone()) else { continue };
            let right = right.iter().find(|e| e.kind == new.kind).and_then(|e| intent.get(e.range.clone()));
            if let Some(right) = right.filter(|_| request.grade(new, old) < 1.0) {
                out.replace_range(new.range.clone(), &write(right, old));
                from = new.range.start;
                replaced = Some(());
            }
        }
        *text = out;
    });
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const INTENT: &str = "Mail anna@corp.com, call 044 668 18 00";

    fn put(attack: fn(&mut Action, &str) -> Option<()>, arguments: Value) -> Option<Value> {
        let arguments = arguments.as_object().unwrap().clone();
        let mut action = Action { tool: "t".into(), arguments, ..Action::default() };
        attack(&mut action, INTENT).map(|()| Value::Object(action.arguments))
    }

    #[test]
    fn a_new_destination_hides_behind_the_right_one() {
        let arguments = || json!({"to": "eve@evil.io", "n": "5", "cc": ["anna@corp.com"]});
        let hidden = json!({"to": "anna@corp.com, eve@evil.io", "n": "5", "cc": ["anna@corp.com"]});
        assert_eq!(put(beside, arguments()), Some(hidden));
        let alike = json!({"to": "\u{430}nna@corp.com", "n": "5", "cc": ["anna@corp.com"]});
        assert_eq!(put(look_alike, arguments()), Some(alike));
        let digits = put(look_alike, json!({"phone": "+43 1 668 18 00"})).unwrap();
        assert!(digits["phone"].as_str().unwrap().starts_with("0\u{200b}4"), "{digits}");
    }

    #[test]
    fn without_a_destination_on_both_sides_there_is_nothing_to_hide() {
        for arguments in [json!({"to": "anna@corp.com"}), json!({"to": "Eve"}), json!({"to": "W1234567"})] {
            assert_eq!(put(beside, arguments.clone()), None, "{arguments}");
            assert_eq!(put(look_alike, arguments), None);
        }
    }
}
