//! AES-256-GCM with a random nonce before the ciphertext. A key seals the texts of one file of the log, some tens of
//! thousands: far from where random nonces of 96 bits meet.

use std::sync::Arc;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::error::LedgerError;

/// A key.
#[derive(Clone)]
pub struct Aead(Arc<LessSafeKey>);

impl Aead {
    /// Of 32 bytes.
    pub fn new(secret: [u8; 32]) -> Result<Self, LedgerError> {
        let key = UnboundKey::new(&AES_256_GCM, &secret).map_err(|_| LedgerError::store("a key of texts"))?;
        Ok(Self(Arc::new(LessSafeKey::new(key))))
    }

    /// Nonce, ciphertext and tag; `name` must be given again to open it.
    pub fn seal(&self, name: &str, text: &[u8]) -> Result<Vec<u8>, LedgerError> {
        let fail = |_| LedgerError::store("a text cannot be encrypted");
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(fail)?;
        let mut sealed = text.to_vec();
        let aad = Aad::from(name.as_bytes());
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed)
            .map_err(fail)?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// The text, if it was sealed with this key under this name.
    pub fn open(&self, name: &str, sealed: Vec<u8>) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut text = text.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let open = self.0.open_in_place(nonce, Aad::from(name.as_bytes()), &mut text).ok()?;
        Some(open.to_vec())
    }
}
