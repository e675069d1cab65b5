//! What ends a command, and its exit code: 1 for a failed check, 2 for wrong use or bad input: what another command line or
//! other input would mend.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use rhumb_models::encoder::EncoderError;
use rhumb_models::{BundleError, Manifest};

/// One clear line for a person, and an exit code.
#[derive(Debug)]
pub struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// A check that failed, or something that broke.
    pub fn check(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), code: 1 }
    }

    /// Wrong use or bad input.
    pub fn input(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), code: 2 }
    }

    /// An i/o error of the thing named `what`.
    pub fn io(what: impl fmt::Display) -> impl FnOnce(std::io::Error) -> Self {
        move |e| Self::check(format!("{what}: {e}"))
    }

    /// A file that cannot be opened or read is bad input.
    pub fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |e| Self::input(format!("{path}: {e}"))
    }

    /// A bundle that cannot be had. A name that nobody knows is wrong use; a known one is not, where it is not installed yet
    /// or is damaged.
    pub fn bundle(error: &BundleError) -> Self {
        match error {
            BundleError::Name { .. } => Self::input(error),
            BundleError::Missing { name, .. } if Manifest::built_in(name).is_none() => Self::input(error),
            _ => Self::check(error),
        }
    }

    /// An encoder that cannot be had. A device or precision that is not there was asked for.
    pub fn encoder(error: &EncoderError) -> Self {
        match error {
            EncoderError::Unavailable(_) => Self::input(error),
            _ => Self::check(error),
        }
    }

    /// The same, with what it is about before it.
    pub fn of(self, what: impl fmt::Display) -> Self {
        Self { message: format!("{what}: {}", self.message), ..self }
    }

    /// The exit code.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

/// An error and the one that caused it, which is often the one that says something.
pub fn with_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_command_line_mends_is_wrong_use_and_what_broke_is_not() {
        let missing = |name: &str| BundleError::Missing {
            name: name.into(),
            path: "bundles".into(),
            hint: String::new(),
        };
        let lacks = BundleError::MissingFile { name: "minilm".into(), path: "config.json".into() };
        let bundles = [
            (missing("nosuch"), 2),
            (BundleError::Name { name: "No Such".into() }, 2),
            (missing("minilm"), 1),
            (lacks, 1),
        ];
        for (error, code) in bundles {
            assert_eq!(Failure::bundle(&error).exit_code(), ExitCode::from(code), "{error}");
        }
        let (absent, broken) = (EncoderError::Unavailable("x".into()), EncoderError::SelfTest("x".into()));
        assert_eq!(Failure::encoder(&absent).exit_code(), ExitCode::from(2));
        assert_eq!(Failure::encoder(&broken).exit_code(), ExitCode::from(1));
        let named = Failure::encoder(&absent).of("model minilm");
        assert_eq!(named.exit_code(), ExitCode::from(2));
        assert!(named.to_string().starts_with("model minilm: "));
    }
}
