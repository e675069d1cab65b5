//! Public keys, and the JWK set they are written as.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::LedgerError;

/// Public keys by id, the newest last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublicKeys {
    keys: Vec<Key>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    kid: String,
    x: [u8; 32],
    /// When it ceased to sign tokens, in seconds since 1970; 0: none of its tokens counts any more.
    until_s: Option<u64>,
}

impl PublicKeys {
    /// Reads a JWK set of Ed25519 keys.
    ///
    /// # Errors
    /// Names the file; a key of another type, a private key, an id that is not the key's thumbprint are refused.
    pub fn read(path: &Path) -> Result<Self, LedgerError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| LedgerError::Io { path: path.to_owned(), source })?;
        Self::parse(&text)
            .map_err(|problem| LedgerError::Damaged { place: path.display().to_string(), problem })
    }

    /// Reads the text of a JWK set of Ed25519 keys.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let set: JwkSet = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let mut keys = Self::default();
        for (i, jwk) in set.keys.iter().enumerate() {
            let x = jwk.key().map_err(|problem| format!("keys[{i}]: {problem}"))?;
            if keys.contains(&jwk.kid) {
                return Err(format!("keys[{i}]: kid: stands twice"));
            }
            keys.keys.push(Key { kid: jwk.kid.clone(), x, until_s: jwk.until_s });
        }
        Ok(keys)
    }

    /// Adds a key as the newest; returns its id.
    pub(super) fn add(&mut self, x: [u8; 32]) -> String {
        let kid = thumbprint(&x);
        if !self.contains(&kid) {
            self.keys.push(Key { kid: kid.clone(), x, until_s: None });
        }
        kid
    }

    /// Notes for all but the newest that they sign tokens no more; says whether that is news.
    pub(super) fn retire(&mut self, at_s: u64) -> bool {
        let old = self.keys.len().saturating_sub(1);
        let open = self.keys.iter_mut().take(old).filter(|key| key.until_s.is_none());
        open.map(|key| key.until_s = Some(at_s)).count() > 0
    }

    /// None of the tokens of an old key counts any more; false where it is the newest, or not there.
    pub(super) fn revoke(&mut self, kid: &str) -> bool {
        let old = self.keys.len().saturating_sub(1);
        let key = self.keys.iter_mut().take(old).find(|key| key.kid == kid);
        key.map(|key| key.until_s = Some(0)).is_some()
    }

    /// Until when a key signed tokens, in seconds since 1970; absent while it signs.
    pub fn until_s(&self, kid: &str) -> Option<u64> {
        self.find(kid)?.until_s
    }

    fn find(&self, kid: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.kid == kid)
    }

    /// Whether `signature` over `message` is that of the key `kid`.
    pub fn verify(&self, kid: &str, message: &[u8], signature: &[u8]) -> bool {
        let Some(key) = self.get(kid) else { return false };
        UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok()
    }

    /// Whether there is a key of this id.
    pub fn contains(&self, kid: &str) -> bool {
        self.get(kid).is_some()
    }

    /// The key of an id.
    pub fn get(&self, kid: &str) -> Option<&[u8; 32]> {
        self.find(kid).map(|key| &key.x)
    }

    /// Id of the newest key.
    pub fn newest(&self) -> Option<&str> {
        self.keys.last().map(|key| key.kid.as_str())
    }

    /// Ids, the oldest first.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.kid.as_str())
    }

    /// The key as base64url.
    pub fn x(&self, kid: &str) -> Option<String> {
        self.get(kid).map(|x| URL_SAFE_NO_PAD.encode(x))
    }

    /// The JWK set (RFC 7517), the newest last.
    pub fn jwks(&self) -> String {
        let keys = self.keys.iter().map(Jwk::new).collect();
        // A struct of strings always has a JSON form.
        serde_json::to_string_pretty(&JwkSet { keys }).unwrap_or_default()
    }
}

/// Id of an Ed25519 key: its thumbprint (RFC 7638, with the members of RFC 8037).
pub fn thumbprint(x: &[u8; 32]) -> String {
    let x = URL_SAFE_NO_PAD.encode(x);
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JwkSet {
    keys: Vec<Jwk>,
}

/// A public key. Unknown members are refused: `d` would be the private half, in a file that everybody may read.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Jwk {
    kty: String,
    crv: String,
    x: String,
    kid: String,
    #[serde(rename = "use")]
    purpose: String,
    alg: String,
    /// As OpenID Federation names it.
    #[serde(rename = "exp", default, skip_serializing_if = "Option::is_none")]
    until_s: Option<u64>,
}

impl Jwk {
    fn new(key: &Key) -> Self {
        Self {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            x: URL_SAFE_NO_PAD.encode(key.x),
            kid: key.kid.clone(),
            purpose: "sig".to_owned(),
            alg: "EdDSA".to_owned(),
            until_s: key.until_s,
        }
    }

    fn key(&self) -> Result<[u8; 32], String> {
        let fixed = [self.kty.as_str(), self.crv.as_str(), self.purpose.as_str(), self.alg.as_str()];
        if fixed != ["OKP", "Ed25519", "sig", "EdDSA"] {
            return Err("no Ed25519 key for signatures".to_owned());
        }
        let bytes = URL_SAFE_NO_PAD.decode(&self.x).map_err(|e| format!("x: {e}"))?;
        let x = <[u8; 32]>::try_from(bytes).map_err(|_| "x: not 32 bytes".to_owned())?;
        if thumbprint(&x) != self.kid {
            return Err("kid: not the key's thumbprint".to_owned());
        }
        Ok(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Keys;

    #[test]
    fn the_id_is_the_thumbprint_of_the_rfc() {
        // RFC 8037, appendix A.3.
        let x = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        assert_eq!(thumbprint(&x.try_into().unwrap()), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn a_set_reads_back_as_itself() {
        let keys = Keys::ephemeral().unwrap();
        assert_eq!(&PublicKeys::parse(&keys.jwks()).unwrap(), keys.public());
    }

    #[test]
    fn a_set_with_anything_strange_is_refused() {
        let good = Keys::ephemeral().unwrap().jwks();
        let other = thumbprint(&[7; 32]);
        let kid = PublicKeys::parse(&good).unwrap().newest().unwrap().to_owned();
        let bad = [
            good.replace("\"crv\"", "\"d\": \"AAAA\", \"crv\""),
            good.replace("OKP", "oct"),
            good.replace("EdDSA", "none"),
            good.replace(&kid, &other),
            good.replace("\"keys\"", "\"keyz\""),
            String::new(),
        ];
        for text in bad {
            assert!(PublicKeys::parse(&text).is_err(), "{text}");
        }
    }
}
