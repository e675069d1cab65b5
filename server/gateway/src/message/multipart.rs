//! `multipart/form-data`: names of fields, names of files, text.
//!
//! Readers of multipart differ more than those of JSON, so only what all of them read alike is read: no words around the
//! parts, no header or parameter twice, no line that goes on in the next.

use serde_json::{Map, Value, json};

use super::body::Content;
use super::json::document;
use super::query::{add, decode};
use super::{Broken, short};

const PARTS: usize = 1024;
const HEADER_BYTES: usize = 8 * 1024;
/// RFC 2046.
const BOUNDARY_BYTES: usize = 70;
const END_OF_LINE: &[u8] = b"\r\n";

/// What a form says.
#[derive(Debug, PartialEq)]
pub(super) struct Form {
    pub fields: Map<String, Value>,
    /// Whether there is content that nobody reads.
    pub has_file: bool,
}

/// Reads a form.
pub(super) fn read(bytes: &[u8], boundary: &str) -> Result<Form, Broken> {
    if boundary.is_empty() || boundary.len() > BOUNDARY_BYTES {
        return Err(wrong("a boundary of 1 to 70 bytes is missing"));
    }
    let delimiter = format!("--{boundary}").into_bytes();
    let mut rest =
        bytes.strip_prefix(delimiter.as_slice()).ok_or_else(|| wrong("something stands before its parts"))?;
    let mut form = Form { fields: Map::new(), has_file: false };
    for _ in 0..PARTS {
        if let Some(after) = rest.strip_prefix(b"--") {
            let is_end = after.is_empty() || after == END_OF_LINE;
            return if is_end { Ok(form) } else { Err(wrong("something stands after its parts")) };
        }
        let part =
            rest.strip_prefix(END_OF_LINE).ok_or_else(|| wrong("a boundary is not alone in its line"))?;
        let (part, after) = split(part, &delimiter).ok_or_else(|| wrong("a part has no end"))?;
        form.add(part)?;
        rest = after;
    }
    Err(wrong(&format!("more than {PARTS} parts")))
}

fn wrong(problem: &str) -> Broken {
    Broken::unparsable(format!("the multipart body: {problem}"))
}

/// Before and after the next line that begins with the delimiter. Linear: a delimiter has no line end inside, so that what
/// was compared in vain is not compared again.
fn split<'a>(bytes: &'a [u8], delimiter: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let mut from = 0;
    loop {
        let at = from + bytes.get(from..)?.iter().position(|b| *b == b'\r')?;
        let after = bytes.get(at..)?.strip_prefix(END_OF_LINE).and_then(|line| line.strip_prefix(delimiter));
        if let Some(after) = after {
            return Some((bytes.get(..at)?, after));
        }
        from = at + 1;
    }
}

/// Before and after the empty line.
fn head_and_content(part: &[u8]) -> Option<(&[u8], &[u8])> {
    let window = part.get(..HEADER_BYTES.min(part.len()))?;
    let at = window.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some((part.get(..at)?, part.get(at + 4..)?))
}

/// What stands before a part's content.
#[derive(Default)]
struct Head {
    name: Option<String>,
    file: Option<String>,
    content: Option<Content>,
    is_encoded: bool,
}

impl Form {
    fn add(&mut self, part: &[u8]) -> Result<(), Broken> {
        let (head, content) = head_and_content(part).ok_or_else(|| wrong("a part has no header"))?;
        let head = Head::read(head)?;
        let name = head.name.clone().ok_or_else(|| wrong("a part has no name"))?;
        let value = match head.text(content) {
            Some(value) => value?,
            None => {
                self.has_file = true;
                let essence = head.content.map(|content| content.essence).unwrap_or_default();
                json!({"fileName": head.file.unwrap_or_default(), "contentType": essence, "bytes": content.len()})
            }
        };
        add(&mut self.fields, name, value);
        Ok(())
    }
}

impl Head {
    fn read(bytes: &[u8]) -> Result<Self, Broken> {
        let text = std::str::from_utf8(bytes).map_err(|_| wrong("a header is not UTF-8"))?;
        let mut head = Self::default();
        let mut seen = Vec::new();
        for line in text.split("\r\n") {
            let (name, value) = line.split_once(':').ok_or_else(|| wrong("a header has no colon"))?;
            let name = name.to_ascii_lowercase();
            if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                || value.contains(['\r', '\n', '\0'])
            {
                return Err(wrong("a header that readers read differently"));
            }
            if seen.contains(&name) {
                return Err(wrong("a header stands twice"));
            }
            head.take(&name, value.trim())?;
            seen.push(name);
        }
        Ok(head)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), Broken> {
        match name {
            "content-disposition" => self.disposition(value)?,
            "content-type" => self.content = Some(Content::of(value)),
            "content-transfer-encoding" => {
                self.is_encoded =
                    !["7bit", "8bit", "binary"].iter().any(|own| own.eq_ignore_ascii_case(value));
            }
            _ => {}
        }
        Ok(())
    }

    fn disposition(&mut self, value: &str) -> Result<(), Broken> {
        for (name, value) in parameters(value)? {
            let is_new = match name.as_str() {
                "name" => self.name.replace(value).is_none(),
                "filename" => self.file.replace(value).is_none(),
                "filename*" => {
                    let encoded = value.rsplit('\'').next().unwrap_or_default();
                    self.file.replace(decode(encoded, false)).is_none()
                }
                _ => return Err(wrong(&format!("parameter `{}` is not known", short(&name)))),
            };
            if !is_new {
                return Err(wrong("a parameter stands twice"));
            }
        }
        Ok(())
    }

    /// The content, if it is text or JSON; `None` for a file.
    fn text(&self, content: &[u8]) -> Option<Result<Value, Broken>> {
        let is_text = |own: &Content| own.is_utf8 && (own.essence.starts_with("text/") || own.is_json());
        if self.file.is_some() || self.is_encoded || !self.content.as_ref().is_none_or(is_text) {
            return None;
        }
        if self.content.as_ref().is_some_and(Content::is_json) {
            let read =
                document(content).map_err(|fault| wrong(&format!("the JSON of a part {}", fault.problem)));
            return Some(read.and_then(|document| Ok(document.checked()?.root.into_value())));
        }
        std::str::from_utf8(content).ok().map(|text| Ok(Value::String(text.to_owned())))
    }
}

/// `form-data; name="a"; filename="b"`.
fn parameters(value: &str) -> Result<Vec<(String, String)>, Broken> {
    let unlike = || wrong("a header that readers read differently");
    let mut rest = value.strip_prefix("form-data").ok_or_else(|| wrong("a part is no form data"))?.trim();
    let mut parameters = Vec::new();
    while !rest.is_empty() {
        let (name, after) = rest.strip_prefix(';').and_then(|r| r.split_once('=')).ok_or_else(unlike)?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or_else(unlike)?,
            None => after.split_at(after.find(';').unwrap_or(after.len())),
        };
        // An escaped quote ends the value for some and not for others.
        if value.ends_with('\\') || !(after.trim().is_empty() || after.trim().starts_with(';')) {
            return Err(unlike());
        }
        parameters.push((name.trim().to_ascii_lowercase(), value.to_owned()));
        rest = after.trim();
    }
    Ok(parameters)
}
