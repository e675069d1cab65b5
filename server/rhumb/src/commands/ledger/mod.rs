//! `rhumb ledger`: shows, verifies and exports what was decided.

mod records;

use std::path::Path;
use std::process::ExitCode;

use rhumb_gateway::offline::Folder;
use rhumb_gateway::trace::decision;
use rhumb_ledger::export::{Filter, Format, export, rfc3339};
use rhumb_ledger::verify::{Options, TablesState, Verified, verify};
use rhumb_ledger::{Decision, Keys, Ledger, LedgerConfig, PublicKeys, Stored};
use rhumb_proto::v1;
use serde_json::json;

use super::keys::folder as keys_folder;
use super::policy::word;
use crate::cli::{
    LedgerAcceptEndArgs, LedgerArgs, LedgerCommand, LedgerExportArgs, LedgerFormat, LedgerPlace,
    LedgerShowArgs, LedgerVerifyArgs,
};
use crate::config::Config;
use crate::explain::explain;
use crate::failure::Failure;
use crate::lines;
use crate::table::Table;
use crate::trace::marks::bar;
use crate::trace::text::clean;

/// Columns of a name in the table.
const NAME: usize = 28;

/// Runs the subcommand.
pub fn run(args: LedgerArgs) -> Result<ExitCode, Failure> {
    match args.command {
        LedgerCommand::Show(args) => show(&args),
        LedgerCommand::Verify(args) => check(&args),
        LedgerCommand::Export(args) => write(&args),
        LedgerCommand::AcceptEnd(args) => accept_end(&args),
    }
}

/// The ledger in a folder, or that which a configuration names.
pub fn ledger_folder(config: Option<&Path>, path: Option<&Path>) -> Result<Folder, Failure> {
    let ledger = ledger(config, path)?;
    let log = rhumb_ledger::folder::log(&ledger.path);
    if !log.is_dir() {
        return Err(Failure::input(format!("{}: holds no ledger (no folder log)", ledger.path.display())));
    }
    Ok(Folder::of(&ledger))
}

fn ledger(config: Option<&Path>, path: Option<&Path>) -> Result<LedgerConfig, Failure> {
    if let Some(path) = path {
        return Ok(LedgerConfig::at(path));
    }
    let none = || Failure::input("--config: the file has no section [ledger]");
    Config::load(config)?.ledger.ok_or_else(none)
}

fn folder(place: &LedgerPlace) -> Result<Folder, Failure> {
    ledger_folder(place.config.as_deref(), place.path.as_deref())
}

fn filter(args: &LedgerShowArgs) -> Result<Filter, Failure> {
    let verdict = args.verdict.as_ref().map(|text| word("--verdict", &text.to_ascii_uppercase()));
    Ok(Filter {
        chain: args.chain.clone(),
        request: args.request.clone(),
        decision: args.decision.clone(),
        intent: args.intent.clone(),
        principal: args.principal.clone(),
        tenant: args.tenant.clone(),
        verdicts: verdict.transpose()?.into_iter().collect(),
        decisions_only: args.kind.is_empty(),
        kinds: args.kind.clone(),
        ..Filter::default()
    })
}

fn show(args: &LedgerShowArgs) -> Result<ExitCode, Failure> {
    let filter = filter(args)?;
    let one = args.request.is_some() || args.decision.is_some();
    let most = if one { 1 } else { usize::try_from(args.last).unwrap_or(usize::MAX) };
    if !args.kind.is_empty() {
        records::show(&folder(&args.place)?, &filter, most, args.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let found = folder(&args.place)?.decisions(&filter, most).map_err(Failure::check)?;
    if found.is_empty() && one {
        return Err(Failure::check("no such decision is recorded"));
    }
    let messages: Vec<v1::Decision> =
        found.iter().map(decision).collect::<Result<_, _>>().map_err(Failure::check)?;
    if args.json {
        for message in &messages {
            anstream::println!("{}", serde_json::to_string(message).map_err(Failure::check)?);
        }
    } else if one {
        found.iter().zip(&messages).for_each(|(stored, message)| print_one(stored, message));
    } else {
        anstream::println!("{}", table(&found));
    }
    Ok(ExitCode::SUCCESS)
}

fn table(found: &[Stored<Decision>]) -> Table {
    let mut table = Table::text(&["record", "time", "chain", "hop", "tool", "drift", "verdict", "reason"]);
    for stored in found {
        let decision = &stored.value;
        let (chain, hop) = decision.chain.as_ref().map_or((String::new(), String::new()), |position| {
            (clean(&position.id, NAME), position.hop.to_string())
        });
        table.row(vec![
            stored.seq.to_string(),
            rfc3339(stored.time_ms),
            chain,
            hop,
            clean(&decision.tool, NAME),
            bar(decision.drift),
            rhumb_gateway::convert::verdict(decision.verdict).as_str_name().to_owned(),
            decision.reason.clone(),
        ]);
    }
    table
}

fn print_one(stored: &Stored<Decision>, message: &v1::Decision) {
    let decision = &stored.value;
    anstream::print!("{}", explain(&message.response.clone().unwrap_or_default()));
    let line = |name: &str, value: &str| {
        if !value.is_empty() {
            anstream::println!("  {name:<18} {}", clean(value, 200));
        }
    };
    line("decision", &decision.id);
    line("record", &format!("{} of {}", stored.seq, rfc3339(stored.time_ms)));
    line("record digest", &message.record_digest);
    line("request digest", &decision.request_digest);
    line("tenant", &decision.tenant);
    line("caller", &decision.caller);
    line("enforcement point", &decision.enforcement_point);
    line("principal", &decision.principal);
    line("provenance", &decision.provenance);
    let intent = decision.intent.as_ref().map(|i| format!("{} version {}, {}", i.id, i.version, i.digest));
    line("intent", &intent.unwrap_or_default());
    if let Some(position) = &decision.chain {
        line("chain", &format!("{} hop {}", position.id, position.hop));
        line("agent", &position.agent);
        line("asked by", &position.delegator);
    }
    let action = message.request.as_ref().and_then(|request| request.action.as_ref());
    let action = action.and_then(|action| serde_json::to_string(action).ok());
    line("action", &action.unwrap_or_else(|| format!("{} (its words are not kept)", decision.tool)));
}

fn check(args: &LedgerVerifyArgs) -> Result<ExitCode, Failure> {
    let folder = folder(&args.place)?;
    let own = folder.root().join("keys").join("jwks.json");
    let keys = PublicKeys::read(args.keys.as_deref().unwrap_or(&own)).map_err(Failure::check)?;
    let expect = args.expect.as_deref().map(expected).transpose()?;
    let options = Options { expect, ..Options::default() };
    match verify(folder.root(), &keys, &options) {
        Ok(good) if args.json => anstream::println!("{}", report(&good)),
        Ok(good) => anstream::println!("{}", praise(&good)),
        Err(problem) if args.json => {
            anstream::println!("{}", json!({"intact": false, "problem": problem.to_string()}));
            return Ok(ExitCode::FAILURE);
        }
        Err(problem) => return Err(Failure::check(problem)),
    }
    Ok(ExitCode::SUCCESS)
}

/// Without a record that it may end at it only says where it does: nobody should accept a loss unseen.
fn accept_end(args: &LedgerAcceptEndArgs) -> Result<ExitCode, Failure> {
    let config = ledger(args.place.config.as_deref(), args.place.path.as_deref())?;
    let folder = keys_folder(&args.place)?;
    if let Some(last) = args.last {
        let keys = Keys::open(&folder).map_err(Failure::check)?;
        Ledger::accept_end(&config, &keys, last).map_err(Failure::check)?;
        anstream::println!("record {last} is the end from now on; what came after it is lost");
        return Ok(ExitCode::SUCCESS);
    }
    let keys = PublicKeys::read(&folder.join("jwks.json")).map_err(Failure::check)?;
    let end = Ledger::log_end(&config, &keys).map_err(Failure::check)?;
    if !end.is_short() {
        anstream::println!("the log ends at record {}, as it was signed; nothing is missing", end.last);
        return Ok(ExitCode::SUCCESS);
    }
    let signed = end.signed.map_or("nobody can be shown to have signed for an end".to_owned(), |signed| {
        format!("{signed} was signed for: {} are missing", signed - end.last)
    });
    Err(Failure::check(format!(
        "the log ends at record {last}, and {signed}. To go on without them: --last {last}",
        last = end.last
    )))
}

fn expected(text: &str) -> Result<(u64, String), Failure> {
    let bad = || Failure::input(format!("--expect {text}: is not SEQ:DIGEST with 64 hexadecimal digits"));
    let (seq, digest) = text.split_once(':').ok_or_else(bad)?;
    let hexadecimal = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
    let seq = seq.parse().ok().filter(|_| hexadecimal).ok_or_else(bad)?;
    Ok((seq, digest.to_ascii_lowercase()))
}

fn report(good: &Verified) -> serde_json::Value {
    json!({
        "intact": true, "records": good.records, "decisions": good.decisions, "checkpoints": good.checkpoints,
        "firstSequence": good.first_seq, "headSequence": good.head_seq, "headDigest": good.head_digest,
        "tailRecords": good.tail_records, "tailBytes": good.tail_bytes, "tables": tables(good),
    })
}

fn praise(good: &Verified) -> String {
    let mut text = format!(
        "intact: {} records ({} decisions, {} checkpoints); head {}:{}; tables {}",
        good.records,
        good.decisions,
        good.checkpoints,
        good.head_seq,
        good.head_digest,
        tables(good)
    );
    if good.first_seq > 1 {
        text += &format!("; records 1 to {} were removed by the retention rule", good.first_seq - 1);
    }
    if good.tail_records > 0 {
        text += &format!(
            "; {} more that nobody signed: written just now, unfinished at a crash, or a stranger's; the next start cuts them \
             off",
            good.tail_records
        );
    }
    if good.tail_bytes > 0 {
        text += &format!("; {} bytes after the last record, of one that was being written", good.tail_bytes);
    }
    text
}

fn tables(good: &Verified) -> &'static str {
    match good.tables {
        TablesState::Checked => "checked",
        TablesState::InUse => "not checked: a running server holds them",
        TablesState::NotThere => "not there: they are made again from the log",
        TablesState::Skipped => "not checked",
    }
}

fn write(args: &LedgerExportArgs) -> Result<ExitCode, Failure> {
    let folder = folder(&args.place)?;
    let filter = Filter {
        from_ms: args.from.as_deref().map(|t| millis("--from", t)).transpose()?,
        to_ms: args.to.as_deref().map(|t| millis("--to", t)).transpose()?,
        chain: args.chain.clone(),
        tenant: args.tenant.clone(),
        ..Filter::default()
    };
    let format = match args.format {
        LedgerFormat::Jsonl => Format::JsonLines,
        LedgerFormat::Ocsf => Format::Ocsf,
        LedgerFormat::Parquet => Format::Parquet,
    };
    let source = folder.source().map_err(Failure::check)?;
    let written = export(source, &filter, format, lines::create(&args.output)?).map_err(Failure::check)?;
    if !lines::is_stream(&args.output) {
        anstream::eprintln!("{written} records written to {}", args.output.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn millis(flag: &str, text: &str) -> Result<u64, Failure> {
    let bad = || Failure::input(format!("{flag} {text}: is no time like 2026-11-22T00:00:00Z"));
    let time: pbjson_types::Timestamp = serde_json::from_value(json!(text)).map_err(|_| bad())?;
    let seconds = u64::try_from(time.seconds).map_err(|_| bad())?;
    Ok(seconds * 1000 + u64::try_from(time.nanos).unwrap_or_default() / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remembered_head_has_a_number_and_a_digest() {
        let digest = "AB".repeat(32);
        assert_eq!(expected(&format!("7:{digest}")).unwrap(), (7, digest.to_lowercase()));
        for bad in ["7", "7:ab", "x:", ":"] {
            assert!(expected(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(millis("--from", "1970-01-01T00:00:01.500Z").unwrap(), 1500);
        assert!(millis("--from", "yesterday").unwrap_err().to_string().contains("--from"));
    }
}
