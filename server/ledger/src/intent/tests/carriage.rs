use super::*;
use crate::intent::config::Provenance;
use crate::intent::constraints::Constraints;
use crate::intent::reason;
use crate::record::{Content, IntentVersion};
use rhumb_drift::Verdict;

fn place(place: TokenPlace, token: &str) -> (TokenPlace, String) {
    (place, token.to_owned())
}

#[test]
fn nothing_leads_to_no_anchor() {
    let desk = Desk::new();
    for text in ["", "  \n", "?!"] {
        let none = desk.look(&Carriers { text: text.into(), ..carriers() }).unwrap_err();
        assert_eq!((none.reason, none.verdict), (reason::INTENT_MISSING, Verdict::Abstain));
    }
}

#[test]
fn a_text_alone_is_unverified_and_stays_as_it_was_given() {
    let desk = Desk::new();
    let anchor =
        desk.look(&Carriers { text: " Pay\r\n".into(), principal: "p".into(), ..carriers() }).unwrap();
    assert_eq!((anchor.text.as_str(), anchor.principal.as_str()), (" Pay\r\n", "p"));
    assert_eq!((anchor.provenance, anchor.intent), (Provenance::Unverified, None));
    let long = Carriers { text: "a".repeat(64 * 1024 + 1), ..carriers() };
    assert_eq!(desk.look(&long).unwrap_err().reason, reason::INTENT_MALFORMED);
}

#[test]
fn a_token_is_found_in_every_place() {
    let mut desk = Desk::new();
    let issued = desk.registered(TEXT);
    for at in [
        TokenPlace::Field,
        TokenPlace::TxnToken,
        TokenPlace::RhumbIntent,
        TokenPlace::A2aMetadata,
        TokenPlace::McpMeta,
        TokenPlace::MetadataContext,
    ] {
        let anchor = desk.look(&Carriers { tokens: vec![place(at, &issued.token)], ..carriers() }).unwrap();
        assert_eq!((anchor.provenance, anchor.source), (Provenance::Signed, "token"));
        assert_eq!(anchor.expires_ms, Some(issued.token_expires_ms));
    }
}

#[test]
fn a_repeated_or_joined_header_is_malformed() {
    let mut desk = Desk::new();
    let token = desk.registered(TEXT).token;
    let twice = vec![place(TokenPlace::TxnToken, &token), place(TokenPlace::TxnToken, &token)];
    let joined = vec![place(TokenPlace::TxnToken, &format!("{token},{token}"))];
    let empty = vec![place(TokenPlace::TxnToken, "")];
    for tokens in [twice, joined, empty] {
        let carriers = Carriers { tokens, text: TEXT.into(), ..carriers() };
        assert_eq!(desk.look(&carriers).unwrap_err().reason, reason::INTENT_MALFORMED);
    }
    let absent = Carriers { tokens: vec![place(TokenPlace::Field, "")], text: TEXT.into(), ..carriers() };
    assert!(desk.look(&absent).is_ok(), "an empty field is an absent one");
}

#[test]
fn the_same_intent_from_many_sources_is_no_conflict() {
    let mut desk = Desk::new();
    let issued = desk.registered(TEXT);
    let key = key(BindingKind::McpSession, "s");
    desk.bind(&issued.intent_id, std::slice::from_ref(&key)).unwrap();
    let chain = super::key(BindingKind::Chain, &issued.chain_id);
    let keys = [key, chain].map(|key| CarriedKey { key, is_proven: false }).to_vec();
    let carriers = Carriers {
        tokens: vec![place(TokenPlace::Field, &issued.token), place(TokenPlace::RhumbIntent, &issued.token)],
        keys,
        intent_id: issued.intent_id.clone(),
        hint_id: issued.intent_id,
        text: format!("{TEXT}\r\n"),
        ..carriers()
    };
    assert_eq!(desk.look(&carriers).unwrap().provenance, Provenance::Signed);
}

#[test]
fn two_sources_with_different_intents_are_a_conflict() {
    let mut desk = Desk::new();
    let (a, b) = (desk.registered(TEXT), desk.registered("Read the news"));
    let session = key(BindingKind::McpSession, "s");
    desk.bind(&b.intent_id, std::slice::from_ref(&session)).unwrap();
    let with_a = || with_token(&a.token);
    let beside = [
        Carriers {
            tokens: vec![place(TokenPlace::Field, &a.token), place(TokenPlace::TxnToken, &b.token)],
            ..with_a()
        },
        Carriers { intent_id: b.intent_id.clone(), ..with_a() },
        Carriers { hint_id: b.intent_id.clone(), ..with_a() },
        Carriers { intent_id: b.intent_id.clone(), caller: None, ..with_a() },
        Carriers { keys: with_key(session, false).keys, ..with_a() },
        Carriers { keys: with_key(key(BindingKind::Chain, &b.chain_id), false).keys, ..with_a() },
    ];
    for carriers in beside {
        let none = desk.look(&carriers).unwrap_err();
        assert_eq!((none.reason, none.verdict), (reason::INTENT_CONFLICT, Verdict::Deny), "{carriers:?}");
    }
}

#[test]
fn two_chains_of_one_intent_are_a_conflict() {
    let mut desk = Desk::new();
    let old = desk.registered(TEXT);
    let new = desk.amend(&old, "Pay both bills", true).unwrap();
    let tokens = vec![place(TokenPlace::Field, &old.token), place(TokenPlace::RhumbIntent, &new.token)];
    assert_eq!(desk.look(&Carriers { tokens, ..carriers() }).unwrap_err().reason, reason::INTENT_CONFLICT);
}

#[test]
fn an_ended_intent_in_a_weaker_place_does_not_spoil_a_token() {
    let mut desk = Desk::new();
    let (a, b) = (desk.registered(TEXT), desk.registered("Read the news"));
    desk.revoke(&b.intent_id).unwrap();
    assert!(desk.look(&Carriers { hint_id: b.intent_id, ..with_token(&a.token) }).is_ok());
}

#[test]
fn a_text_beside_a_reference_must_be_the_registered_one() {
    let mut desk = Desk::new();
    let issued = desk.registered(TEXT);
    let by_id = Carriers { intent_id: issued.intent_id.clone(), ..carriers() };
    for carriers in [with_token(&issued.token), by_id] {
        let rewritten = Carriers { text: "Pay Eve".into(), ..carriers };
        assert_eq!(desk.look(&rewritten).unwrap_err().reason, reason::INTENT_TAMPERED);
    }
}

#[test]
fn an_id_is_trusted_as_far_as_its_caller() {
    let mut desk = Desk::new();
    let issued = desk.registered(TEXT);
    let by_id = Carriers { intent_id: issued.intent_id.clone(), ..carriers() };
    assert_eq!(desk.look(&by_id).unwrap().provenance, Provenance::ServerBound);
    let nobody = Carriers { caller: None, ..by_id };
    assert_eq!(desk.look(&nobody).unwrap().provenance, Provenance::Unverified);
    let hint = Carriers { hint_id: issued.intent_id, ..carriers() };
    assert_eq!(desk.look(&hint).unwrap().provenance, Provenance::Unverified);
}

#[test]
fn an_unknown_id_is_no_intent() {
    let mut desk = Desk::new();
    let issued = desk.registered(TEXT);
    for id in ["01K9Z6T0Q7M3J5V8C2B4N6P8R1", "x", "\0", &format!("{}\0\0\0\0\u{1}", issued.intent_id)] {
        let by_id = Carriers { intent_id: id.into(), ..carriers() };
        assert_eq!(desk.look(&by_id).unwrap_err().reason, reason::INTENT_TEXT_UNAVAILABLE, "{id:?}");
        let hint = Carriers { hint_id: id.into(), ..carriers() };
        assert_eq!(desk.look(&hint).unwrap_err().reason, reason::INTENT_MISSING, "{id:?}");
    }
}

#[test]
fn a_text_that_is_not_kept_must_be_given() {
    let mut desk = Desk::new();
    let outcome = desk.registry.decide_register(&desk.tables, &caller(), NOW, &request(TEXT)).unwrap();
    let issued = outcome.reply.unwrap();
    for mut event in outcome.events {
        if let Event::Intent(intent) = &mut event {
            intent.text = Content::Absent;
        }
        desk.record(event);
    }
    assert_eq!(desk.reason_of(&issued.token), reason::INTENT_TEXT_UNAVAILABLE);
    let given = Carriers { text: TEXT.into(), ..with_token(&issued.token) };
    let anchor = desk.look(&given).unwrap();
    assert_eq!((anchor.text.as_str(), anchor.provenance), (TEXT, Provenance::Signed));
    let rewritten = Carriers { text: "Pay Eve".into(), ..with_token(&issued.token) };
    assert_eq!(desk.look(&rewritten).unwrap_err().reason, reason::INTENT_TAMPERED);
}

#[test]
fn a_changed_store_is_found_out() {
    let mut desk = Desk::new();
    let issued = desk.registered(TEXT);
    let open = |_: &IntentVersion| Some("Pay Eve".to_owned());
    let found = desk.registry.lookup(&desk.tables, &with_token(&issued.token), NOW, &open).unwrap();
    assert_eq!(found.anchor.unwrap_err().reason, reason::INTENT_TAMPERED);
}

#[test]
fn an_action_of_the_past_is_compared_with_what_was_wished_then() {
    let mut desk = Desk::new();
    let old = desk.registered(TEXT);
    desk.bind(&old.intent_id, &[key(BindingKind::Trace, "t")]).unwrap();
    desk.now += 60_000;
    let new = desk.amend(&old, "Pay both bills", false).unwrap();
    desk.now += 60_000;
    desk.revoke(&new.intent_id).unwrap();

    let at = |carriers: &Carriers, at_ms: u64| {
        desk.registry.lookup(&desk.tables, carriers, at_ms, &plain).unwrap().anchor
    };
    for carriers in [with_token(&old.token), with_key(key(BindingKind::Trace, "t"), false)] {
        assert_eq!(at(&carriers, NOW + 30_000).unwrap().text, TEXT);
    }
    assert_eq!(at(&with_token(&old.token), NOW + 90_000).unwrap_err().reason, reason::INTENT_SUPERSEDED);
    assert_eq!(at(&with_token(&new.token), NOW + 90_000).unwrap().text, "Pay both bills");
    assert_eq!(at(&with_token(&new.token), NOW + 130_000).unwrap_err().reason, reason::INTENT_REVOKED);
}

#[test]
fn the_constraints_come_with_the_anchor() {
    let mut desk = Desk::new();
    let constraints = Constraints { tools: vec!["read_*".into()], ..Constraints::default() };
    let issued = desk.register(&Registration { constraints: constraints.clone(), ..request(TEXT) }).unwrap();
    assert_eq!(desk.look(&with_token(&issued.token)).unwrap().constraints, constraints);
    let elsewhere = Desk { tables: MemoryTables::default(), ..desk };
    let given = Carriers { text: TEXT.into(), ..with_token(&issued.token) };
    assert_eq!(elsewhere.look(&given).unwrap().constraints, constraints, "also from the token alone");
}
