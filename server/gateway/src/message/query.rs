//! Queries and forms, and the keys that name secrets.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::short;

/// Names of dropped keys that are kept.
const NAMES: usize = 64;

/// Percent-decodes once. What is no escape stays as it is; what is no UTF-8 is replaced.
pub(super) fn decode(text: &str, plus_is_space: bool) -> String {
    if !text.contains(['%', '+']) {
        return text.to_owned();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(digit(*high) << 4 | digit(*low));
                rest = after;
            }
            (b'+', _) if plus_is_space => bytes.push(b' '),
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

fn digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        _ => (byte.to_ascii_lowercase() - b'a') + 10,
    }
}

/// `a=1&b=2`, decoded; a key that is repeated becomes a list.
pub(super) fn pairs(text: &str) -> Map<String, Value> {
    let mut all = Map::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        add(&mut all, decode(key, true), Value::String(decode(value, true)));
    }
    all
}

/// Adds a value; a second one of the same key makes a list.
pub(super) fn add(all: &mut Map<String, Value>, key: String, value: Value) {
    match all.get_mut(&key) {
        None => drop(all.insert(key, value)),
        Some(Value::Array(values)) => values.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
    }
}

/// Keys that name secrets, and which were met.
pub(super) struct Secrets<'a> {
    names: &'a BTreeSet<String>,
    pub dropped: Vec<String>,
}

impl<'a> Secrets<'a> {
    pub fn new(names: &'a BTreeSet<String>) -> Self {
        Self { names, dropped: Vec::new() }
    }

    /// Drops them at any depth.
    pub fn drop_from(&mut self, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.drop_from(item)),
            Value::Object(map) => self.drop_keys(map),
            _ => {}
        }
    }

    pub fn drop_keys(&mut self, map: &mut Map<String, Value>) {
        map.retain(|key, _| !self.is_secret(key));
        map.values_mut().for_each(|value| self.drop_from(value));
    }

    fn is_secret(&mut self, key: &str) -> bool {
        // Forms write `user[password]`.
        let inner = key.rsplit('[').next().unwrap_or(key).trim_end_matches(']');
        let is_secret = self.is_named(key) || self.is_named(inner);
        if is_secret && self.dropped.len() < NAMES {
            let name = short(key);
            if !self.dropped.contains(&name) {
                self.dropped.push(name);
            }
        }
        is_secret
    }

    /// Without room of its own for the usual key: a body may have very many.
    fn is_named(&self, key: &str) -> bool {
        if key.is_ascii() {
            return self.names.iter().any(|name| name.eq_ignore_ascii_case(key));
        }
        self.names.contains(&key.to_lowercase())
    }
}
