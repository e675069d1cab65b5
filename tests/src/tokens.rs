//! Tokens as an attacker, or a careless issuer, would make them.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;
use serde_json::Value;

/// Somebody with a signing key.
pub struct Forger {
    pair: Ed25519KeyPair,
}

impl Forger {
    /// With the server's own key, which a test may read.
    pub fn read(folder: &Path) -> Self {
        let file = |e: &std::fs::DirEntry| e.path().extension().is_some_and(|x| x == "pk8");
        let entry = std::fs::read_dir(folder).unwrap().map(Result::unwrap).find(file).unwrap();
        Self { pair: Ed25519KeyPair::from_pkcs8(&std::fs::read(entry.path()).unwrap()).unwrap() }
    }

    /// With a key that nobody knows.
    pub fn stranger() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self { pair: Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap() }
    }
}

/// The claims of a token.
pub fn claims(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

/// The token with other claims under the same header, signed by `forger`.
pub fn resigned(token: &str, forger: &Forger, change: impl FnOnce(&mut Value)) -> String {
    let header = token.split('.').next().unwrap();
    let mut claims = claims(token);
    change(&mut claims);
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = forger.pair.sign(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}
