//! Signing keys: Ed25519, for intent tokens and for the heads of the log.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use sha2::{Digest as _, Sha256};

use crate::error::LedgerError;

/// Public keys by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublicKeys {
    keys: BTreeMap<String, [u8; 32]>,
}

impl PublicKeys {
    /// Whether `signature` over `message` is that of the key `kid`.
    pub fn verify(&self, kid: &str, message: &[u8], signature: &[u8]) -> bool {
        let Some(key) = self.keys.get(kid) else { return false };
        UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok()
    }

    /// Whether there is a key of this id.
    pub fn contains(&self, kid: &str) -> bool {
        self.keys.contains_key(kid)
    }
}

/// The key that signs now, and the public keys of all before it.
pub struct Keys {
    pair: Ed25519KeyPair,
    kid: String,
    public: PublicKeys,
}

impl Keys {
    /// A fresh key that is kept nowhere.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn ephemeral() -> Result<Self, LedgerError> {
        let fail = |_| LedgerError::Store("no randomness for a key".to_owned());
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(fail)?;
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref())
            .map_err(|e| LedgerError::Store(format!("a fresh key: {e}")))?;
        let mut x = [0; 32];
        x.copy_from_slice(pair.public_key().as_ref());
        let kid = key_id(&x);
        let public = PublicKeys { keys: BTreeMap::from([(kid.clone(), x)]) };
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
}

/// The first 16 characters of the key's own thumbprint.
fn key_id(x: &[u8; 32]) -> String {
    let mut id = URL_SAFE_NO_PAD.encode(Sha256::digest(x));
    id.truncate(16);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_good_for_its_message_and_key_alone() {
        let (keys, other) = (Keys::ephemeral().unwrap(), Keys::ephemeral().unwrap());
        let signature = keys.sign(b"head");
        assert!(keys.public().verify(keys.kid(), b"head", &signature));
        assert!(!keys.public().verify(keys.kid(), b"tail", &signature));
        assert!(!keys.public().verify(other.kid(), b"head", &signature));
        assert!(!other.public().verify(other.kid(), b"head", &signature));
    }
}
