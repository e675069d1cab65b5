//! Signing keys: Ed25519, for intent tokens and for the heads of the log.
//!
//! A folder holds `<kid>.pk8`, the private key that signs now (PKCS #8, mode 0600), and `jwks.json`, the public keys of all
//! times, the newest last. A key that no longer signs loses its private half when it is replaced; its public half stays, so
//! that what it signed can be checked for ever. An operating-system lock on `keys.lock` makes two processes that start at
//! once end with one key.

mod folder;
mod public;

use std::path::Path;

use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use crate::error::LedgerError;
use crate::record::KeyIntroduced;
use crate::writer::now_ms;
use folder::Folder;
pub use public::{PublicKeys, thumbprint};

/// The key that signs now, and the public keys of all before it.
pub struct Keys {
    pair: Ed25519KeyPair,
    kid: String,
    public: PublicKeys,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl Keys {
    /// A fresh key that is kept nowhere.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn ephemeral() -> Result<Self, LedgerError> {
        Self::new(&fresh()?, PublicKeys::default())
    }

    /// The keys of a folder; makes folder and key where there are none.
    ///
    /// # Errors
    /// If the folder cannot be read or written, a file in it is not what it should be, or others may read the private key.
    pub fn open(dir: &Path) -> Result<Self, LedgerError> {
        Self::of(&Folder::lock(dir)?)
    }

    fn of(folder: &Folder) -> Result<Self, LedgerError> {
        match folder.public()? {
            Some(public) => Self::load(folder, public),
            None => Self::start(folder),
        }
    }

    /// Makes a new key, which signs from now on; the public half of the old one stays.
    ///
    /// # Errors
    /// As [`Keys::open`].
    pub fn rotate(dir: &Path) -> Result<Self, LedgerError> {
        let folder = Folder::lock(dir)?;
        let old = Self::of(&folder)?;
        let document = fresh()?;
        let keys = Self::new(&document, old.public)?;
        folder.write_private(&keys.kid, &document)?;
        folder.write_public(&keys.public)?;
        folder.remove_private(&old.kid);
        Ok(keys)
    }

    fn start(folder: &Folder) -> Result<Self, LedgerError> {
        let keys = match folder.only_private()? {
            // The first start was cut off between the two files.
            Some((name, document)) => {
                let keys = Self::new(&document, PublicKeys::default())?;
                folder.check_name(&name, &keys.kid)?;
                keys
            }
            None => {
                let document = fresh()?;
                let keys = Self::new(&document, PublicKeys::default())?;
                folder.write_private(&keys.kid, &document)?;
                keys
            }
        };
        folder.write_public(&keys.public)?;
        Ok(keys)
    }

    /// All tokens of an old key are refused from the next start on; what it signed in the ledger stays good.
    ///
    /// # Errors
    /// As [`Keys::open`]; if the key signs now, or is not known.
    pub fn revoke(dir: &Path, kid: &str) -> Result<(), LedgerError> {
        let folder = Folder::lock(dir)?;
        let mut public = Self::of(&folder)?.public;
        if !public.revoke(kid) {
            let problem = "is not an old key: rotate first if it is the one that signs";
            return Err(rhumb_drift::InputError::new(kid, problem).into());
        }
        folder.write_public(&public)
    }

    fn load(folder: &Folder, mut public: PublicKeys) -> Result<Self, LedgerError> {
        // Whoever opens the keys signs with the newest from now on. A server that was running when they were rotated went
        // on with the old one until now.
        if public.retire(now_ms() / 1000) {
            folder.write_public(&public)?;
        }
        let Some(kid) = public.newest().map(str::to_owned) else {
            return Err(folder.damaged("jwks.json", "holds no key"));
        };
        let keys = Self::new(&folder.read_private(&kid)?, public)?;
        folder.check_name(&kid, &keys.kid)?;
        Ok(keys)
    }

    /// The private key of `document` joins `public` as its newest.
    fn new(document: &[u8], mut public: PublicKeys) -> Result<Self, LedgerError> {
        let pair = Ed25519KeyPair::from_pkcs8(document)
            .map_err(|e| LedgerError::Store(format!("a private key that is no Ed25519 key: {e}")))?;
        let mut x = [0; 32];
        // An Ed25519 public key is 32 bytes.
        x.copy_from_slice(pair.public_key().as_ref());
        let kid = public.add(x);
        Ok(Self { pair, kid, public })
    }

    /// Id of the key that signs.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Signs. 64 bytes.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }

    /// All public keys.
    pub fn public(&self) -> &PublicKeys {
        &self.public
    }

    /// All public keys as a JWK set (RFC 7517), the newest last.
    pub fn jwks(&self) -> String {
        self.public.jwks()
    }

    /// What the log says when this key comes into use.
    pub fn introduced(&self) -> KeyIntroduced {
        KeyIntroduced { kid: self.kid.clone(), x: self.public.x(&self.kid).unwrap_or_default() }
    }
}

fn fresh() -> Result<Vec<u8>, LedgerError> {
    Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
        .map(|document| document.as_ref().to_vec())
        .map_err(|_| LedgerError::Store("no randomness for a key".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_signature_is_good_for_its_message_and_key_alone() {
        let (keys, other) = (Keys::ephemeral().unwrap(), Keys::ephemeral().unwrap());
        let signature = keys.sign(b"head");
        assert!(keys.public().verify(keys.kid(), b"head", &signature));
        assert!(!keys.public().verify(keys.kid(), b"tail", &signature));
        assert!(!keys.public().verify(other.kid(), b"head", &signature));
        assert!(!other.public().verify(other.kid(), b"head", &signature));
    }

    #[test]
    fn a_folder_gives_the_same_key_again() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("keys");
        let first = Keys::open(&dir).unwrap();
        let again = Keys::open(&dir).unwrap();
        assert_eq!((first.kid(), first.jwks()), (again.kid(), again.jwks()));
        assert_eq!(&PublicKeys::read(&dir.join("jwks.json")).unwrap(), first.public());
    }

    #[test]
    fn an_old_key_ends_when_the_new_one_comes_into_use_or_altogether() {
        let dir = tempfile::tempdir().unwrap();
        let old = Keys::open(dir.path()).unwrap().kid().to_owned();
        assert!(Keys::revoke(dir.path(), &old).is_err(), "it signs");
        let new = Keys::rotate(dir.path()).unwrap();
        assert_eq!(new.public().until_s(&old), None, "a running server still signs with it");
        let opened = Keys::open(dir.path()).unwrap();
        let until = opened.public().until_s(&old).unwrap();
        assert!(until > 1_700_000_000 && opened.public().until_s(new.kid()).is_none());
        assert_eq!(Keys::open(dir.path()).unwrap().public(), opened.public());
        Keys::revoke(dir.path(), &old).unwrap();
        assert_eq!(Keys::open(dir.path()).unwrap().public().until_s(&old), Some(0));
    }

    #[test]
    fn what_an_old_key_signed_stays_good_after_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let old = Keys::open(dir.path()).unwrap();
        let signature = old.sign(b"head");
        let new = Keys::rotate(dir.path()).unwrap();
        assert_ne!(old.kid(), new.kid());
        assert!(new.public().verify(old.kid(), b"head", &signature));
        assert_eq!(Keys::open(dir.path()).unwrap().kid(), new.kid());
        assert!(!dir.path().join(format!("{}.pk8", old.kid())).exists(), "the old private key is gone");
    }

    #[test]
    fn many_who_start_at_once_end_with_one_key() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Keys::open(dir.path()).unwrap().kid().to_owned();
        let kids: Vec<String> = std::thread::scope(|s| {
            let threads: Vec<_> = (0..8).map(|_| s.spawn(open)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(kids.windows(2).all(|pair| pair[0] == pair[1]), "{kids:?}");
    }

    #[test]
    fn a_first_start_that_was_cut_off_is_finished() {
        let dir = tempfile::tempdir().unwrap();
        let first = Keys::open(dir.path()).unwrap();
        fs::remove_file(dir.path().join("jwks.json")).unwrap();
        assert_eq!(Keys::open(dir.path()).unwrap().kid(), first.kid());
    }

    #[test]
    fn a_missing_or_foreign_private_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(format!("{}.pk8", Keys::open(dir.path()).unwrap().kid()));
        fs::write(&path, fresh().unwrap()).unwrap();
        assert!(Keys::open(dir.path()).unwrap_err().to_string().contains("another key"));
        fs::write(&path, b"no key").unwrap();
        assert!(Keys::open(dir.path()).is_err());
        fs::remove_file(&path).unwrap();
        assert!(Keys::open(dir.path()).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn the_private_key_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(format!("{}.pk8", Keys::open(dir.path()).unwrap().kid()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(Keys::open(dir.path()).unwrap_err().to_string().contains("others may read"));
    }
}
