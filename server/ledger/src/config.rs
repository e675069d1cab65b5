//! The ledger's part of the configuration.

use std::path::PathBuf;

use rhumb_drift::InputError;
use serde::{Deserialize, Serialize};

/// What an acknowledged decision survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// The disk has it before it is acknowledged: survives the loss of power.
    #[default]
    Disk,
    /// The operating system has it before it is acknowledged: survives the death of the program (`kill -9`), not the
    /// loss of power. What was written is brought to the disk about once a second. After the loss of power the log may
    /// end before its signed head, which looks like a log that was cut off: the ledger refuses to start until
    /// somebody who knows better accepts that end ([`crate::Ledger::accept_end`], `rhumb ledger accept-end`).
    Os,
}

/// What becomes of the words of users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextMode {
    /// Kept as they are, in files that only the owner reads.
    #[default]
    Keep,
    /// Encrypted with a key of the log's file, itself encrypted with the master key.
    Encrypt,
    /// Not kept: digests only.
    Digest,
}

impl TextMode {
    /// As the configuration writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Encrypt => "encrypt",
            Self::Digest => "digest",
        }
    }
}

/// How much of the log is checked before the ledger opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartCheck {
    /// Every record, some hundred MB a second.
    #[default]
    All,
    /// What was written since the tables were last made durable; `verify` checks the rest.
    Recent,
}

/// `[ledger]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerConfig {
    /// The folder.
    pub path: PathBuf,
    /// What an acknowledged decision survives.
    #[serde(default)]
    pub durability: Durability,
    /// What becomes of the words of users.
    #[serde(default)]
    pub text: TextMode,
    /// The master key of encrypted texts, 32 bytes; made if it is not there.
    /// Without: `keys/text.key` in the folder.
    #[serde(default)]
    pub text_key_file: Option<PathBuf>,
    /// How much is checked at the start.
    #[serde(default)]
    pub check: StartCheck,
    /// A file of the log ends at about this size, in MiB.
    #[serde(default = "segment_mb")]
    pub segment_mb: u64,
    /// Records older than this are removed; 0: never.
    #[serde(default)]
    pub retain_days: u32,
    /// Encrypted texts older than this are made unreadable; 0: never.
    #[serde(default)]
    pub retain_text_days: u32,
    /// Commands that may wait to be written; one more is refused.
    #[serde(default = "queue")]
    pub queue: usize,
    /// A checkpoint is signed after this many records ...
    #[serde(default = "checkpoint_records")]
    pub checkpoint_records: u64,
    /// ... or after this many seconds in which something was recorded.
    #[serde(default = "checkpoint_seconds")]
    pub checkpoint_seconds: u64,
}

fn segment_mb() -> u64 {
    64
}

fn queue() -> usize {
    4096
}

fn checkpoint_records() -> u64 {
    1000
}

fn checkpoint_seconds() -> u64 {
    60
}

impl LedgerConfig {
    /// Everything but the folder by default.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            durability: Durability::default(),
            text: TextMode::default(),
            text_key_file: None,
            check: StartCheck::default(),
            segment_mb: segment_mb(),
            retain_days: 0,
            retain_text_days: 0,
            queue: queue(),
            checkpoint_records: checkpoint_records(),
            checkpoint_seconds: checkpoint_seconds(),
        }
    }

    /// Whether the values can be used.
    ///
    /// # Errors
    /// Names the field.
    pub fn check(&self) -> Result<(), InputError> {
        let field = |name, good: bool, reason| if good { Ok(()) } else { Err(InputError::new(name, reason)) };
        field("ledger.path", !self.path.as_os_str().is_empty(), "must not be empty")?;
        field("ledger.segment_mb", (1..=4096).contains(&self.segment_mb), "must be 1 to 4096")?;
        field("ledger.queue", (1..=1 << 20).contains(&self.queue), "must be 1 to 1048576")?;
        field("ledger.checkpoint_records", self.checkpoint_records > 0, "must be at least 1")?;
        field("ledger.checkpoint_seconds", self.checkpoint_seconds > 0, "must be at least 1")?;
        let erasable = self.retain_text_days == 0 || self.text == TextMode::Encrypt;
        field(
            "ledger.retain_text_days",
            erasable,
            "needs text = \"encrypt\": a kept text cannot be erased alone",
        )
    }

    /// Where the master key of texts is.
    pub fn text_key_path(&self) -> PathBuf {
        self.text_key_file.clone().unwrap_or_else(|| self.path.join("keys/text.key"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_enough_and_unknown_keys_are_errors() {
        let config: LedgerConfig = serde_json::from_str(r#"{"path":"x"}"#).unwrap();
        assert_eq!(config, LedgerConfig::at("x"));
        config.check().unwrap();
        assert!(serde_json::from_str::<LedgerConfig>(r#"{"path":"x","pathh":1}"#).is_err());
    }

    #[test]
    fn a_bad_value_names_its_field() {
        let bad = LedgerConfig { segment_mb: 0, ..LedgerConfig::at("x") };
        assert!(bad.check().unwrap_err().to_string().contains("ledger.segment_mb"));
        let bad = LedgerConfig { retain_text_days: 3, ..LedgerConfig::at("x") };
        assert!(bad.check().unwrap_err().to_string().contains("encrypt"));
    }
}
