//! Letters of other alphabets that look like Latin ones.
//!
//! Only words that mix alphabets, or that look Latin in all their letters while the rest of the text is Latin, are mapped:
//! a Russian or Greek text stays what it is.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Pairs of a letter and the Latin one that it looks like.
const ALIKE: &str = "аaвbсcеeһhіiјjкkӏlмmоoрpԛqѕsтtυuѵvԝwхxуyАAВBСCЕEНHІIЈJКKМMОOРPЅSТTХXУYԐE\
                     αaβbεeηnιiκkνvοoρpτtχxγyΑAΒBΕEΖZΗHΙIΚKΜMΝNΟOΡPΤTΥYΧXϲcϳjօoսuհhոnցgɡgɑaʟlᴏo";

static LATIN: LazyLock<HashMap<char, char>> = LazyLock::new(|| {
    let letters: Vec<char> = ALIKE.chars().collect();
    letters.as_chunks::<2>().0.iter().map(|[from, to]| (*from, *to)).collect()
});

fn latin(c: char) -> Option<char> {
    if c.is_ascii() { None } else { LATIN.get(&c).copied() }
}

/// Maps disguised words; borrows where there is none.
pub fn to_latin(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || !text.chars().any(|c| latin(c).is_some()) {
        return Cow::Borrowed(text);
    }
    let is_latin_text = mostly_latin(text);
    let mut out = String::with_capacity(text.len());
    let mut changed = false;
    for piece in text.split_inclusive(|c: char| !c.is_alphanumeric()) {
        if is_disguised(piece, is_latin_text) {
            changed = true;
            out.extend(piece.chars().map(|c| latin(c).unwrap_or(c)));
        } else {
            out.push_str(piece);
        }
    }
    if changed { Cow::Owned(out) } else { Cow::Borrowed(text) }
}

/// More letters of the text are ASCII than are neither ASCII nor alike.
fn mostly_latin(text: &str) -> bool {
    let letters = || text.chars().filter(|c| c.is_alphabetic());
    let foreign = letters().filter(|c| !c.is_ascii() && latin(*c).is_none()).count();
    letters().filter(char::is_ascii).count() > foreign
}

fn is_disguised(word: &str, in_latin_text: bool) -> bool {
    let letters = || word.chars().filter(|c| c.is_alphabetic());
    let alike = letters().filter(|c| latin(*c).is_some()).count();
    let ascii = letters().filter(char::is_ascii).count();
    // One foreign letter alone is a symbol.
    alike > 0 && (ascii > 0 || (in_latin_text && alike > 1)) && alike + ascii == letters().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_mix_alphabets_are_mapped() {
        assert_eq!(to_latin("pay раypal.com"), "pay paypal.com");
        assert_eq!(to_latin("send to аnna"), "send to anna");
    }

    #[test]
    fn every_pair_leads_to_latin() {
        assert_eq!(ALIKE.chars().count() % 2, 0);
        assert!(LATIN.iter().all(|(from, to)| !from.is_ascii() && to.is_ascii_alphabetic()), "{LATIN:?}");
    }

    #[test]
    fn other_languages_stay() {
        for text in ["Отправь отчёт Анне", "το τραίνο", "naïve café", "москва", "α = 0.05", "Kadıköy"]
        {
            assert!(matches!(to_latin(text), Cow::Borrowed(_)), "{text}");
        }
    }
}
