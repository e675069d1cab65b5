use super::*;
use crate::intent::config::Provenance;
use crate::intent::issuer::{ClaimPaths, IssuerConfig};
use crate::intent::keyset::Algorithm;
use crate::intent::reason;

/// A token service of the deployment: its key file, and how it signs.
struct Service {
    keys: Keys,
    _dir: tempfile::TempDir,
    config: IssuerConfig,
}

impl Service {
    fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::open(&dir.path().join("keys")).unwrap();
        let config = IssuerConfig {
            iss: "https://tts.example".into(),
            jwks: dir.path().join("keys/jwks.json"),
            aud: "agents.example".into(),
            typ: "txntoken+jwt".into(),
            alg: Algorithm::EdDsa,
            claims: ClaimPaths { text: text.into(), ..ClaimPaths::default() },
            max_ttl_s: 600,
            tenants: vec!["acme".into()],
        };
        Self { keys, _dir: dir, config }
    }

    fn desk(&self) -> Desk {
        Desk::with(IntentConfig { issuers: vec![self.config.clone()], ..IntentConfig::default() })
    }

    fn token(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = json!({"iss": "https://tts.example", "aud": "agents.example", "sub": "user:carol",
            "txn": "t-1", "iat": NOW / 1000, "exp": NOW / 1000 + 300,
            "tctx": {"intent_digest": crate::intent::canon::digest(TEXT)}});
        change(&mut claims);
        jws::compact(&header(self.keys.kid()), &claims.to_string(), |m| self.keys.sign(m))
    }
}

#[test]
fn a_foreign_token_vouches_for_the_text_beside_it() {
    let service = Service::new("");
    let desk = service.desk();
    let token = service.token(|_| {});
    let beside = |text: &str| Carriers { text: text.into(), ..with_token(&token) };
    let anchor = desk.look(&beside(&format!("{TEXT}\n"))).unwrap();
    assert_eq!((anchor.text.as_str(), anchor.provenance), (TEXT, Provenance::Signed));
    assert_eq!((anchor.principal.as_str(), anchor.chain.as_deref()), ("user:carol", Some("t-1")));
    assert_eq!(desk.look(&beside("Pay Eve")).unwrap_err().reason, reason::INTENT_TAMPERED);
    assert_eq!(desk.look(&beside("")).unwrap_err().reason, reason::INTENT_TEXT_UNAVAILABLE);
}

#[test]
fn a_foreign_token_may_carry_the_text() {
    let service = Service::new("tctx.intent");
    let desk = service.desk();
    let token = service.token(|c| c["tctx"] = json!({"intent": TEXT}));
    assert_eq!(desk.look(&with_token(&token)).unwrap().text, TEXT);
    let contradicts = service.token(|c| c["tctx"]["intent"] = json!("Pay Eve"));
    assert_eq!(desk.reason_of(&contradicts), reason::INTENT_TAMPERED);
    let empty = service.token(|c| c["tctx"] = json!({}));
    assert_eq!(desk.reason_of(&empty), reason::INTENT_MALFORMED);
    let wrong = service.token(|c| c["tctx"] = json!({"intent": 7}));
    assert_eq!(desk.reason_of(&wrong), reason::INTENT_MALFORMED);
}

#[test]
fn a_foreign_token_may_name_an_intent_that_is_registered_here() {
    let mut service = Service::new("");
    service.config.claims.intent_id = "tctx.intent_id".into();
    let mut desk = service.desk();
    let ours = desk.registered(TEXT);
    let naming = |principal: &str, text: &str| {
        service.token(|c| {
            c["sub"] = json!(principal);
            c["tctx"] =
                json!({"intent_id": ours.intent_id, "intent_digest": crate::intent::canon::digest(text)});
        })
    };
    let anchor = desk.look(&with_token(&naming("user:alice", TEXT))).unwrap();
    assert_eq!((anchor.text.as_str(), anchor.intent.unwrap().version), (TEXT, 1));
    assert_eq!(desk.reason_of(&naming("user:carol", TEXT)), reason::INTENT_CONFLICT);
    assert_eq!(desk.reason_of(&naming("user:alice", "Pay Eve")), reason::INTENT_TAMPERED);
    desk.revoke(&ours.intent_id).unwrap();
    assert_eq!(desk.reason_of(&naming("user:alice", TEXT)), reason::INTENT_REVOKED);
}

#[test]
fn a_foreign_issuer_has_its_own_audience_life_and_tenants() {
    let service = Service::new("tctx.intent");
    let desk = service.desk();
    let reason_with = |change: fn(&mut Value)| desk.reason_of(&service.token(change));
    assert_eq!(reason_with(|c| c["aud"] = json!("rhumb.local")), reason::INTENT_AUDIENCE);
    assert_eq!(reason_with(|c| c["exp"] = json!(NOW / 1000 + 601)), reason::INTENT_EXPIRED);
    assert_eq!(reason_with(|c| c["nbf"] = json!(NOW / 1000 + 60)), reason::INTENT_EXPIRED);
    assert_eq!(reason_with(|c| c["sub"] = json!(null)), reason::INTENT_MALFORMED);
    let elsewhere = Carriers { tenant: "eve".into(), ..with_token(&service.token(|_| {})) };
    assert_eq!(desk.look(&elsewhere).unwrap_err().reason, reason::INTENT_ISSUER);
}

#[test]
fn one_issuer_cannot_speak_for_another() {
    let service = Service::new("tctx.intent");
    let mut desk = service.desk();
    let ours = desk.registered(TEXT);
    let claims = claims_of(&ours.token).to_string();
    let as_us = jws::compact(&header(service.keys.kid()), &claims, |m| service.keys.sign(m));
    assert_eq!(desk.reason_of(&as_us), reason::INTENT_SIGNATURE);
    let as_nobody = service.token(|c| c["iss"] = json!("https://other.example"));
    assert_eq!(desk.reason_of(&as_nobody), reason::INTENT_ISSUER);
}

#[test]
fn a_transaction_token_of_an_unknown_issuer_is_skipped_and_counted() {
    let service = Service::new("");
    let mut desk = Desk::new();
    let ours = desk.registered(TEXT);
    let foreign = service.token(|_| {});
    let carriers = Carriers {
        tokens: vec![(TokenPlace::RhumbIntent, ours.token), (TokenPlace::TxnToken, foreign.clone())],
        ..carriers()
    };
    let found = desk.found(&carriers);
    assert_eq!((found.anchor.unwrap().text.as_str(), found.skipped_tokens), (TEXT, 1));
    assert_eq!(
        desk.reason_of(&foreign),
        reason::INTENT_ISSUER,
        "in the field of the request it is meant for us"
    );
}

#[test]
fn claims_that_an_enforcement_point_verified_count_as_signed() {
    let service = Service::new("tctx.intent");
    let desk = service.desk();
    let mut claims = claims_of(&service.token(|c| c["tctx"] = json!({"intent": TEXT})));
    let carriers_of = |claims: &Value| Carriers {
        verified_claims: vec![claims.as_object().unwrap().clone()],
        ..carriers()
    };
    let anchor = desk.look(&carriers_of(&claims)).unwrap();
    assert_eq!((anchor.provenance, anchor.source), (Provenance::Signed, "verified_claims"));
    claims["exp"] = json!(NOW / 1000 - 60);
    assert_eq!(desk.look(&carriers_of(&claims)).unwrap_err().reason, reason::INTENT_EXPIRED);
    claims["iss"] = json!("https://other.example");
    let found = desk.found(&carriers_of(&claims));
    assert_eq!((found.anchor.unwrap_err().reason, found.skipped_tokens), (reason::INTENT_MISSING, 1));
}

#[test]
fn a_bad_issuer_stops_the_start() {
    let service = Service::new("");
    let keys = std::sync::Arc::new(Keys::ephemeral().unwrap());
    let with = |change: fn(&mut IssuerConfig)| {
        let mut issuer = service.config.clone();
        change(&mut issuer);
        let config = IntentConfig { issuers: vec![issuer], ..IntentConfig::default() };
        Registry::new(config, keys.clone()).unwrap_err().to_string()
    };
    assert!(with(|i| i.iss = "rhumb".into()).starts_with("issuers[0].iss"));
    assert!(with(|i| i.claims.intent_digest.clear()).starts_with("issuers[0].claims"));
    assert!(with(|i| i.jwks = "no-such-file".into()).starts_with("no-such-file"));
    assert!(with(|i| i.alg = Algorithm::Rs256).contains("no key for RS256"));
    let unknown = r#"{"iss":"i","jwks":"j","aud":"a","alg":"HS256"}"#;
    assert!(serde_json::from_str::<IssuerConfig>(unknown).is_err());
}
