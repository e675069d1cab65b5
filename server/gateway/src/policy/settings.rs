//! The keys of `[defaults]` and of a rule's `set`: each may be left out, and changes one part of a ruling.

use rhumb_drift::{Policy as Verdicts, Verdict};
use rhumb_ledger::intent::config::{MinProvenance, Provenance};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::marker::PhantomData;

use super::ruling::{ByEffect, Missing, Mode, Outcome, Ruling};
use crate::surface::Surface;

/// A value for both effects, or one for each; what is left out stays as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Either<T> {
    read: Option<T>,
    write: Option<T>,
}

impl<T: Copy> Either<T> {
    fn put(self, into: &mut ByEffect<T>) {
        into.read = self.read.unwrap_or(into.read);
        into.write = self.write.unwrap_or(into.write);
    }
}

impl<'de, T: Deserialize<'de> + Copy> Deserialize<'de> for Either<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Form<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de> + Copy> Visitor<'de> for Form<T> {
            type Value = Either<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value, or { read = ..., write = ... }")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Either<T>, E> {
                let value = T::deserialize(serde::de::value::StrDeserializer::new(text))?;
                Ok(Either { read: Some(value), write: Some(value) })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Either<T>, A::Error> {
                let mut either = Either { read: None, write: None };
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "read" => either.read = Some(map.next_value()?),
                        "write" => either.write = Some(map.next_value()?),
                        _ => return Err(A::Error::unknown_field(&key, &["read", "write"])),
                    }
                }
                Ok(either)
            }
        }
        from.deserialize_any(Form(PhantomData))
    }
}

macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $key:ident: $type:ty => |$ruling:ident, $value:ident| $apply:expr;)+) => {
        /// See the module.
        #[derive(Debug, Clone, PartialEq, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Settings {
            $($(#[doc = $doc])+ pub $key: Option<$type>,)+
        }

        impl Settings {
            /// Changes a ruling.
            pub fn apply(&self, ruling: &mut Ruling) {
                $(if let Some($value) = self.$key {
                    let $ruling = &mut *ruling;
                    $apply;
                })+
            }

            /// Names of the keys that are set.
            pub fn keys(&self) -> Vec<&'static str> {
                let mut keys = Vec::new();
                $(if self.$key.is_some() {
                    keys.push(stringify!($key));
                })+
                keys
            }
        }
    };
}

settings! {
    /// Whether verdicts are enforced.
    mode: Mode => |r, v| r.mode = v;
    /// In place of the calibration's threshold, 0 to 1.
    threshold: f64 => |r, v| r.threshold = Some(v);
    /// For reads at and above the threshold.
    read: Verdict => |r, v| r.verdicts.read = v;
    /// For writes, and actions of unknown effect, at and above the threshold.
    write: Verdict => |r, v| r.verdicts.write = v;
    /// For the same at and above `far`.
    write_far: Verdict => |r, v| r.verdicts.write_far = v;
    /// The drift from which a write counts as far off.
    far: f64 => |r, v| r.verdicts.far = v;
    /// At least this for a read that could not be seen whole.
    truncated_read: Verdict => |r, v| r.verdicts.truncated_read = v;
    /// The same for the rest.
    truncated_write: Verdict => |r, v| r.verdicts.truncated_write = v;
    /// At least this for a read of a request that hands over what is to be done.
    delegated_read: Verdict => |r, v| r.verdicts.delegated_read = v;
    /// The same for the rest.
    delegated_write: Verdict => |r, v| r.verdicts.delegated_write = v;
    /// At least this for a read in a chain that has drifted as a whole.
    chain_read: Verdict => |r, v| r.verdicts.chain_read = v;
    /// The same for the rest.
    chain_write: Verdict => |r, v| r.verdicts.chain_write = v;
    /// Where there is no originating request.
    no_anchor: Verdict => |r, v| r.verdicts.no_anchor = v;
    /// Where an intent is forged, tampered with, expired or revoked.
    intent_refused: Verdict => |r, v| r.verdicts.intent_refused = v;
    /// Where the action could not be read.
    unparsable: Verdict => |r, v| r.verdicts.unparsable = v;
    /// At least this where a tool's description is not the one that was pinned.
    changed_tool: Verdict => |r, v| r.changed_tool = v;
    /// At least this for an action that comes again within `intents.replay_window_s`.
    replayed: Verdict => |r, v| r.replayed = v;
    /// At least this for an action, but no read, with an address that neither request nor trusted context knows.
    new_address: Verdict => |r, v| r.new_address = v;
    /// Without a score.
    on_missing: Missing => |r, v| r.on_missing = v;
    /// What ABSTAIN means at a point that can only let pass or stop.
    on_abstain: Either<Outcome> => |r, v| v.put(&mut r.on_abstain);
    /// The least trust that an action needs.
    min_provenance: Either<Provenance> => |r, v| v.put(&mut r.min_provenance);
}

impl Settings {
    /// Checks the numbers, and what may not be.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<(), String> {
        if self.threshold.is_some_and(|threshold| !(0.0..=1.0).contains(&threshold)) {
            return Err("threshold: needs a number from 0 to 1".to_owned());
        }
        let floors = [
            ("changed_tool", self.changed_tool),
            ("replayed", self.replayed),
            ("new_address", self.new_address),
        ];
        if let Some((key, _)) = floors.iter().find(|(_, floor)| *floor == Some(Verdict::Abstain)) {
            return Err(format!("{key}: ABSTAIN is no floor; ALLOW switches it off"));
        }
        // The rest are verdicts, for which the configuration's own check holds; what is not set here is good.
        let mut ruling = Ruling::base(&Verdicts::default(), MinProvenance::default(), Surface::default());
        self.apply(&mut ruling);
        ruling.verdicts.check()
    }
}
