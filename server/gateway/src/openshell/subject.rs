//! Whether the human who signed for an intent is the one who creates a sandbox for it.

use serde::Deserialize;

const SUBJECT: &str = "{subject}";
const PROVIDER: &str = "{provider}";

/// How the `sub` of an intent token and the subject of a gateway's principal belong together.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum SubjectRule {
    /// They are the same.
    #[default]
    Equals,
    /// `sub` ends with the subject, after a `:` or `/`: `user:alice` is `alice`.
    Suffix,
    /// `sub` is this text with the principal's `{subject}`, and maybe `{provider}`, put in.
    Template(String),
}

impl TryFrom<String> for SubjectRule {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "equals" => Ok(Self::Equals),
            "suffix" => Ok(Self::Suffix),
            _ if text.contains(SUBJECT) => Ok(Self::Template(text)),
            _ => Err(format!("subject: needs equals, suffix, or a text with {SUBJECT}")),
        }
    }
}

impl SubjectRule {
    /// Whether `sub` is this subject's. Nobody is the empty subject.
    pub fn matches(&self, sub: &str, subject: &str, provider: &str) -> bool {
        if subject.is_empty() {
            return false;
        }
        match self {
            Self::Equals => sub == subject,
            Self::Suffix => sub
                .strip_suffix(subject)
                .is_some_and(|before| before.is_empty() || before.ends_with([':', '/'])),
            Self::Template(template) => put_in(template, subject, provider) == sub,
        }
    }
}

/// In one pass: what is put in is not looked at again.
fn put_in(template: &str, subject: &str, provider: &str) -> String {
    let of_provider = |part: &str| part.replace(PROVIDER, provider);
    template.split(SUBJECT).map(of_provider).collect::<Vec<_>>().join(subject)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> SubjectRule {
        SubjectRule::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn a_subject_matches_by_its_rule_alone() {
        assert!(rule("equals").matches("user:alice", "user:alice", ""));
        assert!(!rule("equals").matches("user:alice", "alice", ""));
        for sub in ["user:alice", "oidc/alice", "alice"] {
            assert!(rule("suffix").matches(sub, "alice", ""), "{sub}");
        }
        assert!(!rule("suffix").matches("malice", "alice", ""));
        assert!(rule("user:{subject}").matches("user:alice", "alice", "oidc"));
        assert!(rule("{provider}:{subject}").matches("oidc:alice", "alice", "oidc"));
        assert!(!rule("{provider}:{subject}").matches("oidc:alice", "alice", "mtls"));
    }

    #[test]
    fn what_is_put_in_is_not_read_as_a_template() {
        assert!(!rule("{provider}:{subject}").matches("a:alice:b", "{provider}", "alice"));
        assert!(rule("user:{subject}").matches("user:{provider}", "{provider}", "oidc"));
    }

    #[test]
    fn nobody_is_the_empty_subject_and_no_rule_takes_everybody() {
        for text in ["equals", "suffix", "user:{subject}"] {
            assert!(!rule(text).matches("", "", "") && !rule(text).matches("user:", "", ""), "{text}");
        }
        assert!(SubjectRule::try_from("any".to_owned()).is_err());
    }
}
