//! Figures on labelled chains.

use std::collections::BTreeMap;

use rhumb_drift::ChainParameters;
use serde::Serialize;

use super::super::random::SplitMix;
use super::build::{Form, STEPS};
use super::detect::{BASELINES, Found, track};
use super::fit::{lowest, peak};
use super::scored::ScoredChain;

/// A share with its 95 % interval over resamples of the requests.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Share {
    /// Of how many chains.
    pub of: usize,
    /// The share.
    pub share: f64,
    /// Where it lies with other requests.
    pub interval: [f64; 2],
}

/// Figures of one group of chains; what does not occur is absent.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Aligned chains in which the gathered drift raised an alarm: steady ones.
    pub false_alarms_steady: Option<Share>,
    /// And walking ones.
    pub false_alarms_walk: Option<Share>,
    /// Aligned chains with an alarm of any kind; single actions at their threshold included.
    pub false_alarms_any: Option<Share>,
    /// Abrupt: the first drifted hop is named exactly.
    pub exact: Option<Share>,
    /// To within one hop.
    pub within_one: Option<Share>,
    /// Nothing was named.
    pub missed: Option<Share>,
    /// The first hop at its own threshold is the first drifted one: what there was before.
    pub exact_by_threshold: Option<Share>,
    /// The first drifted hop is where the gathered drift is largest, alarm or no alarm.
    pub exact_if_known: Option<Share>,
    /// Mean hops from the first drifted one to the first alarm after it.
    pub delay: Option<f64>,
    /// Once: named exactly.
    pub once_exact: Option<Share>,
    /// Slow: the gathered drift raised an alarm before the last hop.
    pub slow_caught: Option<Share>,
    /// Slow: an alarm of any kind before the last hop.
    pub slow_caught_any: Option<Share>,
}

/// A detector at the threshold that gives 5 % false alarms on these very chains, of both forms together.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Compared {
    /// Its name.
    pub detector: String,
    /// Slow drifts caught before their end.
    pub slow_caught: f64,
    /// Abrupt drifts found at all, at the first drifted hop or after it.
    pub abrupt_found: f64,
    /// Abrupt drifts whose first alarm is at the first drifted hop.
    pub abrupt_at_once: f64,
}

/// All figures.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The calibration.
    pub calibration_id: String,
    /// All chains.
    pub overall: Row,
    /// By family.
    pub by_family: BTreeMap<String, Row>,
    /// By how the chain is made: of one request or of several, and of one aligned action or of more.
    pub by_making: BTreeMap<String, Row>,
    /// Drifted chains by the kind of their drifted actions.
    pub by_kind: BTreeMap<String, Row>,
    /// Detectors side by side.
    pub detectors: Vec<Compared>,
}

type Case<'a> = (&'a ScoredChain, &'a Found);

impl Report {
    /// Measures.
    pub fn of(
        calibration_id: &str,
        parameters: &ChainParameters,
        chains: &[ScoredChain],
        draws: usize,
    ) -> Self {
        let found: Vec<Found> = chains.iter().map(|c| track(parameters, c)).collect();
        let cases: Vec<Case<'_>> = chains.iter().zip(&found).collect();
        let group = |name: fn(&ScoredChain) -> Option<String>| {
            let mut groups: BTreeMap<String, Vec<Case<'_>>> = BTreeMap::new();
            for case in &cases {
                groups.entry(name(case.0).unwrap_or_default()).or_default().push(*case);
            }
            groups.remove("");
            groups.into_iter().map(|(name, cases)| (name, row(&cases, draws))).collect()
        };
        Self {
            calibration_id: calibration_id.to_owned(),
            overall: row(&cases, draws),
            by_family: group(|c| Some(c.family.clone())),
            by_making: group(|c| Some(making(c).to_owned())),
            by_kind: group(|c| (c.kind != "aligned").then(|| c.kind.clone())),
            detectors: detectors(parameters, chains),
        }
    }
}

fn making(chain: &ScoredChain) -> &'static str {
    match (chain.joined, chain.varied) {
        (2.., _) => "several requests joined",
        (_, 1) => "one aligned action, varied",
        (_, 2) => "two aligned actions",
        _ => "three or more aligned actions",
    }
}

fn row(cases: &[Case<'_>], draws: usize) -> Row {
    let share = |forms: &[Form], good: &dyn Fn(&Case<'_>) -> bool| {
        let own = cases.iter().filter(|c| forms.contains(&c.0.form));
        share(&own.map(|c| (c.0.request.as_str(), good(c))).collect::<Vec<_>>(), draws)
    };
    let label = |c: &Case<'_>| c.0.first_drifted;
    let near = |c: &Case<'_>| c.1.named.zip(label(c)).is_some_and(|(a, b)| a.abs_diff(b) <= 1);
    let early = |hop: Option<usize>| hop.is_some_and(|hop| hop < STEPS);
    Row {
        false_alarms_steady: share(&[Form::Steady], &|c| c.1.gathered.is_some()),
        false_alarms_walk: share(&[Form::Walk], &|c| c.1.gathered.is_some()),
        false_alarms_any: share(&[Form::Steady, Form::Walk], &|c| c.1.alarm().is_some()),
        exact: share(&[Form::Abrupt], &|c| c.1.named == label(c)),
        within_one: share(&[Form::Abrupt], &near),
        missed: share(&[Form::Abrupt], &|c| c.1.named.is_none()),
        exact_by_threshold: share(&[Form::Abrupt], &|c| c.1.own == label(c)),
        exact_if_known: share(&[Form::Abrupt], &|c| c.1.likeliest == label(c)),
        delay: delay(cases),
        once_exact: share(&[Form::Once], &|c| c.1.named == label(c)),
        slow_caught: share(&[Form::Slow], &|c| early(c.1.gathered)),
        slow_caught_any: share(&[Form::Slow], &|c| early(c.1.alarm())),
    }
}

fn delay(cases: &[Case<'_>]) -> Option<f64> {
    let abrupt = cases.iter().filter(|c| c.0.form == Form::Abrupt);
    let delays: Vec<f64> = abrupt
        .filter_map(|(chain, found)| Some(found.alarm()?.checked_sub(chain.first_drifted?)? as f64))
        .collect();
    (!delays.is_empty()).then(|| delays.iter().sum::<f64>() / delays.len() as f64)
}

/// Any number would do, as long as it stays.
const SEED: u64 = 20_260_101;

fn share(cases: &[(&str, bool)], draws: usize) -> Option<Share> {
    let mut requests: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for (request, good) in cases {
        let of = requests.entry(request).or_default();
        *of = (of.0 + f64::from(u8::from(*good)), of.1 + 1.0);
    }
    let requests: Vec<(f64, f64)> = requests.into_values().collect();
    let ratio = |sum: (f64, f64)| sum.0 / sum.1;
    let add = |a: (f64, f64), b: (f64, f64)| (a.0 + b.0, a.1 + b.1);
    let mut random = SplitMix::of(SEED);
    let mut drawn: Vec<f64> = (0..draws)
        .map(|_| ratio(requests.iter().filter_map(|_| random.pick(&requests)).copied().fold((0.0, 0.0), add)))
        .collect();
    drawn.sort_by(f64::total_cmp);
    let share = ratio(requests.iter().copied().reduce(add)?);
    let at = |q: f64| drawn.get((drawn.len().saturating_sub(1) as f64 * q).round() as usize).copied();
    Some(Share { of: cases.len(), share, interval: [at(0.025).unwrap_or(share), at(0.975).unwrap_or(share)] })
}

fn detectors(parameters: &ChainParameters, chains: &[ScoredChain]) -> Vec<Compared> {
    let own = compared("gathered drift", chains, |c| track(parameters, c).statistic);
    let others = BASELINES.iter().map(|b| compared(b.name, chains, b.statistic));
    std::iter::once(own).chain(others).flatten().collect()
}

fn compared(
    name: &str,
    chains: &[ScoredChain],
    statistic: impl Fn(&ScoredChain) -> Vec<f64>,
) -> Option<Compared> {
    let of = |form: Form| chains.iter().filter(move |c| c.form == form);
    let aligned = of(Form::Steady).chain(of(Form::Walk));
    let threshold = lowest(aligned.map(|c| peak(&statistic(c))).collect(), 0.05)?;
    let alarm = |c: &ScoredChain| statistic(c).iter().position(|s| *s >= threshold).map(|p| p + 1);
    let share = |form: Form, good: &dyn Fn(usize, &ScoredChain) -> bool| {
        let good = of(form).filter(|c| alarm(c).is_some_and(|hop| good(hop, c))).count();
        good as f64 / of(form).count().max(1) as f64
    };
    Some(Compared {
        detector: name.to_owned(),
        slow_caught: share(Form::Slow, &|hop, _| hop < STEPS),
        abrupt_found: share(Form::Abrupt, &|hop, c| c.first_drifted.is_some_and(|first| hop >= first)),
        abrupt_at_once: share(Form::Abrupt, &|hop, c| c.first_drifted == Some(hop)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_counts_chains_and_its_interval_requests() {
        let cases = [("a", true), ("a", true), ("b", false), ("c", true)];
        let s = share(&cases, 100).unwrap();
        assert_eq!((s.of, s.share), (4, 0.75));
        assert!(s.interval[0] < 0.75 && s.interval[1] >= 0.75);
        assert_eq!(share(&[], 10), None);
    }
}
