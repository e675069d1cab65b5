use super::*;
use crate::record::{Content, Retired};
use crate::tables::{Read as _, Table};
use proptest::prelude::*;

type Rows = Vec<Vec<(Vec<u8>, Vec<u8>)>>;

fn rows(tables: &MemoryTables) -> Rows {
    let tables_of_intents =
        [Table::Intents, Table::Bindings, Table::Counts, Table::Registrations, Table::IntentChains];
    tables_of_intents.iter().map(|t| tables.scan(*t, &[], usize::MAX).unwrap()).collect()
}

fn replayed(log: &[Record]) -> MemoryTables {
    let mut tables = MemoryTables::default();
    for record in log {
        let line = serde_json::to_string(record).unwrap();
        apply(&mut tables, &serde_json::from_str(&line).unwrap()).unwrap();
    }
    tables
}

/// What a caller may do next, with what it picks.
fn step(desk: &mut Desk, known: &mut Vec<Issued>, what: u8, pick: usize) {
    desk.now += u64::from(what) * HOUR;
    let chosen = if known.is_empty() { None } else { known.get(pick % known.len()).cloned() };
    match (what % 6, chosen) {
        (0, _) | (_, None) => {
            let request =
                Registration { request_id: format!("r{pick}"), ..request(&format!("Pay bill {pick}")) };
            known.extend(desk.register(&request).ok());
        }
        (1, Some(old)) => known.extend(desk.amend(&old, "Pay both bills", pick.is_multiple_of(2)).ok()),
        (2, Some(old)) => drop(desk.revoke(&old.intent_id)),
        (3, Some(old)) => {
            let request = TokenRequest { intent_id: old.intent_id, ..TokenRequest::default() };
            drop(desk.token(&request));
        }
        (_, Some(old)) => {
            let keys = [key(BindingKind::Trace, &format!("t{}", pick % 5)), key(BindingKind::Chain, "c")];
            drop(desk.bind(&old.intent_id, &keys[..1 + pick % 2]));
        }
    }
}

fn run(steps: &[(u8, usize)]) -> Desk {
    let mut desk = Desk::new();
    let mut known = Vec::new();
    for (what, pick) in steps {
        step(&mut desk, &mut known, *what, *pick);
    }
    desk
}

/// The digest of the last record is the log's matter.
fn retired(through: u64) -> Retired {
    Retired { from: 1, through, digest: String::new() }
}

proptest! {
    #[test]
    fn replaying_the_log_makes_the_same_tables(steps in prop::collection::vec((0u8..12, 0usize..20), 0..40)) {
        let desk = run(&steps);
        prop_assert_eq!(rows(&replayed(&desk.log)), rows(&desk.tables));
    }

    #[test]
    fn after_retirement_the_tables_are_those_of_the_records_that_are_left(
        steps in prop::collection::vec((0u8..12, 0usize..20), 1..40),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut desk = run(&steps);
        let through = cut.index(desk.log.len()) as u64;
        desk.record(Event::Retired(retired(through)));
        prop_assert_eq!(rows(&replayed(&desk.log[through as usize..])), rows(&desk.tables));
    }

    #[test]
    fn a_key_never_leads_to_two_intents(steps in prop::collection::vec((0u8..12, 0usize..20), 0..40)) {
        let desk = run(&steps);
        let mut seen = std::collections::BTreeSet::new();
        for record in &desk.log {
            if let Event::Intent(intent) = &record.event
                && intent.version == 1
                && let Some(registered) = desk.registry.get(&desk.tables, "acme", &intent.id).unwrap()
            {
                for key in registered.head.keys {
                    prop_assert!(seen.insert(key));
                }
            }
        }
        prop_assert_eq!(seen.len() as u64, super::super::state::count(&desk.tables, "acme").unwrap());
    }
}

#[test]
fn an_erased_text_leaves_the_intent_but_not_the_words() {
    let mut desk = Desk::new();
    let issued = desk.registered(TEXT);
    let seq = desk.log.len() as u64;
    let later = desk.registered("Read the news");
    desk.record(Event::TextErased(retired(seq)));
    let versions = desk.registry.get(&desk.tables, "acme", &issued.intent_id).unwrap().unwrap().versions;
    assert_eq!(versions[0].intent.text, Content::Absent);
    assert!(
        !rows(&desk.tables).iter().flatten().any(|(_, v)| String::from_utf8_lossy(v).contains("bill.txt"))
    );
    assert!(desk.look(&with_token(&later.token)).is_ok());
}
