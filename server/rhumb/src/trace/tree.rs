//! The chain as a tree: agents under those that delegated to them, and under each its actions.

use std::fmt::Write as _;

use anstyle::Style;
use rhumb_proto::v1::{ChainTrace, Verdict};

use super::lineage::{Node, lineage};
use super::marks::{BAR, bar, colour, reason, telling};
use super::rows::{Row, rows};
use super::summary::{self, NOTE, summary};
use super::text::{clean, pad, width, wrap};

/// Narrower than this nothing lines up, wider than this nobody reads.
const COLUMNS: (usize, usize) = (60, 160);
/// Width of the mark before each line.
const GUTTER: usize = 2;
/// Lines of the request that are shown.
const REQUEST_LINES: usize = 6;
/// Columns of an enforcement point.
const POINT: usize = 18;
const PLAIN: Style = Style::new();
const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

/// The tree, with styles, at most `columns` wide.
pub fn tree(trace: &ChainTrace, columns: usize) -> String {
    let columns = columns.clamp(COLUMNS.0, COLUMNS.1);
    let rows = rows(trace);
    let mut out = String::new();
    head(trace, &rows, columns, &mut out);
    let nodes = lineage(&rows, &trace.principal);
    let lines = lay_out(&nodes, &rows, columns);
    let shape = Shape::of(&lines, columns);
    lines.iter().for_each(|line| shape.print(line, &mut out));
    foot(trace, &rows, columns, &mut out);
    out
}

/// Writing to a `String` cannot fail.
fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
    out.push('\n');
}

fn head(trace: &ChainTrace, rows: &[Row], columns: usize, out: &mut String) {
    let name = clean(&trace.chain_id, columns / 2);
    let actions = if rows.len() == 1 { "action" } else { "actions" };
    let tenant = match summary::tenant(trace) {
        "" => String::new(),
        tenant => format!(", tenant {}", clean(tenant, columns / 4)),
    };
    line(out, format_args!("{BOLD}{name}{BOLD:#}  {DIM}{} {actions}{tenant}{DIM:#}\n", rows.len()));
    let principal = if trace.principal.is_empty() { "somebody" } else { &trace.principal };
    line(out, format_args!("{BOLD}{}{BOLD:#} asked:", clean(principal, columns - 8)));
    let text = match trace.intent_text.as_str() {
        "" => "(the text is not kept)".to_owned(),
        text => format!("\u{201c}{}\u{201d}", text.trim()),
    };
    for text in wrap(&text, columns - GUTTER, REQUEST_LINES) {
        line(out, format_args!("  {text}"));
    }
    let intent = summary::intent_name(trace, rows).unwrap_or("not registered".to_owned());
    let intent = format!("{intent}, {}", summary::trust(rows));
    line(out, format_args!("  {DIM}{}{DIM:#}\n", clean(&intent, columns - GUTTER)));
    line(out, format_args!("  {BOLD}{}{BOLD:#}", clean(principal, columns - GUTTER)));
}

/// One line of the tree, before its columns are known.
struct Line<'a> {
    guides: String,
    what: What<'a>,
}

enum What<'a> {
    Agent(&'a str),
    Action(&'a Row, String),
    Note(String),
}

/// Something under a node, with the guides of that node.
#[derive(Clone, Copy)]
enum Item {
    Action(usize),
    Node(usize),
}

/// Depth first, without recursion: a chain may be as deep as it is long.
fn lay_out<'a>(nodes: &'a [Node], rows: &'a [Row], columns: usize) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    let mut waiting: Vec<(Item, String, bool)> = Vec::new();
    push(nodes, 0, "", &mut waiting);
    while let Some((item, guides, last)) = waiting.pop() {
        let branch = format!("{guides}{}", if last { "└─ " } else { "├─ " });
        let below = format!("{guides}{}", if last { "   " } else { "│  " });
        match item {
            Item::Node(index) => {
                let agent = nodes.get(index).map_or("", |n| n.agent.as_str());
                lines.push(Line {
                    guides: shallow(&branch, columns),
                    what: What::Agent(summary::agent(agent)),
                });
                push(nodes, index, &below, &mut waiting);
            }
            Item::Action(index) => {
                lines.extend(
                    rows.get(index).into_iter().flat_map(|row| action(row, &branch, &below, columns)),
                );
            }
        }
    }
    lines
}

/// The stack gives back the last first.
fn push(nodes: &[Node], index: usize, guides: &str, waiting: &mut Vec<(Item, String, bool)>) {
    let Some(node) = nodes.get(index) else { return };
    let actions = node.actions.iter().map(|i| Item::Action(*i));
    let items = actions.chain(node.children.iter().map(|i| Item::Node(*i)));
    let from = waiting.len();
    waiting.extend(items.map(|item| (item, guides.to_owned(), false)));
    if let (true, Some(last)) = (waiting.len() > from, waiting.last_mut()) {
        last.2 = true;
    }
    waiting.get_mut(from..).into_iter().for_each(<[_]>::reverse);
}

/// Deep branches lose their beginning: a third of the width is for guides at most.
fn shallow(guides: &str, columns: usize) -> String {
    let (most, deep) = (columns / 3, width(guides));
    if deep <= most {
        return guides.to_owned();
    }
    format!("⋯{}", guides.chars().skip(deep - most + 1).collect::<String>())
}

fn action<'a>(row: &'a Row, branch: &str, below: &str, columns: usize) -> Vec<Line<'a>> {
    let tool = format!("{} {}", row.label, summary::tool(row));
    let mut lines = vec![Line { guides: shallow(branch, columns), what: What::Action(row, tool) }];
    let note = |text| Line { guides: shallow(&format!("{below}  "), columns), what: What::Note(text) };
    lines.extend(notes(row).into_iter().map(note));
    lines
}

/// What is worth a line under an action: the evidence, why there is no score, and where drift began who asked for it.
fn notes(row: &Row) -> Vec<String> {
    let evidence = match (&row.score.evidence, row.first) {
        (Some(evidence), true) => telling(evidence),
        _ => reason(&row.score),
    };
    let no_score = match row.score.drift {
        Some(_) => String::new(),
        None if row.score.detail.is_empty() => summary::no_score(row),
        None => format!("{}: {}", summary::no_score(row), row.score.detail),
    };
    let asked = match row.first && !row.instruction.is_empty() {
        true => {
            format!("asked for by {}: \u{201c}{}\u{201d}", summary::agent(&row.delegator), row.instruction)
        }
        false => String::new(),
    };
    let apart = match row.score.chain.as_ref().is_some_and(|chain| chain.apart) {
        true => {
            "does not count in the chain: its intent was refused, or is its caller's word alone".to_owned()
        }
        false => String::new(),
    };
    [evidence, no_score, asked, apart].into_iter().filter(|n| !n.is_empty()).collect()
}

/// Widths of the columns.
struct Shape {
    columns: usize,
    left: usize,
    effect: bool,
    point: bool,
}

impl Shape {
    /// What does not fit goes: the enforcement point first, then the effect.
    fn of(lines: &[Line<'_>], columns: usize) -> Self {
        let (effect, point) = (columns >= 72, columns >= 92);
        let right = BAR + 5 + 2 + 8 + if effect { 9 } else { 0 } + if point { POINT + 2 } else { 0 };
        let most = columns - GUTTER - right - 2;
        let wanted = lines.iter().map(|l| match &l.what {
            What::Action(_, tool) => width(&l.guides) + width(tool),
            _ => 0,
        });
        Self { columns, left: wanted.max().unwrap_or(0).min(most), effect, point }
    }

    fn print(&self, line: &Line<'_>, out: &mut String) {
        let guides = &line.guides;
        let room = self.columns.saturating_sub(GUTTER + width(guides));
        match &line.what {
            What::Agent(name) => {
                self::line(out, format_args!("  {DIM}{guides}{DIM:#}{BOLD}{}{BOLD:#}", clean(name, room)));
            }
            What::Note(text) => {
                self::line(out, format_args!("  {DIM}{guides}{}{DIM:#}", clean(text, room)));
            }
            What::Action(row, tool) => self.action(row, tool, guides, out),
        }
    }

    fn action(&self, row: &Row, tool: &str, guides: &str, out: &mut String) {
        let verdict = colour(row.score.verdict());
        let strong = if row.score.verdict() == Verdict::Allow { verdict } else { verdict.bold() };
        let room = self.left.saturating_sub(width(guides));
        let tool = pad(&clean(tool, room), room);
        let mut cells = vec![(tool, if row.first { strong } else { PLAIN })];
        if self.effect {
            cells.push((format!("{:<7}", row.action.effect().as_str_name()), DIM));
        }
        cells.push((pad(&bar(row.score.drift), BAR + 5), verdict));
        cells.push((format!("{:<8}", verdict_name(row)), strong));
        if self.point {
            cells.push((clean(&row.point, POINT), DIM));
        }
        let mark = if row.first { format!("{strong}►{strong:#} ") } else { "  ".to_owned() };
        let cells = cells.iter().map(|(text, style)| format!("{style}{text}{style:#}"));
        let cells = cells.collect::<Vec<_>>().join("  ");
        line(out, format_args!("{mark}{DIM}{guides}{DIM:#}{cells}"));
    }
}

fn verdict_name(row: &Row) -> &'static str {
    match row.score.verdict() {
        Verdict::Unspecified => "-",
        verdict => verdict.as_str_name(),
    }
}

fn foot(trace: &ChainTrace, rows: &[Row], columns: usize, out: &mut String) {
    out.push('\n');
    let answers = summary(trace, rows);
    let left = answers.iter().map(|a| width(a.question)).max().unwrap_or(0);
    for answer in &answers {
        let mut question = answer.question;
        for text in wrap(&answer.answer, columns.saturating_sub(left + 2), 3) {
            line(out, format_args!("{DIM}{}{DIM:#}  {text}", pad(question, left)));
            question = "";
        }
    }
    line(out, format_args!("\n{NOTE}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::sample::{chain, decision, recorded};

    fn plain(trace: &ChainTrace, columns: usize) -> String {
        let text = anstream::adapter::strip_str(&tree(trace, columns)).to_string();
        text.lines().map(|l| format!("{}\n", l.trim_end())).collect()
    }

    #[test]
    fn the_recorded_chain_reads_as_it_should() {
        let expected = include_str!("../../../../tests/fixtures/trace.txt");
        let got = plain(&recorded(), 100);
        assert_eq!(got, expected, "\n{got}");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let mut trace = recorded();
        let request = trace.decisions[3].request.as_mut().unwrap();
        request.chain.as_mut().unwrap().agent = "旅行代理店".repeat(40);
        request.action.as_mut().unwrap().tool = "long_name_".repeat(40);
        for columns in [60, 80, 100, 160] {
            let text = plain(&trace, columns);
            for line in text.lines() {
                assert!(width(line) <= columns, "{columns}: {line}");
            }
        }
    }

    #[test]
    fn what_does_not_count_in_the_chain_says_so() {
        let mut trace = chain(vec![decision(1, "a", "u", 0.4), decision(2, "a", "u", 0.9)]);
        assert!(!plain(&trace, 100).contains("does not count"));
        trace.decisions[1].response.as_mut().unwrap().chain.get_or_insert_default().apart = true;
        assert!(plain(&trace, 100).contains("does not count in the chain"));
    }

    #[test]
    fn escapes_in_names_never_reach_the_terminal() {
        let mut trace = chain(vec![decision(1, "\u{1b}]0;owned\u{7}", "\u{1b}[2Jx", 0.9)]);
        trace.first_drifted_hop = Some(1);
        trace.chain_id = "\u{1b}c\u{202e}".into();
        trace.principal = "a\u{9b}31m".into();
        trace.intent_text = "b\u{1b}[8mhidden".into();
        trace.passed_at_hop = Some(1);
        trace.passed_by = "\u{1b}[A".into();
        let decision = &mut trace.decisions[0];
        decision.enforcement_point = "\u{1b}[1;1H".into();
        decision.request.as_mut().unwrap().action.as_mut().unwrap().tool = "t\r\u{1b}[K".into();
        decision.response.as_mut().unwrap().detail = "d\u{1b}[K".into();
        decision.response.as_mut().unwrap().drift = None;
        // Styles of our own are escapes too; they end in `m` and hold digits and semicolons alone.
        let text = tree(&trace, 100);
        for (at, _) in text.match_indices('\u{1b}') {
            let style = text[at + 1..].split_once('m').unwrap().0;
            assert!(style.chars().all(|c| c == '[' || c == ';' || c.is_ascii_digit()), "{style:?}");
        }
        assert!(!text.contains(['\u{9b}', '\u{7}', '\r', '\u{202e}']));
        assert!(!text.contains("\u{1b}[8m"));
    }

    #[test]
    fn the_head_names_the_tenant_where_there_is_one() {
        let mut trace = chain(vec![decision(1, "a", "u", 0.1)]);
        assert!(plain(&trace, 80).starts_with("c  1 action\n"));
        trace.decisions[0].tenant = "acme\u{1b}[2J".into();
        assert!(plain(&trace, 80).starts_with("c  1 action, tenant acme"), "{}", plain(&trace, 80));
        assert!(!plain(&trace, 80).contains('\u{1b}'));
    }

    #[test]
    fn a_chain_that_is_as_deep_as_it_is_long_stays_within_bounds() {
        let name = |i: u32| if i == 0 { "u".to_owned() } else { format!("agent{i}") };
        let trace = chain((1..=300).map(|i| decision(i, &name(i), &name(i - 1), 0.1)).collect());
        let text = plain(&trace, 80);
        assert!(text.lines().all(|l| width(l) <= 80));
        assert!(text.contains("300 tool300"), "{text}");
    }

    #[test]
    fn a_chain_without_anything_is_still_a_trace() {
        let text = plain(&ChainTrace::default(), 100);
        assert!(text.contains("somebody asked:\n  (the text is not kept)"), "{text}");
        assert!(text.contains(NOTE));
    }
}
