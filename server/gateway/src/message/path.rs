//! Hosts and paths.

use serde_json::{Map, Value};

use super::carried::is_ulid;
use super::query::decode;

/// The host without its port, in lower case. An IPv6 address keeps its brackets.
pub fn server(host: &str) -> String {
    let host = host.trim();
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit());
    let name = match host.rsplit_once(':') {
        Some((name, port)) if is_port(port) && (!name.contains(':') || name.ends_with(']')) => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// Whether a name fits a pattern in which `*` stands for any characters. Both in lower case.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut pieces: Vec<_> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = rest.get(at + piece.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// A path, decoded once.
pub(super) struct Path {
    /// Its segments. A slash that was escaped divides as any: that is how the server may see it.
    pub segments: Vec<String>,
    /// Whether all servers read it alike: no empty or dot segments, no escaped slashes.
    pub is_plain: bool,
}

impl Path {
    pub fn of(path: &str) -> Self {
        let written: Vec<_> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
        let decoded: Vec<_> = written.iter().map(|segment| decode(segment, false)).collect();
        let last = decoded.len() - 1;
        let is_clear = |(i, segment): (usize, &String)| {
            let is_dots = matches!(segment.as_str(), "." | "..");
            let is_empty = segment.is_empty() && i < last;
            let is_odd = |c: char| matches!(c, '/' | '\\' | ';' | '\u{fffd}') || c.is_control();
            !is_dots && !is_empty && !segment.contains(is_odd)
        };
        let is_plain = decoded.iter().enumerate().all(is_clear);
        let segments = decoded.iter().flat_map(|segment| segment.split('/')).map(str::to_owned).collect();
        Self { segments, is_plain }
    }

    pub fn text(&self) -> String {
        format!("/{}", self.segments.join("/"))
    }

    /// As a lenient server may see it: dots followed, empty segments and parameters of segments left out, in lower case.
    pub fn lenient(&self) -> Vec<String> {
        let mut segments = Vec::new();
        let all = self.segments.iter().flat_map(|segment| segment.split('\\'));
        for segment in all.map(|segment| segment.split(';').next().unwrap_or_default()) {
            match segment {
                "" | "." => {}
                ".." => drop(segments.pop()),
                _ => segments.push(segment.to_lowercase()),
            }
        }
        segments
    }

    /// A template made by rule, and what stands in its places.
    pub fn template(&self) -> (String, Map<String, Value>) {
        let (mut template, mut values) = (String::new(), Map::new());
        for segment in &self.segments {
            template.push('/');
            if is_value(segment) {
                let name = format!("p{}", values.len() + 1);
                template.push_str(&format!("{{{name}}}"));
                values.insert(name, Value::String(segment.clone()));
            } else {
                template.push_str(segment);
            }
        }
        (template, values)
    }
}

/// Whether a segment looks like a value rather than a name.
fn is_value(segment: &str) -> bool {
    let is_all = |test: fn(&u8) -> bool| !segment.is_empty() && segment.as_bytes().iter().all(test);
    let has_digit = segment.bytes().any(|b| b.is_ascii_digit());
    is_all(u8::is_ascii_digit)
        || (segment.len() >= 8 && is_all(u8::is_ascii_hexdigit))
        || is_uuid(segment)
        || is_ulid(segment)
        || segment.contains('@')
        || (segment.chars().count() >= 16 && has_digit)
}

fn is_uuid(segment: &str) -> bool {
    let lengths: Vec<_> = segment.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && segment.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}
