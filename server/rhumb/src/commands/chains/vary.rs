//! Small changes to an action that leave what it does alone, as other agents and servers would write it.

use rhumb_drift::Action;

use super::super::random::SplitMix;

/// The action as another agent might call it: without the tool's description, with the tool's name in another style, or
/// without one of several arguments.
pub fn vary(action: &Action, random: &mut SplitMix) -> Action {
    let mut varied = action.clone();
    match random.below(3) {
        0 => varied.tool_description.clear(),
        1 => varied.tool = camel(&action.tool),
        _ => drop_one(&mut varied, random),
    }
    varied
}

fn drop_one(action: &mut Action, random: &mut SplitMix) {
    let names: Vec<String> = action.arguments.keys().cloned().collect();
    if let Some(name) = random.pick(&names).filter(|_| names.len() > 1) {
        action.arguments.remove(name);
    }
}

/// `send_money` as `sendMoney`.
fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut name, word| {
        let mut letters = word.chars();
        name.extend(letters.next().map(|c| c.to_ascii_uppercase()));
        name.push_str(letters.as_str());
        name
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_varied_action_says_nothing_new() {
        let arguments = serde_json::json!({"to": "Bob", "amount": 3}).as_object().cloned().unwrap();
        let action = Action {
            tool: "send_money_now".into(),
            tool_description: "Sends".into(),
            arguments,
            ..Action::default()
        };
        for seed in 0..20 {
            let varied = vary(&action, &mut SplitMix::of(seed));
            assert_ne!(varied, action);
            assert!(varied.arguments.iter().all(|(name, value)| action.arguments.get(name) == Some(value)));
            assert_eq!(varied.tool.to_lowercase().replace('_', ""), "sendmoneynow");
        }
    }
}
