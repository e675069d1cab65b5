//! What is carried from hop to hop: the part of a chain's state that needs no hop before the last [`LOOK_BACK`].

use super::change::{LOOK_BACK, Sums};
use super::hop::{Flags, FoundBy, Kept};
use super::parameters::ChainParameters;

/// State after some hops, in order.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Running {
    sums: Sums,
    /// Drift that has gathered.
    pub statistic: f64,
    /// Whether the last hop added to it.
    pub rose: bool,
    /// The largest that it ever was.
    peak: f64,
    /// Where it had begun to rise when it was largest.
    began: Option<Kept>,
    /// The first hop whose own drift reached its threshold.
    first: Option<Kept>,
    /// The largest drift.
    pub max_drift: Option<f64>,
}

impl Running {
    /// After hops of which only the first drifted one is known.
    pub fn drifted(hop: u32, found_by: FoundBy) -> Self {
        let alarm = found_by == FoundBy::Threshold;
        let flags = Flags { scored: true, alarm, passed: false };
        let hop = Kept { hop, flags, ..Kept::default() };
        match found_by {
            FoundBy::Threshold => Self { first: Some(hop), ..Self::default() },
            FoundBy::Cumulative => Self { began: Some(hop), peak: f64::MAX, ..Self::default() },
        }
    }

    /// Takes the next hop in; `before` are those before it, in order.
    pub fn step(&mut self, parameters: &ChainParameters, before: &[Kept], hop: &Kept) {
        if !hop.flags.scored {
            self.rose = false;
            return;
        }
        self.max_drift = Some(self.max_drift.map_or(hop.drift, |max| max.max(hop.drift)));
        if hop.flags.alarm && self.first.is_none() {
            self.first = Some(*hop);
        }
        self.sums = self.sums.with(hop.evidence);
        let latest =
            || std::iter::once(hop).chain(before.iter().rev().filter(|h| h.flags.scored)).take(LOOK_BACK);
        let change = parameters.change(self.sums, latest().map(|h| h.evidence));
        self.rose = change.statistic > self.statistic;
        self.statistic = change.statistic;
        if self.statistic > self.peak {
            self.peak = self.statistic;
            self.began = change.back.checked_sub(1).and_then(|back| latest().nth(back)).copied();
        }
    }

    /// Where drift would have begun, if it did.
    pub fn likeliest(&self) -> Option<u32> {
        self.began.map(|h| h.hop)
    }

    /// The first drifted hop. An alarm, of one hop or of the gathered drift, asks for it; it is the hop from which on
    /// drift explains the chain best, since that weighs all hops, and the first at its threshold where none stands out.
    pub fn first_drifted(&self, threshold: f64) -> Option<(Kept, FoundBy)> {
        if self.first.is_none() && self.peak < threshold {
            return None;
        }
        let began = self.began.filter(|_| self.peak >= STANDS_OUT);
        let hop = began.or(self.first)?;
        Some((hop, if hop.flags.alarm { FoundBy::Threshold } else { FoundBy::Cumulative }))
    }
}

/// A change that is likelier than none by less than this, in log-odds, names no hop.
const STANDS_OUT: f64 = 1.0;
