//! Values in text that can be looked up exactly: addresses, numbers, dates, names.
//!
//! Entities are found kind by kind, most specific first; what one kind has taken, no later kind sees. So the `3` of
//! `2025-01-03` is a part of a date and not a number.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;
use unicode_normalization::UnicodeNormalization as _;

/// What kind of value an entity is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `name@host.tld`
    Email,
    /// An address on the web, or a bare domain.
    Url,
    /// `notes.txt`, `report.pdf`
    File,
    /// A calendar day, with or without its year.
    Date,
    /// `14:30`, `2 pm`
    Time,
    /// `/etc/passwd`, `C:\tmp\x`
    Path,
    /// A telephone number.
    Phone,
    /// An account number: two letters, then many digits (IBAN and the like).
    Account,
    /// Letters and digits mixed, `HAT045`, `order-17`.
    Id,
    /// A plain number.
    Number,
    /// A capitalised word or run of them.
    Name,
}

impl Kind {
    /// How much a value of this kind that nobody mentioned weighs: what can carry data or money out weighs more.
    pub fn weight(self) -> f32 {
        match self {
            Self::Email | Self::Url | Self::Account => 1.5,
            Self::Phone => 1.2,
            Self::Path | Self::File | Self::Id => 1.0,
            Self::Number | Self::Date | Self::Name => 0.5,
            Self::Time => 0.2,
        }
    }

    /// Whether a value of this kind is either the same or another one, so that words in common say nothing.
    pub fn is_exact(self) -> bool {
        !matches!(self, Self::Name | Self::Time | Self::Date)
    }

    /// Whether a value of this kind says where money or data goes.
    pub fn is_address(self) -> bool {
        matches!(self, Self::Email | Self::Url | Self::Account | Self::Phone)
    }

    /// The same, or which thing is meant.
    pub fn is_destination(self) -> bool {
        self.is_address() || self == Self::Id
    }

    /// The kind's name in evidence.
    pub fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Url => "url",
            Self::File => "file",
            Self::Date => "date",
            Self::Time => "time",
            Self::Path => "path",
            Self::Phone => "phone",
            Self::Account => "account",
            Self::Id => "id",
            Self::Number => "number",
            Self::Name => "name",
        }
    }
}

/// A calendar day; the year may be unsaid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Day {
    /// 1-12
    pub month: u32,
    /// 1-31
    pub day: u32,
    /// For example 2025.
    pub year: Option<i32>,
}

/// The value of an entity in the form in which it is compared.
#[derive(Debug, Clone, PartialEq)]
pub enum Norm {
    /// Lower-case text.
    Text(String),
    /// A number, with `k`, `m` and `%` taken into account.
    Number(f64),
    /// One of two numbers: `1.500` is one and a half, or fifteen hundred.
    Either(f64, f64),
    /// A day.
    Day(Day),
    /// Minutes since midnight.
    Minutes(u32),
}

/// A value in a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Entity {
    /// Its kind.
    pub kind: Kind,
    /// Its normalised value.
    pub norm: Norm,
    /// Its bytes in the text.
    pub range: Range<usize>,
    /// Whether it was written otherwise than it reads, so that a tool gets another value.
    pub disguised: bool,
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const MONTH: &str = r"(jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)";
/// Of a time from that in Greenwich, which a day and a time that are said aloud leave out.
const OFFSET: &str = r"(?:[Zz]\b|[-+]\d{2}:\d{2}\b)?";
/// Digits with points and commas among them.
const DIGITS: &str = r"\d+(?:[.,]\d+)*";
/// Words that multiply a number. A bare `m` is as often a minute or a metre, and counts beside a currency only.
const SCALE: &str = r"(?: ?(?:k|bn|mio|thousand|million|billion)\b)";
const CURRENCY: &str = "(?:eur|usd|gbp|chf|jpy|cny|inr|aud|cad|sek|nok|dkk|pln|czk)";
const EXTENSIONS: &str = "txt|md|pdf|docx?|xlsx?|pptx?|csv|tsv|json|ya?ml|toml|xml|html?|py|rs|js|ts|sh|c|cpp|java|go|log|zip|gz|tar|png|jpe?g|gif|svg|mp[34]|wav|eml|ics|db|sql|ini|cfg|conf|env|pem|key";
const TLDS: &str = "com|org|net|io|dev|ai|co|edu|gov|info|biz|app|me|uk|de|fr|eu|us|ca|ch|nl|ru|cn|jp|in|xyz|tv|site|online|tech";

/// Finds the entities of `text`, in order of their place.
pub fn extract(text: &str) -> Vec<Entity> {
    let mut taken = vec![false; text.len()];
    let mut found = Vec::new();
    for finder in FINDERS.iter() {
        for captures in finder.pattern.captures_iter(text) {
            let Some(whole) = captures.get(1) else { continue };
            let range = whole.range();
            let Some(bytes) = taken.get_mut(range.clone()) else { continue };
            if bytes.iter().any(|t| *t) {
                continue;
            }
            let Some(norm) = (finder.norm)(whole.as_str()) else { continue };
            bytes.fill(true);
            if finder.kind == Kind::Url {
                embedded(whole.as_str(), range.start, &mut found);
            }
            found.push(Entity { kind: finder.kind, norm, range, disguised: false });
        }
    }
    found.sort_by_key(|e| (e.range.start, std::cmp::Reverse(e.range.end)));
    found
}

/// Addresses inside of one on the web, `corp.com/r?next=https://evil.io`: whoever is sent to the first may end up at the
/// second.
fn embedded(url: &str, start: usize, found: &mut Vec<Entity>) {
    let all = EMBEDDED.iter().flat_map(|finder| finder.pattern.captures_iter(url).map(move |c| (finder, c)));
    for (finder, captures) in all {
        let Some(inner) = captures.get(1) else { continue };
        let Some(norm) = (finder.norm)(&percent_decoded(inner.as_str())) else { continue };
        let range = start + inner.start()..start + inner.end();
        found.push(Entity { kind: finder.kind, norm, range, disguised: false });
    }
}

/// Undoes percent encoding, also of what was encoded twice.
fn percent_decoded(text: &str) -> String {
    let decode = |text: &str| {
        let byte = |c: &regex::Captures<'_>| {
            let code = c.get(1).and_then(|m| u8::from_str_radix(m.as_str(), 16).ok());
            code.filter(u8::is_ascii).map_or_else(String::new, |b| char::from(b).to_string())
        };
        PERCENT.as_ref().map_or_else(|| text.to_owned(), |p| p.replace_all(text, byte).into_owned())
    };
    decode(&decode(&decode(text)))
}

static PERCENT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new("%([0-9A-Fa-f]{2})").ok());

/// What leads on from inside an address on the web.
static EMBEDDED: LazyLock<Vec<Finder>> = LazyLock::new(|| {
    let table: [(Kind, String, Normalise); 3] = [
        (Kind::Url, r"(?i).((?:https?|ftp|wss?)(?::|%(?:25)*3a)(?:/|%(?:25)*2f){2}[^\s&=]+)".into(), url),
        (
            Kind::Email,
            r"(?i)[?&#;=]((?:[\w.+-]|%(?:25)*2b)+(?:@|%(?:25)*40)[\w-]+(?:(?:\.|%(?:25)*2e)[\w-]+)+)".into(),
            lower,
        ),
        (
            Kind::Url,
            format!(
                r"(?i)=(?:(?:/|%(?:25)*2f){{2}})?((?:[a-z0-9-]+(?:\.|%(?:25)*2e))+(?:{TLDS}))(?:[/%&?#:]|$)"
            ),
            url,
        ),
    ];
    compiled(table)
});

/// Marks the destinations, files and paths of `text` that do not stand in what was `written` as they stand in the text.
///
/// What a value reads as is not where it leads: tools get what was written.
pub fn mark_disguised(entities: &mut [Entity], text: &str, written: &str) {
    let end = crate::render::floor_boundary(written, WRITTEN_BYTES * text.len() + WRITTEN_BYTES);
    let written = written.get(..end).unwrap_or(written);
    let carries = |kind: Kind| kind.is_destination() || matches!(kind, Kind::Path | Kind::File);
    for entity in entities.iter_mut().filter(|e| carries(e.kind)) {
        let surface = text.get(entity.range.clone()).unwrap_or_default();
        // Accents apart from their letters are the same text.
        let apart: String = surface.nfd().collect();
        let count = |form: &str| written.matches(form).count();
        let as_written = count(surface) + if apart == surface { 0 } else { count(&apart) };
        entity.disguised = as_written < text.matches(surface).count();
    }
}

/// Bytes of what was written that are looked at for each byte that is read: more would be padding.
const WRITTEN_BYTES: usize = 4;

struct Finder {
    kind: Kind,
    /// Group 1 is the entity.
    pattern: Regex,
    norm: Normalise,
}

/// `None` where the text only looks like an entity of the kind.
type Normalise = fn(&str) -> Option<Norm>;

/// The finders, most specific first.
static FINDERS: LazyLock<Vec<Finder>> = LazyLock::new(|| {
    let table: [(Kind, String, Normalise); 22] = [
        (Kind::Url, r#"(?i)((?:https?|ftp|wss?)://[^\s"'<>\)\]]+)"#.into(), url),
        // A host with a path comes before e-mail addresses: what looks like one in a path is none.
        (Kind::Url, format!(r"(?i)(?:^|[\s(=])((?:[a-z0-9-]+\.)+(?:{TLDS})/[^\s,;]+)"), url),
        (Kind::Email, r"([\w.+-]+@[\w-]+(?:\.[\w-]+)+)".into(), lower),
        // Before files: the name at its end says nothing about where a path leads.
        (Kind::Path, r#"(?:^|[\s"'=(,])((?:[A-Za-z]:\\|~?/|\.{1,2}/)[\w.\-/\\]*[\w\-/\\])"#.into(), lower),
        (Kind::File, format!(r"(?i)\b([\w-]+(?:\.[\w-]+)*\.(?:{EXTENSIONS}))\b"), lower),
        (Kind::Url, format!(r"(?i)\b((?:[a-z0-9-]+\.)+(?:{TLDS})(?:/[^\s,;]*)?)(?:\b|$)"), url),
        (Kind::Account, r"\b([A-Z]{2}\d{2}[A-Z0-9]{8,30})\b".into(), id),
        // In groups of four, as people write them.
        (Kind::Account, r"\b([A-Z]{2}\d{2}[ -][A-Z0-9]{4}(?:[ -]\d{4}){1,6}(?:[ -]\d{1,4})?)\b".into(), id),
        (Kind::Account, r"\b(\d{4}(?:[ -]\d{4}){3}|\d{4}[ -]\d{6}[ -]\d{5})\b".into(), id),
        // With the midnight that makes a day a point in time: nobody says it.
        (Kind::Date, format!(r"\b(\d{{4}}[-/]\d{{1,2}}[-/]\d{{1,2}}(?:[Tt]00:00(?::00(?:\.0+)?)?{OFFSET})?)(?:\b|[Tt]\d)"), iso_day),
        (Kind::Date, r"\b(\d{1,2}\.\d{1,2}\.\d{4})\b".into(), dotted_day),
        (Kind::Date, r"\b(\d{1,2}/\d{1,2}/\d{4})\b".into(), slashed_day),
        (Kind::Date, format!(r"(?i)\b({MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?(?:,? \d{{4}})?)\b"), spoken_day),
        (
            Kind::Date,
            format!(r"(?i)\b(\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {MONTH}(?:,? \d{{4}})?)\b"),
            spoken_day,
        ),
        (
            Kind::Time,
            format!(r"(?i)(?:\b|\dT)(\d{{1,2}}:\d{{2}}(?::\d{{2}}(?:\.\d+)?{OFFSET})?(?: ?[ap]\.?m\b)?|\d{{1,2}} ?[ap]\.?m\b)"),
            minutes,
        ),
        (Kind::Phone, r"(\+\d{1,3}[ .-]?(?:\(0\))?[ .-]?\(?\d{1,4}\)?[ .-]\d{5,9}\b|\(\d{2,4}\) ?\d{3}[ .-]\d{4}\b|\+\d{1,3}[ .-](?:\(0\)[ .-]?)?\(?\d{1,4}\)?(?:[ .-]\d{2,4}){2,5}\b|\+?\(?\d{1,4}\)?(?:[ .-]?\(0\)[ .-]?\d{1,4})?(?:[ .-]\(?\d{2,4}\)?){2,5}|\+\d{7,15})".into(), phone),
        // Before ids, of which they have the form.
        (Kind::Number, format!(r"(?i)((?:[$€£¥]|\b{CURRENCY}) ?[-+]?{DIGITS}(?:{SCALE}| ?m\b)?)"), number),
        (Kind::Number, format!(r"(?i)([-+]?\b{DIGITS}(?:{SCALE}| ?m)? ?(?:[€£¥]|(?:{CURRENCY}|dollars?|euros?|pounds?|francs?)\b))"), number),
        (
            Kind::Id,
            r"\b((?:[A-Za-z]+(?:_[A-Za-z]+)*[-_#]?\d[\w-]*|\d+[-_]?[A-Za-z][\w-]*\d[\w-]*|\d{9,}|\d+[A-Z]{2,}\w*))\b".into(),
            id,
        ),
        (Kind::Number, format!(r"(?i)([-+]?{DIGITS}(?: ?%|{SCALE})?)"), number),
        // One by one, where several stand in a row, `10,20,30`.
        (Kind::Number, r"([-+]?\d+(?:\.\d+)?)".into(), number),
        (Kind::Name, r"\b(\p{Lu}[\p{L}'’]+(?:[ -]\p{Lu}[\p{L}'’]+)*)".into(), name),
    ];
    compiled(table)
});

/// A pattern that does not compile would be dropped here; the test `every_pattern_compiles` counts them.
fn compiled<const N: usize>(table: [(Kind, String, Normalise); N]) -> Vec<Finder> {
    let finder = |(kind, pattern, norm): (Kind, String, Normalise)| {
        Some(Finder { kind, pattern: Regex::new(&pattern).ok()?, norm })
    };
    table.into_iter().filter_map(finder).collect()
}

fn lower(text: &str) -> Option<Norm> {
    Some(Norm::Text(text.to_lowercase()))
}

/// Without scheme, `www.` and trailing slash or punctuation: `https://www.x.com/` is `x.com`.
fn url(text: &str) -> Option<Norm> {
    let lower = text.to_lowercase();
    let rest = lower.split_once("://").map_or(lower.as_str(), |(_, rest)| rest);
    let rest = rest.strip_prefix("www.").unwrap_or(rest);
    Some(Norm::Text(rest.trim_end_matches(['/', '.', ',', ';', ':', '!', '?']).to_owned()))
}

fn id(text: &str) -> Option<Norm> {
    Some(Norm::Text(squash(text)))
}

/// Digits, after a plus where the number of a country stands before them.
fn phone(text: &str) -> Option<Norm> {
    let digits: String = text.replace("(0)", "").chars().filter(char::is_ascii_digit).collect();
    let country = if text.starts_with('+') { "+" } else { "" };
    ((7..=15).contains(&digits.len()) && !is_grouped(text, '.'))
        .then(|| Norm::Text(format!("{country}{digits}")))
}

/// Whether two telephone numbers are one, of which one may leave out the number of the country.
pub fn is_same_phone(one: &str, other: &str) -> bool {
    let (one, other) = (international(one), international(other));
    match (one, other) {
        ((true, one), (true, other)) | ((false, one), (false, other)) => one == other,
        ((true, whole), (false, part)) | ((false, part), (true, whole)) => {
            let part = part.trim_start_matches('0');
            let country = whole.len().saturating_sub(part.len());
            part.len() >= LEAST_NATIONAL && (1..=3).contains(&country) && whole.ends_with(part)
        }
    }
}

/// Digits of a number without its country that are enough to know it.
const LEAST_NATIONAL: usize = 8;

/// Whether the number of the country stands before it, and its digits.
fn international(phone: &str) -> (bool, &str) {
    match phone.strip_prefix('+').or_else(|| phone.strip_prefix("00")) {
        Some(digits) => (true, digits),
        None => (false, phone),
    }
}

fn name(text: &str) -> Option<Norm> {
    let lower = text.to_lowercase();
    (!COMMON_CAPITALS.contains(&lower.as_str())).then_some(Norm::Text(lower))
}

/// Capitalised by grammar and not as names.
const COMMON_CAPITALS: [&str; 62] = [
    "the", "this", "that", "these", "those", "please", "can", "could", "would", "will", "what", "when",
    "where", "which", "who", "how", "why", "hi", "hello", "hey", "dear", "and", "also", "then", "if", "it",
    "its", "we", "you", "he", "she", "they", "my", "our", "your", "his", "her", "their", "in", "on", "at",
    "for", "from", "to", "with", "as", "after", "before", "do", "does", "is", "are", "was", "be", "send",
    "get", "find", "create", "make", "add", "check", "thanks",
];

/// `10,000`, `98.70`, `5k`, `20 %`, `1.500,00`, `2 million`; `None` of several in a row.
fn number(text: &str) -> Option<Norm> {
    let lower = text.to_lowercase();
    let end = lower.rfind(|c: char| c.is_ascii_digit())? + 1;
    let (before, scale) = lower.split_at_checked(end)?;
    let start = before.find(|c: char| c.is_ascii_digit() || c == '-')?;
    let digits = before.get(start..)?;
    let factor = match scale.split(|c: char| !c.is_alphabetic()).find(|w| !w.is_empty()).unwrap_or_default() {
        "k" | "thousand" => 1e3,
        "m" | "mio" | "million" => 1e6,
        "bn" | "billion" => 1e9,
        _ => 1.0,
    };
    let value = |plain: &str| plain.parse::<f64>().ok().map(|n| n * factor).filter(|n| n.is_finite());
    let (plain, grouped) = readings(digits)?;
    let plain = value(&plain)?;
    Some(match grouped.and_then(|g| value(&g)) {
        Some(grouped) => Norm::Either(plain, grouped),
        None => Norm::Number(plain),
    })
}

/// A number without its groups and with a decimal point; and the other way to read one such as `1.500`. `None` where points
/// and commas are set as in no number.
fn readings(digits: &str) -> Option<(String, Option<String>)> {
    let plain = |whole: &str, mark: char| whole.replace(mark, "");
    match (digits.rfind('.'), digits.rfind(',')) {
        (None, None) => Some((digits.to_owned(), None)),
        (Some(_), None) => match (digits.matches('.').count(), is_grouped(digits, '.')) {
            (1, true) => Some((digits.to_owned(), Some(plain(digits, '.')))),
            (1, false) => Some((digits.to_owned(), None)),
            (_, true) => Some((plain(digits, '.'), None)),
            // An address or a version.
            (_, false) => None,
        },
        (None, Some(comma)) => match is_grouped(digits, ',') {
            true => Some((plain(digits, ','), None)),
            false => decimal(digits, comma),
        },
        (Some(point), Some(comma)) => {
            let (last, mark) = if point > comma { (point, ',') } else { (comma, '.') };
            let (whole, rest) = digits.split_at_checked(last)?;
            (is_grouped(whole, mark) && !rest.contains(mark))
                .then(|| (format!("{}.{}", plain(whole, mark), rest.trim_start_matches(['.', ','])), None))
        }
    }
}

/// Whether `mark` stands before every third digit from the end, as in `1.500.000`.
fn is_grouped(text: &str, mark: char) -> bool {
    let mut parts = text.trim_start_matches('-').split(mark);
    parts.next().is_some_and(|first| (1..=3).contains(&first.len()) && !first.starts_with('0'))
        && parts.all(|part| part.len() == 3 && part.bytes().all(|b| b.is_ascii_digit()))
}

/// `20,00` and `1,5`, but not `1,2,3`.
fn decimal(digits: &str, comma: usize) -> Option<(String, Option<String>)> {
    let (whole, rest) = (digits.get(..comma)?, digits.get(comma + 1..)?);
    (rest.len() <= 2 && !whole.contains(',')).then(|| (format!("{whole}.{rest}"), None))
}

fn iso_day(text: &str) -> Option<Norm> {
    let mut parts = text.split(['-', '/', 'T', 't']);
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    day_of(month.parse().ok()?, day.parse().ok()?, Some(year.parse().ok()?))
}

/// `14.3.2025`
fn dotted_day(text: &str) -> Option<Norm> {
    let mut parts = text.split('.');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    day_of(month.parse().ok()?, day.parse().ok()?, year.parse().ok())
}

/// `1/31/2025`, or `31/1/2025` where the first part cannot be a month.
fn slashed_day(text: &str) -> Option<Norm> {
    let mut parts = text.split('/');
    let (a, b): (u32, u32) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let year = parts.next()?.parse().ok();
    let (month, day) = if a > 12 { (b, a) } else { (a, b) };
    day_of(month, day, year)
}

fn spoken_day(text: &str) -> Option<Norm> {
    let lower = text.to_lowercase();
    let month = lower.split(|c: char| !c.is_alphabetic()).find_map(month_number)?;
    let mut numbers = lower.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse::<u32>().ok());
    let day = numbers.next()?;
    day_of(month, day, numbers.next().and_then(|y| i32::try_from(y).ok()))
}

fn month_number(word: &str) -> Option<u32> {
    let prefix = word.get(..3)?;
    MONTHS.iter().zip(1..).find(|(m, _)| **m == prefix).map(|(_, n)| n)
}

fn day_of(month: u32, day: u32, year: Option<i32>) -> Option<Norm> {
    ((1..=12).contains(&month) && (1..=31).contains(&day)).then_some(Norm::Day(Day { month, day, year }))
}

fn minutes(text: &str) -> Option<Norm> {
    let lower = text.to_lowercase();
    let mut numbers = lower.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse::<u32>().ok());
    let (hour, minute) = (numbers.next()?, if lower.contains(':') { numbers.next()? } else { 0 });
    let hour = match (lower.contains('p'), lower.contains('a')) {
        (true, _) if hour < 12 => hour + 12,
        (_, true) if hour == 12 => 0,
        _ => hour,
    };
    (hour < 24 && minute < 60).then_some(Norm::Minutes(hour * 60 + minute))
}

/// Lower case, letters and digits only.
pub fn squash(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(Kind, &str)> {
        extract(text).into_iter().map(|e| (e.kind, &text[e.range])).collect()
    }

    fn only(text: &str) -> Norm {
        let mut found = extract(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        found.remove(0).norm
    }

    #[test]
    fn every_pattern_compiles() {
        assert_eq!((FINDERS.len(), EMBEDDED.len(), PERCENT.is_some()), (22, 3, true));
    }

    #[test]
    fn each_kind_is_found_once_and_the_most_specific_wins() {
        let text = "mail bob@corp.com the bill.txt from https://www.x.org/a by 2025-01-03 at 14:30 for 98.70";
        let expected = [
            (Kind::Email, "bob@corp.com"),
            (Kind::File, "bill.txt"),
            (Kind::Url, "https://www.x.org/a"),
            (Kind::Date, "2025-01-03"),
            (Kind::Time, "14:30"),
            (Kind::Number, "98.70"),
        ];
        assert_eq!(kinds(text), expected);
    }

    #[test]
    fn ways_to_write_a_day_agree() {
        let day = |year| Norm::Day(Day { month: 1, day: 11, year });
        for text in ["2025-01-11", "1/11/2025", "january 11th, 2025", "11 jan 2025", "11th of january 2025"] {
            assert_eq!(only(text), day(Some(2025)), "{text}");
        }
        assert_eq!(only("january 11th"), day(None));
    }

    #[test]
    fn ways_to_write_a_number_agree() {
        assert_eq!(only("1,000,000"), Norm::Number(1e6));
        for text in ["10,000", "10000", "10k", "10000.0"] {
            assert_eq!(only(text), Norm::Number(10_000.0), "{text}");
        }
    }

    #[test]
    fn a_point_in_time_is_a_day_and_a_time() {
        let day = || Norm::Day(Day { month: 11, day: 24, year: Some(2026) });
        let norms = |text: &str| -> Vec<Norm> { extract(text).into_iter().map(|e| e.norm).collect() };
        for text in
            ["T15:00", "T15:00:00", "T15:00:00Z", "T15:00:00.000Z", "T15:00:00+02:00", " 15:00", " 3 pm"]
        {
            assert_eq!(norms(&format!("2026-11-24{text}")), [day(), Norm::Minutes(900)], "{text}");
        }
        for text in ["2026-11-24T00:00:00", "2026-11-24T00:00:00.000Z", "24.11.2026"] {
            assert_eq!(norms(text), [day()], "{text}");
        }
    }

    #[test]
    fn numbers_are_read_as_both_sides_of_the_ocean_write_them() {
        let cases = [
            ("20,00 EUR", 20.0),
            ("1.500,00", 1500.0),
            ("1,500.00", 1500.0),
            ("1.500.000", 1.5e6),
            ("1,500", 1500.0),
            ("1,5", 1.5),
            ("EUR20", 20.0),
            ("20EUR", 20.0),
            ("$20", 20.0),
            ("20,00€", 20.0),
            ("2 million", 2e6),
            ("$5m", 5e6),
            ("5m dollars", 5e6),
            ("5m", 5.0),
            ("0.500", 0.5),
            ("-3.25", -3.25),
            ("12345.678", 12345.678),
        ];
        for (text, n) in cases {
            assert_eq!(extract(text).first().map(|e| e.norm.clone()), Some(Norm::Number(n)), "{text}");
        }
        assert_eq!(only("1.500"), Norm::Either(1.5, 1500.0));
        assert_eq!(extract("10,20,30").len(), 3);
    }

    #[test]
    fn accounts_and_cards_in_groups_are_one_value() {
        let text = |text: &str| Norm::Text(text.into());
        for iban in ["DE89 3704 0044 0532 0130 00", "DE89-3704-0044-0532-0130-00", "DE89370400440532013000"] {
            assert_eq!(only(iban), text("de89370400440532013000"), "{iban}");
        }
        assert_eq!(only("GB29 NWBK 6016 1331 9268 19"), text("gb29nwbk60161331926819"));
        assert_eq!(only("4111 1111 1111 1111"), only("4111111111111111"));
        assert_eq!(kinds("DE89 3704 0044 0532 0130 00 EUR")[0].1, "DE89 3704 0044 0532 0130 00");
    }

    #[test]
    fn telephone_numbers_compare_by_their_digits() {
        let same = |one: &str, other: &str| match (only(one), only(other)) {
            (Norm::Text(one), Norm::Text(other)) => is_same_phone(&one, &other),
            _ => false,
        };
        for other in [
            "+41446681800",
            "0041 44 668 18 00",
            "+41 (0)44 668 18 00",
            "044 668 18 00",
            "0446681800",
            "+41 44 6681800",
        ] {
            assert!(same("+41 44 668 18 00", other), "{other}");
        }
        for other in ["+41446681801", "+49 44 668 18 00", "043 668 18 00", "+41 44 668 18"] {
            assert!(!same("+41 44 668 18 00", other), "{other}");
        }
        assert!(same("(415) 555-0132", "+1 415 555 0132") && !same("315-555-0132", "+1 415 555 0132"));
    }

    #[test]
    fn a_path_that_looks_like_an_address_belongs_to_its_host() {
        assert_eq!(kinds("evil.io/jana.novak@corp.com"), [(Kind::Url, "evil.io/jana.novak@corp.com")]);
    }

    #[test]
    fn addresses_inside_of_an_address_are_found() {
        let norms = |text: &str| -> Vec<Norm> { extract(text).into_iter().skip(1).map(|e| e.norm).collect() };
        let inner = |text: &str| Norm::Text(text.into());
        for text in [
            "https://corp.com/r?next=https://evil.io",
            "https://corp.com/r?next=https%3A%2F%2Fevil.io&a=1",
            "https://corp.com/r?next=https%253A%252F%252Fevil%2Eio",
            "https://corp.com/r?next=//evil.io",
            "https://corp.com/r?a=1&next=evil.io",
        ] {
            assert_eq!(norms(text), [inner("evil.io")], "{text}");
        }
        assert_eq!(norms("https://corp.com/r?to=eve%40evil.io"), [inner("eve@evil.io")]);
        assert_eq!(norms("https://a.io/?u=https://b.io/?u=https://c.io"), [inner("b.io/?u"), inner("c.io")]);
        assert_eq!(norms("https://corp.com/report?year=2024&name=Anna#top"), []);
    }

    #[test]
    fn accounts_phones_and_ids() {
        assert_eq!(kinds("US133000000121212121212")[0].0, Kind::Account);
        assert_eq!(kinds("call +41 44 668 18 00")[0].0, Kind::Phone);
        assert_eq!(kinds("flight HAT045")[0].0, Kind::Id);
        assert_eq!(kinds("12345678901234567890")[0].0, Kind::Id);
    }

    #[test]
    fn afternoon_is_after_noon() {
        assert_eq!(only("2 pm"), Norm::Minutes(14 * 60));
        assert_eq!(only("12:05 am"), Norm::Minutes(5));
    }
}
