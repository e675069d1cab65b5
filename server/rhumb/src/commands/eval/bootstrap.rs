//! How far a figure would move with other requests: 95 % intervals.
//!
//! Requests are drawn with replacement within each family, since actions of one request are alike and families are
//! what they are. The draws are made once, from a fixed seed; every figure is measured on the same ones, so that what
//! differs between two rows is not the luck of the draw. A draw is one number for each request: how often it counts.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::random::SplitMix;
use super::case::Case;

/// Bounds of the figures of one score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Intervals {
    /// Of the AUROC.
    pub auroc: [f64; 2],
    /// Of the share found at 5 % false alarms.
    pub tpr_at_fpr05: [f64; 2],
}

/// How often each request counts, `[draws, requests]`.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    draws: Vec<Vec<u32>>,
}

/// Any number would do, as long as it stays.
const SEED: u64 = 20_260_101;

impl Bootstrap {
    /// Draws the requests of `cases` again, `count` times.
    pub fn of(cases: &[&Case], count: usize) -> Self {
        let requests = cases.iter().map(|c| c.cluster + 1).max().unwrap_or(0);
        let mut families: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for case in cases {
            families.entry(&case.family).or_default().push(case.cluster);
        }
        for clusters in families.values_mut() {
            clusters.sort_unstable();
            clusters.dedup();
        }
        let mut random = SplitMix::of(SEED);
        let draws = (0..count).map(|_| draw(&families, requests, &mut random)).collect();
        Self { draws }
    }

    /// The intervals of pairs of score and label (`true` = drifted) with their requests. `None` without draws, or where
    /// fewer than half of them hold both labels.
    pub fn intervals(&self, pairs: impl Iterator<Item = (f64, bool, usize)>) -> Option<Intervals> {
        let ranked = Ranked::of(pairs);
        let figures: Vec<(f64, f64)> = self.draws.iter().filter_map(|draw| ranked.figures(draw)).collect();
        if figures.is_empty() || figures.len() * 2 < self.draws.len() {
            return None;
        }
        Some(Intervals {
            auroc: interval(figures.iter().map(|f| f.0).collect())?,
            tpr_at_fpr05: interval(figures.iter().map(|f| f.1).collect())?,
        })
    }
}

fn draw(families: &BTreeMap<&str, Vec<usize>>, requests: usize, random: &mut SplitMix) -> Vec<u32> {
    let mut counts = vec![0; requests];
    for clusters in families.values() {
        for _ in clusters {
            let drawn = clusters.get(random.below(clusters.len()));
            if let Some(count) = drawn.and_then(|c| counts.get_mut(*c)) {
                *count += 1;
            }
        }
    }
    counts
}

/// The middle 95 %.
fn interval(mut values: Vec<f64>) -> Option<[f64; 2]> {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values.get(((values.len() - 1) as f64 * share).round() as usize).copied();
    Some([at(0.025)?, at(0.975)?])
}

/// Pairs from the highest score down; sorted once, measured with many weights.
struct Ranked {
    places: Vec<Place>,
}

struct Place {
    cluster: usize,
    drifted: bool,
    /// Whether the next one has another score.
    ends_tie: bool,
}

impl Ranked {
    fn of(pairs: impl Iterator<Item = (f64, bool, usize)>) -> Self {
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
        let next = pairs.iter().skip(1).map(|p| Some(p.0)).chain([None]);
        let place = |(&(score, drifted, cluster), next): (&(f64, bool, usize), Option<f64>)| Place {
            cluster,
            drifted,
            ends_tie: next != Some(score),
        };
        Self { places: pairs.iter().zip(next).map(place).collect() }
    }

    /// AUROC and the share found at 5 % false alarms, each request weighing as often as it was drawn. `None` where a
    /// label was not drawn.
    fn figures(&self, draw: &[u32]) -> Option<(f64, f64)> {
        let weight = |place: &Place| draw.get(place.cluster).copied().map_or(0.0, f64::from);
        let total =
            |drifted: bool| self.places.iter().filter(|p| p.drifted == drifted).map(weight).sum::<f64>();
        let (drifted, aligned) = (total(true), total(false));
        let (mut hits, mut alarms, mut area, mut found) = (0.0, 0.0, 0.0, 0.0);
        let (mut tied_hits, mut tied_alarms) = (0.0, 0.0);
        for place in &self.places {
            *(if place.drifted { &mut tied_hits } else { &mut tied_alarms }) += weight(place);
            if place.ends_tie {
                area += tied_alarms * (hits + tied_hits / 2.0);
                hits += std::mem::take(&mut tied_hits);
                alarms += std::mem::take(&mut tied_alarms);
                found = if alarms / aligned <= 0.05 { hits } else { found };
            }
        }
        (drifted > 0.0 && aligned > 0.0).then(|| (area / (drifted * aligned), found / drifted))
    }
}

#[cfg(test)]
mod tests {
    use super::super::case::Scores;
    use super::super::metrics::measure;
    use super::*;
    use rhumb_drift::Effect;

    fn cases() -> Vec<Case> {
        let case = |i: usize| Case {
            cluster: i / 3,
            family: if i < 60 { "a" } else { "b" }.into(),
            kind: String::new(),
            effect: Effect::Write,
            tool: String::new(),
            drifted: i.is_multiple_of(3),
            scores: Scores { drift: ((i * 37) % 50) as f64 / 50.0, cosine: 0.0, tool: 0.5, alarm: false },
        };
        (0..120).map(case).collect()
    }

    fn pairs(cases: &[Case]) -> impl Iterator<Item = (f64, bool, usize)> {
        cases.iter().map(|c| (c.scores.drift, c.drifted, c.cluster))
    }

    fn intervals(cases: &[Case]) -> Option<Intervals> {
        Bootstrap::of(&cases.iter().collect::<Vec<_>>(), 200).intervals(pairs(cases))
    }

    #[test]
    fn with_every_request_once_the_figures_are_the_plain_ones() {
        let cases = cases();
        let plain: Vec<_> = cases.iter().map(|c| (c.scores.drift, c.drifted)).collect();
        let plain = measure(&plain, true).unwrap();
        let (auroc, found) = Ranked::of(pairs(&cases)).figures(&[1; 40]).unwrap();
        assert!((auroc - plain.auroc).abs() < 1e-12 && (found - plain.tpr_at_fpr05).abs() < 1e-12);
    }

    #[test]
    fn weights_worked_out_by_hand() {
        // Drifted 0.9 (request 0), aligned 0.8 (1), drifted 0.7 (2); the last drawn twice, so two of three pairs lose.
        let ranked = Ranked::of([(0.9, true, 0), (0.8, false, 1), (0.7, true, 2)].into_iter());
        let (auroc, found) = ranked.figures(&[1, 1, 2]).unwrap();
        assert!((auroc - 1.0 / 3.0).abs() < 1e-12 && (found - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(ranked.figures(&[1, 0, 2]), None);
    }

    #[test]
    fn the_same_data_in_any_order_has_the_same_intervals() {
        let (forward, mut backward) = (cases(), cases());
        backward.reverse();
        let found = intervals(&forward).unwrap();
        assert_eq!(Some(found), intervals(&backward));
        assert!(found.auroc[0] < found.auroc[1], "{found:?}");
    }

    #[test]
    fn every_draw_holds_as_many_requests_of_a_family_as_there_are() {
        let cases = cases();
        for draw in Bootstrap::of(&cases.iter().collect::<Vec<_>>(), 5).draws {
            assert_eq!(draw[..20].iter().sum::<u32>(), 20);
            assert_eq!(draw[20..].iter().sum::<u32>(), 20);
        }
    }

    #[test]
    fn the_generator_gives_its_published_numbers() {
        let mut random = SplitMix::of(1_234_567);
        assert_eq!([random.draw(), random.draw()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn without_draws_or_labels_there_is_no_interval() {
        let cases = cases();
        let none = Bootstrap::of(&cases.iter().collect::<Vec<_>>(), 0);
        assert_eq!(none.intervals(pairs(&cases)), None);
        assert_eq!(intervals(&cases.iter().filter(|c| c.drifted).cloned().collect::<Vec<_>>()), None);
    }
}
