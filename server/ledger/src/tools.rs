//! What tools say of themselves: the first description that is seen holds, and another one is noticed.
//!
//! An agent chooses tools by their descriptions, so a server that rewrites one can make a tool look like what it is not
//! (tool masquerade). The pin lives as long as its record: with a retention rule a tool is pinned anew after that time.

use serde::{Deserialize, Serialize};

use crate::error::LedgerError;
use crate::ledger::Outcome;
use crate::record::{Event, ToolSeen};
use crate::tables::{Read, Table, Write};

/// Tools of one tenant that are pinned; those beyond are not.
pub const MAX_TENANT_TOOLS: u64 = 100_000;

/// First byte of the keys of pins, of their index by record, and of the counts.
const PIN: u8 = 0;
const RECORD: u8 = 1;
const COUNT: u8 = 2;
/// Pins that one record of retention lets go in one step.
const RETIRED_AT_ONCE: usize = 4096;

/// What holds for a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// `sha256:...` of its description and schema when it was seen first.
    pub digest: String,
    /// When it was seen last.
    pub last: String,
    /// What was seen last that was not what was seen first: putting the first one back does not make it undone.
    pub changed: Option<String>,
    /// The record that pinned it.
    pub seq: u64,
}

/// What holds for a tool; `None`: it was not seen.
///
/// # Errors
/// If the store fails, or what it holds cannot be read.
pub fn pin(tables: &dyn Read, tenant: &str, server: &str, tool: &str) -> Result<Option<Pin>, LedgerError> {
    let found = tables.get(Table::Tools, &pin_key(tenant, server, tool))?;
    found.map(|bytes| parse(&bytes)).transpose()
}

/// Tools that were seen: new ones are pinned, and each change is noted once. The answer says how many new ones
/// found no room.
pub fn see(tables: &dyn Read, seen: Vec<ToolSeen>) -> Outcome<usize> {
    match plan(tables, seen) {
        Ok((events, left_out)) => Outcome::done(events, left_out),
        Err(error) => Outcome::refused(error),
    }
}

fn plan(tables: &dyn Read, seen: Vec<ToolSeen>) -> Result<(Vec<Event>, usize), LedgerError> {
    let (mut events, mut left_out) = (Vec::new(), 0);
    for (i, tool) in seen.iter().enumerate() {
        let same = |other: &ToolSeen| {
            (&other.tenant, &other.server, &other.tool) == (&tool.tenant, &tool.server, &tool.tool)
        };
        if seen.iter().take(i).any(same) {
            continue;
        }
        let pinned = events.len() as u64 + count(tables, &tool.tenant)?;
        match pin(tables, &tool.tenant, &tool.server, &tool.tool)? {
            None if pinned >= MAX_TENANT_TOOLS => left_out += 1,
            None => events.push(Event::ToolPinned(tool.clone())),
            Some(pin) if pin.last == tool.digest => {}
            Some(_) => events.push(Event::ToolChanged(tool.clone())),
        }
    }
    Ok((events, left_out))
}

/// Brings a pin into the tables.
pub(crate) fn pinned(tables: &mut dyn Write, seen: &ToolSeen, seq: u64) -> Result<(), LedgerError> {
    let key = pin_key(&seen.tenant, &seen.server, &seen.tool);
    if tables.get(Table::Tools, &key)?.is_some() {
        return Ok(());
    }
    put(tables, &key, &Pin { digest: seen.digest.clone(), last: seen.digest.clone(), changed: None, seq })?;
    let of = (&seen.tenant, &seen.server, &seen.tool);
    tables.put(Table::Tools, &record_key(seq), &bytes(&of)?)?;
    let count = count(tables, &seen.tenant)?.saturating_add(1);
    tables.put(Table::Tools, &count_key(&seen.tenant), &count.to_be_bytes())
}

/// Notes what was seen in place of what holds.
pub(crate) fn changed(tables: &mut dyn Write, seen: &ToolSeen) -> Result<(), LedgerError> {
    let key = pin_key(&seen.tenant, &seen.server, &seen.tool);
    let Some(found) = tables.get(Table::Tools, &key)? else { return Ok(()) };
    let pin: Pin = parse(&found)?;
    let changed = if seen.digest == pin.digest { pin.changed.clone() } else { Some(seen.digest.clone()) };
    put(tables, &key, &Pin { last: seen.digest.clone(), changed, ..pin })
}

/// Lets go of the pins whose records are there no more.
pub(crate) fn retire(tables: &mut dyn Write, through: u64) -> Result<(), LedgerError> {
    loop {
        let found = tables.scan(Table::Tools, &[RECORD], RETIRED_AT_ONCE)?;
        let seq = |key: &[u8]| key.last_chunk::<8>().map_or(u64::MAX, |seq| u64::from_be_bytes(*seq));
        let old: Vec<_> = found.into_iter().filter(|(key, _)| seq(key) <= through).collect();
        for (key, of) in &old {
            let (tenant, server, tool): (String, String, String) = parse(of)?;
            tables.remove(Table::Tools, key)?;
            tables.remove(Table::Tools, &pin_key(&tenant, &server, &tool))?;
            let count = count(tables, &tenant)?.saturating_sub(1);
            tables.put(Table::Tools, &count_key(&tenant), &count.to_be_bytes())?;
        }
        if old.len() < RETIRED_AT_ONCE {
            return Ok(());
        }
    }
}

fn count(tables: &dyn Read, tenant: &str) -> Result<u64, LedgerError> {
    let bytes = tables.get(Table::Tools, &count_key(tenant))?;
    Ok(bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes))
}

fn put(tables: &mut dyn Write, key: &[u8], pin: &Pin) -> Result<(), LedgerError> {
    tables.put(Table::Tools, key, &bytes(pin)?)
}

fn bytes<T: Serialize>(value: &T) -> Result<Vec<u8>, LedgerError> {
    serde_json::to_vec(value).map_err(|e| LedgerError::store(format!("table tools: {e}")))
}

fn parse<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Result<T, LedgerError> {
    let damaged =
        |e| LedgerError::damaged("tables.redb, table tools", format!("an entry cannot be read: {e}"));
    serde_json::from_slice(bytes).map_err(damaged)
}

fn pin_key(tenant: &str, server: &str, tool: &str) -> Vec<u8> {
    let mut key = vec![PIN];
    for part in [tenant, server, tool] {
        key.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        key.extend(part.as_bytes());
    }
    key
}

fn record_key(seq: u64) -> Vec<u8> {
    [&[RECORD][..], &seq.to_be_bytes()].concat()
}

fn count_key(tenant: &str) -> Vec<u8> {
    [&[COUNT], tenant.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::MemoryTables;

    fn seen(tool: &str, digest: &str) -> ToolSeen {
        ToolSeen {
            tenant: "blue".into(),
            server: "bank".into(),
            tool: tool.into(),
            digest: digest.into(),
            caller: String::new(),
        }
    }

    /// What is recorded, brought into the tables with records from `seq` on.
    fn show(tables: &mut MemoryTables, tools: &[(&str, &str)], seq: u64) -> Vec<Event> {
        let events = see(tables, tools.iter().map(|(tool, digest)| seen(tool, digest)).collect()).events;
        for (event, seq) in events.iter().zip(seq..) {
            match event {
                Event::ToolPinned(tool) => pinned(tables, tool, seq).unwrap(),
                Event::ToolChanged(tool) => changed(tables, tool).unwrap(),
                other => panic!("{other:?}"),
            }
        }
        events
    }

    #[test]
    fn the_first_description_holds_and_each_change_is_noted_once() {
        let mut tables = MemoryTables::default();
        assert_eq!(show(&mut tables, &[("send", "a"), ("list", "b"), ("send", "c")], 1).len(), 2);
        assert_eq!(show(&mut tables, &[("send", "a"), ("list", "b")], 3), []);
        assert_eq!(show(&mut tables, &[("send", "x")], 3), [Event::ToolChanged(seen("send", "x"))]);
        assert_eq!(show(&mut tables, &[("send", "x")], 4), [], "noted already");
        let pin = pin(&tables, "blue", "bank", "send").unwrap().unwrap();
        assert_eq!((pin.digest.as_str(), pin.changed.as_deref()), ("a", Some("x")));
        assert_eq!(show(&mut tables, &[("send", "a")], 4), [Event::ToolChanged(seen("send", "a"))]);
        let pin = super::pin(&tables, "blue", "bank", "send").unwrap().unwrap();
        assert_eq!((pin.last.as_str(), pin.changed.as_deref()), ("a", Some("x")), "not undone");
        assert_eq!(super::pin(&tables, "red", "bank", "send").unwrap(), None);
    }

    #[test]
    fn a_pin_goes_with_its_record_and_makes_room() {
        let mut tables = MemoryTables::default();
        show(&mut tables, &[("a", "1"), ("b", "1"), ("c", "1")], 7);
        retire(&mut tables, 8).unwrap();
        assert_eq!(pin(&tables, "blue", "bank", "a").unwrap(), None);
        assert!(pin(&tables, "blue", "bank", "c").unwrap().is_some());
        assert_eq!(count(&tables, "blue").unwrap(), 1);
        assert_eq!(show(&mut tables, &[("a", "2")], 10), [Event::ToolPinned(seen("a", "2"))]);
    }

    #[test]
    fn a_flood_of_tools_finds_no_room() {
        let mut tables = MemoryTables::default();
        tables.put(Table::Tools, &count_key("blue"), &(MAX_TENANT_TOOLS - 1).to_be_bytes()).unwrap();
        let tools = vec![seen("a", "1"), seen("b", "1"), seen("c", "1")];
        let outcome = see(&tables, tools);
        assert_eq!((outcome.events.len(), outcome.reply.unwrap()), (1, 2));
    }

    #[test]
    fn names_that_run_into_each_other_are_told_apart() {
        assert_ne!(pin_key("a", "bc", "d"), pin_key("ab", "c", "d"));
    }
}
