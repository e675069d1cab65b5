//! Limits that the principal set, checked before any model runs.

use std::collections::BTreeMap;

use rhumb_drift::{Action, Effect, InputError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::amount;
use super::reason;

/// The most patterns, effects or currencies that one list holds.
const MAX_ENTRIES: usize = 64;

/// Limits on the actions of an intent; empty lists and maps limit nothing. JSON as in `tctx.constraints`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Constraints {
    /// Tool names, compared byte by byte; `*` at the end stands for any rest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// Servers, likewise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<String>,
    /// Effects.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<Effect>,
    /// The most that one argument may ask for, by currency (ISO 4217, upper case); `*` stands for any or no currency.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub max_amount: BTreeMap<String, f64>,
    /// After this no action is allowed, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<u64>,
}

/// What an action may not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// One of the reasons `constraint_*`.
    pub reason: &'static str,
    /// For a person; holds no values of the action.
    pub detail: String,
}

impl Breach {
    pub(super) fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

impl Constraints {
    /// Reads them from a record or a token; null is no limit.
    ///
    /// # Errors
    /// Says what is wrong. An unknown member is an error: it may be a limit that this program does not know.
    pub fn from_value(value: &Value) -> Result<Self, String> {
        if value.is_null() {
            return Ok(Self::default());
        }
        // serde would read a list as a struct too.
        if !value.is_object() {
            return Err("constraints: not an object".to_owned());
        }
        let constraints: Self = serde_json::from_value(value.clone()).map_err(|e| e.to_string())?;
        constraints.check_shape().map_err(|e| e.to_string())?;
        Ok(constraints)
    }

    /// For a record or a token; null where nothing is limited.
    pub fn to_value(&self) -> Value {
        // Finite numbers and strings always have a JSON form; `check_shape` saw to the numbers.
        if self.is_empty() { Value::Null } else { serde_json::to_value(self).unwrap_or(Value::Null) }
    }

    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Checks them as they come from a caller.
    ///
    /// # Errors
    /// Names the field, for example `constraints.tools[1]`.
    pub fn check_shape(&self) -> Result<(), InputError> {
        check_patterns("constraints.tools", &self.tools)?;
        check_patterns("constraints.servers", &self.servers)?;
        check_count("constraints.effects", self.effects.len())?;
        check_count("constraints.maxAmount", self.max_amount.len())?;
        for (currency, limit) in &self.max_amount {
            let field = format!("constraints.maxAmount.{currency}");
            if currency != "*" && !amount::is_code(currency) {
                return Err(InputError::new(field, "not `*` and not three to five upper-case letters"));
            }
            if !limit.is_finite() || *limit < 0.0 {
                return Err(InputError::new(field, "not a finite number from 0 up"));
            }
        }
        Ok(())
    }

    /// Checks an action at `at_ms` (milliseconds since 1970).
    ///
    /// A free action without tool or server keeps to a list of tools or servers only where that has `*`: what is not named
    /// cannot be found in a list. An effect that is not known is not among those listed. See [`amount`] for amounts.
    ///
    /// # Errors
    /// The first limit that the action breaks.
    pub fn check(&self, action: &Action, at_ms: u64) -> Result<(), Breach> {
        if self.not_after.is_some_and(|end| at_ms > end.saturating_mul(1000)) {
            return Err(Breach::new(reason::CONSTRAINT_EXPIRED, "the allowed time is over"));
        }
        if !allows(&self.tools, &action.tool) {
            return Err(Breach::new(reason::CONSTRAINT_TOOL, "the tool is not among those allowed"));
        }
        if !allows(&self.servers, &action.server) {
            return Err(Breach::new(reason::CONSTRAINT_SERVER, "the server is not among those allowed"));
        }
        if !self.effects.is_empty() && !self.effects.contains(&action.effect) {
            return Err(Breach::new(reason::CONSTRAINT_EFFECT, "the effect is not among those allowed"));
        }
        amount::check(&self.max_amount, action)
    }
}

fn allows(patterns: &[String], name: &str) -> bool {
    patterns.is_empty()
        || patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == pattern,
        })
}

fn check_patterns(field: &str, patterns: &[String]) -> Result<(), InputError> {
    check_count(field, patterns.len())?;
    for (i, pattern) in patterns.iter().enumerate() {
        let field = || format!("{field}[{i}]");
        if pattern.is_empty() || pattern.len() > 256 {
            return Err(InputError::new(field(), "not 1 to 256 bytes"));
        }
        if pattern.strip_suffix('*').unwrap_or(pattern).contains('*') {
            return Err(InputError::new(field(), "`*` may stand at the end alone"));
        }
    }
    Ok(())
}

fn check_count(field: &str, count: usize) -> Result<(), InputError> {
    if count > MAX_ENTRIES {
        return Err(InputError::new(field, format!("{count} entries, at most {MAX_ENTRIES} are taken")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn action(tool: &str, server: &str, effect: Effect) -> Action {
        Action { tool: tool.into(), server: server.into(), effect, ..Action::default() }
    }

    fn reason_of(constraints: &Value, action: &Action) -> &'static str {
        let constraints = Constraints::from_value(constraints).unwrap();
        constraints.check(action, 10_000).err().map_or("", |b| b.reason)
    }

    #[test]
    fn nothing_is_limited_by_default() {
        assert_eq!(reason_of(&Value::Null, &action("t", "", Effect::Unknown)), "");
        assert_eq!(reason_of(&json!({}), &action("t", "", Effect::Unknown)), "");
    }

    #[test]
    fn each_limit_has_its_own_reason() {
        let a = action("send_money", "bank", Effect::Write);
        assert_eq!(reason_of(&json!({"tools": ["read_*"]}), &a), reason::CONSTRAINT_TOOL);
        assert_eq!(reason_of(&json!({"servers": ["files"]}), &a), reason::CONSTRAINT_SERVER);
        assert_eq!(reason_of(&json!({"effects": ["READ"]}), &a), reason::CONSTRAINT_EFFECT);
        assert_eq!(reason_of(&json!({"not_after": 9}), &a), reason::CONSTRAINT_EXPIRED);
        let good =
            json!({"tools": ["x", "send_*"], "servers": ["bank"], "effects": ["WRITE"], "not_after": 10});
        assert_eq!(reason_of(&good, &a), "");
    }

    #[test]
    fn a_pattern_is_exact_but_for_its_star() {
        let with = |pattern: &str, tool: &str| {
            reason_of(&json!({"tools": [pattern]}), &action(tool, "", Effect::Read)).is_empty()
        };
        assert!(with("send", "send") && with("send*", "send") && with("*", "") && with("a.b", "a.b"));
        assert!(!with("send", "send_money") && !with("send", "Send") && !with("a.b", "axb"));
        assert!(!with("send", "send\u{200b}") && !with("send", " send") && !with("send*", "resend"));
    }

    #[test]
    fn what_is_not_named_is_not_in_a_list() {
        let text = Action { text: "I shall pay".into(), ..Action::default() };
        assert_eq!(reason_of(&json!({"tools": ["send_money"]}), &text), reason::CONSTRAINT_TOOL);
        assert_eq!(reason_of(&json!({"effects": ["READ", "WRITE"]}), &text), reason::CONSTRAINT_EFFECT);
    }

    #[test]
    fn a_limit_that_we_do_not_know_is_an_error() {
        let bad = [
            json!({"countries": ["NL"]}),
            json!({"tools": ["a*b"]}),
            json!({"tools": [""]}),
            json!({"effects": ["DELETE"]}),
            json!({"max_amount": {"eur": 1}}),
            json!({"max_amount": {"EUR": -1}}),
            json!({"max_amount": {"EUR": "1"}}),
            json!({"not_after": -1}),
            json!([]),
        ];
        for value in bad {
            assert!(Constraints::from_value(&value).is_err(), "{value}");
        }
        let nan = Constraints { max_amount: [("EUR".to_owned(), f64::NAN)].into(), ..Constraints::default() };
        assert_eq!(nan.check_shape().unwrap_err().field, "constraints.maxAmount.EUR");
    }

    #[test]
    fn constraints_read_back_as_themselves() {
        let value =
            json!({"tools": ["a*"], "effects": ["READ"], "max_amount": {"EUR": 100.5}, "not_after": 7});
        assert_eq!(Constraints::from_value(&value).unwrap().to_value(), value);
        assert_eq!(Constraints::default().to_value(), Value::Null);
    }
}
