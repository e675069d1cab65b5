//! Which texts are computed together, and by how many threads.
//!
//! Many texts: threads take groups of texts, and nobody waits for anybody. Few texts: the columns of every product are
//! spread over a team of threads, which meets after each product. The plan is whichever is estimated to end first; it
//! changes the time alone, never a bit of a vector. A single group is always planned for a team, whoever of it is there:
//! threads that are busy elsewhere now may join before it ends.

use std::ops::Range;

/// Tokens of one group at most: weights are fetched once for all of them, and their activations (6 KB a token in the
/// widest layer) still fit into a second-level cache.
const GROUP_TOKENS: usize = 128;
/// What fetching the weights costs a group, in tokens.
const GROUP_COST: usize = 4;
/// Threads of a team at most: with more, meeting takes longer than computing.
const MOST_MEMBERS: usize = 8;
/// A team of `2^i` works as well as this share of as many threads that are alone.
const EFFICIENCY: [f64; 4] = [1.0, 0.85, 0.7, 0.5];

/// How a batch is computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Neighbouring texts, by their place in the batch.
    pub groups: Vec<Range<usize>>,
    /// Threads for each group.
    pub members: usize,
}

impl Plan {
    /// For texts of these lengths, in tokens, by `threads` threads at once, and perhaps `most` of them later.
    pub fn of(lengths: &[usize], threads: usize, most: usize) -> Self {
        let plans = sizes(threads).zip(EFFICIENCY).map(|(members, efficiency)| {
            let plan = Self { groups: groups(lengths, threads / members), members };
            let time = plan.time(lengths, threads) / (members as f64 * efficiency);
            (plan, time)
        });
        let best = plans.min_by(|a, b| a.1.total_cmp(&b.1));
        let best = best.map_or(Self { groups: groups(lengths, 1), members: 1 }, |(plan, _)| plan);
        match best.groups.len() {
            1 => Self { members: sizes(most).last().unwrap_or(1), ..best },
            _ => best,
        }
    }

    /// Tokens that the busiest team computes, if each takes the next group when it is done.
    fn time(&self, lengths: &[usize], threads: usize) -> f64 {
        let mut teams = vec![0; (threads / self.members).max(1)];
        for group in &self.groups {
            let tokens: usize = lengths.get(group.clone()).unwrap_or_default().iter().sum();
            if let Some(free) = teams.iter_mut().min() {
                *free += tokens + GROUP_COST;
            }
        }
        teams.into_iter().max().unwrap_or(0) as f64
    }
}

/// Sizes of teams of so many threads.
fn sizes(threads: usize) -> impl Iterator<Item = usize> {
    (0..EFFICIENCY.len()).map(|i| 1 << i).take_while(move |n| *n <= threads.min(MOST_MEMBERS))
}

/// Neighbouring texts in groups of at most [`GROUP_TOKENS`] (a longer text stands alone), and at least as many groups as
/// `teams` where there are as many texts.
fn groups(lengths: &[usize], teams: usize) -> Vec<Range<usize>> {
    let total: usize = lengths.iter().sum();
    let budget = total.div_ceil(teams.max(1)).clamp(1, GROUP_TOKENS);
    let mut groups = Vec::new();
    let (mut start, mut tokens) = (0, 0);
    for (i, length) in lengths.iter().enumerate() {
        if i > start && tokens + length > budget {
            groups.push(start..i);
            (start, tokens) = (i, 0);
        }
        tokens += length;
    }
    if start < lengths.len() {
        groups.push(start..lengths.len());
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_text_is_spread_over_the_threads_and_many_texts_are_dealt_out() {
        let members = |lengths: &[usize], threads| Plan::of(lengths, threads, threads).members;
        assert_eq!(members(&[40], 2), 2);
        assert_eq!(members(&[40], 1), 1);
        assert_eq!(members(&[40], 64), 8);
        assert_eq!(members(&[40; 32], 2), 1);
        assert_eq!(members(&[40; 3], 2), 2, "three texts on two threads leave one idle for a third");
        assert_eq!(members(&[40; 64], 64), 1);
    }

    #[test]
    fn a_text_on_one_thread_is_ready_for_those_that_become_free() {
        assert_eq!(Plan::of(&[40], 1, 2).members, 2);
        assert_eq!(Plan::of(&[40; 2], 1, 4).members, 4);
        assert_eq!(Plan::of(&[100; 2], 1, 2).members, 1);
    }

    proptest! {
        #[test]
        fn groups_hold_every_text_once_and_in_order(
            lengths in prop::collection::vec(1usize..300, 0..60), threads in 1usize..70,
        ) {
            let plan = Plan::of(&lengths, threads, threads);
            let texts: Vec<usize> = plan.groups.iter().cloned().flatten().collect();
            prop_assert_eq!(texts, (0..lengths.len()).collect::<Vec<_>>());
            prop_assert!(plan.members <= threads);
            for group in plan.groups {
                let tokens: usize = lengths[group.clone()].iter().sum();
                prop_assert!(!group.is_empty() && (tokens <= GROUP_TOKENS || group.len() == 1));
            }
        }
    }
}
