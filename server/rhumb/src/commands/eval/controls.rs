//! What a score has to beat: a prior over tool names.
//!
//! Within a benchmark the tool alone often gives the label away. The prior is the share of drifted actions among those
//! with the same tool in the same family, of other requests only, with both labels weighing the same. It is made of the
//! very labels that it is measured on: on tools that it never saw it knows nothing, and says one half.

use std::collections::HashMap;

use super::case::Case;

/// Actions of one label, and of those the ones of one tool and of one tool for one request.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    aligned: f64,
    drifted: f64,
}

impl Count {
    fn add(&mut self, drifted: bool) {
        *(if drifted { &mut self.drifted } else { &mut self.aligned }) += 1.0;
    }
}

/// Fills in the prior of every case.
pub fn add_tool_prior(mut cases: Vec<&mut Case>) {
    let mut families: HashMap<String, Count> = HashMap::new();
    let mut tools: HashMap<(String, String), Count> = HashMap::new();
    let mut own: HashMap<(usize, String), Count> = HashMap::new();
    for case in &cases {
        families.entry(case.family.clone()).or_default().add(case.drifted);
        tools.entry((case.family.clone(), case.tool.clone())).or_default().add(case.drifted);
        own.entry((case.cluster, case.tool.clone())).or_default().add(case.drifted);
    }
    for case in &mut cases {
        let family = families.get(&case.family).copied().unwrap_or_default();
        let tool = tools.get(&(case.family.clone(), case.tool.clone())).copied().unwrap_or_default();
        let own = own.get(&(case.cluster, case.tool.clone())).copied().unwrap_or_default();
        case.scores.tool = share(family, tool, own);
    }
}

/// One imagined action of each label keeps small counts near one half.
fn share(family: Count, tool: Count, own: Count) -> f64 {
    let half = (family.aligned + family.drifted) / 2.0;
    let drifted = (tool.drifted - own.drifted) * half / family.drifted.max(1.0);
    let aligned = (tool.aligned - own.aligned) * half / family.aligned.max(1.0);
    (drifted + 1.0) / (drifted + aligned + 2.0)
}

#[cfg(test)]
mod tests {
    use super::super::case::Scores;
    use super::*;
    use rhumb_drift::Effect;

    fn case(cluster: usize, tool: &str, drifted: bool) -> Case {
        Case {
            cluster,
            family: "f".into(),
            kind: String::new(),
            effect: Effect::Write,
            tool: tool.into(),
            drifted,
            scores: Scores { drift: 0.0, cosine: 0.0, tool: 0.0, alarm: false },
        }
    }

    fn priors(mut cases: Vec<Case>) -> Vec<f64> {
        add_tool_prior(cases.iter_mut().collect());
        cases.iter().map(|c| c.scores.tool).collect()
    }

    #[test]
    fn a_request_says_nothing_about_its_own_tools() {
        let priors =
            priors(vec![case(0, "a", true), case(0, "a", true), case(1, "b", false), case(1, "c", false)]);
        assert_eq!(priors, [0.5; 4]);
    }

    #[test]
    fn the_share_is_that_of_other_requests() {
        // Two of each label: nothing is reweighted. Request 0 sees one drifted and one aligned use of `a` elsewhere.
        let cases = vec![case(0, "a", true), case(1, "a", true), case(2, "a", false), case(3, "b", false)];
        assert_eq!(priors(cases), [0.5, 0.5, 0.75, 0.5]);
    }

    #[test]
    fn labels_weigh_the_same_however_many_there_are() {
        // Three drifted to one aligned: each drifted one counts 2/3, the aligned one 2.
        let cases = vec![case(0, "a", true), case(1, "a", true), case(2, "a", true), case(3, "b", false)];
        let expected = (4.0 / 3.0 + 1.0) / (4.0 / 3.0 + 2.0);
        assert!((priors(cases)[0] - expected).abs() < 1e-12);
    }
}
