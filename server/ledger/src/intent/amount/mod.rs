//! Amounts of money in the arguments of an action, against `max_amount`.
//!
//! The rule errs on the side of refusal, because the arguments are written by the agent that is to be held back:
//!
//! - What stands under a key with a word like `amount`, `price`, `total` or a currency (`amount_usd`) must be readable as an
//!   amount; null is no amount. Numbers beside and below it in an object or list of that key are amounts too.
//! - A text that as a whole is a number with a currency is an amount wherever it stands (`"500 EUR"`).
//! - `value` and `limit`, and in an action that may write every other number, are amounts, but for keys that name something
//!   else (`account_id`, `page`, `year`).
//! - The currency is that in the text, else that of the key, else that beside it (`currency`, `currency_code`), else that
//!   of an object around it. Two that differ: refused. A currency without a limit of its own has that of `*`; without `*`
//!   it is refused. An amount without a currency has the limit of `*`, and is refused without one; a number under a key
//!   that does not speak of money then has the smallest limit.
//! - A negative amount is refused: it means something else than paying.
//! - JSON within a text is read as well, one level deep.
//!
//! A number in a sentence (`"note": "send 500"`), or in a command line, is not seen: limit the tools too.

mod key;
mod read;

use std::collections::BTreeMap;

use rhumb_drift::{Action, Effect};
use serde_json::{Map, Value};

use super::constraints::Breach;
use super::reason;
use key::KeyKind;
pub(super) use read::is_code;
use read::{Reading, read};

/// Deeper arguments are refused; the checks of an action allow 32 levels.
const MAX_DEPTH: usize = 64;

/// Limits by currency.
type Limits = BTreeMap<String, f64>;

/// Refuses an action that asks for more than `limits` allow, or for something that cannot be read.
///
/// # Errors
/// `constraint_amount`, with the place of the argument.
pub(super) fn check(limits: &Limits, action: &Action) -> Result<(), Breach> {
    if limits.is_empty() {
        return Ok(());
    }
    let walk = Walk { limits, may_write: action.effect != Effect::Read };
    walk.object(&action.arguments, &Place::default(), KeyKind::Other)
}

/// Where a value stands, and what is known of its currency there.
#[derive(Debug, Clone, Default)]
struct Place {
    path: String,
    depth: usize,
    currency: Option<String>,
    within_text: bool,
}

struct Walk<'a> {
    limits: &'a Limits,
    may_write: bool,
}

impl Walk<'_> {
    /// `outer` is what the key of this object says of the values in it.
    fn object(&self, map: &Map<String, Value>, place: &Place, outer: KeyKind) -> Result<(), Breach> {
        let beside = beside(map).map_err(|problem| refuse(&place.path, problem))?;
        for (name, value) in map {
            let (kind, of_key) = key::classify(name, self.limits);
            let mut inner = place.step(name)?;
            inner.currency = of_key.or_else(|| beside.clone()).or(inner.currency);
            self.value(value, &inner, kind.within(outer))?;
        }
        Ok(())
    }

    fn value(&self, value: &Value, place: &Place, kind: KeyKind) -> Result<(), Breach> {
        match value {
            Value::Null => Ok(()),
            Value::Bool(_) if kind == KeyKind::Money => Err(refuse(&place.path, "not an amount")),
            Value::Bool(_) => Ok(()),
            Value::Number(n) => self.number(n.as_f64().unwrap_or(f64::INFINITY), place, kind),
            Value::String(s) => self.text(s, place, kind),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .try_for_each(|(i, v)| self.value(v, &place.step(&i.to_string())?, kind)),
            Value::Object(map) => self.object(map, place, kind),
        }
    }

    fn number(&self, x: f64, place: &Place, kind: KeyKind) -> Result<(), Breach> {
        match kind {
            KeyKind::Scaled => Err(refuse(&place.path, "in a unit that is not read")),
            KeyKind::Named | KeyKind::Currency => Ok(()),
            KeyKind::Other if !self.may_write => Ok(()),
            _ => self.compare(x, place, kind),
        }
    }

    fn text(&self, text: &str, place: &Place, kind: KeyKind) -> Result<(), Breach> {
        if kind == KeyKind::Currency {
            return Ok(());
        }
        if let Some(inner) = json_within(text).filter(|_| !place.within_text) {
            return self.value(&inner, &Place { within_text: true, ..place.clone() }, kind);
        }
        match (read(text), kind) {
            (_, KeyKind::Scaled) => Err(refuse(&place.path, "in a unit that is not read")),
            (Reading::Amount { value, currency: Some(c) }, _) => {
                let stated = place.currency.as_ref().is_some_and(|known| *known != c);
                if stated && kind == KeyKind::Money {
                    return Err(refuse(&place.path, "two currencies"));
                }
                self.compare(value, &Place { currency: Some(c), ..place.clone() }, KeyKind::Money)
            }
            (Reading::Amount { value, .. }, _) => self.number(value, place, kind),
            (Reading::Unreadable, KeyKind::Money | KeyKind::Generic) => {
                Err(refuse(&place.path, "cannot be read"))
            }
            // `1e6` under a key that does not speak of money: a tool may well take it for a number.
            (Reading::Unreadable, KeyKind::Other) => {
                text.trim().parse().map_or(Ok(()), |x| self.number(x, place, kind))
            }
            (Reading::NoNumber, KeyKind::Money) => Err(refuse(&place.path, "not an amount")),
            _ => Ok(()),
        }
    }

    fn compare(&self, x: f64, place: &Place, kind: KeyKind) -> Result<(), Breach> {
        let any = self.limits.get("*");
        let limit = match &place.currency {
            Some(currency) => self.limits.get(currency).or(any),
            None if kind == KeyKind::Money => any,
            None => any.or_else(|| self.limits.values().min_by(|a, b| a.total_cmp(b))),
        };
        let Some(limit) = limit else { return Err(refuse(&place.path, "in a currency without a limit")) };
        if x < 0.0 {
            return Err(refuse(&place.path, "negative"));
        }
        if x <= *limit { Ok(()) } else { Err(refuse(&place.path, "above the limit")) }
    }
}

impl Place {
    fn step(&self, name: &str) -> Result<Self, Breach> {
        let depth = self.depth + 1;
        if depth > MAX_DEPTH {
            return Err(refuse(&self.path, "nested too deep"));
        }
        // Keys of an agent may be as long as it likes; the detail goes into headers.
        let name: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
        let dot = if self.path.is_empty() { "" } else { "." };
        Ok(Self { path: format!("{}{dot}{name}", self.path), depth, ..self.clone() })
    }
}

/// The currency that an object names for its amounts.
fn beside(map: &Map<String, Value>) -> Result<Option<String>, &'static str> {
    let mut found: Option<String> = None;
    for (_, value) in map.iter().filter(|(name, _)| key::names_currency(name)) {
        let code = match value {
            Value::Null => continue,
            Value::String(s) => read::currency(s.trim()).ok_or("a currency that cannot be read")?,
            _ => return Err("a currency that cannot be read"),
        };
        if found.replace(code.clone()).is_some_and(|other| other != code) {
            return Err("two currencies");
        }
    }
    Ok(found)
}

fn json_within(text: &str) -> Option<Value> {
    let text = text.trim();
    text.starts_with(['{', '[']).then(|| serde_json::from_str(text).ok()).flatten()
}

fn refuse(path: &str, problem: &str) -> Breach {
    let path = if path.is_empty() { "arguments".to_owned() } else { format!("arguments.{path}") };
    Breach::new(reason::CONSTRAINT_AMOUNT, format!("{path}: {problem}"))
}

#[cfg(test)]
mod tests;
