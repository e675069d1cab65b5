//! JSON of a request, read strictly.
//!
//! Not `rhumb_proto::json`: that one reads messages. Here three things more are needed: where a text ends too early it was
//! cut, which is another status than broken; integers of any length keep their digits; and the id of a call is kept as it
//! was written, because it is sent back. A test holds the two readers to the same language.

use serde_json::map::Entry as MapEntry;
use serde_json::{Map, Value};

use super::{Broken, short};

mod scalar;

/// Levels of nesting.
const DEPTH: usize = 64;

/// A whole text.
#[derive(Debug, PartialEq)]
pub(super) struct Document {
    pub root: Root,
    /// A key that stands twice in one object, at any depth. The values are those of the first.
    pub twice: Option<String>,
}

/// What a text is made of.
#[derive(Debug, PartialEq)]
pub(super) enum Root {
    One(Entry),
    Many(Vec<Entry>),
}

/// A value that may be a call.
#[derive(Debug, PartialEq)]
pub(super) struct Entry {
    pub value: Value,
    /// Its member `id`, as it was written.
    pub id: Option<String>,
}

/// Why a text is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Whether it would have had to go on.
    pub at_end: bool,
    pub problem: String,
}

impl Document {
    /// The document, unless another parser may read another one.
    pub fn checked(self) -> Result<Self, Broken> {
        match &self.twice {
            Some(key) => {
                Err(Broken::unparsable(format!("key `{key}` stands twice in one object of the body")))
            }
            None => Ok(self),
        }
    }
}

impl Root {
    pub fn entries(&self) -> &[Entry] {
        match self {
            Self::One(entry) => std::slice::from_ref(entry),
            Self::Many(entries) => entries,
        }
    }

    pub fn into_value(self) -> Value {
        match self {
            Self::One(entry) => entry.value,
            Self::Many(entries) => Value::Array(entries.into_iter().map(|entry| entry.value).collect()),
        }
    }
}

/// Reads a whole text.
pub(super) fn document(bytes: &[u8]) -> Result<Document, Fault> {
    let text = std::str::from_utf8(bytes)
        .map_err(|e| Fault { at_end: e.error_len().is_none(), problem: "is not UTF-8".to_owned() })?;
    let mut reader = Reader { text, at: 0, depth: 0, twice: None };
    reader.space();
    let root = match reader.peek() {
        Some(b'[') => Root::Many(reader.array(Reader::entry)?),
        _ => Root::One(reader.entry()?),
    };
    reader.space();
    match reader.peek() {
        None => Ok(Document { root, twice: reader.twice }),
        Some(_) => Err(reader.wrong("something after its end")),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    twice: Option<String>,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn wrong(&self, problem: &str) -> Fault {
        let at_end = self.at >= self.text.len();
        let problem =
            if at_end { "ends too early".to_owned() } else { format!("{problem} at byte {}", self.at) };
        Fault { at_end, problem }
    }

    fn space(&mut self) {
        let is_space = |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r');
        self.at += self.rest().iter().take_while(|b| is_space(b)).count();
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.take(byte) { Ok(()) } else { Err(self.wrong(&format!("no `{}`", char::from(byte)))) }
    }

    fn entry(&mut self) -> Result<Entry, Fault> {
        match self.peek() {
            Some(b'{') => self.object().map(|(map, id)| Entry { value: Value::Object(map), id }),
            _ => Ok(Entry { value: self.value()?, id: None }),
        }
    }

    fn value(&mut self) -> Result<Value, Fault> {
        match self.peek() {
            Some(b'{') => self.object().map(|(map, _)| Value::Object(map)),
            Some(b'[') => self.array(Self::value).map(Value::Array),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            _ => Err(self.wrong("no value")),
        }
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, Fault> {
        word.bytes().try_for_each(|byte| self.expect(byte))?;
        Ok(value)
    }

    fn deeper(&mut self) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(Fault { at_end: false, problem: format!("nested more than {DEPTH} levels deep") });
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    /// Past a separator: whether another item follows.
    fn another(&mut self, end: u8) -> Result<bool, Fault> {
        self.space();
        if self.take(end) {
            return Ok(false);
        }
        self.expect(b',')?;
        self.space();
        Ok(true)
    }

    fn array<T>(&mut self, item: fn(&mut Self) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
        self.deeper()?;
        let mut items = Vec::new();
        let mut goes_on = !self.take(b']');
        while goes_on {
            let item = item(self)?;
            // Lists of one are what deep nesting is made of; left to itself, each would get room for four.
            items.reserve_exact(usize::from(items.is_empty()));
            items.push(item);
            goes_on = self.another(b']')?;
        }
        self.depth -= 1;
        Ok(items)
    }

    /// The members, and `id` as it was written.
    fn object(&mut self) -> Result<(Map<String, Value>, Option<String>), Fault> {
        self.deeper()?;
        let (mut map, mut id) = (Map::new(), None);
        let mut goes_on = !self.take(b'}');
        while goes_on {
            let key = self.key()?;
            let start = self.at;
            let value = self.value()?;
            // Only of what may be a call: the copies of an id at every depth would be nobody's.
            let is_id = key == "id" && self.depth <= 2;
            match map.entry(key) {
                MapEntry::Occupied(first) => {
                    self.twice.get_or_insert_with(|| short(first.key()));
                }
                MapEntry::Vacant(place) => {
                    if is_id {
                        id = Some(self.since(start).to_owned());
                    }
                    place.insert(value);
                }
            }
            goes_on = self.another(b'}')?;
        }
        self.depth -= 1;
        Ok((map, id))
    }

    fn key(&mut self) -> Result<String, Fault> {
        let key = self.string()?;
        self.space();
        self.expect(b':')?;
        self.space();
        Ok(key)
    }
}
