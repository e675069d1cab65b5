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
mod tests {
    use super::*;
    use serde_json::json;

    fn check_as(effect: Effect, limits: &Value, arguments: Value) -> Result<(), Breach> {
        let Value::Object(arguments) = arguments else { panic!("not an object") };
        let limits = serde_json::from_value(limits.clone()).unwrap();
        check(&limits, &Action { tool: "t".into(), arguments, effect, ..Action::default() })
    }

    fn passes(limits: &Value, arguments: Value) -> bool {
        check_as(Effect::Write, limits, arguments).is_ok()
    }

    #[test]
    fn amounts_up_to_the_limit_pass_and_no_others() {
        let eur = json!({"EUR": 100});
        for good in [
            json!({"amount": 100, "currency": "EUR"}),
            json!({"amount": 98.7, "currency": "eur"}),
            json!({"amount": "98.70", "currency_code": "EUR"}),
            json!({"amount": "EUR 98.70"}),
            json!({"amount": "98.70 EUR"}),
            json!({"amount": "\u{20ac}98.70"}),
            json!({"amount_eur": 98.7}),
            json!({"amountEur": "98.7"}),
            json!({"amount": {"value": "98.70", "currency": "EUR"}}),
            json!({"currency": "EUR", "items": [{"price": 1}, {"price": 99}]}),
            json!({"amount": null}),
            json!({"path": "bill.txt"}),
        ] {
            assert!(passes(&eur, good.clone()), "{good}");
        }
        for bad in [
            json!({"amount": 100.01, "currency": "EUR"}),
            json!({"amount": 1e6, "currency": "EUR"}),
            json!({"amount": "EUR 100.01"}),
            json!({"amount": "1,000.00", "currency": "EUR"}),
            json!({"amount": {"value": "980.70", "currency": "EUR"}}),
            json!({"currency": "EUR", "items": [{"price": 1}, {"price": 101}]}),
            json!({"what": "500 EUR"}),
            json!({"amounts": [1, 500], "currency": "EUR"}),
            json!({"payload": "{\"amount\": 500, \"currency\": \"EUR\"}"}),
        ] {
            assert!(!passes(&eur, bad.clone()), "{bad}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for text in [
            "1e6",
            "-5",
            "5-",
            "+5",
            "0x10",
            "1_000",
            "1 000",
            "1,5",
            "1.000.000",
            "five",
            "",
            "5k",
            "5 apples",
            "\u{661}\u{660}\u{660}",
            "\u{ff11}\u{ff10}",
            "1/2",
            "5%",
            ".5",
            "5.",
            "NaN",
            "inf",
            "5\u{a0}EUR",
            "\u{a5}5",
            "EUR 5 USD",
            "5 EUR or more",
            "\u{200b}5",
        ] {
            assert!(!passes(&json!({"*": 1000}), json!({"amount": text})), "{text:?}");
        }
        for value in [json!(true), json!({"x": "no"}), json!(["no"]), json!(-1)] {
            let at_top = !passes(&json!({"*": 1000}), json!({"amount": value}));
            assert!(at_top || value == json!({"x": "no"}), "{value}");
        }
    }

    #[test]
    fn a_number_with_two_readings_has_the_larger_one() {
        assert!(!passes(&json!({"*": 100}), json!({"amount": "1.000"})));
        assert!(passes(&json!({"*": 1000}), json!({"amount": "1.000"})));
        assert!(!passes(&json!({"*": 100}), json!({"amount": "98,700"})));
    }

    #[test]
    fn a_currency_without_a_limit_is_refused_unless_there_is_a_star() {
        let usd = json!({"amount": 5, "currency": "USD"});
        assert!(!passes(&json!({"EUR": 100}), usd.clone()));
        assert!(passes(&json!({"EUR": 1, "*": 100}), usd));
        assert!(!passes(&json!({"EUR": 100}), json!({"amount": 5})), "no currency, no star");
        assert!(passes(&json!({"*": 100}), json!({"amount": 5})));
        assert!(
            !passes(&json!({"EUR": 1, "*": 100}), json!({"amount": 5, "currency": "EUR"})),
            "its own limit"
        );
    }

    #[test]
    fn contradicting_currencies_are_refused() {
        let both = json!({"EUR": 100, "USD": 100});
        assert!(!passes(&both, json!({"amount": "5 USD", "currency": "EUR"})));
        assert!(!passes(&both, json!({"amount": 5, "currency": "EUR", "currency_code": "USD"})));
        assert!(!passes(&both, json!({"amount": 5, "currency": 978})));
    }

    #[test]
    fn an_odd_name_hides_no_number_from_the_limit_of_a_write() {
        let eur = json!({"EUR": 100});
        assert!(!passes(&eur, json!({"to": "UK1", "x": 5000})));
        assert!(!passes(&eur, json!({"to": "UK1", "x": "5000"})));
        assert!(passes(&eur, json!({"to": "UK1", "priority": 3})));
        assert!(check_as(Effect::Read, &eur, json!({"offset_bytes": 5000, "x": 5000})).is_ok());
        assert!(check_as(Effect::Read, &eur, json!({"amount": 5000, "currency": "EUR"})).is_err());
        assert!(check_as(Effect::Unknown, &eur, json!({"x": 5000})).is_err());
    }

    #[test]
    fn keys_that_name_something_else_are_no_amounts() {
        let arguments = json!({"account_id": 12345678, "recipient": "1234567890", "year": 2026, "page": 900,
            "iban": "GB29NWBK60161331926819", "date": "2026-11-22", "phoneNumber": "5551234567"});
        assert!(passes(&json!({"EUR": 100}), arguments));
    }

    #[test]
    fn a_unit_of_thousands_is_refused() {
        for name in ["amount_millions", "price_k", "amountThousands"] {
            assert!(!passes(&json!({"*": 100}), json!({name: 5})), "{name}");
        }
        assert!(!passes(&json!({"EUR": 100}), json!({"amount_cents": 9870, "currency": "EUR"})));
    }

    #[test]
    fn without_a_limit_nothing_is_read() {
        assert!(passes(&json!({}), json!({"amount": "lots"})));
    }

    #[test]
    fn deep_arguments_are_refused_and_do_not_overflow() {
        let mut value = json!({"amount": 1});
        for _ in 0..100 {
            value = json!({"a": value});
        }
        assert!(!passes(&json!({"*": 1}), value));
    }
}
