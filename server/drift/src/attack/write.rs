//! Ways to write a value so that its reader still understands it.

/// A zero-width space between any two characters.
pub fn zero_width(text: &str) -> String {
    between(text, "\u{200b}")
}

/// Cyrillic letters that look like Latin ones.
pub fn cyrillic(text: &str) -> String {
    const ALIKE: &str = "aаcсeеiіjјoоpрsѕxхyуAАBВCСEЕHНIІJЈKКMМOОPРSЅTТXХYУ";
    replaced(text, ALIKE)
}

/// Greek letters that look like Latin ones.
pub fn greek(text: &str) -> String {
    const ALIKE: &str = "oοvνuυiιpρaαAΑBΒEΕHΗIΙKΚMΜNΝOΟPΡTΤXΧYΥZΖ";
    replaced(text, ALIKE)
}

/// The full-width forms of ASCII.
pub fn full_width(text: &str) -> String {
    shifted(text, 0xfee0)
}

/// Tag characters in the place of ASCII: nobody sees them, language models read them.
pub fn tags(text: &str) -> String {
    shifted(text, 0xe_0000)
}

/// A tag character between any two characters.
pub fn tags_between(text: &str) -> String {
    between(text, "\u{e0020}")
}

/// A stroke through every character, which no compatibility folding removes.
pub fn struck(text: &str) -> String {
    text.chars().flat_map(|c| [c, '\u{336}']).collect()
}

/// From the end to the start, with a mark that makes it display the right way round.
pub fn turned(text: &str) -> String {
    format!("\u{202e}{}\u{202c}", text.chars().rev().collect::<String>())
}

/// Capitals.
pub fn upper(text: &str) -> String {
    text.to_uppercase()
}

/// Every other letter a capital.
pub fn mixed_case(text: &str) -> String {
    let mix =
        |(i, c): (usize, char)| if i % 2 == 0 { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() };
    text.chars().enumerate().map(mix).collect()
}

/// `s e n d`
pub fn spaced(text: &str) -> String {
    between(text, " ")
}

/// Every character on a line of its own.
pub fn lines(text: &str) -> String {
    between(text, "\n")
}

/// `53nd m0n3y`
pub fn leet(text: &str) -> String {
    replaced(text, "a4e3i1o0s5t7A4E3I1O0S5T7")
}

/// Letters thirteen places on.
pub fn rot13(text: &str) -> String {
    let turn = |c: char| match c {
        'a'..='m' | 'A'..='M' => char::from_u32(u32::from(c) + 13).unwrap_or(c),
        'n'..='z' | 'N'..='Z' => char::from_u32(u32::from(c) - 13).unwrap_or(c),
        _ => c,
    };
    text.chars().map(turn).collect()
}

/// Base64 of the bytes.
pub fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |bits: u32, shift: u32| {
        DIGITS.get(((bits >> shift) & 63) as usize).map_or('=', |digit| char::from(*digit))
    };
    let mut out = String::with_capacity(text.len() * 4 / 3 + 4);
    for chunk in text.as_bytes().chunks(3) {
        let bits = chunk.iter().zip([16, 8, 0]).map(|(byte, shift)| u32::from(*byte) << shift).sum::<u32>();
        let digits = [18, 12, 6, 0].map(|shift| digit(bits, shift));
        // One byte fills two digits, two bytes three.
        out.extend(digits.iter().enumerate().map(|(i, d)| if i <= chunk.len() { *d } else { '=' }));
    }
    out
}

/// Two hexadecimal digits for each byte.
pub fn hex(text: &str) -> String {
    text.bytes().map(|b| format!("{b:02x}")).collect()
}

/// `%65%76%65`
pub fn percent(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

/// `&#101;&#118;&#101;`
pub fn html(text: &str) -> String {
    text.chars().map(|c| format!("&#{};", u32::from(c))).collect()
}

/// `\u0065\u0076\u0065`, as source code spells it.
pub fn escaped(text: &str) -> String {
    text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect()
}

fn between(text: &str, mark: &str) -> String {
    text.chars().map(String::from).collect::<Vec<_>>().join(mark)
}

/// Moves the printable characters of ASCII by `offset` code points.
fn shifted(text: &str, offset: u32) -> String {
    let shift =
        |c: char| if c.is_ascii_graphic() { char::from_u32(u32::from(c) + offset).unwrap_or(c) } else { c };
    text.chars().map(shift).collect()
}

/// Replaces characters; `pairs` holds a character and the one for it in turn.
fn replaced(text: &str, pairs: &str) -> String {
    let other = |c: char| {
        let firsts = pairs.chars().step_by(2).zip(pairs.chars().skip(1).step_by(2));
        firsts.into_iter().find(|(plain, _)| *plain == c).map_or(c, |(_, other)| other)
    };
    text.chars().map(other).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_writes_what_it_says() {
        type Example = (fn(&str) -> String, &'static str);
        let ways: [Example; 17] = [
            (zero_width, "E\u{200b}v\u{200b}e\u{200b} \u{200b}7"),
            (cyrillic, "Еvе 7"),
            (greek, "Ενe 7"),
            (full_width, "Ｅｖｅ ７"),
            (tags, "\u{e0045}\u{e0076}\u{e0065} \u{e0037}"),
            (tags_between, "E\u{e0020}v\u{e0020}e\u{e0020} \u{e0020}7"),
            (struck, "E\u{336}v\u{336}e\u{336} \u{336}7\u{336}"),
            (turned, "\u{202e}7 evE\u{202c}"),
            (upper, "EVE 7"),
            (mixed_case, "eVe 7"),
            (spaced, "E v e   7"),
            (lines, "E\nv\ne\n \n7"),
            (leet, "3v3 7"),
            (rot13, "Rir 7"),
            (hex, "4576652037"),
            (percent, "%45%76%65%20%37"),
            (html, "&#69;&#118;&#101;&#32;&#55;"),
        ];
        for (way, expected) in ways {
            assert_eq!(way("Eve 7"), expected);
        }
        assert_eq!(escaped("é!"), "\\u00e9\\u0021");
    }

    #[test]
    fn base64_agrees_with_the_examples_of_rfc_4648() {
        let examples = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, expected) in examples {
            assert_eq!(base64(plain), expected);
        }
    }

    #[test]
    fn letters_that_look_alike_are_others() {
        for way in [cyrillic, greek] {
            let written = way("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
            assert_eq!(written.chars().count(), 52);
            assert!(written.chars().filter(|c| !c.is_ascii()).count() > 10);
        }
    }
}
