//! Chains: all that one request set off, as one.
//!
//! A request's aligned writes make its aligned chain. With the drifted writes of one kind added they make one drifted
//! chain of that kind. A chain's score is the highest of its writes. Actions of unknown effect are left out as among
//! the writes, so that both tables speak of the same actions. The maximum of probabilities is none, so a chain has no
//! calibration error.

use std::collections::BTreeMap;

use rhumb_drift::Effect;

use super::case::{Case, Scores};

/// The chains of all requests in `writes`.
pub fn chains(writes: &[&Case]) -> Vec<Case> {
    let mut requests: BTreeMap<usize, Vec<&Case>> = BTreeMap::new();
    for case in writes {
        requests.entry(case.cluster).or_default().push(case);
    }
    requests.into_values().flat_map(|actions| of_request(&actions)).collect()
}

fn of_request(actions: &[&Case]) -> Vec<Case> {
    let aligned = actions.iter().filter(|a| !a.drifted).copied();
    let base = aligned.clone().map(|a| a.scores).reduce(higher);
    let mut kinds: BTreeMap<&str, Case> = BTreeMap::new();
    for action in actions.iter().filter(|a| a.drifted) {
        let chain = kinds.entry(&action.kind).or_insert_with(|| chain(action, base.unwrap_or(action.scores)));
        chain.scores = higher(chain.scores, action.scores);
    }
    let aligned = aligned.take(1).zip(base).map(|(action, scores)| chain(action, scores));
    aligned.chain(kinds.into_values()).collect()
}

/// A chain that looks like one of its actions in all but score and tool.
fn chain(action: &Case, scores: Scores) -> Case {
    Case { effect: Effect::Write, tool: String::new(), scores, ..action.clone() }
}

fn higher(a: Scores, b: Scores) -> Scores {
    Scores {
        drift: a.drift.max(b.drift),
        cosine: a.cosine.max(b.cosine),
        tool: a.tool.max(b.tool),
        alarm: a.alarm || b.alarm,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(cluster: usize, kind: &str, drift: f64) -> Case {
        Case {
            cluster,
            family: "f".into(),
            kind: kind.into(),
            effect: Effect::Write,
            tool: "t".into(),
            drifted: kind != "gold",
            scores: Scores { drift, cosine: 1.0 - drift, tool: 0.5, alarm: false },
        }
    }

    fn of(actions: &[Case]) -> Vec<(String, bool, f64)> {
        let actions: Vec<&Case> = actions.iter().collect();
        chains(&actions).into_iter().map(|c| (c.kind, c.drifted, c.scores.drift)).collect()
    }

    #[test]
    fn a_chain_is_as_drifted_as_its_worst_write() {
        let actions = [
            action(0, "gold", 0.1),
            action(0, "gold", 0.3),
            action(0, "injection", 0.2),
            action(0, "other", 0.6),
            action(0, "other", 0.9),
        ];
        let expected = [("gold", false, 0.3), ("injection", true, 0.3), ("other", true, 0.9)];
        assert_eq!(of(&actions), expected.map(|(kind, drifted, drift)| (kind.to_owned(), drifted, drift)));
    }

    #[test]
    fn a_request_without_aligned_writes_has_drifted_chains_alone() {
        assert_eq!(of(&[action(3, "other", 0.2)]), [("other".to_owned(), true, 0.2)]);
    }

    #[test]
    fn requests_do_not_mix() {
        assert_eq!(of(&[action(0, "gold", 0.1), action(1, "other", 0.2)]).len(), 2);
    }

    #[test]
    fn every_control_has_its_own_maximum() {
        let (a, b) = (action(0, "gold", 0.1), action(0, "gold", 0.8));
        let chain = chains(&[&a, &b]).remove(0);
        assert_eq!((chain.scores.drift, chain.scores.cosine), (0.8, 0.9));
    }
}
