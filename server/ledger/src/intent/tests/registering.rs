use super::*;
use crate::error::{LedgerError, RefusalKind};
use crate::intent::constraints::Constraints;
use crate::intent::reason;
use crate::record::Content;

#[test]
fn a_registered_intent_has_a_token_that_leads_to_it() {
    let mut desk = Desk::new();
    let issued = desk.registered("\u{feff}Pay the bill in bill.txt\r\n");
    assert_eq!(issued.digest, "sha256:7e6e2eddc2dc3a5e4a04129d47edf5a92bda88f01c86bbaaa73e40078772d9c3");
    assert_eq!((issued.version, issued.token_expires_ms), (1, NOW + 900_000));
    let anchor = desk.look(&with_token(&issued.token)).unwrap();
    assert_eq!((anchor.text.as_str(), anchor.principal.as_str()), (TEXT, "user:alice"));
    assert_eq!(anchor.chain.as_deref(), Some(issued.chain_id.as_str()));
    assert!(!issued.token.contains(' ') && issued.token.len() < 1200);
}

#[test]
fn the_claims_are_those_of_the_specification() {
    let mut desk = Desk::new();
    let claims = claims_of(&desk.registered(TEXT).token);
    for name in ["iss", "aud", "sub", "txn", "scope", "req_wl", "iat", "exp", "tctx"] {
        assert!(claims.get(name).is_some(), "{name}");
    }
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!("rhumb"), &json!("rhumb.local")));
    assert_eq!((&claims["scope"], &claims["req_wl"]), (&json!("agent.act"), &json!("frontend")));
    assert_eq!(claims["tctx"]["canon"], "rhumb-text-1");
    assert!(!claims.to_string().contains("bill"), "the text is never in the token");
}

#[test]
fn only_an_authenticated_caller_sets_the_course() {
    let desk = Desk::new();
    let nobody = Caller { authenticated: false, ..caller() };
    let outcome = desk.registry.decide_register(&desk.tables, &nobody, NOW, &request(TEXT)).unwrap();
    assert_eq!(outcome.reply.unwrap_err().reason, reason::CALLER_UNAUTHENTICATED);
    assert!(outcome.events.is_empty());
}

#[test]
fn the_same_request_id_registers_once() {
    let mut desk = Desk::new();
    let again = Registration { request_id: "r1".into(), ..request(TEXT) };
    let first = desk.register(&again).unwrap();
    desk.now += 1000;
    let second = desk.register(&Registration { text: format!(" {TEXT}"), ..again.clone() }).unwrap();
    assert_eq!((first.intent_id, first.chain_id), (second.intent_id, second.chain_id));
    assert_eq!(desk.log.iter().filter(|r| matches!(r.event, Event::Intent(_))).count(), 1);

    for other in [
        Registration { text: "Pay another bill".into(), ..again.clone() },
        Registration { principal: "user:eve".into(), ..again.clone() },
        Registration { scope: "all".into(), ..again.clone() },
    ] {
        let refusal = desk.register(&other).unwrap_err();
        assert_eq!((refusal.kind, refusal.reason), (RefusalKind::AlreadyExists, reason::REQUEST_ID_REUSED));
    }
}

#[test]
fn the_same_request_id_of_another_tenant_is_another_request() {
    let mut desk = Desk::new();
    let request = Registration { request_id: "r1".into(), ..request(TEXT) };
    let first = desk.register(&request).unwrap();
    let other = Caller { tenant: "other".into(), ..caller() };
    let outcome = desk.registry.decide_register(&desk.tables, &other, NOW, &request).unwrap();
    assert_ne!(desk.take(outcome).unwrap().intent_id, first.intent_id);
}

#[test]
fn bad_fields_are_named() {
    let desk = Desk::new();
    let bad = [
        ("intent.text", Registration { text: " \n".into(), ..request("") }),
        ("intent.text", request("?!")),
        ("intent.text", request(&"a".repeat(64 * 1024 + 1))),
        ("intent.principal", Registration { principal: String::new(), ..request(TEXT) }),
        ("intent.principal", Registration { principal: "a\nb".into(), ..request(TEXT) }),
        ("request_id", Registration { request_id: "x".repeat(257), ..request(TEXT) }),
        ("expires", Registration { expires_ms: Some(NOW), ..request(TEXT) }),
        ("expires", Registration { expires_ms: Some(u64::MAX), ..request(TEXT) }),
        ("bindings[0].value", Registration { bindings: vec![key(BindingKind::Trace, "")], ..request(TEXT) }),
        (
            "constraints.tools[0]",
            Registration {
                constraints: Constraints { tools: vec!["a*b".into()], ..Constraints::default() },
                ..request(TEXT)
            },
        ),
        (
            "constraints",
            Registration {
                constraints: Constraints { tools: vec!["t".repeat(200); 60], ..Constraints::default() },
                ..request(TEXT)
            },
        ),
    ];
    for (field, request) in bad {
        match desk.registry.decide_register(&desk.tables, &caller(), NOW, &request) {
            Err(LedgerError::Input(e)) => assert_eq!(e.field, field),
            other => panic!("{field}: {other:?}"),
        }
    }
}

#[test]
fn an_amendment_is_a_new_version_with_a_new_chain() {
    let mut desk = Desk::new();
    let old = desk.registered(TEXT);
    desk.now += 1000;
    let new = desk.amend(&old, "Pay both bills", false).unwrap();
    assert_eq!((&new.intent_id, new.version), (&old.intent_id, 2));
    assert_ne!(new.chain_id, old.chain_id);
    let claims = claims_of(&new.token);
    assert_eq!(claims["tctx"]["prev_txn"], json!(old.chain_id));
    assert_eq!(claims["tctx"]["accountable"]["approver"], "bob");
    assert_eq!(desk.look(&with_token(&new.token)).unwrap().text, "Pay both bills");
    assert_eq!(desk.reason_of(&old.token), reason::INTENT_SUPERSEDED);

    let all = desk.registry.get(&desk.tables, "acme", &old.intent_id).unwrap().unwrap();
    assert_eq!(all.versions.len(), 2);
    assert_eq!(all.versions[0].intent.text, Content::Plain(json!(TEXT)), "what was wished before stays");
    assert_eq!(all.versions[1].intent.principal, "user:alice");
}

#[test]
fn only_the_current_version_can_be_amended() {
    let mut desk = Desk::new();
    let old = desk.registered(TEXT);
    let new = desk.amend(&old, "Pay both bills", false).unwrap();
    let refusal = desk.amend(&old, "Pay all bills", false).unwrap_err();
    assert_eq!(
        (refusal.kind, refusal.reason),
        (RefusalKind::FailedPrecondition, reason::INTENT_VERSION_STALE)
    );
    desk.revoke(&new.intent_id).unwrap();
    assert_eq!(desk.amend(&new, "Pay all bills", false).unwrap_err().reason, reason::INTENT_REVOKED);
}

#[test]
fn an_amendment_needs_a_persons_approval_and_a_known_caller() {
    let mut desk = Desk::new();
    let old = desk.registered(TEXT);
    let good = amendment(&old, "Pay both bills", false);
    let approval = |change: fn(&mut Approval)| {
        let mut amendment = good.clone();
        change(&mut amendment.approval);
        amendment
    };
    for (field, bad) in [
        ("approval.approver", approval(|a| a.approver.clear())),
        ("approval.channel", approval(|a| a.channel.clear())),
        ("approval.time", approval(|a| a.time_ms = 0)),
        ("approval.time", approval(|a| a.time_ms = NOW + 31_000)),
    ] {
        match desk.registry.decide_amend(&desk.tables, &caller(), NOW, &bad) {
            Err(LedgerError::Input(e)) => assert_eq!(e.field, field),
            other => panic!("{field}: {other:?}"),
        }
    }
    let nobody = Caller { authenticated: false, ..caller() };
    let outcome = desk.registry.decide_amend(&desk.tables, &nobody, NOW, &good).unwrap();
    assert_eq!(outcome.reply.unwrap_err().kind, RefusalKind::Unauthenticated);
    assert!(outcome.events.is_empty());
}

#[test]
fn tokens_of_the_old_version_stay_good_only_where_the_amendment_says_so() {
    let mut desk = Desk::new();
    let first = desk.registered(TEXT);
    let second = desk.amend(&first, "Pay both bills", true).unwrap();
    assert_eq!(desk.look(&with_token(&first.token)).unwrap().text, TEXT);
    desk.amend(&second, "Pay all bills", false).unwrap();
    for old in [&first, &second] {
        assert_eq!(desk.reason_of(&old.token), reason::INTENT_SUPERSEDED);
    }
}

#[test]
fn revoking_twice_changes_nothing() {
    let mut desk = Desk::new();
    let issued = desk.registered(TEXT);
    assert_eq!(desk.revoke(&issued.intent_id), Ok(NOW));
    desk.now += 5000;
    assert_eq!(desk.revoke(&issued.intent_id), Ok(NOW));
    assert_eq!(desk.reason_of(&issued.token), reason::INTENT_REVOKED);
    assert_eq!(desk.revoke("01K9Z6T0Q7M3J5V8C2B4N6P8R1").unwrap_err().kind, RefusalKind::NotFound);
}

#[test]
fn a_new_token_continues_the_chain_and_its_delegation() {
    let mut desk = Desk::new();
    let mut issued = desk.registered(TEXT);
    let chain = issued.chain_id.clone();
    for actor in ["planner", "browser"] {
        let request = TokenRequest { token: issued.token, actor: actor.into(), ..TokenRequest::default() };
        issued = desk.token(&request).unwrap();
        assert_eq!(issued.chain_id, chain);
    }
    assert_eq!(desk.look(&with_token(&issued.token)).unwrap().actors, ["browser", "planner"]);

    let back = TokenRequest { token: issued.token, actor: "planner".into(), ..TokenRequest::default() };
    match desk.registry.decide_token(&desk.tables, &caller(), desk.now, &back) {
        Err(LedgerError::Input(e)) => {
            assert!(e.field == "actor" && e.problem.contains("intent_delegation_loop"))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_token_is_refused_where_the_intent_cannot_be_proved() {
    let mut desk = Desk::new();
    let (a, b) = (desk.registered(TEXT), desk.registered("Read the news"));
    let reason = |desk: &mut Desk, intent_id: &str, token: &str| {
        let request =
            TokenRequest { intent_id: intent_id.into(), token: token.into(), ..TokenRequest::default() };
        desk.token(&request).err().map_or("", |r| r.reason)
    };
    assert_eq!(reason(&mut desk, &a.intent_id, ""), "");
    assert_eq!(reason(&mut desk, &a.intent_id, &b.token), reason::INTENT_CONFLICT);
    assert_eq!(reason(&mut desk, "nothing", ""), reason::INTENT_NOT_FOUND);
    assert_eq!(reason(&mut desk, "", "x.y.z"), reason::INTENT_MALFORMED);
    let nobody = Caller { authenticated: false, ..caller() };
    let request = TokenRequest { intent_id: a.intent_id.clone(), ..TokenRequest::default() };
    let outcome = desk.registry.decide_token(&desk.tables, &nobody, desk.now, &request).unwrap();
    assert_eq!(outcome.reply.unwrap_err().kind, RefusalKind::Unauthenticated);
    desk.now += 25 * HOUR;
    assert_eq!(reason(&mut desk, &a.intent_id, ""), reason::INTENT_EXPIRED);
}

#[test]
fn a_token_never_outlives_its_intent() {
    let mut desk = Desk::new();
    let issued = desk.register(&Registration { expires_ms: Some(NOW + 60_000), ..request(TEXT) }).unwrap();
    assert_eq!(issued.token_expires_ms, NOW + 60_000);
    desk.now += 61_000;
    assert_eq!(desk.reason_of(&issued.token), reason::INTENT_EXPIRED);
}

#[test]
fn no_tenant_sees_or_changes_anothers_intent() {
    let mut desk = Desk::new();
    let issued = desk.registered(TEXT);
    let eve = Caller { tenant: "eve".into(), ..caller() };
    assert_eq!(desk.registry.get(&desk.tables, "eve", &issued.intent_id).unwrap(), None);
    let revoke = desk.registry.decide_revoke(&desk.tables, &eve, NOW, &issued.intent_id, "").unwrap();
    assert_eq!(revoke.reply.unwrap_err().kind, RefusalKind::NotFound);
    let amend = amendment(&issued, "Pay Eve", false);
    let amend = desk.registry.decide_amend(&desk.tables, &eve, NOW, &amend).unwrap();
    assert_eq!(amend.reply.unwrap_err().kind, RefusalKind::NotFound);
    let bind = [key(BindingKind::Trace, "t")];
    let bind = desk.registry.decide_bind(&desk.tables, &eve, NOW, &issued.intent_id, &bind).unwrap();
    assert_eq!(bind.reply.unwrap_err().kind, RefusalKind::NotFound);
    let by_token = Carriers { tenant: "eve".into(), text: TEXT.into(), ..with_token(&issued.token) };
    assert_eq!(desk.look(&by_token).unwrap_err().reason, reason::INTENT_ISSUER);
    let by_id = Carriers { tenant: "eve".into(), intent_id: issued.intent_id, ..carriers() };
    assert_eq!(desk.look(&by_id).unwrap_err().reason, reason::INTENT_TEXT_UNAVAILABLE);
}
