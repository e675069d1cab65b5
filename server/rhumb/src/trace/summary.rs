//! The questions that are asked afterwards, and what the trace answers: the same words in the terminal and on the page.

use rhumb_proto::v1::{ChainTrace, IntentVersion, Provenance, RegisteredIntent, Status};
use serde::Serialize;

use super::rows::Row;
use super::text::clip;

/// Stands under every trace.
pub const NOTE: &str = "Drift shows where the course was left, not who erred.";
/// Characters of a digest that people compare by eye.
const DIGEST: usize = 12;
/// Characters of a name, and of an instruction: agents choose them, and answers are short.
const NAME: usize = 80;
const INSTRUCTION: usize = 240;
/// Actions without a score that are named.
const NAMED: usize = 5;

/// A question and its answer.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// Ends with a question mark.
    pub question: &'static str,
    /// One or two sentences. Holds words of agents as they are.
    pub answer: String,
}

/// What can be asked of this trace.
pub fn summary(trace: &ChainTrace, rows: &[Row]) -> Vec<Answer> {
    let first = rows.iter().find(|r| r.first);
    let answers = [
        ("Where did drift begin?", Some(began(trace, rows, first))),
        ("Which intent authorised this?", Some(authorised(trace, rows))),
        ("Who is accountable?", Some(accountable(trace))),
        ("Who delegated there?", trace.first_drifted_hop.map(|_| delegated(trace, first))),
        ("Which point should have caught it?", trace.first_drifted_hop.map(|hop| passed(trace, rows, hop))),
        ("What has no score?", unscored(rows)),
        ("Where does the chain go on?", neighbours(trace)),
        ("Is this all?", trace.cut.then(|| cut(rows))),
    ];
    answers.into_iter().filter_map(|(question, answer)| Some(Answer { question, answer: answer? })).collect()
}

fn began(trace: &ChainTrace, rows: &[Row], first: Option<&Row>) -> String {
    let Some(hop) = trace.first_drifted_hop else { return nowhere(rows) };
    let Some(row) = first else { return elsewhere(trace, hop) };
    let what =
        format!("Hop {}: {} called {}", row.label, clip(agent(&row.agent), NAME), clip(&tool(row), NAME));
    let drift = row.score.drift.map_or("no score".to_owned(), |d| format!("drift {d:.2}"));
    match (trace.found_by.as_str(), row.score.threshold) {
        ("cumulative", _) => {
            format!("{what} ({drift}). What gathered from there on gave it away, no action alone.")
        }
        (_, Some(threshold)) => format!("{what} ({drift}, alarm from {threshold:.2})."),
        (_, None) => format!("{what} ({drift})."),
    }
}

/// What is known of a first drifted hop whose action is not here.
fn elsewhere(trace: &ChainTrace, hop: u32) -> String {
    let agent = match trace.first_drifted_agent.as_str() {
        "" => String::new(),
        agent => format!(", of {}", clip(agent, NAME)),
    };
    let found = match trace.found_by.as_str() {
        "threshold" => " Its own drift gave it away.",
        "cumulative" => " What gathered from there on gave it away.",
        _ => "",
    };
    format!("Hop {hop}{agent}, which is not among the actions here.{found}")
}

/// A trace holds the newest actions; of a longer chain it lacks the first.
fn cut(rows: &[Row]) -> String {
    let hops = rows.iter().map(|r| r.hop);
    let hops = match (hops.clone().min(), hops.max()) {
        (Some(from), Some(to)) => format!(", of hops {from} to {to}"),
        _ => String::new(),
    };
    format!("No: only the last {} actions are here{hops}.", rows.len())
}

fn nowhere(rows: &[Row]) -> String {
    if rows.iter().all(|r| r.score.drift.is_none()) {
        return "Nobody can say: no action has a score.".to_owned();
    }
    "Nowhere: no action reached its threshold, nor did what gathered over the chain.".to_owned()
}

fn authorised(trace: &ChainTrace, rows: &[Row]) -> String {
    let Some(name) = intent_name(trace, rows) else {
        if trust(rows) == Provenance::None.as_str_name() {
            return "None: no action came with a request to compare it with.".to_owned();
        }
        return format!("None that is registered; actions were compared with a text ({}).", trust(rows));
    };
    let revoked = trace.intent.as_ref().filter(|i| i.revoked.is_some());
    let revoked = revoked.map_or(String::new(), |i| match i.revocation_reason.as_str() {
        "" => " It was revoked later.".to_owned(),
        reason => format!(" It was revoked later: {reason}."),
    });
    let approval = version(trace).and_then(|v| v.approval.as_ref());
    let approval =
        approval.map_or(String::new(), |a| format!(" {} approved the change in {}.", a.approver, a.channel));
    format!("{name}, {}.{approval}{revoked}", trust(rows))
}

/// Id, version and the beginning of the digest.
pub fn intent_name(trace: &ChainTrace, rows: &[Row]) -> Option<String> {
    let reference = rows.iter().find_map(|r| r.score.intent.as_ref());
    let id = trace.intent.as_ref().map(|i| &i.intent_id).or(reference.map(|r| &r.intent_id))?;
    let number = version(trace).map(|v| v.version).or(reference.map(|r| r.version)).unwrap_or_default();
    let digest = version(trace).map(|v| &v.digest).or(reference.map(|r| &r.digest));
    let digest = digest.map_or(String::new(), |d| format!(" ({})", short(d)));
    Some(format!("{id} version {number}{digest}"))
}

/// The version that opened this chain, else the newest.
pub fn version(trace: &ChainTrace) -> Option<&IntentVersion> {
    let RegisteredIntent { versions, .. } = trace.intent.as_ref()?;
    versions.iter().find(|v| v.chain_id == trace.chain_id).or(versions.last())
}

fn short(digest: &str) -> String {
    match digest.split_once(':') {
        Some((kind, hex)) if hex.len() > DIGEST => {
            format!("{kind}:{}…", hex.chars().take(DIGEST).collect::<String>())
        }
        _ => digest.to_owned(),
    }
}

/// On whose account the chain is. Empty where nobody said.
pub fn tenant(trace: &ChainTrace) -> &str {
    trace.decisions.iter().map(|d| d.tenant.as_str()).find(|tenant| !tenant.is_empty()).unwrap_or_default()
}

/// How far the request could be trusted: the least over the chain, for a chain is as good as its weakest link.
pub fn trust(rows: &[Row]) -> String {
    let known = || rows.iter().filter(|r| r.score.provenance() != Provenance::Unspecified);
    let Some(least) = known().min_by_key(|r| r.score.provenance()) else {
        return "provenance unknown".to_owned();
    };
    let name = least.score.provenance().as_str_name();
    match known().all(|r| r.score.provenance() == least.score.provenance()) {
        true => name.to_owned(),
        false => format!("{name} at hop {}, better elsewhere", least.label),
    }
}

fn accountable(trace: &ChainTrace) -> String {
    match trace.principal.as_str() {
        "" => "Nobody that is known: the intent names no principal.".to_owned(),
        principal => format!("{principal}."),
    }
}

fn delegated(trace: &ChainTrace, first: Option<&Row>) -> String {
    let by = match trace.first_drifted_delegator.as_str() {
        "" => first.map_or("", |r| &r.delegator),
        by => by,
    };
    if first.is_none() && by.is_empty() {
        return "Not known: the action is not among those here.".to_owned();
    }
    let to = clip(agent(first.map_or(trace.first_drifted_agent.as_str(), |r| &r.agent)), NAME);
    let instruction = first.filter(|r| !r.instruction.is_empty());
    let instruction = instruction
        .map_or(".".to_owned(), |r| format!(": \u{201c}{}\u{201d}", clip(&r.instruction, INSTRUCTION)));
    match by {
        "" => format!("Nobody that is known, to {to}{instruction}"),
        by => format!("{}, to {to}{instruction}", clip(by, NAME)),
    }
}

fn passed(trace: &ChainTrace, rows: &[Row], first: u32) -> String {
    let Some(hop) = trace.passed_at_hop else {
        if !rows.iter().any(|r| r.first) {
            return format!("Not known: the action of hop {first} is not among those here.");
        }
        return format!(
            "None: each action from hop {first} on that is part of the drift was told to stop it, to ask a human, or that there \
             is no score."
        );
    };
    let point = if trace.passed_by.is_empty() { "One without a name" } else { &trace.passed_by };
    let told = rows.iter().find(|r| r.hop == hop && r.point == trace.passed_by);
    let told = told.map_or(String::new(), |r| format!(", told {}", r.score.verdict().as_str_name()));
    format!("{point} let it pass at hop {hop}{told}.")
}

fn unscored(rows: &[Row]) -> Option<String> {
    let without: Vec<&Row> = rows.iter().filter(|r| r.score.drift.is_none()).collect();
    let reason = no_score(without.first()?);
    // Mostly one thing went wrong; it is said once then.
    let alike = without.iter().all(|r| no_score(r) == reason);
    let name = |r: &&Row| if alike { r.label.clone() } else { format!("{} ({})", r.label, no_score(r)) };
    let named: Vec<String> = without.iter().take(NAMED).map(name).collect();
    let more = match without.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let reason = if alike { format!(" ({reason})") } else { String::new() };
    let (hops, named) = (if without.len() == 1 { "hop" } else { "hops" }, named.join(", "));
    Some(format!("{} of {} actions: {hops} {named}{more}{reason}.", without.len(), rows.len()))
}

/// Status and reason of an action without a score.
pub fn no_score(row: &Row) -> String {
    let status = match row.score.status() {
        Status::Unspecified => "no answer",
        status => status.as_str_name(),
    };
    match row.score.reason_code.as_str() {
        "" => status.to_owned(),
        reason => format!("{status}, {}", clip(reason, NAME)),
    }
}

fn neighbours(trace: &ChainTrace) -> Option<String> {
    let before = Some(&trace.previous_chain_id).filter(|id| !id.is_empty());
    let after = Some(&trace.next_chain_id).filter(|id| !id.is_empty());
    match (before, after) {
        (None, None) => None,
        (Some(before), None) => Some(format!("It follows {before}, whose intent was amended.")),
        (None, Some(after)) => Some(format!("The intent was amended; {after} follows.")),
        (Some(before), Some(after)) => {
            Some(format!("The intent was amended twice: {before} came before, {after} follows."))
        }
    }
}

/// An agent's name, or that it has none.
pub fn agent(name: &str) -> &str {
    if name.is_empty() { "an agent that is not recorded" } else { name }
}

/// The tool, else the beginning of the free text, else that neither was kept.
pub fn tool(row: &Row) -> String {
    match (row.action.tool.as_str(), row.action.text.as_str()) {
        ("", "") => "(not kept)".to_owned(),
        ("", text) => format!("\u{201c}{text}\u{201d}"),
        (tool, _) => tool.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::rows::rows;
    use crate::trace::sample::{chain, decision, recorded};

    fn answer(trace: &ChainTrace, question: &str) -> Option<String> {
        let answers = summary(trace, &rows(trace));
        answers.into_iter().find(|a| a.question.starts_with(question)).map(|a| a.answer)
    }

    #[test]
    fn a_drifted_chain_answers_every_question() {
        let trace = recorded();
        for (question, expected) in [
            ("Where did", "Hop 5: mail-agent called search_contacts (drift 0.98, alarm from 0.84)."),
            ("Which intent", "intent-01JT8M2Q6Z version 1 (sha256:3c4f1a41211b…), SIGNED."),
            ("Who is", "user:jana.novak."),
            ("Which point", "mcp-gateway let it pass at hop 5, told WARN."),
            ("What has", "1 of 8 actions: hop 8 (FAILED, scorer_unavailable)."),
            ("Where does", "The intent was amended; chain-c20b44 follows."),
        ] {
            assert_eq!(answer(&trace, question).as_deref(), Some(expected));
        }
        let delegated = answer(&trace, "Who delegated").unwrap();
        assert!(
            delegated.starts_with("travel-agent, to mail-agent: \u{201c}The hotel's page"),
            "{delegated}"
        );
    }

    #[test]
    fn a_quiet_chain_says_so_and_an_empty_one_claims_nothing() {
        let quiet = chain(vec![decision(1, "a", "u", 0.1)]);
        assert!(answer(&quiet, "Where did").unwrap().starts_with("Nowhere"));
        assert_eq!(answer(&quiet, "Who delegated"), None);
        let empty = chain(vec![]);
        assert!(answer(&empty, "Where did").unwrap().starts_with("Nobody can say"));
    }

    #[test]
    fn a_trace_that_was_cut_holds_the_last_actions_and_says_what_is_known_of_an_earlier_hop() {
        let mut trace = ChainTrace {
            first_drifted_hop: Some(2),
            found_by: "threshold".into(),
            cut: true,
            ..chain(vec![decision(7, "a", "u", 0.1), decision(8, "a", "u", 0.9)])
        };
        let is = |trace: &ChainTrace, question, expected: &str| {
            assert_eq!(answer(trace, question).as_deref(), Some(expected));
        };
        is(&trace, "Is this", "No: only the last 2 actions are here, of hops 7 to 8.");
        is(&trace, "Where did", "Hop 2, which is not among the actions here. Its own drift gave it away.");
        is(&trace, "Who delegated", "Not known: the action is not among those here.");
        is(&trace, "Which point", "Not known: the action of hop 2 is not among those here.");
        trace.first_drifted_agent = "b".into();
        trace.first_drifted_delegator = "c".into();
        trace.passed_at_hop = Some(7);
        trace.passed_by = "gate".into();
        assert!(answer(&trace, "Where did").unwrap().starts_with("Hop 2, of b, which is not among"));
        is(&trace, "Who delegated", "c, to b.");
        is(&trace, "Which point", "gate let it pass at hop 7, told ALLOW.");
    }

    #[test]
    fn trust_is_that_of_the_weakest_action() {
        let mut trace = chain(vec![decision(1, "a", "u", 0.1), decision(2, "a", "u", 0.1)]);
        let mut set = |i: usize, p: Provenance| {
            trace.decisions[i].response.as_mut().unwrap().set_provenance(p);
            trust(&rows(&trace))
        };
        assert_eq!(set(0, Provenance::Signed), "SIGNED");
        assert_eq!(set(1, Provenance::Unverified), "UNVERIFIED at hop 2, better elsewhere");
    }

    #[test]
    fn what_gathered_is_told_from_what_one_action_did() {
        let trace = ChainTrace {
            first_drifted_hop: Some(1),
            found_by: "cumulative".into(),
            ..chain(vec![decision(1, "a", "u", 0.4)])
        };
        assert!(answer(&trace, "Where did").unwrap().contains("no action alone"));
        assert!(answer(&trace, "Which point").unwrap().contains("told to stop it"));
    }
}
