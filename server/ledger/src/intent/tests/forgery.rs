use super::*;
use crate::intent::reason;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use ring::hmac;
use serde_json::Map;

fn sign_with(header: &Value, claims: &Value, keys: &Keys) -> String {
    jws::compact(&header.to_string(), &claims.to_string(), |m| keys.sign(m))
}

/// A token with one thing wrong for each check, in the order of the checks.
#[test]
fn each_failed_check_has_its_own_reason() {
    let mut desk = Desk::new();
    let good = desk.registered(TEXT);
    assert_eq!(desk.reason_of(&good.token), "");
    let set =
        |path: &str, value: Value| desk.forge(&good, |claims| *claims.pointer_mut(path).unwrap() = value);
    let other = canon_digest("Pay Eve");
    let cases = [
        ("the audience of another domain", reason::INTENT_AUDIENCE, set("/aud", json!("elsewhere"))),
        ("two audiences", reason::INTENT_AUDIENCE, set("/aud", json!(["rhumb.local", "elsewhere"]))),
        ("issued by nobody we know, with our key", reason::INTENT_ISSUER, set("/iss", json!("eve"))),
        ("ended", reason::INTENT_EXPIRED, set("/exp", json!(NOW / 1000 - 30))),
        ("not yet", reason::INTENT_EXPIRED, set("/iat", json!(NOW / 1000 + 31))),
        ("lives too long", reason::INTENT_EXPIRED, set("/exp", json!(NOW / 1000 + 901))),
        ("ends before it begins", reason::INTENT_EXPIRED, set("/exp", json!(NOW / 1000 - 1))),
        ("times as text", reason::INTENT_MALFORMED, set("/exp", json!("1795000900"))),
        ("times in fractions", reason::INTENT_MALFORMED, set("/exp", json!(1_795_000_900.5))),
        ("another canonical form", reason::INTENT_MALFORMED, set("/tctx/canon", json!("rhumb-text-2"))),
        ("no digest", reason::INTENT_MALFORMED, set("/tctx/intent_digest", json!("sha256:00"))),
        ("no context", reason::INTENT_MALFORMED, set("/tctx", json!(null))),
        ("the digest of another text", reason::INTENT_TAMPERED, set("/tctx/intent_digest", json!(other))),
        (
            "an unknown intent",
            reason::INTENT_TEXT_UNAVAILABLE,
            set("/tctx/intent_id", json!("01K9Z6T0Q7M3J5V8C2B4N6P8R1")),
        ),
    ];
    for (name, want, token) in cases {
        assert_eq!(desk.reason_of(&token), want, "{name}");
    }
    let claims =
        |change: fn(&mut Map<String, Value>)| desk.forge(&good, |c| change(c.as_object_mut().unwrap()));
    let looped = claims(|c| drop(c.insert("act".into(), json!({"sub": "a", "act": {"sub": "a"}}))));
    assert_eq!(desk.reason_of(&looped), reason::INTENT_DELEGATION_LOOP);
    let unknown_limit =
        claims(|c| drop(c["tctx"].as_object_mut().unwrap().insert("constraints".into(), json!({"x": 1}))));
    assert_eq!(desk.reason_of(&unknown_limit), reason::INTENT_MALFORMED);
    let no_issuer = claims(|c| drop(c.remove("iss")));
    assert_eq!(desk.reason_of(&no_issuer), reason::INTENT_ISSUER);
    let aud_list = claims(|c| drop(c.insert("aud".into(), json!(["rhumb.local"]))));
    assert_eq!(desk.reason_of(&aud_list), "");
}

fn canon_digest(text: &str) -> String {
    crate::intent::canon::digest(text)
}

#[test]
fn a_leeway_of_thirty_seconds_is_given() {
    let mut desk = Desk::new();
    let good = desk.registered(TEXT);
    desk.now = good.token_expires_ms + 29_999;
    assert_eq!(desk.reason_of(&good.token), "");
    desk.now = good.token_expires_ms + 30_000;
    assert_eq!(desk.reason_of(&good.token), reason::INTENT_EXPIRED);
    desk.now = NOW - 30_000;
    assert_eq!(desk.reason_of(&good.token), "");
    desk.now = NOW - 31_000;
    assert_eq!(desk.reason_of(&good.token), reason::INTENT_EXPIRED);
}

#[test]
fn a_rewritten_intent_does_not_keep_its_signature() {
    let mut desk = Desk::new();
    let good = desk.registered(TEXT);
    let mut parts: Vec<String> = good.token.split('.').map(str::to_owned).collect();
    let mut claims = claims_of(&good.token);
    claims["tctx"]["intent_digest"] = json!(canon_digest("Pay Eve"));
    parts[1] = URL_SAFE_NO_PAD.encode(claims.to_string());
    assert_eq!(desk.reason_of(&parts.join(".")), reason::INTENT_SIGNATURE);
    let text = Carriers { text: "Pay Eve".into(), ..with_token(&parts.join(".")) };
    assert_eq!(desk.look(&text).unwrap_err().reason, reason::INTENT_SIGNATURE, "no text saves it");
}

#[test]
fn another_key_cannot_sign_for_ours() {
    let mut desk = Desk::new();
    let good = desk.registered(TEXT);
    let eve = Keys::ephemeral().unwrap();
    let claims = claims_of(&good.token);
    let head = |kid: &str| json!({"typ": "txntoken+jwt", "alg": "EdDSA", "kid": kid});
    assert_eq!(desk.reason_of(&sign_with(&head(desk.keys.kid()), &claims, &eve)), reason::INTENT_SIGNATURE);
    assert_eq!(desk.reason_of(&sign_with(&head(eve.kid()), &claims, &eve)), reason::INTENT_SIGNATURE);
}

#[test]
fn no_header_changes_the_rules() {
    let mut desk = Desk::new();
    let good = desk.registered(TEXT);
    let claims = claims_of(&good.token);
    let kid = desk.keys.kid().to_owned();
    let headers = [
        json!({"typ": "txntoken+jwt", "alg": "none", "kid": kid}),
        json!({"typ": "txntoken+jwt", "alg": "RS256", "kid": kid}),
        json!({"typ": "jwt", "alg": "EdDSA", "kid": kid}),
        json!({"typ": "txntoken+jwt", "alg": "EdDSA"}),
        json!({"typ": "txntoken+jwt", "alg": "EdDSA", "kid": kid, "jku": "https://eve.example/keys"}),
        json!({"typ": "txntoken+jwt", "alg": "EdDSA", "kid": kid, "jwk": {"kty": "OKP"}}),
        json!({"typ": "txntoken+jwt", "alg": "EdDSA", "kid": kid, "x5u": "https://eve.example"}),
        json!({"typ": "txntoken+jwt", "alg": "EdDSA", "kid": kid, "x5c": []}),
        json!({"typ": "txntoken+jwt", "alg": "EdDSA", "kid": kid, "crit": ["b64"], "b64": false}),
    ];
    for header in headers {
        assert_eq!(
            desk.reason_of(&sign_with(&header, &claims, &desk.keys)),
            reason::INTENT_MALFORMED,
            "{header}"
        );
    }
}

#[test]
fn the_public_key_is_no_secret_to_sign_with() {
    let mut desk = Desk::new();
    let good = desk.registered(TEXT);
    let x = *desk.keys.public().get(desk.keys.kid()).unwrap();
    let header = json!({"typ": "txntoken+jwt", "alg": "HS256", "kid": desk.keys.kid()});
    for secret in [x.to_vec(), desk.keys.jwks().into_bytes()] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let sign = |m: &[u8]| hmac::sign(&key, m).as_ref().to_vec();
        let token = jws::compact(&header.to_string(), &claims_of(&good.token).to_string(), sign);
        assert_eq!(desk.reason_of(&token), reason::INTENT_MALFORMED);
    }
    let unsigned = good.token.rsplit_once('.').unwrap().0.to_owned() + ".";
    assert_eq!(desk.reason_of(&unsigned), reason::INTENT_SIGNATURE);
}

#[test]
fn a_broken_form_is_malformed() {
    let mut desk = Desk::new();
    let good = desk.registered(TEXT);
    let twice = claims_of(&good.token).to_string().replacen('{', r#"{"sub":"user:eve","#, 1);
    let cases = [
        ("padding", format!("{}=", good.token)),
        ("a fourth part", format!("{}.e30", good.token)),
        ("two parts", good.token.rsplit_once('.').unwrap().0.to_owned()),
        ("a space", format!("{} ", good.token)),
        ("a scheme", format!("Bearer {}", good.token)),
        ("huge", format!("{}{}", good.token, "A".repeat(jws::MAX_BYTES))),
        ("a member twice", jws::compact(&header(desk.keys.kid()), &twice, |m| desk.keys.sign(m))),
        ("no object", jws::compact(&header(desk.keys.kid()), "[1]", |m| desk.keys.sign(m))),
        ("no JSON", jws::compact(&header(desk.keys.kid()), "{", |m| desk.keys.sign(m))),
    ];
    for (name, token) in cases {
        assert_eq!(desk.reason_of(&token), reason::INTENT_MALFORMED, "{name}");
    }
}

#[test]
fn an_invalid_token_beside_a_valid_one_is_refused_all_the_same() {
    let mut desk = Desk::new();
    let good = desk.registered(TEXT);
    let bad = desk.forge(&good, |c| c["aud"] = json!("elsewhere"));
    let tokens = vec![(TokenPlace::Field, good.token), (TokenPlace::RhumbIntent, bad)];
    let carriers = Carriers { tokens, ..carriers() };
    assert_eq!(desk.look(&carriers).unwrap_err().reason, reason::INTENT_AUDIENCE);
}

proptest! {
    /// Even a key that was stolen from us makes no claims that are believed or stop the server, but whole ones.
    #[test]
    fn claims_of_any_shape_are_judged(member in 0usize..16, value in 0usize..ODD, in_context in any::<bool>()) {
        let mut desk = Desk::new();
        let good = desk.registered(TEXT);
        let token = desk.forge(&good, |claims| {
            let target = if in_context { &mut claims["tctx"] } else { claims };
            let names: Vec<String> = target.as_object().unwrap().keys().cloned().chain(["act".into(), "nbf".into()]).collect();
            target[&names[member % names.len()]] = odd(value);
        });
        let reason = desk.reason_of(&token);
        prop_assert!(reason.is_empty() || reason::ALL.contains(&reason));
        drop(desk.token(&TokenRequest { token, ..TokenRequest::default() }));
    }
}

const ODD: usize = 11;

fn odd(which: usize) -> Value {
    let values: [Value; ODD] = [
        json!(null),
        json!(""),
        json!("\u{0}"),
        json!(-1),
        json!(0),
        json!(u64::MAX),
        json!(1e300),
        json!(true),
        json!([]),
        json!({"sub": {"act": []}}),
        json!([[["rhumb.local"]]]),
    ];
    values[which].clone()
}
