//! The signed head: two slots of one line each, written in turn, so that one is whole whatever happens.
//!
//! A slot fills one sector of 512 bytes, with spaces before its line feed:
//! `rhumb-head-1 <seq> <segment> <offset> <digest> <kid> <signature>`. The signature (Ed25519, base64url) is over
//! the text before it. The slot with the higher `seq` counts.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::line::{hex, unhex};
use super::place::Position;
use crate::error::LedgerError;
use crate::keys::{Keys, PublicKeys};

/// Bytes of a slot.
pub const SLOT: usize = 512;

const NAME: &str = "rhumb-head-1";

/// The head as it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// What the newest good slot says.
    pub newest: Position,
    /// Which slot that is.
    pub slot: usize,
    /// What the other slot says, if it is good.
    pub other: Option<Position>,
}

/// A slot's text.
///
/// # Errors
/// If the key's id is too long for the slot.
pub fn slot(at: &Position, keys: &Keys) -> Result<Vec<u8>, LedgerError> {
    let text = format!("{NAME} {} {} {} {} {}", at.seq, at.segment, at.offset, hex(&at.digest), keys.kid());
    let signature = URL_SAFE_NO_PAD.encode(keys.sign(text.as_bytes()));
    let mut bytes = format!("{text} {signature}").into_bytes();
    if bytes.len() >= SLOT {
        return Err(LedgerError::store("the id of the signing key is too long for the head"));
    }
    bytes.resize(SLOT - 1, b' ');
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads a slot; the error says what is wrong with it.
fn parse(bytes: &[u8], keys: &PublicKeys) -> Result<Position, String> {
    let text = std::str::from_utf8(bytes).ok().and_then(|t| t.strip_suffix('\n')).ok_or("is damaged")?;
    let (signed, signature) = text.trim_end_matches(' ').rsplit_once(' ').ok_or("is damaged")?;
    let (position, kid) = position(signed).ok_or("is damaged")?;
    if !keys.contains(kid) {
        return Err(format!("is signed with the key {kid}, which is not among the public keys"));
    }
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| "is damaged")?;
    match keys.verify(kid, signed.as_bytes(), &signature) {
        true => Ok(position),
        false => Err("has a signature that is not valid".to_owned()),
    }
}

fn position(signed: &str) -> Option<(Position, &str)> {
    let mut words = signed.split(' ');
    words.next().filter(|name| *name == NAME)?;
    let position = Position {
        seq: words.next()?.parse().ok()?,
        segment: words.next()?.parse().ok()?,
        offset: words.next()?.parse().ok()?,
        digest: unhex(words.next()?.as_bytes())?,
    };
    let kid = words.next()?;
    words.next().is_none().then_some((position, kid))
}

/// What a reading of the head found: the head, if any slot is good, and what is wrong.
#[derive(Debug)]
pub struct Found {
    /// The head.
    pub head: Option<Head>,
    /// What is wrong with a slot, or with the file.
    pub problems: Vec<String>,
}

/// Reads the head; `None` if there is no such file.
///
/// # Errors
/// If the file system refuses.
pub fn read(path: &Path, keys: &PublicKeys) -> Result<Option<Found>, LedgerError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(judge(&bytes, keys))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(LedgerError::io(path)(e)),
    }
}

fn judge(bytes: &[u8], keys: &PublicKeys) -> Found {
    let (slots, rest) = bytes.as_chunks::<SLOT>();
    let mut problems = Vec::new();
    if slots.len() != 2 || !rest.is_empty() {
        problems.push(format!("has {} bytes instead of {}", bytes.len(), 2 * SLOT));
    }
    let mut good = [None, None];
    for (number, (place, slot)) in good.iter_mut().zip(slots).enumerate() {
        match parse(slot, keys) {
            Ok(position) => *place = Some(position),
            Err(what) => problems.push(format!("slot {} {what}", number + 1)),
        }
    }
    Found { head: choose(good), problems }
}

fn choose(slots: [Option<Position>; 2]) -> Option<Head> {
    match slots {
        [Some(a), Some(b)] if b.seq > a.seq => Some(Head { newest: b, slot: 1, other: Some(a) }),
        [Some(a), other] => Some(Head { newest: a, slot: 0, other }),
        [None, Some(b)] => Some(Head { newest: b, slot: 1, other: None }),
        [None, None] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newer_slot_counts_and_every_byte_of_both_is_checked() {
        let keys = Keys::ephemeral().unwrap();
        let (old, new) =
            (Position { seq: 3, ..Position::default() }, Position { seq: 5, ..Position::default() });
        let bytes = [slot(&old, &keys).unwrap(), slot(&new, &keys).unwrap()].concat();
        let found = judge(&bytes, keys.public());
        assert!(found.problems.is_empty());
        assert_eq!(found.head, Some(Head { newest: new, slot: 1, other: Some(old) }));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(!judge(&changed, keys.public()).problems.is_empty(), "byte {at}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_break_the_parser(bytes: Vec<u8>) {
            let _ = judge(&bytes, &PublicKeys::default());
            let _ = parse(&bytes, &PublicKeys::default());
        }
    }
}
