//! The public keys of an issuer, by id.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::keys::PublicKeys;

/// How an issuer signs. One per issuer, by configuration; what a token says of it is only compared. `none` and the
/// algorithms with a shared secret do not exist here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// RSA, PKCS #1 v1.5 with SHA-256; keys of 2,048 to 8,192 bits.
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
}

impl Algorithm {
    /// As in a header.
    pub fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Key {
    /// 32 bytes.
    Ed25519(Vec<u8>),
    /// Big-endian modulus and exponent.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// `0x04`, x, y.
    P256(Vec<u8>),
}

/// The keys of one issuer, all of one algorithm.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySet {
    keys: BTreeMap<String, Key>,
    /// When keys ceased to sign, in seconds since 1970.
    ended: BTreeMap<String, u64>,
}

impl From<&PublicKeys> for KeySet {
    fn from(public: &PublicKeys) -> Self {
        let key = |kid: &str| Some((kid.to_owned(), Key::Ed25519(public.get(kid)?.to_vec())));
        let ended = |kid: &str| Some((kid.to_owned(), public.until_s(kid)?));
        Self {
            keys: public.kids().filter_map(key).collect(),
            ended: public.kids().filter_map(ended).collect(),
        }
    }
}

impl KeySet {
    /// Reads a JWK set; takes the keys of `algorithm` and leaves the others.
    ///
    /// # Errors
    /// If the text is no JWK set, an id stands twice, a private key is among them, or no key is of use.
    pub fn parse(text: &str, algorithm: Algorithm) -> Result<Self, String> {
        let set = super::json::object(text.as_bytes())?;
        let Some(Value::Array(list)) = set.get("keys") else { return Err("keys: not a list".to_owned()) };
        let mut keys = BTreeMap::new();
        for (i, jwk) in list.iter().enumerate() {
            let at = |problem: String| format!("keys[{i}]: {problem}");
            let jwk = jwk.as_object().ok_or_else(|| at("not an object".to_owned()))?;
            let Some((kid, key)) = read(jwk, algorithm).map_err(at)? else { continue };
            if keys.insert(kid, key).is_some() {
                return Err(at("kid: stands twice".to_owned()));
            }
        }
        if keys.is_empty() {
            return Err(format!("no key for {}", algorithm.name()));
        }
        Ok(Self { keys, ended: BTreeMap::new() })
    }

    /// Whether there is a key of this id.
    pub fn contains(&self, kid: &str) -> bool {
        self.keys.contains_key(kid)
    }

    /// Whether a key still signed at a time, in seconds since 1970.
    pub fn signed_at(&self, kid: &str, at_s: u64) -> bool {
        self.ended.get(kid).is_none_or(|ended| at_s <= *ended)
    }

    /// Whether `signature` over `message` is that of the key `kid`.
    pub fn verify(&self, kid: &str, message: &[u8], signature: &[u8]) -> bool {
        self.keys.get(kid).is_some_and(|key| key.verify(message, signature))
    }
}

impl Key {
    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Ed25519(x) => UnparsedPublicKey::new(&ED25519, x).verify(message, signature),
            Self::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            Self::Rsa { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
        }
        .is_ok()
    }
}

/// A key with its id; `None` for one that is not for signatures by `algorithm`, or has no id.
fn read(jwk: &Map<String, Value>, algorithm: Algorithm) -> Result<Option<(String, Key)>, String> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    if jwk.contains_key("d") || text("kty") == Some("oct") {
        return Err("a private or shared key in a public place".to_owned());
    }
    let (Some(kid), Some(kty)) = (text("kid"), text("kty")) else { return Ok(None) };
    let of_use = text("use").is_none_or(|u| u == "sig") && text("alg").is_none_or(|a| a == algorithm.name());
    let key = match (algorithm, kty, text("crv")) {
        _ if !of_use || kid.is_empty() => return Ok(None),
        (Algorithm::EdDsa, "OKP", Some("Ed25519")) => Key::Ed25519(bytes(jwk, "x", 32)?),
        (Algorithm::Es256, "EC", Some("P-256")) => {
            Key::P256([vec![4], bytes(jwk, "x", 32)?, bytes(jwk, "y", 32)?].concat())
        }
        (Algorithm::Rs256, "RSA", _) => rsa(jwk)?,
        _ => return Ok(None),
    };
    Ok(Some((kid.to_owned(), key)))
}

fn rsa(jwk: &Map<String, Value>) -> Result<Key, String> {
    let (n, e) = (decode(jwk, "n")?, decode(jwk, "e")?);
    let bits = n.len() * 8 - n.first().map_or(0, |b| b.leading_zeros() as usize);
    if bits < 2048 {
        return Err(format!("n: {bits} bits, at least 2048 are needed"));
    }
    Ok(Key::Rsa { n, e })
}

fn bytes(jwk: &Map<String, Value>, name: &str, length: usize) -> Result<Vec<u8>, String> {
    let bytes = decode(jwk, name)?;
    if bytes.len() == length { Ok(bytes) } else { Err(format!("{name}: not {length} bytes")) }
}

fn decode(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, String> {
    let text = jwk.get(name).and_then(Value::as_str).ok_or_else(|| format!("{name}: missing"))?;
    URL_SAFE_NO_PAD.decode(text).map_err(|e| format!("{name}: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7515, appendix A.3: an ES256 key, and what it signed.
    const P256: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"a",
        "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;
    const P256_SIGNED: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    const P256_SIGNATURE: &str =
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

    /// RFC 7515, appendix A.2: an RS256 key, and what it signed.
    const RSA_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
    const RSA_SIGNED: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    const RSA_SIGNATURE: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";

    fn rsa_set() -> String {
        format!(r#"{{"keys":[{{"kty":"RSA","kid":"a","n":"{RSA_N}","e":"AQAB"}}]}}"#)
    }

    #[test]
    fn signatures_of_the_rfc_are_good() {
        let signature = URL_SAFE_NO_PAD.decode(P256_SIGNATURE).unwrap();
        let set = KeySet::parse(P256, Algorithm::Es256).unwrap();
        assert!(set.verify("a", P256_SIGNED.as_bytes(), &signature));
        assert!(
            !set.verify("a", b"other", &signature) && !set.verify("b", P256_SIGNED.as_bytes(), &signature)
        );

        let signature = URL_SAFE_NO_PAD.decode(RSA_SIGNATURE).unwrap();
        let set = KeySet::parse(&rsa_set(), Algorithm::Rs256).unwrap();
        assert!(set.verify("a", RSA_SIGNED.as_bytes(), &signature) && !set.verify("a", b"other", &signature));
    }

    #[test]
    fn a_key_of_another_algorithm_is_of_no_use() {
        for algorithm in [Algorithm::EdDsa, Algorithm::Rs256] {
            assert!(KeySet::parse(P256, algorithm).unwrap_err().contains("no key for"));
        }
        let for_encryption = P256.replace(r#""kid""#, r#""use":"enc","kid""#);
        assert!(KeySet::parse(&for_encryption, Algorithm::Es256).is_err());
    }

    #[test]
    fn weak_and_private_keys_are_refused() {
        let short = rsa_set().replace(RSA_N, &RSA_N[..168]);
        assert!(KeySet::parse(&short, Algorithm::Rs256).unwrap_err().contains("bits"));
        let private = P256.replace(r#""kid""#, r#""d":"AAAA","kid""#);
        assert!(KeySet::parse(&private, Algorithm::Es256).unwrap_err().contains("private"));
        let shared = r#"{"keys":[{"kty":"oct","kid":"a","k":"AAAA"}]}"#;
        assert!(KeySet::parse(shared, Algorithm::EdDsa).is_err());
    }
}
