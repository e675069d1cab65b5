//! What a sandbox policy says of us in its `config`.

use pbjson_types::value::Kind as Field;
use pbjson_types::{Struct, Value};
use rhumb_proto::v1;

use crate::convert;
use crate::message::Kind;
use crate::policy::Mode;

/// Bytes of a policy's name.
const POLICY_BYTES: usize = 256;

/// What a sandbox policy says of us.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Options {
    /// `policy`: a name that rules of the policy file may ask for.
    pub policy: String,
    /// `mode`
    pub mode: Option<Mode>,
    /// `kind`: what the requests are.
    pub kind: Kind,
    /// `min_provenance`
    pub min_provenance: v1::Provenance,
}

impl Options {
    /// Reads `config`.
    ///
    /// # Errors
    /// One reason for each key that cannot be used, in their order; words of the policy are not repeated but for names.
    pub fn read(config: Option<&Struct>) -> Result<Self, String> {
        let mut options = Self::default();
        let fields = config.map(|config| &config.fields).into_iter().flatten();
        let mut problems: Vec<String> =
            fields.filter_map(|(key, value)| options.set(key, value).err()).collect();
        problems.sort();
        if problems.is_empty() { Ok(options) } else { Err(problems.join("; ")) }
    }

    fn set(&mut self, key: &str, value: &Value) -> Result<(), String> {
        let Some(Field::StringValue(text)) = &value.kind else {
            return Err(format!("{}: needs a text", known(key)?));
        };
        let text = text.as_str();
        match key {
            "policy" if text.len() <= POLICY_BYTES => self.policy = text.to_owned(),
            "policy" => return Err(format!("policy: more than {POLICY_BYTES} bytes")),
            "mode" => self.mode = Some(mode(text)?),
            "kind" => self.kind = kind(text)?,
            "min_provenance" => self.min_provenance = provenance(text)?,
            _ => return known(key).map(|_| ()),
        }
        Ok(())
    }
}

fn known(key: &str) -> Result<&str, String> {
    match key {
        "policy" | "mode" | "kind" | "min_provenance" => Ok(key),
        _ => {
            let shown: String = key.chars().filter(|c| !c.is_control()).take(64).collect();
            Err(format!("{shown}: not known; the keys are policy, mode, kind, min_provenance"))
        }
    }
}

fn mode(text: &str) -> Result<Mode, String> {
    Mode::named(text).ok_or_else(|| "mode: needs enforce or shadow".to_owned())
}

fn kind(text: &str) -> Result<Kind, String> {
    match text {
        "auto" => Ok(Kind::Auto),
        "mcp" => Ok(Kind::Mcp),
        "http" => Ok(Kind::Http),
        _ => Err("kind: needs auto, mcp or http".to_owned()),
    }
}

fn provenance(text: &str) -> Result<v1::Provenance, String> {
    let named = convert::provenance_named(text);
    named.ok_or_else(|| "min_provenance: needs NONE, UNVERIFIED, SERVER_BOUND or SIGNED".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[(&str, Value)]) -> Result<Options, String> {
        let config = fields.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        Options::read(Some(&Struct { fields: config }))
    }

    #[test]
    fn four_keys_are_known() {
        assert_eq!(Options::read(None), Ok(Options::default()));
        let all = [
            ("policy", "payments".into()),
            ("mode", "shadow".into()),
            ("kind", "mcp".into()),
            ("min_provenance", "SERVER_BOUND".into()),
        ];
        let options = read(&all).unwrap();
        assert_eq!((options.policy.as_str(), options.mode), ("payments", Some(Mode::Shadow)));
        assert_eq!((options.kind, options.min_provenance), (Kind::Mcp, v1::Provenance::ServerBound));
    }

    #[test]
    fn everything_else_is_refused_with_a_reason_for_each_key() {
        let bad = [
            ("threshold", Value::from(0.5)),
            ("mode", "observe".into()),
            ("kind", "a2a".into()),
            ("policy", Value::from(7.0)),
            ("min_provenance", "signed".into()),
        ];
        let problems = read(&bad).unwrap_err();
        for (key, _) in bad {
            assert!(problems.contains(&format!("{key}: ")), "{key} in {problems}");
        }
        assert_eq!(problems.matches("; ").count(), 5, "one of them within a reason: {problems}");
    }
}
