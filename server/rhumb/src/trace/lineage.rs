//! Who delegated to whom, as a tree: a node for each pair of delegator and agent.
//!
//! An agent may be delegated to by several; it then stands under each of them with the actions that it did for that one.
//! The root is the principal.

use std::collections::HashMap;

use super::rows::Row;

/// An agent under the one that delegated to it.
pub struct Node {
    /// Empty for the root.
    pub agent: String,
    /// Indices of rows, in order.
    pub actions: Vec<usize>,
    /// Indices of nodes, in the order of their first action; always larger than the node's own.
    pub children: Vec<usize>,
}

/// The nodes; the first is the root.
///
/// INVARIANT: a pair has one node, so two agents that delegate to each other for ever make two nodes and not a pit.
pub fn lineage(rows: &[Row], principal: &str) -> Vec<Node> {
    let mut building = Building { nodes: vec![node("")], pairs: HashMap::new(), latest: HashMap::new() };
    building.latest.insert(principal, 0);
    for (index, row) in rows.iter().enumerate() {
        let place = building.place(&row.delegator, &row.agent);
        if let Some(node) = building.nodes.get_mut(place) {
            node.actions.push(index);
        }
    }
    building.nodes
}

struct Building<'a> {
    nodes: Vec<Node>,
    pairs: HashMap<(&'a str, &'a str), usize>,
    /// The node in which an agent was seen last.
    latest: HashMap<&'a str, usize>,
}

impl<'a> Building<'a> {
    fn place(&mut self, delegator: &'a str, agent: &'a str) -> usize {
        let known = self.pairs.get(&(delegator, agent)).copied();
        let place = known.unwrap_or_else(|| self.grow(delegator, agent));
        self.latest.insert(agent, place);
        place
    }

    fn grow(&mut self, delegator: &'a str, agent: &'a str) -> usize {
        let parent = match self.latest.get(delegator) {
            _ if delegator.is_empty() => 0,
            Some(parent) => *parent,
            // It delegated and did nothing itself, so nobody knows from whom it had the task.
            None if delegator == agent => 0,
            None => self.place("", delegator),
        };
        let place = self.nodes.len();
        self.nodes.push(node(agent));
        if let Some(parent) = self.nodes.get_mut(parent) {
            parent.children.push(place);
        }
        self.pairs.insert((delegator, agent), place);
        place
    }
}

fn node(agent: &str) -> Node {
    Node { agent: agent.to_owned(), actions: Vec::new(), children: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::rows::rows;
    use crate::trace::sample::{chain, decision};

    fn shape(delegations: &[(&str, &str)]) -> Vec<(String, Vec<usize>, Vec<usize>)> {
        let decision = |(i, (agent, by)): (usize, &(&str, &str))| decision(i as u32 + 1, agent, by, 0.1);
        let trace = chain(delegations.iter().enumerate().map(decision).collect());
        let nodes = lineage(&rows(&trace), "u");
        nodes.into_iter().map(|n| (n.agent, n.actions, n.children)).collect()
    }

    #[test]
    fn an_agent_stands_under_each_that_delegated_to_it() {
        let nodes =
            shape(&[("plan", "u"), ("trip", "plan"), ("mail", "plan"), ("mail", "trip"), ("trip", "plan")]);
        assert_eq!(nodes[1], ("plan".into(), vec![0], vec![2, 3]));
        assert_eq!(nodes[2], ("trip".into(), vec![1, 4], vec![4]));
        assert_eq!(nodes[3], ("mail".into(), vec![2], vec![]));
        assert_eq!(nodes[4], ("mail".into(), vec![3], vec![]));
    }

    #[test]
    fn delegating_to_and_fro_for_ever_makes_no_pit() {
        let nodes = shape(&[("a", "u"), ("b", "a"), ("a", "b")].repeat(50));
        assert_eq!(nodes.len(), 4);
        assert_eq!(shape(&[("a", "a"), ("a", "a")]).len(), 2);
    }

    #[test]
    fn one_that_only_delegated_stands_under_the_root() {
        let nodes = shape(&[("worker", "boss")]);
        assert_eq!(nodes[0].2, [1]);
        assert_eq!((nodes[1].0.as_str(), nodes[1].2.as_slice()), ("boss", &[2][..]));
    }
}
