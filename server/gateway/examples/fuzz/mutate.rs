//! Bytes changed at random.

use fastrand::Rng;

const INTERESTING: [&[u8]; 22] = [
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"%",
    b"%2f",
    b"..",
    b"\r\n",
    b"\0",
    b"\xff",
    b"\xc3",
    b"-",
    b"e9",
    b"--XX",
    b"\"id\":",
    b"\"method\":\"tools/call\"",
    b"\"a\":1,\"a\":2",
    b"=",
];
const LONGEST: usize = 4096;

/// Changes an input in some places.
pub fn bytes(input: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..rng.usize(1..5) {
        let at = rng.usize(..=input.len());
        match rng.u8(0..6) {
            0 => input.iter_mut().skip(at).take(1).for_each(|b| *b ^= 1 << rng.u8(0..8)),
            1 => input.iter_mut().skip(at).take(1).for_each(|b| *b = rng.u8(..)),
            2 => drop(input.drain(at..(at + rng.usize(0..9)).min(input.len()))),
            3 => input.truncate(at),
            4 => insert(input, at, rng.choice(INTERESTING).unwrap_or_default()),
            _ => repeat(input, at, rng),
        }
    }
    input.truncate(LONGEST);
}

fn insert(input: &mut Vec<u8>, at: usize, what: &[u8]) {
    input.splice(at..at, what.iter().copied());
}

fn repeat(input: &mut Vec<u8>, at: usize, rng: &mut Rng) {
    let piece: Vec<u8> = input.iter().skip(at).take(rng.usize(0..40)).copied().collect();
    let to = rng.usize(..=input.len());
    insert(input, to, &piece);
}
