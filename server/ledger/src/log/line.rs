//! One line: digest, space, JSON, line feed.

use sha2::{Digest as _, Sha256};

/// SHA-256.
pub type Digest = [u8; 32];

/// Bytes of a line before its JSON: 64 digits and a space.
pub const PREFIX: usize = 65;

/// A record beyond this is refused: who reads the log must be able to hold a line.
pub const MAX_JSON: usize = 32 << 20;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The digest of a record, given that of the record before.
pub fn chained(previous: &Digest, json: &[u8]) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update(previous);
    hasher.update(json);
    hasher.finalize().into()
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from(*DIGITS.get(usize::from(n & 15)).unwrap_or(&b'0'));
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(*b)]).collect()
}

/// Exactly 64 lower-case hexadecimal digits.
pub fn unhex(text: &[u8]) -> Option<Digest> {
    let value = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let mut digest = [0; 32];
    let (pairs, rest) = text.as_chunks::<2>();
    if pairs.len() != digest.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
        *byte = value(*high)? << 4 | value(*low)?;
    }
    Some(digest)
}

/// Splits a line (without its line feed) into the stated digest and the JSON.
pub fn split(line: &[u8]) -> Option<(Digest, &[u8])> {
    let (stated, rest) = line.split_at_checked(64)?;
    let json = rest.strip_prefix(b" ")?;
    Some((unhex(stated)?, json))
}

/// What every record begins with. Read by hand: the check of a log passes over the rest of the JSON, which the
/// digest covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// From 1.
    pub seq: u64,
    /// Milliseconds since 1970.
    pub time_ms: u64,
    /// What happened, as the JSON names it.
    pub kind: &'a str,
    /// The event's JSON.
    pub data: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads the form that the ledger writes, and no other: `{"seq":1,"timeMs":2,"kind":"k","data":...}`.
    pub fn parse(json: &'a [u8]) -> Option<Self> {
        let (seq, rest) = number(json.strip_prefix(br#"{"seq":"#)?)?;
        let (time_ms, rest) = number(rest.strip_prefix(br#","timeMs":"#)?)?;
        let rest = rest.strip_prefix(br#","kind":""#)?;
        let end = rest.iter().position(|c| *c == b'"')?;
        let (kind, rest) = rest.split_at_checked(end)?;
        let data = rest.strip_prefix(br#"","data":"#)?.strip_suffix(b"}")?;
        Some(Self { seq, time_ms, kind: std::str::from_utf8(kind).ok()?, data })
    }
}

fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let end = text.iter().position(|c| !c.is_ascii_digit())?;
    let (digits, rest) = text.split_at_checked(end)?;
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Event, KeyIntroduced, Record};

    #[test]
    fn a_frame_is_what_a_record_is_written_as() {
        let event = Event::Key(KeyIntroduced { kid: "k".into(), x: "x".into() });
        let record = Record { seq: 7, time_ms: 8, event };
        let json = serde_json::to_vec(&record).unwrap();
        let frame = Frame::parse(&json).unwrap();
        assert_eq!((frame.seq, frame.time_ms, frame.kind), (7, 8, "key"));
        assert_eq!(frame.data, br#"{"kid":"k","x":"x"}"#);
        assert_eq!(serde_json::from_slice::<Record>(&json).unwrap(), record);
    }

    #[test]
    fn hexadecimal_is_strict() {
        let digest = chained(&[0; 32], b"{}");
        assert_eq!(unhex(hex(&digest).as_bytes()), Some(digest));
        assert_eq!(unhex(hex(&digest).to_uppercase().as_bytes()), None);
        assert_eq!(unhex(b"00"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_break_the_parsers(line: Vec<u8>) {
            let _ = split(&line);
            let _ = Frame::parse(&line);
        }
    }
}
