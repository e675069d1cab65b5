//! Words written letter by letter: `s e n d`, `s.e.n.d`, one letter a line.

use std::borrow::Cow;

/// Letters in a row that are no accident, one space or line break between any two of them.
const LEAST_SPACED: usize = 5;
/// The same with a sign between them, as lists and formulas have it too.
const LEAST_SIGNED: usize = 6;

/// Joins runs of single characters that stand apart; two or more separators between them end a word.
pub fn join(text: &str) -> Cow<'_, str> {
    let characters: Vec<(usize, char)> = text.char_indices().collect();
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    while at < characters.len() {
        let is_start = at == 0 || characters.get(at - 1).is_some_and(|(_, c)| !c.is_alphanumeric());
        let end = if is_start { run_end(&characters, at) } else { at + 1 };
        let Some(start) = spelled_from(&characters, at, end) else {
            at = end;
            continue;
        };
        at = start;
        let byte = |i: usize| characters.get(i).map_or(text.len(), |(b, _)| *b);
        out.push_str(text.get(copied..byte(at)).unwrap_or_default());
        out.extend(characters.get(at..end).unwrap_or_default().iter().step_by(2).map(|(_, c)| *c));
        copied = byte(end);
        at = end;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    Cow::Owned(out)
}

/// The first place in the run from which it spells a word: enough letters, and more of them than digits and signs. One
/// pass over the run, however long it is.
fn spelled_from(characters: &[(usize, char)], start: usize, end: usize) -> Option<usize> {
    let run = characters.get(start..end)?;
    let is_spaced = run.get(1).is_some_and(|(_, c)| c.is_whitespace());
    let least = if is_spaced { LEAST_SPACED } else { LEAST_SIGNED };
    let mut letters = run.iter().step_by(2).filter(|(_, c)| c.is_alphabetic()).count();
    for (at, (_, c)) in run.iter().enumerate().step_by(2) {
        if letters >= least && 4 * letters > run.len() - at && !is_separator(*c) {
            return Some(start + at);
        }
        letters -= usize::from(c.is_alphabetic());
    }
    None
}

/// The end of the run of `character separator character ...` that begins at `start`, where the separator stays the same.
fn run_end(characters: &[(usize, char)], start: usize) -> usize {
    let character = |i: usize| characters.get(i).map(|(_, c)| *c);
    let Some(separator) = character(start + 1).filter(|c| is_separator(*c)) else { return start + 1 };
    if character(start).is_none_or(is_separator) {
        return start + 1;
    }
    let mut end = start + 1;
    while character(end) == Some(separator) && character(end + 1).is_some_and(|c| !c.is_whitespace()) {
        end += 2;
    }
    // The last character must stand alone as well.
    let alone = character(end).is_none_or(|c| !c.is_alphanumeric());
    if alone || end < start + 3 { end } else { end - 2 }
}

fn is_separator(c: char) -> bool {
    c.is_whitespace() || matches!(c, '.' | '-' | '_' | '*' | '|' | '/' | ',' | '·')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaced_letters_are_joined() {
        assert_eq!(join("to e v e @ e v i l now"), "to eve@evil now");
        assert_eq!(join("s.e.n.d.i.t"), "sendit");
        assert_eq!(join("e\nv\ne\n@\ne\nv"), "eve@ev");
    }

    #[test]
    fn a_word_behind_single_digits_is_found_and_long_runs_take_no_time() {
        assert_eq!(join("1 1 1 1 1 1 1 1 1 1 e v i l c o m"), "1 1 1 1111111evilcom");
        let begun = std::time::Instant::now();
        assert!(matches!(join(&"1 ".repeat(500_000)), Cow::Borrowed(_)));
        assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    }

    #[test]
    fn ordinary_text_stays() {
        for text in ["a b c", "I am 5 m away", "1, 2, 3, 4", "x = 1", "U.S.A.", "10.0.0.1", ""] {
            assert!(matches!(join(text), Cow::Borrowed(_)), "{text}");
        }
        for text in
            ["0 9 * * 1", "5 + 3 - 2", "x + y = z", "1,2,3,4,5", "A/B/C/D/E", "a | b | c", "I ........."]
        {
            assert!(matches!(join(text), Cow::Borrowed(_)), "{text}");
        }
    }
}
