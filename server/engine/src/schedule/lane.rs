//! Lanes, and one of something for each of them.

use serde::{Deserialize, Serialize};

/// How urgent a request is. Lanes are served in strict order; see [`crate::schedule`] for what lower ones are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Somebody holds an action back until the answer is there.
    Enforcement,
    /// Somebody looks on.
    Interactive,
    /// Files, history.
    Bulk,
}

impl Lane {
    /// All, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Enforcement, Self::Interactive, Self::Bulk];

    /// Lanes that are served before this one.
    pub fn above(self) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |lane| *lane < self)
    }

    /// Lanes that are served after this one.
    pub fn below(self) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |lane| *lane > self)
    }

    /// As it is written in configuration and metadata.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforcement => "enforcement",
            Self::Interactive => "interactive",
            Self::Bulk => "bulk",
        }
    }
}

impl std::str::FromStr for Lane {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|lane| lane.name() == text);
        found.ok_or_else(|| "is not one of enforcement, interactive, bulk".to_owned())
    }
}

/// One of something for each lane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerLane<T> {
    /// For [`Lane::Enforcement`].
    pub enforcement: T,
    /// For [`Lane::Interactive`].
    pub interactive: T,
    /// For [`Lane::Bulk`].
    pub bulk: T,
}

impl<T> PerLane<T> {
    /// Makes one for each.
    pub fn from_fn(mut make: impl FnMut(Lane) -> T) -> Self {
        Self {
            enforcement: make(Lane::Enforcement),
            interactive: make(Lane::Interactive),
            bulk: make(Lane::Bulk),
        }
    }

    /// That of `lane`.
    pub fn of(&self, lane: Lane) -> &T {
        match lane {
            Lane::Enforcement => &self.enforcement,
            Lane::Interactive => &self.interactive,
            Lane::Bulk => &self.bulk,
        }
    }

    /// That of `lane`, to change.
    pub fn of_mut(&mut self, lane: Lane) -> &mut T {
        match lane {
            Lane::Enforcement => &mut self.enforcement,
            Lane::Interactive => &mut self.interactive,
            Lane::Bulk => &mut self.bulk,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_read_as_it_is_written_and_in_no_other_way() {
        for lane in Lane::ALL {
            assert_eq!(lane.name().parse(), Ok(lane));
        }
        for bad in ["", "Bulk", "bulk ", "urgent"] {
            assert!(bad.parse::<Lane>().is_err(), "{bad:?}");
        }
    }
}
