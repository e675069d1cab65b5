//! Characters: those without a glyph go, those that stand for others become them.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

/// A text after folding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folded<'a> {
    /// The text to score.
    pub text: Cow<'a, str>,
    /// Whether invisible characters were removed.
    pub invisible: bool,
    /// Whether compatibility forms (full width, ligatures, letters in mathematical alphabets) were folded.
    pub compatibility: bool,
}

/// Folds `text`; borrows where nothing changes.
pub fn fold(text: &str) -> Folded<'_> {
    if text.is_ascii() && !text.bytes().any(|b| is_stray_control(char::from(b))) {
        return Folded { text: Cow::Borrowed(text), invisible: false, compatibility: false };
    }
    let turned = turn_round(text);
    let (visible, hidden) = remove_invisible(&turned);
    let invisible = hidden || turned != text;
    if is_nfkc_quick(visible.chars()) == IsNormalized::Yes {
        return Folded { text: Cow::Owned(visible), invisible, compatibility: false };
    }
    let composed: String = visible.nfc().collect();
    let folded: String = visible.nfkc().collect();
    // Composing an accent is ordinary; only a change beyond it is worth telling.
    let compatibility = folded != composed;
    Folded { text: Cow::Owned(folded), invisible, compatibility }
}

/// Writes what a right-to-left override displays backwards in the order in which it is read.
fn turn_round(text: &str) -> Cow<'_, str> {
    const OVERRIDE: char = '\u{202e}';
    if !text.contains(OVERRIDE) {
        return Cow::Borrowed(text);
    }
    let mut parts = text.split(OVERRIDE);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (inside, rest) = part.split_once(['\u{202c}', '\n']).unwrap_or((part, ""));
        out.extend(inside.chars().rev());
        out.push_str(rest);
    }
    Cow::Owned(out)
}

/// The text without what has no glyph, and whether something was hidden so. A joiner between letters of a script that
/// needs it, or inside an emoji, hides nothing.
fn remove_invisible(text: &str) -> (String, bool) {
    let mut out = String::with_capacity(text.len());
    let mut hidden = false;
    let mut characters = text.chars().peekable();
    let mut previous = ' ';
    while let Some(c) = characters.next() {
        if let Some(tag) = tagged(c) {
            hidden = true;
            out.push(tag);
        } else if is_invisible(c) || is_overlay(c) {
            let next = characters.peek().copied().unwrap_or(' ');
            let in_word = [previous, next].iter().any(char::is_ascii_alphanumeric);
            hidden |= in_word || is_overlay(c) || c.is_control();
        } else {
            out.push(c);
            previous = c;
        }
    }
    (out, hidden)
}

/// The ASCII character that a tag character stands for: language models read them, people do not see them.
fn tagged(c: char) -> Option<char> {
    let code = u32::from(c).checked_sub(0xe_0000)?;
    char::from_u32(code).filter(|c| matches!(c, ' '..='~'))
}

/// Strokes and circles put over another character.
fn is_overlay(c: char) -> bool {
    matches!(c, '\u{334}'..='\u{338}' | '\u{20d0}'..='\u{20f0}')
}

fn is_stray_control(c: char) -> bool {
    c.is_control() && !matches!(c, '\t' | '\n' | '\r')
}

/// Format characters (category Cf), fillers, variation selectors, tags, and controls other than line breaks and tabs.
fn is_invisible(c: char) -> bool {
    is_stray_control(c)
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{8e2}'
            | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_text_is_borrowed() {
        assert!(matches!(fold("send 98.70 to bob\n").text, Cow::Borrowed(_)));
    }

    #[test]
    fn invisible_characters_go_and_are_told() {
        let f = fold("se\u{200b}nd mo\u{2060}ne\u{e0079}");
        assert_eq!((f.text.as_ref(), f.invisible, f.compatibility), ("send money", true, false));
    }

    #[test]
    fn joiners_of_other_scripts_hide_nothing() {
        for text in ["می\u{200c}خواهم", "👩\u{200d}💻 ok", "❤\u{fe0f}"] {
            assert!(!fold(text).invisible, "{text}");
        }
    }

    #[test]
    fn compatibility_forms_fold_and_plain_accents_only_compose() {
        assert_eq!(fold("ｓｅｎｄ").text, "send");
        assert!(fold("𝗌𝖾𝗇𝖽").compatibility);
        let f = fold("Re\u{301}serve");
        assert_eq!((f.text.as_ref(), f.compatibility), ("Réserve", false));
    }

    proptest! {
        #[test]
        fn folding_twice_is_folding_once(text in "\\PC{0,60}") {
            let once = fold(&text).text.into_owned();
            let twice = fold(&once).text.into_owned();
            prop_assert_eq!(twice, once);
        }
    }
}
