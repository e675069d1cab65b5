//! The digest of an action: for caches and the ledger.

use rhumb_drift::Action;
use serde_json::{Value, json};

use super::canon::digest;
use super::jcs::jcs;

/// `sha256:` and the digest of `{server, tool, arguments, text}` in canonical JSON (see [`mod@super::jcs`]).
///
/// What the tool says of itself, its schema and its effect are not part of it: they describe the tool, not the action.
pub fn action_digest(action: &Action) -> String {
    digest(jcs(&json!({
        "server": action.server,
        "tool": action.tool,
        "arguments": Value::Object(action.arguments.clone()),
        "text": action.text,
    })))
}

/// `sha256:` and the digest of any JSON in canonical form: that of a request, for example.
pub fn value_digest(value: &Value) -> String {
    digest(jcs(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(arguments: &str) -> Action {
        let arguments = serde_json::from_str(arguments).unwrap();
        Action { tool: "send_money".into(), server: "bank".into(), arguments, ..Action::default() }
    }

    #[test]
    fn the_order_of_arguments_does_not_matter() {
        let (a, b) = (action(r#"{"to":"UK1","amount":98.70}"#), action(r#"{"amount":98.7,"to":"UK1"}"#));
        assert_eq!(action_digest(&a), action_digest(&b));
    }

    #[test]
    fn every_part_of_the_action_matters() {
        let base = action(r#"{"to":"UK1"}"#);
        let others = [
            action(r#"{"to":"UK2"}"#),
            Action { tool: "sendmoney".into(), ..base.clone() },
            Action { server: "bank2".into(), ..base.clone() },
            Action { text: "x".into(), ..base.clone() },
        ];
        for other in others {
            assert_ne!(action_digest(&other), action_digest(&base), "{other:?}");
        }
    }

    #[test]
    fn neighbouring_long_integers_are_different_actions() {
        let (a, b) = (action(r#"{"to":9007199254740993}"#), action(r#"{"to":9007199254740992}"#));
        assert_ne!(action_digest(&a), action_digest(&b));
    }
}
