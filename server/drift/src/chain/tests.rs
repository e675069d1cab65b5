use proptest::prelude::*;

use super::*;
use crate::action::Effect;
use crate::calibration::sigmoid;
use crate::policy::{Status, Verdict};

const NAMES: [&str; 4] = ["planner", "buyer", "mailer", "payer"];

fn hop(number: u32, id: &str, drift: f64) -> ChainHop<'_> {
    let agent = NAMES[number as usize % 4];
    ChainHop {
        hop: number,
        request_id: id,
        agent,
        delegator: "boss",
        enforcement_point: if number.is_multiple_of(2) { "even" } else { "odd" },
        effect: Effect::Write,
        status: Status::Scored,
        verdict: if drift >= 0.5 { Verdict::Deny } else { Verdict::Allow },
        drift: Some(drift),
        threshold: 0.5,
        step_drift: None,
        instruction_drift: None,
    }
}

fn chain(drifts: &[f64]) -> (ChainTracker, Vec<ChainState>) {
    let p = ChainParameters::default();
    let mut tracker = ChainTracker::default();
    let states =
        drifts.iter().zip(1..).map(|(d, n)| tracker.insert(&p, hop(n, &n.to_string(), *d))).collect();
    (tracker, states)
}

#[test]
fn one_hop_at_its_threshold_is_the_first_drifted_one() {
    let (tracker, states) = chain(&[0.05, 0.06, 0.55]);
    let summary = tracker.summary(&ChainParameters::default());
    let first = summary.first_drifted.unwrap();
    assert_eq!((first.hop, first.found_by), (3, FoundBy::Threshold));
    assert_eq!((first.agent, first.delegator, first.passed_by), ("payer", "boss", None));
    assert_eq!(states[1].first_drifted_hop, None);
    assert_eq!(summary.max_drift, Some(0.55));
}

#[test]
fn small_steps_are_caught_though_none_reaches_the_threshold() {
    let drifts = [-4.0, -4.0, -4.0, -3.4, -2.8, -2.2, -1.6, -1.1, -0.7, -0.3].map(sigmoid);
    let (mut tracker, states) = chain(&drifts);
    let p = ChainParameters::default();
    let alarm = states.iter().position(|s| s.raised).unwrap();
    assert!(alarm < 9, "{states:?}");
    let first = tracker.summary(&p).first_drifted.unwrap();
    let (began, found_by, passed_by) = (first.hop, first.found_by, first.passed_by.unwrap());
    assert_eq!(found_by, FoundBy::Cumulative);
    assert!(began > 1 && began as usize <= alarm + 1);
    assert_eq!(passed_by, (if began % 2 == 0 { "even" } else { "odd" }, began));
    tracker.told(&states[began as usize - 1], false);
    let next = tracker.summary(&p).first_drifted.unwrap().passed_by.unwrap();
    assert_eq!(next.1, began + 1);
}

#[test]
fn an_action_that_leads_back_is_not_held_up_for_those_before_it() {
    let (_, states) = chain(&[0.02, 0.02, 0.95, 0.02]);
    let last = states[3];
    assert!(last.cumulative_drift >= last.cumulative_threshold && !last.raised, "{last:?}");
}

#[test]
fn a_request_that_comes_again_changes_nothing() {
    let p = ChainParameters::default();
    let mut tracker = ChainTracker::default();
    let first = tracker.insert(&p, hop(1, "a", 0.1));
    let again = tracker.insert(&p, hop(7, "a", 0.9));
    assert_eq!(again, ChainState { repeated: true, ..first });
    let unnamed = tracker.insert(&p, hop(0, "", 0.1));
    assert_eq!((unnamed.hop, unnamed.repeated), (2, false));
    assert_eq!(tracker.insert(&p, hop(0, "", 0.1)).actions, 3);
}

#[test]
fn hops_without_a_score_say_nothing() {
    let p = ChainParameters::default();
    let mut tracker = ChainTracker::default();
    let state = tracker.insert(&p, ChainHop { drift: None, ..hop(1, "a", 0.0) });
    assert_eq!((state.cumulative_drift, state.first_drifted_hop, state.actions), (0.0, None, 1));
    assert_eq!(tracker.summary(&p).max_drift, None);
}

#[test]
fn a_chain_is_held_in_bounded_memory_and_its_statistic_stays_right() {
    let p = ChainParameters::default();
    let mut tracker = ChainTracker::default();
    let ids: Vec<String> = (1..=5_000u32).map(|n| n.to_string()).collect();
    let mut last = None;
    for (id, n) in ids.iter().zip(1..) {
        let drift = if n < 4_900 { 0.05 + 0.01 * f64::from(n % 7) } else { 0.45 };
        last = Some(tracker.insert(&p, hop(n, id, drift)));
    }
    assert!(tracker.bytes() <= 2 * KEPT * 64, "{}", tracker.bytes());
    let first = tracker.summary(&p).first_drifted.unwrap();
    assert_eq!((first.hop, first.found_by), (4_900, FoundBy::Cumulative));
    assert_eq!(first.passed_by.unwrap().1, 4_900);
    assert_eq!(last.unwrap().actions, 5_000);
}

#[test]
fn a_hop_takes_little_room() {
    assert!(size_of::<hop::Kept>() <= 64, "{}", size_of::<hop::Kept>());
    let (tracker, _) = chain(&[0.1; 8]);
    assert!(tracker.bytes() < 1_600, "{}", tracker.bytes());
}

proptest! {
    #[test]
    fn the_order_of_arrival_does_not_matter(
        drifts in prop::collection::vec(0.0..1.0f64, 1..30),
        order in prop::collection::vec(any::<u32>(), 30),
    ) {
        let p = ChainParameters::default();
        let (sorted, _) = chain(&drifts);
        let mut places: Vec<usize> = (0..drifts.len()).collect();
        places.sort_by_key(|i| order[*i]);
        let mut shuffled = ChainTracker::default();
        for place in places {
            let n = place as u32 + 1;
            shuffled.insert(&p, hop(n, &n.to_string(), drifts[place]));
        }
        prop_assert_eq!(sorted.summary(&p), shuffled.summary(&p));
    }
}
