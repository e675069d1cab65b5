use super::*;
use crate::error::RefusalKind;
use crate::intent::config::Provenance;
use crate::intent::reason;
use crate::intent::state;
use rhumb_drift::Verdict;

fn session(value: &str) -> BindingKey {
    key(BindingKind::McpSession, value)
}

#[test]
fn the_first_write_wins_and_the_second_is_recorded() {
    let mut desk = Desk::new();
    let (a, b) = (desk.registered(TEXT), desk.registered("Read the news"));
    desk.bind(&a.intent_id, &[session("s1")]).unwrap();
    assert!(desk.bind(&a.intent_id, &[session("s1")]).is_ok(), "the same intent again");

    let before = desk.log.len();
    let refusal = desk.bind(&b.intent_id, &[session("s0"), session("s1")]).unwrap_err();
    assert_eq!((refusal.kind, refusal.reason), (RefusalKind::AlreadyExists, reason::BINDING_TAKEN));
    let tried: Vec<_> = desk.log[before..].iter().map(|r| &r.event).collect();
    assert!(
        matches!(tried.as_slice(), [Event::BindingRefused(r)] if r.holder == a.intent_id && r.key == session("s1"))
    );
    assert_eq!(
        desk.look(&with_key(session("s0"), false)).unwrap_err().reason,
        reason::INTENT_MISSING,
        "none is bound"
    );
    assert_eq!(desk.look(&with_key(session("s1"), false)).unwrap().intent.unwrap().id, a.intent_id);
}

#[test]
fn keys_of_a_registration_are_bound_with_it_or_it_fails() {
    let mut desk = Desk::new();
    let with = |value: &str| Registration { bindings: vec![session(value)], ..request(TEXT) };
    let first = desk.register(&with("s1")).unwrap();
    assert_eq!(desk.look(&with_key(session("s1"), false)).unwrap().intent.unwrap().id, first.intent_id);
    let intents = |desk: &Desk| desk.log.iter().filter(|r| matches!(r.event, Event::Intent(_))).count();
    assert_eq!(desk.register(&with("s1")).unwrap_err().kind, RefusalKind::AlreadyExists);
    assert_eq!(intents(&desk), 1);
}

#[test]
fn only_an_authenticated_caller_binds() {
    let mut desk = Desk::new();
    let issued = desk.registered(TEXT);
    let nobody = Caller { authenticated: false, ..caller() };
    let keys = [session("s")];
    let outcome = desk.registry.decide_bind(&desk.tables, &nobody, NOW, &issued.intent_id, &keys).unwrap();
    assert_eq!(outcome.reply.unwrap_err().reason, reason::CALLER_UNAUTHENTICATED);
}

#[test]
fn an_ended_key_stays_blocked_for_a_day() {
    let mut desk = Desk::new();
    let (a, b) = (desk.registered(TEXT), desk.register(&long("Read the news")).unwrap());
    let until = desk.bind(&a.intent_id, &[session("s")]).unwrap().expires_ms;
    assert_eq!(until, NOW + 24 * HOUR);
    desk.now = until;
    assert_eq!(desk.look(&with_key(session("s"), false)).unwrap_err().reason, reason::INTENT_EXPIRED);
    desk.now = until + 24 * HOUR - 1;
    assert_eq!(desk.bind(&b.intent_id, &[session("s")]).unwrap_err().reason, reason::BINDING_TAKEN);
    desk.now = until + 24 * HOUR;
    assert!(desk.bind(&b.intent_id, &[session("s")]).is_ok());
    assert_eq!(state::count(&desk.tables, "acme").unwrap(), 1);
    let old = desk.registry.get(&desk.tables, "acme", &a.intent_id).unwrap().unwrap();
    assert!(old.head.keys.is_empty());
}

fn long(text: &str) -> Registration {
    Registration { expires_ms: Some(NOW + 20 * 24 * HOUR), ..request(text) }
}

#[test]
fn a_key_of_a_living_intent_is_renewed_by_binding_it_again() {
    let mut desk = Desk::new();
    let issued = desk.register(&long(TEXT)).unwrap();
    let first = desk.bind(&issued.intent_id, &[session("s")]).unwrap();
    let lines = desk.log.len();
    desk.now += HOUR;
    assert_eq!(desk.bind(&issued.intent_id, &[session("s")]).unwrap().expires_ms, first.expires_ms);
    assert_eq!(desk.log.len(), lines, "a retry is no record");
    desk.now += 20 * HOUR;
    assert_eq!(desk.bind(&issued.intent_id, &[session("s")]).unwrap().expires_ms, desk.now + 24 * HOUR);
    assert_eq!(state::count(&desk.tables, "acme").unwrap(), 1);
}

#[test]
fn the_key_of_a_revoked_intent_leads_nowhere_and_to_nobody_else() {
    let mut desk = Desk::new();
    let (a, b) = (desk.registered(TEXT), desk.registered("Read the news"));
    desk.bind(&a.intent_id, &[session("s")]).unwrap();
    desk.revoke(&a.intent_id).unwrap();
    let carriers = Carriers { text: "Read the news".into(), ..with_key(session("s"), false) };
    let none = desk.look(&carriers).unwrap_err();
    assert_eq!(
        (none.reason, none.verdict),
        (reason::INTENT_REVOKED, Verdict::Deny),
        "no weaker row is tried"
    );
    desk.now += 23 * HOUR;
    assert_eq!(desk.bind(&b.intent_id, &[session("s")]).unwrap_err().reason, reason::BINDING_TAKEN);
    let b = desk.register(&Registration { expires_ms: Some(desk.now + 9 * HOUR), ..request(TEXT) }).unwrap();
    desk.now += HOUR;
    assert!(desk.bind(&b.intent_id, &[session("s")]).is_ok(), "a day after the intent was ended");
}

#[test]
fn an_amendment_moves_all_keys() {
    let mut desk = Desk::new();
    let old = desk.registered(TEXT);
    desk.bind(&old.intent_id, &[session("s"), key(BindingKind::A2aContext, "c")]).unwrap();
    desk.amend(&old, "Pay both bills", false).unwrap();
    for key in [session("s"), key(BindingKind::A2aContext, "c")] {
        let anchor = desk.look(&with_key(key, false)).unwrap();
        assert_eq!((anchor.text.as_str(), anchor.intent.unwrap().version), ("Pay both bills", 2));
    }
}

#[test]
fn an_intent_has_at_most_64_keys() {
    let mut desk = Desk::new();
    let issued = desk.registered(TEXT);
    let keys: Vec<_> = (0..65).map(|i| session(&i.to_string())).collect();
    assert_eq!(desk.bind(&issued.intent_id, &keys).unwrap_err().kind, RefusalKind::ResourceExhausted);
    desk.bind(&issued.intent_id, &keys[..64]).unwrap();
    assert!(desk.bind(&issued.intent_id, &keys[..3]).is_ok());
    assert_eq!(desk.bind(&issued.intent_id, &keys[64..]).unwrap_err().reason, reason::BINDING_LIMIT);
}

#[test]
fn a_tenant_has_at_most_a_million_keys_but_those_that_are_free() {
    use crate::tables::{Table, Write as _};
    let mut desk = Desk::new();
    let (a, b) = (desk.registered(TEXT), desk.register(&long("Read the news")).unwrap());
    desk.bind(&a.intent_id, &[session("s")]).unwrap();
    desk.tables.put(Table::Counts, &state::count_key("acme"), b"1000000").unwrap();
    assert_eq!(desk.bind(&b.intent_id, &[session("t")]).unwrap_err().reason, reason::BINDING_LIMIT);
    desk.now += 48 * HOUR;
    desk.bind(&b.intent_id, &[session("t")]).unwrap();
    assert_eq!(state::count(&desk.tables, "acme").unwrap(), 1_000_000);
}

#[test]
fn a_chain_of_an_intent_cannot_be_bound_to_another() {
    let mut desk = Desk::new();
    let (a, b) = (desk.registered(TEXT), desk.registered("Read the news"));
    let chain = key(BindingKind::Chain, &a.chain_id);
    assert_eq!(
        desk.bind(&b.intent_id, std::slice::from_ref(&chain)).unwrap_err().reason,
        reason::BINDING_TAKEN
    );
    assert!(desk.bind(&a.intent_id, &[chain]).is_ok());
}

#[test]
fn a_binding_is_trusted_as_far_as_its_value_and_its_caller_are_known() {
    let mut desk = Desk::new();
    let issued = desk.registered(TEXT);
    let sandbox = key(BindingKind::OpenshellSandbox, "sb");
    let trace = key(BindingKind::Trace, "tr");
    desk.bind(&issued.intent_id, &[sandbox.clone(), session("s"), trace.clone()]).unwrap();
    let trust = |carriers: &Carriers| desk.look(carriers).unwrap().provenance;
    assert_eq!(trust(&with_key(sandbox.clone(), true)), Provenance::ServerBound);
    assert_eq!(trust(&with_key(sandbox, false)), Provenance::Unverified);
    assert_eq!(trust(&with_key(session("s"), false)), Provenance::ServerBound);
    for caller in [None, Some("agent".to_owned()), Some(String::new())] {
        let carriers = Carriers { caller, ..with_key(session("s"), false) };
        assert_eq!(trust(&carriers), Provenance::Unverified);
    }
    assert_eq!(trust(&with_key(trace, true)), Provenance::Unverified);
}
