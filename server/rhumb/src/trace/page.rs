//! The chain as one page that loads nothing: its style, its script and the trace itself lie in the file.
//!
//! The page's policy names its style and its script by their digests and allows nothing else, so even a text that got out
//! of the data could neither run nor call home. The data is JSON in which no byte means anything to HTML.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rhumb_drift::FEATURES;
use rhumb_proto::v1::{ChainTrace, IntentVersion};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::marks::{reason, telling};
use super::rows::{Row, rows};
use super::summary::{self, Answer, NOTE, summary};
use super::text;

const TEMPLATE: &str = include_str!("../../assets/trace.html");
const STYLE: &str = include_str!("../../assets/trace.css");
const SCRIPT: &str = include_str!("../../assets/trace.js");

/// What the page's script reads: the trace as it is, and what is worked out of it in one place only.
#[derive(Serialize)]
struct Data<'a> {
    trace: &'a ChainTrace,
    rows: Vec<PageRow<'a>>,
    answers: Vec<Answer>,
    version: Option<&'a IntentVersion>,
    trust: String,
    tenant: &'a str,
    note: &'static str,
    features: serde_json::Map<String, serde_json::Value>,
    program: &'static str,
}

#[derive(Serialize)]
struct PageRow<'a> {
    label: &'a str,
    agent: &'a str,
    delegator: &'a str,
    tool: String,
    point: &'a str,
    telling: String,
    first: bool,
}

/// The page.
///
/// # Errors
/// A number in the trace that JSON cannot hold.
pub fn page(trace: &ChainTrace) -> Result<String, serde_json::Error> {
    let rows = rows(trace);
    let data = Data {
        trace,
        answers: summary(trace, &rows),
        version: summary::version(trace),
        trust: summary::trust(&rows),
        tenant: summary::tenant(trace),
        rows: rows.iter().map(page_row).collect(),
        note: NOTE,
        features: FEATURES.iter().map(|f| (f.name.to_owned(), f.about.into())).collect(),
        program: concat!("rhumb ", env!("CARGO_PKG_VERSION")),
    };
    // Through a value, whose names are sorted: the same trace makes the same page, byte for byte.
    let data = inert(&serde_json::to_value(&data)?.to_string());
    Ok(fill(TEMPLATE, &[("POLICY", &policy()), ("STYLE", STYLE), ("SCRIPT", SCRIPT), ("DATA", &data)]))
}

fn page_row(row: &Row) -> PageRow<'_> {
    let telling = match (&row.score.evidence, row.first) {
        _ if row.score.drift.is_none() => summary::no_score(row),
        (Some(evidence), true) => telling(evidence),
        _ => reason(&row.score),
    };
    PageRow {
        label: &row.label,
        agent: &row.agent,
        delegator: &row.delegator,
        tool: summary::tool(row),
        point: &row.point,
        telling,
        first: row.first,
    }
}

fn policy() -> String {
    let digest = |text: &str| STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        digest(STYLE),
        digest(SCRIPT)
    )
}

/// JSON that neither a parser of HTML nor a reader of its source can be misled by: the same values, written with escapes.
///
/// Outside strings JSON has none of these characters, so replacing them everywhere is right.
pub fn inert(json: &str) -> String {
    json.chars().fold(String::with_capacity(json.len()), |mut out, c| {
        match c {
            '<' | '>' | '&' => escape(c, &mut out),
            c if c.is_control() || text::unseen(c) => escape(c, &mut out),
            c => out.push(c),
        }
        out
    })
}

fn escape(c: char, out: &mut String) {
    use std::fmt::Write as _;
    for unit in c.encode_utf16(&mut [0; 2]) {
        let _ = write!(out, "\\u{unit:04x}");
    }
}

/// Puts texts in their places in one pass: what is put in is not looked at again.
fn fill(template: &str, texts: &[(&str, &str)]) -> String {
    let mut parts = template.split("@@");
    let mut out = parts.next().unwrap_or_default().to_owned();
    while let (Some(name), Some(after)) = (parts.next(), parts.next()) {
        out.push_str(texts.iter().find(|(n, _)| *n == name).map_or("", |(_, text)| text));
        out.push_str(after);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::sample::{chain, decision, recorded};
    use serde_json::Value;

    const OPEN: &str = "<script type=\"application/json\" id=\"data\">";

    fn data(page: &str) -> &str {
        let from = page.find(OPEN).unwrap() + OPEN.len();
        page[from..].split_once("</script>").unwrap().0
    }

    fn hostile() -> ChainTrace {
        let evil =
            "</script><script>alert(1)</script><!--<script>\u{2028}\u{2029}&lt;@@DATA@@\u{202e}\u{0}\u{7f}";
        let mut trace =
            chain(vec![decision(1, evil, evil, 0.9), decision(2, "<img src=x onerror=alert(1)>", evil, 0.9)]);
        trace.intent_text = evil.into();
        trace.principal = evil.into();
        trace.chain_id = evil.into();
        trace.decisions[0].enforcement_point = evil.into();
        trace.decisions[0].response.as_mut().unwrap().reason_code = evil.into();
        trace
    }

    #[test]
    fn text_of_agents_cannot_leave_the_data() {
        let trace = hostile();
        let page = page(&trace).unwrap();
        let data = data(&page);
        assert!(!data.contains(['<', '>', '&', '\u{2028}', '\u{2029}', '\u{202e}', '\u{7f}']));
        let parsed: Value = serde_json::from_str(data).unwrap();
        assert_eq!(parsed["trace"]["principal"], trace.principal);
        assert_eq!(parsed["rows"][1]["agent"], "<img src=x onerror=alert(1)>");
        assert_eq!(page.matches("<script").count(), 2);
        assert_eq!(page.matches("</script>").count(), 2);
    }

    #[test]
    fn escapes_change_the_writing_and_not_the_value() {
        let value = Value::from("a<b>&\u{e0041}\u{9b}é旅");
        assert_eq!(serde_json::from_str::<Value>(&inert(&value.to_string())).unwrap(), value);
        assert!(inert(&value.to_string()).contains("\\udb40\\udc41"));
    }

    #[test]
    fn the_page_loads_nothing_and_has_no_handlers_in_its_markup() {
        let page = page(&recorded()).unwrap();
        let without = page.replace(data(&page), "");
        for load in
            ["http:", "https:", "//cdn", "@import", "url(", "src=", "<link", "<iframe", "fetch(", "XMLHttp"]
        {
            assert!(!without.contains(load), "{load}");
        }
        for unsafe_way in [
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "document.write",
            "eval(",
            "style=\"",
            " onclick",
            " onload",
            "javascript:",
        ] {
            assert!(!without.contains(unsafe_way), "{unsafe_way}");
        }
        assert!(!without.contains("@@"));
        assert!(without.len() < 40_000, "{}", without.len());
    }

    #[test]
    fn the_policy_names_what_the_page_holds() {
        let page = page(&recorded()).unwrap();
        let held = |open: &str, close: &str| {
            let text = page.split_once(open).unwrap().1.split_once(close).unwrap().0;
            format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)))
        };
        let policy = policy();
        assert!(page.contains(&policy) && policy.starts_with("default-src 'none'"));
        assert!(policy.contains(&format!("style-src {}", held("<style>", "</style>"))));
        assert!(policy.contains(&format!("script-src {}", held("<script>", "</script>"))));
    }
}
