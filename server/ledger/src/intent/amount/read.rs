//! A text as an amount.

/// What a text is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reading {
    /// A number, maybe with its currency.
    Amount {
        /// Never negative. Where the text has two readings, the larger.
        value: f64,
        /// Upper case.
        currency: Option<String>,
    },
    /// It has digits, but is no number that everybody reads alike.
    Unreadable,
    /// It has no digits.
    NoNumber,
}

/// Reads a text as a whole. ASCII digits with a point, or with commas in groups of three; a currency before or after.
pub(super) fn read(text: &str) -> Reading {
    let text = text.trim_matches(' ');
    if !text.chars().any(char::is_numeric) {
        return Reading::NoNumber;
    }
    let (rest, before) = split_front(text);
    let (rest, after) = split_back(rest);
    match (number(rest), before, after) {
        (Some(_), Some(_), Some(_)) | (None, ..) => Reading::Unreadable,
        (Some(value), before, after) => Reading::Amount { value, currency: before.or(after) },
    }
}

/// The code of a currency: `eur`, `EUR` or a sign that stands for one alone.
pub(super) fn currency(text: &str) -> Option<String> {
    let code = text.to_ascii_uppercase();
    match text {
        "\u{20ac}" => Some("EUR".to_owned()),
        "\u{a3}" => Some("GBP".to_owned()),
        // Other dollars are worth less than this one.
        "$" => Some("USD".to_owned()),
        "\u{20b9}" => Some("INR".to_owned()),
        _ => is_code(&code).then_some(code),
    }
}

/// Whether `text` has the form of a currency's code: ISO 4217 and the like.
pub(in crate::intent) fn is_code(text: &str) -> bool {
    (3..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase())
}

fn split_front(text: &str) -> (&str, Option<String>) {
    let at = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
    let (front, rest) = text.split_at_checked(at).unwrap_or((text, ""));
    match currency(front.trim_end_matches(' ')) {
        Some(code) => (rest, Some(code)),
        None => (text, None),
    }
}

fn split_back(text: &str) -> (&str, Option<String>) {
    let at = text.rfind(|c: char| c.is_ascii_digit()).map_or(0, |i| i + 1);
    let (rest, back) = text.split_at_checked(at).unwrap_or((text, ""));
    match currency(back.trim_start_matches(' ')) {
        Some(code) => (rest, Some(code)),
        None => (text, None),
    }
}

fn number(text: &str) -> Option<f64> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    if !fraction.is_none_or(digits) {
        return None;
    }
    let plain = if digits(whole) { whole.to_owned() } else { without_commas(whole)? };
    // `1.000` is a thousand to half of the world.
    let is_group = fraction.is_some_and(|f| f.len() == 3) && plain.len() <= 3;
    let point = if is_group { "" } else { "." };
    format!("{plain}{point}{}", fraction.unwrap_or("0")).parse().ok()
}

/// The digits of `1,000,000`.
fn without_commas(text: &str) -> Option<String> {
    let mut groups = text.split(',');
    let first = groups.next()?;
    let is_group = |g: &str| g.len() == 3 && g.bytes().all(|b| b.is_ascii_digit());
    let starts_well = (1..=3).contains(&first.len()) && first.bytes().all(|b| b.is_ascii_digit());
    (starts_well && groups.all(is_group)).then(|| text.replace(',', ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn common_forms_are_read() {
        let cases = [
            ("98.70", 98.7, None),
            ("1,000.00", 1000.0, None),
            ("12,345,678", 12_345_678.0, None),
            ("EUR 5", 5.0, Some("EUR")),
            ("5eur", 5.0, Some("EUR")),
            ("$5.50", 5.5, Some("USD")),
            ("5 \u{20ac}", 5.0, Some("EUR")),
            ("007", 7.0, None),
            ("12345678901234567890", 12_345_678_901_234_567_890.0, None),
        ];
        for (text, value, currency) in cases {
            let want = Reading::Amount { value, currency: currency.map(str::to_owned) };
            assert_eq!(read(text), want, "{text}");
        }
    }

    #[test]
    fn a_text_without_digits_is_no_number() {
        assert_eq!(read("bill.txt"), Reading::NoNumber);
        assert_eq!(read(""), Reading::NoNumber);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in r"\PC{0,30}") {
            drop(read(&text));
        }

        #[test]
        fn a_decimal_never_reads_as_less_than_it_is(x in 0u32..10_000_000, cents in 0u32..100) {
            let text = format!("{x}.{cents:02}");
            let want: f64 = text.parse().unwrap();
            prop_assert_eq!(read(&text), Reading::Amount { value: want, currency: None });
        }
    }
}
