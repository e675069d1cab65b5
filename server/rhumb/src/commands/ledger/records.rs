//! Records of any kind, a line each: when, which, and the names that tell most.

use std::collections::VecDeque;

use rhumb_gateway::offline::Folder;
use rhumb_ledger::export::{Entry, Filter, JsonLines, RecordKind, Sink as _, rfc3339};
use rhumb_ledger::record::{BindingKey, Decision, Event, IntentVersion, Retired, ToolSeen};

use crate::failure::Failure;
use crate::table::Table;
use crate::trace::text::clean;

/// Columns of what a record says.
const SAID: usize = 200;
/// Characters of a digest that people compare by eye, with `sha256:` before them.
const DIGEST: usize = 19;

/// Shows the last records that pass a filter, at most so many.
pub fn show(folder: &Folder, filter: &Filter, most: usize, json: bool) -> Result<(), Failure> {
    let mut found = VecDeque::new();
    for entry in folder.source().map_err(Failure::check)? {
        let entry = entry.map_err(Failure::check)?;
        if filter.passes(&entry.record) {
            found.push_back(entry);
        }
        if found.len() > most {
            found.pop_front();
        }
    }
    if json {
        return print_json(&found);
    }
    anstream::println!("{}", table(&found));
    Ok(())
}

fn print_json(found: &VecDeque<Entry>) -> Result<(), Failure> {
    let mut sink = Box::new(JsonLines::new(std::io::stdout()));
    for entry in found {
        sink.write(entry).map_err(Failure::check)?;
    }
    sink.finish().map_err(Failure::check)
}

fn table(found: &VecDeque<Entry>) -> Table {
    let mut table = Table::text(&["time", "record", "kind", "what"]);
    for entry in found {
        let record = &entry.record;
        table.row(vec![
            rfc3339(record.time_ms),
            record.seq.to_string(),
            RecordKind::of(&record.event).name().to_owned(),
            clean(&said(&record.event), SAID),
        ]);
    }
    table
}

/// The names that tell most, in one line; holds words of callers as they are.
fn said(event: &Event) -> String {
    match event {
        Event::Decision(decision) => decided(decision),
        Event::Intent(intent) => registered(intent),
        Event::Revoked(r) => {
            listed([format!("intent {}", r.intent), after("for", &r.reason), after("by", &r.caller)])
        }
        Event::Bound(b) => {
            let keys: Vec<String> = b.keys.iter().map(key).collect();
            let to = format!("{} to intent {}", keys.join(" "), b.intent);
            listed([to, after("tenant", &b.tenant), after("by", &b.caller)])
        }
        Event::BindingRefused(b) => {
            let to = format!("{} to intent {}", key(&b.key), b.intent);
            let held = format!("held by intent {}", b.holder);
            listed([to, held, after("tenant", &b.tenant), after("by", &b.caller)])
        }
        Event::TokenIssued(t) => {
            let of = format!("intent {} version {}", t.intent, t.version);
            listed([of, after("for agent", &t.actor), after("by", &t.caller)])
        }
        Event::ToolPinned(tool) | Event::ToolChanged(tool) => showed(tool),
        Event::Key(introduced) => introduced.kid.clone(),
        Event::Checkpoint(checkpoint) => listed([format!("by key {}", checkpoint.kid)]),
        Event::Retired(gone) | Event::TextErased(gone) => range(gone),
        Event::Opened(opened) => listed([format!("rhumb {}", opened.version), after("text", &opened.text)]),
        Event::EndAccepted(end) => {
            let signed = end.signed.map(|signed| format!("signed for up to {signed}"));
            listed([format!("ends at record {}", end.last), signed.unwrap_or_default()])
        }
        Event::Segment(segment) => format!("file {}", segment.number),
    }
}

fn decided(decision: &Decision) -> String {
    let verdict = rhumb_gateway::convert::verdict(decision.verdict).as_str_name();
    let hop = decision.chain.as_ref().map(|at| format!("chain {} hop {}", at.id, at.hop));
    let intent = decision.intent.as_ref().map(|intent| format!("intent {}", intent.id));
    let what = format!("{verdict} {}", decision.tool);
    listed([what, hop.unwrap_or_default(), intent.unwrap_or_default(), after("tenant", &decision.tenant)])
}

fn registered(intent: &IntentVersion) -> String {
    listed([
        format!("intent {} version {}", intent.id, intent.version),
        after("principal", &intent.principal),
        after("chain", &intent.chain),
        after("tenant", &intent.tenant),
        after("approved by", intent.approval.as_ref().map_or("", |approval| &approval.approver)),
        format!("until {}", rfc3339(intent.expires_ms)),
        after("by", &intent.caller),
    ])
}

fn showed(tool: &ToolSeen) -> String {
    let digest: String = tool.digest.chars().take(DIGEST).collect();
    let name = match tool.server.as_str() {
        "" => tool.tool.clone(),
        server => format!("{} of {server}", tool.tool),
    };
    listed([format!("{name} is now {digest}"), after("tenant", &tool.tenant), after("by", &tool.caller)])
}

fn range(gone: &Retired) -> String {
    format!("records {} to {}", gone.from, gone.through)
}

/// `trace=4bf9...`, as the log names the kind.
fn key(key: &BindingKey) -> String {
    let kind = serde_json::to_value(key.kind).unwrap_or_default();
    format!("{}={}", kind.as_str().unwrap_or_default(), key.value)
}

/// A name with a word before it, nothing where there is no name.
fn after(word: &str, name: &str) -> String {
    if name.is_empty() { String::new() } else { format!("{word} {name}") }
}

fn listed<const N: usize>(parts: [String; N]) -> String {
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhumb_ledger::record::{BindingKind, BindingRefused, EndAccepted, Opened, Revocation, TokenIssued};

    #[test]
    fn a_line_names_what_tells_most_and_nothing_empty() {
        let trace = || BindingKey { kind: BindingKind::Trace, value: "4bf9".into() };
        let cases = [
            (
                Event::BindingRefused(BindingRefused {
                    intent: "i-2".into(),
                    holder: "i-1".into(),
                    tenant: "acme".into(),
                    key: trace(),
                    caller: "edge".into(),
                }),
                "trace=4bf9 to intent i-2, held by intent i-1, tenant acme, by edge",
            ),
            (
                Event::Revoked(Revocation { intent: "i-1".into(), reason: "".into(), caller: "".into() }),
                "intent i-1",
            ),
            (
                Event::TokenIssued(TokenIssued {
                    intent: "i-1".into(),
                    version: 2,
                    actor: "mail".into(),
                    expires_ms: 0,
                    caller: "".into(),
                }),
                "intent i-1 version 2, for agent mail",
            ),
            (
                Event::ToolChanged(ToolSeen {
                    tenant: "acme".into(),
                    server: "bank".into(),
                    tool: "pay".into(),
                    digest: format!("sha256:{}", "ab".repeat(32)),
                    caller: "".into(),
                }),
                "pay of bank is now sha256:abababababab, tenant acme",
            ),
            (
                Event::EndAccepted(EndAccepted { last: 5, signed: Some(7), time_ms: 0 }),
                "ends at record 5, signed for up to 7",
            ),
            (
                Event::Opened(Opened { version: "0.1.0".into(), text: "keep".into() }),
                "rhumb 0.1.0, text keep",
            ),
        ];
        for (event, expected) in cases {
            assert_eq!(said(&event), expected);
        }
    }
}
