//! The columns of a decision.

use serde_json::Value;

use super::ocsf::name;
use super::{Entry, answer};
use crate::log::hex;
use crate::record::{Content, Decision, Position};

/// One value; `None` where there is none.
pub enum Cell {
    Long(Option<i64>),
    Double(Option<f64>),
    Text(Option<String>),
}

/// What a column holds, as Parquet's schema language says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Long,
    Time,
    Double,
    Text,
    Json,
}

/// A column; it may be empty where `optional`.
pub struct Column {
    pub name: &'static str,
    pub kind: Kind,
    pub optional: bool,
    pub of: fn(&Entry, &Decision) -> Cell,
}

const fn must(name: &'static str, kind: Kind, of: fn(&Entry, &Decision) -> Cell) -> Column {
    Column { name, kind, optional: false, of }
}

const fn may(name: &'static str, kind: Kind, of: fn(&Entry, &Decision) -> Cell) -> Column {
    Column { name, kind, optional: true, of }
}

/// All columns, in order. New ones come last, for readers that count.
pub static COLUMNS: [Column; 36] = [
    must("seq", Kind::Long, |e, _| long(Some(e.record.seq))),
    must("time", Kind::Time, |e, _| long(Some(e.record.time_ms))),
    must("record_digest", Kind::Text, |e, _| text(format!("sha256:{}", hex(&e.digest)))),
    must("decision_id", Kind::Text, |_, d| text(&d.id)),
    must("request_id", Kind::Text, |_, d| text(&d.request_id)),
    must("tenant", Kind::Text, |_, d| text(&d.tenant)),
    must("caller", Kind::Text, |_, d| text(&d.caller)),
    must("enforcement_point", Kind::Text, |_, d| text(&d.enforcement_point)),
    must("request_digest", Kind::Text, |_, d| text(&d.request_digest)),
    must("action_digest", Kind::Text, |_, d| text(&d.action_digest)),
    may("intent_id", Kind::Text, |_, d| Cell::Text(d.intent.as_ref().map(|i| i.id.clone()))),
    may("intent_version", Kind::Long, |_, d| long(d.intent.as_ref().map(|i| u64::from(i.version)))),
    may("intent_digest", Kind::Text, |_, d| Cell::Text(d.intent.as_ref().map(|i| i.digest.clone()))),
    must("provenance", Kind::Text, |_, d| text(&d.provenance)),
    must("principal", Kind::Text, |_, d| text(&d.principal)),
    may("chain_id", Kind::Text, |_, d| of_chain(d, |c| text(&c.id))),
    may("hop", Kind::Long, |_, d| long(d.chain.as_ref().map(|c| u64::from(c.hop)))),
    may("agent", Kind::Text, |_, d| of_chain(d, |c| text(&c.agent))),
    may("delegator", Kind::Text, |_, d| of_chain(d, |c| text(&c.delegator))),
    may("step_drift", Kind::Double, |_, d| Cell::Double(d.chain.as_ref().and_then(|c| c.step_drift))),
    may("instruction_drift", Kind::Double, |_, d| {
        Cell::Double(d.chain.as_ref().and_then(|c| c.instruction_drift))
    }),
    must("tool", Kind::Text, |_, d| text(&d.tool)),
    must("server", Kind::Text, |_, d| text(&d.server)),
    must("effect", Kind::Text, |_, d| Cell::Text(Some(word(&d.effect).unwrap_or_default()))),
    may("status", Kind::Text, |_, d| Cell::Text(d.status.and_then(|status| word(&status)))),
    must("verdict", Kind::Text, |_, d| text(name(d.verdict))),
    must("reason", Kind::Text, |_, d| text(&d.reason)),
    may("drift", Kind::Double, |_, d| Cell::Double(d.drift)),
    may("threshold", Kind::Double, |_, d| Cell::Double(d.threshold)),
    must("response", Kind::Json, |_, d| text(d.response.to_string())),
    may("content", Kind::Json, |_, d| Cell::Text(plain(&d.content))),
    may("outcome", Kind::Text, |_, d| said(answer::outcome(d))),
    may("mode", Kind::Text, |_, d| said(answer::mode(d))),
    may("policy", Kind::Text, |_, d| said(answer::policy(d))),
    may("model", Kind::Text, |_, d| said(answer::model(d))),
    may("cumulative_drift", Kind::Double, |_, d| Cell::Double(answer::cumulative_drift(d))),
];

fn long(value: Option<u64>) -> Cell {
    Cell::Long(value.and_then(|value| i64::try_from(value).ok()))
}

fn text(value: impl Into<String>) -> Cell {
    Cell::Text(Some(value.into()))
}

fn said(value: Option<&str>) -> Cell {
    Cell::Text(value.map(ToOwned::to_owned))
}

fn of_chain(decision: &Decision, of: fn(&Position) -> Cell) -> Cell {
    decision.chain.as_ref().map_or(Cell::Text(None), of)
}

/// As JSON writes a name without data.
fn word(value: &impl serde::Serialize) -> Option<String> {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(ToOwned::to_owned))
}

/// Words that can be read.
fn plain(content: &Content) -> Option<String> {
    match content {
        Content::Plain(Value::Null) | Content::Sealed(_) | Content::Absent => None,
        Content::Plain(value) => Some(value.to_string()),
    }
}
