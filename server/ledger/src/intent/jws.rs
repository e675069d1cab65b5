//! Compact JWS (RFC 7515), strictly: one form, one algorithm, no keys from the token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::json;
use super::keyset::{Algorithm, KeySet};

/// The longest token, in bytes: proxies hold headers of 8 KiB, and other headers want room too.
pub const MAX_BYTES: usize = 6 * 1024;

/// Header members that would let a token bring its own key, its own reading or its own rules.
const FORBIDDEN: [&str; 9] = ["jku", "x5u", "jwk", "x5c", "crit", "b64", "zip", "enc", "url"];

/// A token whose form is good and whose signature has not been looked at: nothing in it may be believed.
#[derive(Debug, Clone, PartialEq)]
pub struct Unverified<'a> {
    header: Map<String, Value>,
    payload: Map<String, Value>,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Unverified<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// Says what is wrong with its form.
    pub fn parse(token: &'a str) -> Result<Self, String> {
        if token.len() > MAX_BYTES {
            return Err(format!("{} bytes, at most {MAX_BYTES} are taken", token.len()));
        }
        let (signed, signature) = token.rsplit_once('.').ok_or("not three parts")?;
        let (header, payload) = signed.split_once('.').ok_or("not three parts")?;
        Ok(Self {
            header: object("header", header)?,
            payload: object("payload", payload)?,
            signed,
            signature: decode("signature", signature)?,
        })
    }

    /// The key that the token says it was signed with.
    pub fn kid(&self) -> Option<&str> {
        self.header_text("kid").filter(|kid| !kid.is_empty())
    }

    /// The type that the token says it has, as it is written.
    pub fn typ(&self) -> Option<&str> {
        self.header_text("typ")
    }

    /// The issuer that the token says it is of.
    pub fn issuer(&self) -> Option<&str> {
        self.payload.get("iss").and_then(Value::as_str)
    }

    /// Checks the header against what the issuer is configured for.
    ///
    /// # Errors
    /// Names the member.
    pub fn check_header(&self, typ: &str, algorithm: Algorithm) -> Result<(), String> {
        if let Some(name) = FORBIDDEN.iter().find(|name| self.header.contains_key(**name)) {
            return Err(format!("header: {name}: not allowed"));
        }
        if self.header_text("alg") != Some(algorithm.name()) {
            return Err(format!("header: alg: not {}", algorithm.name()));
        }
        if !self.header_text("typ").is_some_and(|given| is_type(given, typ)) {
            return Err(format!("header: typ: not {typ}"));
        }
        self.kid().map(|_| ()).ok_or_else(|| "header: kid: missing".to_owned())
    }

    /// The claims, if the signature is that of the named key, and was made while that key signed. INVARIANT: only after [`Self::check_header`].
    pub fn verify(self, keys: &KeySet) -> Option<Map<String, Value>> {
        let kid = self.kid()?;
        let good = keys.verify(kid, self.signed.as_bytes(), &self.signature);
        // Whether it has a time at all is checked with the other claims.
        let issued = self.payload.get("iat").and_then(Value::as_u64).unwrap_or_default();
        (good && keys.signed_at(kid, issued)).then_some(self.payload)
    }

    fn header_text(&self, name: &str) -> Option<&str> {
        self.header.get(name).and_then(Value::as_str)
    }
}

/// Media types are compared without case, and `application/` may be left out (RFC 7515, section 4.1.9).
fn is_type(given: &str, wanted: &str) -> bool {
    let bare = |t: &str| {
        let t = t.to_ascii_lowercase();
        t.strip_prefix("application/").map(str::to_owned).unwrap_or(t)
    };
    bare(given) == bare(wanted)
}

fn object(part: &str, text: &str) -> Result<Map<String, Value>, String> {
    json::object(&decode(part, text)?).map_err(|e| format!("{part}: {e}"))
}

/// No padding, no line breaks, no spare bits: one text for one value.
fn decode(part: &str, text: &str) -> Result<Vec<u8>, String> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| format!("{part}: not base64url without padding"))
}

/// Signs claims. `header` and `payload` are JSON.
pub fn compact(header: &str, payload: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = URL_SAFE_NO_PAD.encode(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Keys;
    use proptest::prelude::*;

    fn token(header: &str, payload: &str) -> String {
        compact(header, payload, |_| vec![7; 64])
    }

    #[test]
    fn the_form_is_strict() {
        let good = token("{}", "{}");
        assert!(Unverified::parse(&good).is_ok());
        let bad = [
            String::new(),
            "a.b".to_owned(),
            format!("{good}.e30"),
            format!("{good}="),
            format!(" {good}"),
            good.replace("e30", "e30="),
            good.replace("e30", "e31"),
            token("[]", "{}"),
            token("{}", "\"x\""),
            token(r#"{"alg":"a","alg":"b"}"#, "{}"),
            token("{}", r#"{"sub":{"a":1,"a":2}}"#),
            token("{}", &format!(r#"{{"a":"{}"}}"#, "x".repeat(MAX_BYTES))),
            token("{}", "{} "[..2].trim_end_matches('}')),
        ];
        for token in bad {
            assert!(Unverified::parse(&token).is_err(), "{token}");
        }
    }

    #[test]
    fn the_header_is_strict() {
        let check = |header: &str| {
            Unverified::parse(&token(header, "{}")).unwrap().check_header("txntoken+jwt", Algorithm::EdDsa)
        };
        assert!(check(r#"{"typ":"txntoken+jwt","alg":"EdDSA","kid":"k"}"#).is_ok());
        assert!(check(r#"{"typ":"application/TxnToken+JWT","alg":"EdDSA","kid":"k"}"#).is_ok());
        let bad = [
            r#"{"typ":"jwt","alg":"EdDSA","kid":"k"}"#,
            r#"{"alg":"EdDSA","kid":"k"}"#,
            r#"{"typ":"txntoken+jwt","alg":"none","kid":"k"}"#,
            r#"{"typ":"txntoken+jwt","alg":"eddsa","kid":"k"}"#,
            r#"{"typ":"txntoken+jwt","alg":"HS256","kid":"k"}"#,
            r#"{"typ":"txntoken+jwt","alg":["EdDSA"],"kid":"k"}"#,
            r#"{"typ":"txntoken+jwt","alg":"EdDSA"}"#,
            r#"{"typ":"txntoken+jwt","alg":"EdDSA","kid":""}"#,
            r#"{"typ":"txntoken+jwt","alg":"EdDSA","kid":7}"#,
        ];
        for header in bad {
            assert!(check(header).is_err(), "{header}");
        }
        for name in FORBIDDEN {
            let header = format!(r#"{{"typ":"txntoken+jwt","alg":"EdDSA","kid":"k","{name}":null}}"#);
            assert!(check(&header).unwrap_err().contains(name));
        }
    }

    fn signed() -> (KeySet, String) {
        let keys = Keys::ephemeral().unwrap();
        let header = format!(r#"{{"typ":"txntoken+jwt","alg":"EdDSA","kid":"{}"}}"#, keys.kid());
        let token = compact(&header, r#"{"sub":"user:alice","exp":1795000900}"#, |m| keys.sign(m));
        (KeySet::from(keys.public()), token)
    }

    fn is_good(token: &str, keys: &KeySet) -> bool {
        Unverified::parse(token).is_ok_and(|t| {
            t.check_header("txntoken+jwt", Algorithm::EdDsa).is_ok() && t.verify(keys).is_some()
        })
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in r"[\PC.=]{0,200}", bytes in any::<Vec<u8>>()) {
            drop(Unverified::parse(&text));
            drop(Unverified::parse(&String::from_utf8_lossy(&bytes)));
            let half = token(&text, &String::from_utf8_lossy(&bytes));
            drop(Unverified::parse(&half));
        }

        #[test]
        fn no_change_of_a_token_verifies(at in any::<prop::sample::Index>(), put in "[A-Za-z0-9_.=-]{0,3}") {
            let (keys, token) = signed();
            prop_assert!(is_good(&token, &keys));
            let at = at.index(token.len());
            let changed = format!("{}{put}{}", &token[..at], &token[at + 1..]);
            prop_assume!(changed != token);
            prop_assert!(!is_good(&changed, &keys), "{}", changed);
        }
    }
}
