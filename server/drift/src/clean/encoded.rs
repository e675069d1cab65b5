//! Runs of text in an encoding that people do not write: base64, hexadecimal, percent, HTML entities, escapes.
//!
//! What decodes to readable text is read as that text, and said to have been encoded. What does not is left alone: most
//! long runs of letters and digits are ids.

use std::borrow::Cow;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use regex::{Captures, Regex};

/// Bytes that a decoded run needs: shorter ones decode by accident.
const LEAST_DECODED: usize = 6;
/// Share of letters, digits and spaces in what was meant to be read.
const READABLE: f64 = 0.75;

type Decode = fn(&str) -> Option<String>;

static RUNS: LazyLock<Vec<(Regex, Decode)>> = LazyLock::new(|| {
    let table: [(&str, Decode); 5] = [
        (r"(?:%[0-9A-Fa-f]{2}){3,}", percent),
        (r"(?:&#(?:\d{2,7}|[xX][0-9A-Fa-f]{2,6});){3,}", html),
        (r"(?:\\u\{?[0-9A-Fa-f]{4,6}\}?|\\x[0-9A-Fa-f]{2}){3,}", escaped),
        (r"\b(?:[0-9A-Fa-f]{2}){8,}\b", hex),
        (r"[A-Za-z0-9+/_-]{8,}={0,2}", base64),
    ];
    // A pattern that does not compile would be dropped here; the test `every_pattern_compiles` counts them.
    table.into_iter().filter_map(|(pattern, decode)| Some((Regex::new(pattern).ok()?, decode))).collect()
});

/// Decodes what is encoded; borrows where nothing is.
pub fn decode(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    for (pattern, decode) in RUNS.iter() {
        let mut changed = false;
        let replaced = pattern.replace_all(&text, |run: &Captures<'_>| {
            let run = run.get(0).map_or("", |m| m.as_str());
            decode(run)
                .filter(|d| is_readable(d))
                .inspect(|_| changed = true)
                .unwrap_or_else(|| run.to_owned())
        });
        if changed {
            text = Cow::Owned(replaced.into_owned());
        }
    }
    text
}

fn is_readable(decoded: &str) -> bool {
    let characters = decoded.chars().count();
    let plain =
        decoded.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '.' | '@' | '-' | '/')).count();
    let letters = decoded.chars().filter(|c| c.is_alphabetic()).count();
    !decoded.chars().any(|c| c.is_control() && !c.is_whitespace())
        && plain as f64 >= READABLE * characters as f64
        && 3 * letters >= characters
}

fn text_of(bytes: Vec<u8>) -> Option<String> {
    String::from_utf8(bytes).ok()
}

fn percent(run: &str) -> Option<String> {
    text_of(hex_bytes(&run.replace('%', ""))?)
}

fn hex(run: &str) -> Option<String> {
    text_of(hex_bytes(run)?).filter(|t| t.len() >= LEAST_DECODED && t.is_ascii())
}

fn hex_bytes(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

fn html(run: &str) -> Option<String> {
    let one = |entity: &str| {
        let digits = entity.trim_start_matches("&#");
        let code = match digits.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => digits.parse(),
        };
        char::from_u32(code.ok()?)
    };
    run.split_terminator(';').map(one).collect()
}

fn escaped(run: &str) -> Option<String> {
    let one =
        |code: &str| char::from_u32(u32::from_str_radix(code.trim_matches(['u', 'x', '{', '}']), 16).ok()?);
    run.split('\\').skip(1).map(one).collect()
}

/// Standard and URL-safe alphabets, with and without padding. All-lower-case and all-digit runs are words and numbers.
fn base64(run: &str) -> Option<String> {
    let body = run.trim_end_matches('=');
    let mixed = body.bytes().any(|b| b.is_ascii_uppercase()) && body.bytes().any(|b| b.is_ascii_lowercase());
    if !mixed || body.len() % 4 == 1 {
        return None;
    }
    let alphabet = if body.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    let bytes = GeneralPurpose::new(alphabet, LENIENT).decode(body).ok()?;
    text_of(bytes).filter(|t| t.len() >= LEAST_DECODED && t.is_ascii())
}

/// Spare bits at the end may be anything, and padding may be missing.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        assert_eq!(RUNS.len(), 5);
    }

    #[test]
    fn encoded_text_is_read() {
        let cases = [
            ("to ZXZlQGV2aWwuY29t now", "to eve@evil.com now"),
            ("657665406576696c2e636f6d", "eve@evil.com"),
            ("%65%76%65%40evil.com", "eve@evil.com"),
            ("&#101;&#118;&#x65;", "eve"),
            ("\\u0065\\u0076\\u0065", "eve"),
        ];
        for (text, expected) in cases {
            assert_eq!(decode(text), expected, "{text}");
        }
    }

    #[test]
    fn ids_words_and_ordinary_urls_stay() {
        let texts = [
            "HAT045 and 1a7b3d",
            "internationalization",
            "GetUserDetailsByEmail",
            "https://x.com/a%20b",
            "US133000000121212121212",
            "9d4e1e23bd5b727046a9e3b4b7db57bd8d6ee684",
            "credit_card_9513926",
        ];
        for text in texts {
            assert_eq!(decode(text), text);
        }
    }
}
