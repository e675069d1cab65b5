//! Canonical text, rule `rhumb-text-1`, and its digest.
//!
//! One leading U+FEFF is dropped, CR LF and CR become LF, Unicode NFC, then U+0009, U+000A, U+000D and U+0020 are
//! trimmed at both ends and nothing else. No case folding, no NFKC. The NFC tables are those of Unicode
//! [`UNICODE_VERSION`]: text with younger code points is taken, but another implementation may compose it otherwise; the
//! digests differ then, which refuses and never lets pass.
//!
//! The rule is idempotent but for a text whose canonical form begins with U+FEFF (it had two, or one after a space): given
//! again, it loses that one too and hashes to another digest. This fails closed as well.

use rhumb_drift::InputError;
use sha2::{Digest as _, Sha256};
pub use unicode_normalization::UNICODE_VERSION;
use unicode_normalization::UnicodeNormalization as _;

/// Name of the rule, as in `tctx.canon`.
pub const RULE: &str = "rhumb-text-1";

/// The longest canonical text, in bytes.
pub const MAX_BYTES: usize = 64 * 1024;

/// The canonical form of `text`.
///
/// # Errors
/// Names `intent.text` if the canonical form is empty or longer than [`MAX_BYTES`].
pub fn canonical(text: &str) -> Result<String, InputError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.replace("\r\n", "\n").replace('\r', "\n");
    let composed: String = lines.nfc().collect();
    let trimmed = composed.trim_matches(['\t', '\n', '\r', ' ']);
    match trimmed.len() {
        0 => Err(InputError::new("intent.text", "is empty")),
        n if n > MAX_BYTES => {
            Err(InputError::new("intent.text", format!("{n} bytes, at most {MAX_BYTES} are taken")))
        }
        _ => Ok(trimmed.to_owned()),
    }
}

/// `sha256:` and 64 hexadecimal digits of the bytes.
pub fn digest(bytes: impl AsRef<[u8]>) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

/// Whether `text` has the form of a digest.
pub fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The table of the rule's specification.
    const ROWS: [(&str, &str, &str); 5] = [
        (
            "Pay the bill in bill.txt",
            "Pay the bill in bill.txt",
            "7e6e2eddc2dc3a5e4a04129d47edf5a92bda88f01c86bbaaa73e40078772d9c3",
        ),
        (
            "\u{feff}Pay the bill in bill.txt\r\n",
            "Pay the bill in bill.txt",
            "7e6e2eddc2dc3a5e4a04129d47edf5a92bda88f01c86bbaaa73e40078772d9c3",
        ),
        (
            "Re\u{301}serve une table\r\npour deux ",
            "R\u{e9}serve une table\npour deux",
            "992f9e5991757f821844219133b9dfb3daa0b3e25d9d8aa76f039656616ccb09",
        ),
        (
            "A \u{a0}B\u{2028}",
            "A \u{a0}B\u{2028}",
            "70404044f4aa4b5f54316708c60f48ae081cf19a6944a0da5d1cd767ad327010",
        ),
        (
            "\u{fb01}le it",
            "\u{fb01}le it",
            "61ed5f370e80a014ef8fc50aae5fc12b3fd2fca65bce5e0ff341a8976dc745ab",
        ),
    ];

    #[test]
    fn the_table_of_the_specification_holds() {
        for (input, want, hex) in ROWS {
            let got = canonical(input).unwrap();
            assert_eq!((got.as_str(), digest(&got)), (want, format!("sha256:{hex}")), "{input:?}");
        }
    }

    #[test]
    fn the_unicode_version_is_pinned() {
        // A change moves digests of young code points: note it in the release before changing this line.
        assert_eq!(UNICODE_VERSION, (18, 0, 0));
    }

    #[test]
    fn empty_and_too_long_texts_are_refused() {
        for text in ["", " \r\n\t", "\u{feff}\n"] {
            assert_eq!(canonical(text).unwrap_err().field, "intent.text", "{text:?}");
        }
        assert!(canonical(&"a".repeat(MAX_BYTES)).is_ok());
        assert!(canonical(&"a".repeat(MAX_BYTES + 1)).is_err());
        assert!(canonical(&format!("{}\n", "a".repeat(MAX_BYTES))).is_ok(), "the canonical form is measured");
    }

    #[test]
    fn only_one_byte_order_mark_is_dropped() {
        assert_eq!(canonical("\u{feff}\u{feff}a").unwrap(), "\u{feff}a");
    }

    proptest! {
        #[test]
        fn canonical_text_is_its_own_canonical_text(text in r"[\PC\r\n\t \u{301}\u{feff}]{0,40}") {
            if let Ok(once) = canonical(&text) {
                prop_assume!(!once.starts_with('\u{feff}'));
                prop_assert_eq!(canonical(&once).unwrap(), once);
            }
        }

        #[test]
        fn line_ends_do_not_matter(lines in proptest::collection::vec("[a-z ]{1,5}x", 1..6)) {
            let unix = canonical(&lines.join("\n")).unwrap();
            prop_assert_eq!(&canonical(&lines.join("\r\n")).unwrap(), &unix);
            prop_assert_eq!(&canonical(&lines.join("\r")).unwrap(), &unix);
        }
    }
}
