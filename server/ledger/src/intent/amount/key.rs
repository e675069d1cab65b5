//! What a key says of its value.

use std::collections::BTreeMap;

/// What a key says of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyKind {
    /// An amount of money.
    Money,
    /// An amount in thousands or millions.
    Scaled,
    /// Maybe an amount: `value`, `limit`.
    Generic,
    /// A currency.
    Currency,
    /// Something that is known to be no amount: an id, a date, a page.
    Named,
    /// Nothing.
    Other,
}

impl KeyKind {
    /// The kind of a value under a key of this kind in an object under a key of kind `outer`: what the key itself does not
    /// say is said by the object's.
    pub(super) fn within(self, outer: Self) -> Self {
        match (self, outer) {
            (Self::Other | Self::Generic, Self::Scaled) => Self::Scaled,
            (Self::Money, Self::Scaled) => Self::Scaled,
            (Self::Generic, Self::Money) => Self::Money,
            (Self::Other, Self::Money) => Self::Generic,
            (kind, _) => kind,
        }
    }
}

const MONEY: [&str; 30] = [
    "amount", "amounts", "amt", "total", "totals", "subtotal", "sum", "price", "prices", "cost", "costs",
    "fee", "fees", "charge", "charges", "budget", "tip", "salary", "wage", "refund", "deposit", "donation",
    "bid", "spend", "money", "funds", "cents", "cent", "wei", "sats",
];

const SCALES: [&str; 8] = ["thousand", "thousands", "million", "millions", "billion", "billions", "k", "mio"];

const GENERIC: [&str; 4] = ["value", "values", "limit", "max"];

const CURRENCY: [&str; 4] = ["currency", "currencies", "ccy", "curr"];

/// Words of keys whose numbers are no money. A word of money in the same key is stronger.
const NAMED: [&str; 62] = [
    "id",
    "ids",
    "uuid",
    "account",
    "iban",
    "bic",
    "swift",
    "routing",
    "sort",
    "card",
    "recipient",
    "recipients",
    "sender",
    "payee",
    "to",
    "from",
    "cc",
    "bcc",
    "phone",
    "fax",
    "zip",
    "postcode",
    "postal",
    "ref",
    "reference",
    "number",
    "no",
    "page",
    "pages",
    "offset",
    "index",
    "count",
    "port",
    "year",
    "month",
    "day",
    "days",
    "hour",
    "hours",
    "minute",
    "minutes",
    "second",
    "seconds",
    "ms",
    "time",
    "timestamp",
    "date",
    "datetime",
    "duration",
    "timeout",
    "version",
    "lat",
    "latitude",
    "lon",
    "lng",
    "longitude",
    "width",
    "height",
    "size",
    "bytes",
    "line",
    "lines",
];

/// Currencies that keys name (`amount_usd`, `eur`); beside those that the limits name.
const CODES: [&str; 20] = [
    "eur", "usd", "gbp", "chf", "jpy", "cny", "cad", "aud", "nzd", "inr", "sek", "nok", "dkk", "pln", "btc",
    "eth", "usdc", "usdt", "xmr", "brl",
];

/// The kind of a key, and the currency that it names.
pub(super) fn classify(name: &str, limits: &BTreeMap<String, f64>) -> (KeyKind, Option<String>) {
    let words = words(name);
    let has = |list: &[&str]| words.iter().any(|w| list.contains(&w.as_str()));
    let code = words
        .iter()
        .map(|w| w.to_ascii_uppercase())
        .find(|w| limits.contains_key(w) || CODES.contains(&w.to_ascii_lowercase().as_str()));
    let kind = match () {
        () if has(&CURRENCY) => KeyKind::Currency,
        () if (has(&MONEY) || code.is_some()) && has(&SCALES) => KeyKind::Scaled,
        () if has(&MONEY) || code.is_some() => KeyKind::Money,
        () if has(&NAMED) => KeyKind::Named,
        () if has(&GENERIC) => KeyKind::Generic,
        () => KeyKind::Other,
    };
    (kind, code)
}

/// Whether the value of a key is a currency.
pub(super) fn names_currency(name: &str) -> bool {
    words(name).iter().any(|w| CURRENCY.contains(&w.as_str()))
}

/// The words of `sendAmount_usd`: `send`, `amount`, `usd`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before_was_lower = false;
    for c in name.chars() {
        let starts = c.is_uppercase() && before_was_lower;
        if starts || !c.is_alphabetic() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_alphabetic()) {
            word.extend(c.to_lowercase());
        }
        before_was_lower = c.is_lowercase();
    }
    words.retain(|w| !w.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(name: &str) -> KeyKind {
        classify(name, &BTreeMap::new()).0
    }

    #[test]
    fn keys_are_read_in_every_spelling() {
        for name in
            ["amount", "Amount", "AMOUNT", "sendAmount", "send_amount", "total-price", "amount2", "usd"]
        {
            assert_eq!(kind(name), KeyKind::Money, "{name}");
        }
        assert_eq!(classify("amountUsd", &BTreeMap::new()).1.as_deref(), Some("USD"));
        for name in ["currency", "currencyCode", "amount_currency", "ccy"] {
            assert_eq!(kind(name), KeyKind::Currency, "{name}");
        }
        assert_eq!(kind("accountId"), KeyKind::Named);
        assert_eq!(kind("amount_id"), KeyKind::Money, "the stronger word");
        assert_eq!(kind("mountain"), KeyKind::Other);
    }
}
