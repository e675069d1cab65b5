//! Text cleaning before scoring: what a reader cannot see must not change a score.
//!
//! Compatibility forms are folded (NFKC), and characters without a glyph of their own are removed. The request and the
//! action go through the same folding. `rhumb embed` does not fold: it answers for the text as given.

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
    let visible: String = text.chars().filter(|c| !is_invisible(*c)).collect();
    let invisible = visible.len() != text.len();
    if is_nfkc_quick(visible.chars()) == IsNormalized::Yes {
        return Folded { text: Cow::Owned(visible), invisible, compatibility: false };
    }
    let composed: String = visible.nfc().collect();
    let folded: String = visible.nfkc().collect();
    // Composing an accent is ordinary; only a change beyond it is worth telling.
    let compatibility = folded != composed;
    Folded { text: Cow::Owned(folded), invisible, compatibility }
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
        let f = fold("se\u{200b}nd mo\u{2060}ney\u{e0041}");
        assert_eq!((f.text.as_ref(), f.invisible, f.compatibility), ("send money", true, false));
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
