//! The figures as tables for people.

use std::collections::BTreeMap;

use super::report::{Report, Row, Share};
use crate::table::Table;

/// Prints everything.
pub fn print(report: &Report) {
    anstream::println!("calibration {}", report.calibration_id);
    let mut table = Table::new(&[
        "",
        "false alarms: steady",
        "walk",
        "any",
        "abrupt",
        "exact",
        "95 %",
        "within 1",
        "missed",
        "by threshold",
        "if known",
        "delay",
        "once exact",
        "slow",
        "caught",
        "95 %",
        "any",
    ]);
    table.row(cells("all chains", &report.overall));
    section(&mut table, "family", &report.by_family);
    section(&mut table, "of", &report.by_making);
    section(&mut table, "kind", &report.by_kind);
    anstream::print!("{table}");
    anstream::println!(
        "exact: the first drifted hop of an abrupt chain is named; if known: it is where drift explains the chain best,\n\
         alarm or no alarm; caught: the gathered drift alone, before the tenth hop; any: with actions at their own threshold\n"
    );
    anstream::println!("Detectors, each at 5 % false alarms on these very chains:");
    let mut table = Table::new(&["", "slow caught", "abrupt found", "at the first drifted hop"]);
    for d in &report.detectors {
        table.row(vec![
            d.detector.clone(),
            figure(d.slow_caught),
            figure(d.abrupt_found),
            figure(d.abrupt_at_once),
        ]);
    }
    anstream::print!("{table}");
}

fn section(table: &mut Table, prefix: &str, rows: &BTreeMap<String, Row>) {
    for (name, row) in rows {
        table.row(cells(&format!("{prefix} {name}"), row));
    }
}

fn cells(name: &str, row: &Row) -> Vec<String> {
    let of = |s: Option<Share>| s.map(|s| s.of.to_string()).unwrap_or_default();
    let share = |s: Option<Share>| s.map(|s| figure(s.share)).unwrap_or_default();
    let interval = |s: Option<Share>| {
        s.map(|s| format!("{}-{}", figure(s.interval[0]), figure(s.interval[1]))).unwrap_or_default()
    };
    vec![
        name.to_owned(),
        share(row.false_alarms_steady),
        share(row.false_alarms_walk),
        share(row.false_alarms_any),
        of(row.exact),
        share(row.exact),
        interval(row.exact),
        share(row.within_one),
        share(row.missed),
        share(row.exact_by_threshold),
        share(row.exact_if_known),
        row.delay.map(|d| format!("{d:.1}")).unwrap_or_default(),
        share(row.once_exact),
        of(row.slow_caught),
        share(row.slow_caught),
        interval(row.slow_caught),
        share(row.slow_caught_any),
    ]
}

fn figure(share: f64) -> String {
    format!("{share:.3}").trim_start_matches('0').to_owned()
}
