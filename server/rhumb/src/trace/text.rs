//! Text of strangers, fit for a terminal.
//!
//! Stricter than what answers on the wire get (`convert`): a tree also has columns, which wide characters take two of, and
//! a reader, whom text that runs backwards or takes no room would mislead about what belongs to whom.

use unicode_width::UnicodeWidthChar as _;

/// Stands for what a terminal must not see.
const REPLACEMENT: char = '\u{fffd}';
/// A column holds one letter and its accents; a heap of accents is not text.
const CHARS_PER_COLUMN: usize = 4;

/// `text` on one line, without controls, at most `columns` wide; `…` stands for what was cut off.
pub fn clean(text: &str, columns: usize) -> String {
    let (mut out, mut used, mut chars) = (String::new(), 0, 0);
    for c in text.chars().map(visible) {
        let width = c.width().unwrap_or(1);
        if used + width > columns || chars >= columns * CHARS_PER_COLUMN {
            return cut(out, columns);
        }
        out.push(c);
        used += width;
        chars += 1;
    }
    out
}

/// At most `most` characters, and otherwise as it is: for texts that are cleaned later.
pub fn clip(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or(text)),
        None => text.to_owned(),
    }
}

/// Columns that `text` takes.
pub fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(1)).sum()
}

/// `text`, filled up with spaces.
pub fn pad(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// At most `columns` wide in as many lines as it takes, but no more than `lines`.
pub fn wrap(text: &str, columns: usize, lines: usize) -> Vec<String> {
    let clean = clean(text, columns.saturating_mul(lines));
    let mut out = vec![String::new()];
    for word in clean.split(' ').filter(|w| !w.is_empty()) {
        let room = out.last().map_or(0, |l| columns.saturating_sub(width(l) + 1));
        match out.last_mut() {
            Some(line) if line.is_empty() => line.push_str(&self::clean(word, columns)),
            Some(line) if width(word) <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => out.push(self::clean(word, columns)),
        }
    }
    if out.len() > lines {
        out.truncate(lines);
        let last = out.pop().map_or(String::new(), |l| cut(format!("{l} "), columns));
        out.push(last);
    }
    out
}

fn cut(mut text: String, columns: usize) -> String {
    while width(&text) + 1 > columns && text.pop().is_some() {}
    if columns > 0 {
        text.push('…');
    }
    text
}

fn visible(c: char) -> char {
    match c {
        '\n' | '\r' | '\t' => ' ',
        c if c.is_control() || unseen(c) => REPLACEMENT,
        c => c,
    }
}

/// Characters without a glyph: they turn the direction of text, hide in it, or break the line.
pub fn unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_or_a_reader_gets_through() {
        let hostile = "a\u{1b}[31mb\u{9b}2Jc\u{7}\u{7f}d\u{202e}e\u{200b}f\ng\u{2028}";
        assert_eq!(clean(hostile, 80), "a�[31mb�2Jc��d�e�f g�");
    }

    #[test]
    fn wide_characters_take_two_columns_and_are_never_halved() {
        assert_eq!(clean("旅行代理店", 6), "旅行…");
        assert_eq!(clean("旅行代理店", 10), "旅行代理店");
        assert_eq!(width(&pad("旅行", 6)), 6);
        assert_eq!(clean("abc", 0), "");
    }

    #[test]
    fn a_heap_of_accents_is_cut() {
        let heap = format!("a{}", "\u{301}".repeat(10_000));
        assert!(clean(&heap, 20).chars().count() <= 81);
    }

    #[test]
    fn lines_are_as_wide_as_allowed() {
        assert_eq!(wrap("one two three", 7, 9), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij k", 4, 9), ["abc…", "k"]);
        assert_eq!(wrap("", 4, 9), [""]);
        assert_eq!(wrap("a bbbb c dd", 5, 2), ["a", "bbbb…"]);
    }
}
