//! Words of users: kept, encrypted, or not kept.
//!
//! Encrypted texts use AES-256-GCM with a random key for each file of the log; that key lies, encrypted with the
//! master key, in `text-keys/<number>.key`, and the first record of the file holds the digest of it. To delete the
//! key is to erase the texts of the file; the chain covers the encrypted form and stays whole.

mod seal;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use self::seal::Aead;
use crate::config::TextMode;
use crate::error::LedgerError;
use crate::folder;
use crate::log::hex;
use crate::record::{Content, Decision, Event, IntentVersion};

/// The keys of the files that are read just now; more are read from the disk again.
const CACHED: usize = 64;

/// Opens and seals texts.
pub struct Texts {
    mode: TextMode,
    dir: PathBuf,
    master: Option<Aead>,
    keys: Mutex<BTreeMap<u32, Aead>>,
}

/// What a decision's content is tied to.
pub fn decision_name(decision: &Decision) -> String {
    format!("decision {}", decision.id)
}

/// What an intent's text is tied to.
pub fn intent_name(intent: &IntentVersion) -> String {
    format!("intent {} {}", intent.id, intent.version)
}

impl Texts {
    /// For one who writes: makes the master key if it is needed and not there.
    ///
    /// # Errors
    /// If the master key cannot be read or made.
    pub fn open(root: &Path, mode: TextMode, master: &Path) -> Result<Self, LedgerError> {
        let secret = match mode {
            TextMode::Encrypt => Some(folder::secret_or_new(master)?),
            TextMode::Keep | TextMode::Digest => folder::secret(master)?,
        };
        Ok(Self {
            mode,
            dir: root.join("text-keys"),
            master: secret.map(Aead::new).transpose()?,
            keys: Mutex::default(),
        })
    }

    /// For one who reads a ledger: texts open if the master key is there.
    ///
    /// # Errors
    /// If the master key cannot be read.
    pub fn reader(root: &Path, master: &Path) -> Result<Self, LedgerError> {
        Self::open(root, TextMode::Keep, master)
    }

    /// For a ledger without files.
    pub fn nowhere() -> Self {
        Self { mode: TextMode::Keep, dir: PathBuf::new(), master: None, keys: Mutex::default() }
    }

    /// The mode.
    pub fn mode(&self) -> TextMode {
        self.mode
    }

    fn path(&self, segment: u32) -> PathBuf {
        key_path(&self.dir, segment)
    }

    /// Whether texts can be sealed for this file of the log.
    pub fn ready(&self, segment: u32) -> bool {
        self.mode != TextMode::Encrypt || matches!(self.key(segment), Ok(Some(_)))
    }

    /// Makes the key of a new file of the log, if texts are encrypted. Returns the digest of the key's file.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn begin(&self, segment: u32) -> Result<Option<String>, LedgerError> {
        let Some(master) = self.master.as_ref().filter(|_| self.mode == TextMode::Encrypt) else {
            return Ok(None);
        };
        let secret = folder::random()?;
        let wrapped = format!("{}\n", STANDARD_NO_PAD.encode(master.seal(&wrap_name(segment), &secret)?));
        folder::write_whole(&self.path(segment), wrapped.as_bytes())?;
        Ok(Some(hex(&Sha256::digest(&wrapped))))
    }

    /// Makes the texts of a file unreadable.
    ///
    /// # Errors
    /// If the file cannot be removed.
    pub fn erase(&self, segment: u32) -> Result<(), LedgerError> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).remove(&segment);
        let path = self.path(segment);
        match std::fs::remove_file(&path) {
            Ok(()) => folder::sync(&self.dir),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(LedgerError::io(&path)(e)),
        }
    }

    /// Brings the words of an event into the form that the configuration asks for.
    ///
    /// # Errors
    /// If the key of the file is not there.
    pub fn protect(&self, event: &mut Event, segment: u32) -> Result<(), LedgerError> {
        let (name, content) = match event {
            Event::Decision(decision) => (decision_name(decision), &mut decision.content),
            Event::Intent(intent) => (intent_name(intent), &mut intent.text),
            _ => return Ok(()),
        };
        match self.mode {
            TextMode::Keep => {}
            TextMode::Digest => *content = Content::Absent,
            TextMode::Encrypt => {
                if let Content::Plain(value) = content {
                    *content = Content::Sealed(self.seal(segment, &name, value)?);
                }
            }
        }
        Ok(())
    }

    fn seal(&self, segment: u32, name: &str, value: &Value) -> Result<String, LedgerError> {
        let text = serde_json::to_vec(value).map_err(LedgerError::store)?;
        let key = self.key(segment)?.ok_or_else(|| LedgerError::store("the key of texts is not there"))?;
        Ok(format!("{segment}.{}", STANDARD_NO_PAD.encode(key.seal(name, &text)?)))
    }

    /// The words, if they can be read; what cannot stays as it is, or is absent where its key was erased.
    pub fn reveal(&self, name: &str, content: &Content) -> Content {
        match content {
            Content::Sealed(sealed) => {
                self.unseal(name, sealed).map_or_else(|| content.clone(), Content::Plain)
            }
            other => other.clone(),
        }
    }

    fn unseal(&self, name: &str, sealed: &str) -> Option<Value> {
        let (segment, sealed) = sealed.split_once('.')?;
        let key = self.key(segment.parse().ok()?).ok()??;
        let text = key.open(name, STANDARD_NO_PAD.decode(sealed).ok()?)?;
        serde_json::from_slice(&text).ok()
    }

    fn key(&self, segment: u32) -> Result<Option<Aead>, LedgerError> {
        if let Some(key) = self.keys.lock().unwrap_or_else(PoisonError::into_inner).get(&segment) {
            return Ok(Some(key.clone()));
        }
        let Some(key) = self.unwrap(segment)? else { return Ok(None) };
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= CACHED {
            keys.pop_first();
        }
        keys.insert(segment, key.clone());
        Ok(Some(key))
    }

    fn unwrap(&self, segment: u32) -> Result<Option<Aead>, LedgerError> {
        let Some(master) = &self.master else { return Ok(None) };
        let path = self.path(segment);
        let wrapped = match std::fs::read_to_string(&path) {
            Ok(wrapped) => wrapped,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(LedgerError::io(&path)(e)),
        };
        let damaged =
            || LedgerError::damaged(path.display().to_string(), "is not wrapped with this master key");
        let wrapped = STANDARD_NO_PAD.decode(wrapped.trim_end()).map_err(|_| damaged())?;
        let secret = master.open(&wrap_name(segment), wrapped).ok_or_else(damaged)?;
        Aead::new(secret.try_into().map_err(|_| damaged())?).map(Some)
    }
}

fn wrap_name(segment: u32) -> String {
    format!("rhumb text key {segment}")
}

/// The file with the wrapped key of a file of the log.
pub fn key_path(dir: &Path, segment: u32) -> PathBuf {
    dir.join(format!("{segment:08}.key"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_sealed_text_opens_under_its_own_name_until_its_key_is_erased() {
        let dir = tempfile::tempdir().unwrap();
        folder::create(dir.path()).unwrap();
        let master = dir.path().join("keys/text.key");
        let texts = Texts::open(dir.path(), TextMode::Encrypt, &master).unwrap();
        assert!(!texts.ready(1));
        assert!(texts.begin(1).unwrap().is_some());
        let decision = testing::decision(1);
        let mut event = Event::Decision(Box::new(decision.clone()));
        texts.protect(&mut event, 1).unwrap();
        let Event::Decision(sealed) = event else { panic!() };
        assert!(matches!(sealed.content, Content::Sealed(_)));
        assert_eq!(texts.reveal(&decision_name(&decision), &sealed.content), decision.content);
        assert_eq!(texts.reveal("decision other", &sealed.content), sealed.content);
        texts.erase(1).unwrap();
        assert_eq!(texts.reveal(&decision_name(&decision), &sealed.content), sealed.content);
    }
}
