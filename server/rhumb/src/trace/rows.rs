//! One row for each recorded action: what the tree and the page tell of it, and both alike.

use rhumb_proto::v1::{Action, ChainTrace, Decision, ScoreResponse};

/// A recorded action.
pub struct Row {
    /// The hop as people name it: `5`, and `5.2` for the second action of hop 5.
    pub label: String,
    /// Counted from 1.
    pub hop: u32,
    /// Empty where the request was not kept.
    pub agent: String,
    /// Empty where the request was not kept, or did not say.
    pub delegator: String,
    /// The instruction handed down with the delegation.
    pub instruction: String,
    /// Empty where the request was not kept.
    pub action: Action,
    /// The answer as it was given.
    pub score: ScoreResponse,
    /// The enforcement point, else the authenticated caller.
    pub point: String,
    /// Drift began here.
    pub first: bool,
}

/// The rows of a trace, in its order.
pub fn rows(trace: &ChainTrace) -> Vec<Row> {
    let mut rows: Vec<Row> = trace.decisions.iter().enumerate().map(|(i, d)| row(i, d)).collect();
    label(&mut rows);
    mark(&mut rows, trace);
    rows
}

fn row(index: usize, decision: &Decision) -> Row {
    let request = decision.request.clone().unwrap_or_default();
    let position = request.chain.unwrap_or_default();
    let score = decision.response.clone().unwrap_or_default();
    let place = u32::try_from(index + 1).unwrap_or(u32::MAX);
    let hop = [score.chain.as_ref().map_or(0, |c| c.hop), position.hop].into_iter().find(|hop| *hop > 0);
    let points = [&decision.enforcement_point, &request.enforcement_point, &decision.caller];
    Row {
        label: String::new(),
        hop: hop.unwrap_or(place),
        agent: position.agent,
        delegator: position.delegator,
        instruction: position.instruction,
        action: request.action.unwrap_or_default(),
        score,
        point: points.into_iter().find(|p| !p.is_empty()).cloned().unwrap_or_default(),
        first: false,
    }
}

/// Several actions may stand at one hop.
fn label(rows: &mut [Row]) {
    let mut seen = std::collections::HashMap::new();
    for row in rows {
        let count = seen.entry(row.hop).or_insert(0);
        *count += 1;
        row.label = if *count == 1 { row.hop.to_string() } else { format!("{}.{count}", row.hop) };
    }
}

/// Of several actions at the first drifted hop the one that drifted farthest is marked. The trace knows its agent even
/// where the request was not kept.
fn mark(rows: &mut [Row], trace: &ChainTrace) {
    let at_hop = rows.iter_mut().filter(|r| Some(r.hop) == trace.first_drifted_hop);
    let drift = |row: &Row| row.score.drift.unwrap_or(-1.0);
    // `max_by` takes the last of equals; the first is where it began.
    let Some(row) = at_hop.rev().max_by(|a, b| drift(a).total_cmp(&drift(b))) else { return };
    row.first = true;
    if row.agent.is_empty() {
        row.agent.clone_from(&trace.first_drifted_agent);
        row.delegator.clone_from(&trace.first_drifted_delegator);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::sample::{chain, decision};

    #[test]
    fn actions_of_one_hop_have_names_of_their_own_and_the_worst_is_marked() {
        let decisions =
            vec![decision(1, "a", "u", 0.1), decision(2, "b", "a", 0.3), decision(2, "b", "a", 0.9)];
        let trace = ChainTrace { first_drifted_hop: Some(2), ..chain(decisions) };
        let rows = rows(&trace);
        assert_eq!(rows.iter().map(|r| r.label.as_str()).collect::<Vec<_>>(), ["1", "2", "2.2"]);
        assert_eq!(rows.iter().map(|r| r.first).collect::<Vec<_>>(), [false, false, true]);
    }

    #[test]
    fn a_decision_without_its_request_still_has_a_place() {
        let trace = ChainTrace {
            first_drifted_hop: Some(2),
            first_drifted_agent: "b".into(),
            ..chain(vec![Decision::default(), Decision::default()])
        };
        let rows = rows(&trace);
        assert_eq!((rows[0].hop, rows[0].agent.as_str()), (1, ""));
        assert_eq!((rows[1].hop, rows[1].agent.as_str()), (2, "b"));
    }
}
