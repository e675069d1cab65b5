//! The manifest: what a bundle is, where it may be had, and the digest of each of its files.

use serde::{Deserialize, Serialize};

use super::{BundleError, rules};

/// Manifests that ship inside the program: for these names no file on disk can change what is accepted.
const BUILT_IN: &[(&str, &str)] = &[("minilm", include_str!("../../bundles/minilm.toml"))];

/// The file name of a manifest inside a bundle.
pub(super) const FILE_NAME: &str = "bundle.toml";

/// A bundle's description; obtain one with [`Manifest::parse`] or [`Manifest::built_in`], which check it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Manifest {
    /// `[a-z0-9][a-z0-9._-]{0,63}`; also the name of the bundle's directory.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// The licence of the weights, as an SPDX expression.
    pub licence: String,
    /// The hub repository, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// A Python wheel with the same bytes, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wheel: Option<Wheel>,
    /// `sha256:` and the digest of the weights that these were rounded from, if they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rounded_from: Option<String>,
    /// How to turn text into vectors with these files.
    pub encoder: EncoderSpec,
    /// The files: exactly one of each role.
    pub files: Vec<FileSpec>,
}

/// A repository on the hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// `owner/name`.
    pub repository: String,
    /// A commit, tag or branch.
    pub revision: String,
}

/// A Python wheel that holds the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wheel {
    /// The package's name.
    pub package: String,
    /// The exact version.
    pub version: String,
    /// The folder inside the wheel under which the files lie.
    pub prefix: String,
}

/// How the model turns tokens into one vector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderSpec {
    /// The network.
    pub architecture: Architecture,
    /// How token vectors become one.
    pub pooling: Pooling,
    /// Whether the vector is scaled to length one.
    pub normalize: bool,
    /// Tokens, special tokens included; 8 to 8192.
    pub max_length: usize,
}

/// The networks that can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Architecture {
    /// BERT.
    Bert,
    /// RoBERTa and those built like it: XLM-RoBERTa, CamemBERT.
    Roberta,
    /// MPNet: attention that knows distances.
    Mpnet,
    /// DistilBERT.
    Distilbert,
}

/// How the vectors of the tokens become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// Their mean, padding left out.
    Mean,
    /// The first token's.
    Cls,
}

/// One file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    /// What it is for.
    pub role: Role,
    /// Relative to the bundle's directory, with `/`.
    pub path: String,
    /// Bytes; at most 8 GiB.
    pub size: u64,
    /// 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// What a file of a bundle is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The weights, as safetensors.
    Weights,
    /// The tokenizer, as JSON.
    Tokenizer,
    /// The network's shape, as JSON.
    Config,
}

impl Manifest {
    /// Reads and checks a manifest; `origin` names the text in errors.
    ///
    /// # Errors
    /// [`BundleError::Manifest`] if the text is not TOML of this shape or breaks a rule.
    pub fn parse(text: &str, origin: &str) -> Result<Self, BundleError> {
        let invalid = |reason| BundleError::Manifest { origin: origin.to_owned(), reason };
        let manifest: Self = toml::from_str(text).map_err(|error| invalid(located(text, &error)))?;
        rules::check(&manifest).map_err(invalid)?;
        Ok(manifest)
    }

    /// The manifest that ships with the program under this name.
    #[must_use]
    pub fn built_in(name: &str) -> Option<Self> {
        let (name, text) = BUILT_IN.iter().find(|(known, _)| *known == name)?;
        Self::parse(text, name).ok()
    }

    /// The names that [`Manifest::built_in`] knows.
    pub fn built_in_names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// The model's digest: `sha256:` and that of the weights, which alone decide the vectors' space. Of rounded weights it
    /// is that of those they were rounded from: calibrations and vectors of the one are good for the other.
    #[must_use]
    pub fn digest(&self) -> String {
        if let Some(digest) = &self.rounded_from {
            return digest.clone();
        }
        format!("sha256:{}", self.file(Role::Weights).map_or("", |file| file.sha256.as_str()))
    }

    /// The file of a role; always there in a manifest that was parsed.
    #[must_use]
    pub fn file(&self, role: Role) -> Option<&FileSpec> {
        self.files.iter().find(|file| file.role == role)
    }

    /// The text to keep beside the files.
    pub(super) fn to_text(&self) -> Result<String, BundleError> {
        toml::to_string(self)
            .map_err(|error| BundleError::Manifest { origin: self.name.clone(), reason: error.to_string() })
    }
}

/// The parser's message on one line, after the number of the line it is about.
fn located(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let message = error.message().replace('\n', " ");
    before.map_or(message.clone(), |before| format!("line {}: {message}", before.matches('\n').count() + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::testing;

    #[test]
    fn every_built_in_manifest_parses_under_its_own_name() {
        for name in Manifest::built_in_names() {
            assert_eq!(Manifest::built_in(name).unwrap().name, name);
        }
        assert_eq!(Manifest::built_in("nothing"), None);
    }

    #[test]
    fn the_model_digest_is_that_of_the_weights() {
        let digest = Manifest::built_in("minilm").unwrap().digest();
        assert_eq!(digest, "sha256:53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db");
    }

    #[test]
    fn a_manifest_survives_being_written_and_read() {
        for manifest in [Manifest::built_in("minilm").unwrap(), testing::manifest("tiny")] {
            assert_eq!(Manifest::parse(&manifest.to_text().unwrap(), "again").unwrap(), manifest);
        }
    }

    #[test]
    fn an_unknown_field_names_the_origin_and_the_line() {
        let text = format!("colour = 1\n{}", testing::text("tiny"));
        let error = Manifest::parse(&text, "some.toml").unwrap_err().to_string();
        assert!(error.starts_with("manifest some.toml: line 1: unknown field `colour`"), "{error}");
    }
}
