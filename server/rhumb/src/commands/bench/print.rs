//! The figures as tables.

use super::Report;
use crate::table::Table;

pub(super) fn print(report: &Report) {
    let Report { machine, score, .. } = report;
    anstream::println!(
        "{} ({} cores), rhumb {} {}",
        machine.cpu,
        machine.cores,
        report.version,
        report.commit
    );
    anstream::println!("{} on {}", report.model, report.device_reason);
    let mut table = Table::new(&[
        "precision",
        "by",
        "threads",
        "batch x tokens",
        "p50 ms",
        "p99 ms",
        "texts/s",
        "tokens/s",
    ]);
    for cell in &report.encoder {
        table.row(vec![
            cell.precision.clone(),
            cell.backend.to_owned(),
            cell.threads.to_string(),
            format!("{} x {}", cell.batch, cell.length),
            format!("{:.2}", cell.p50_ms),
            format!("{:.2}", cell.p99_ms),
            format!("{:.0}", cell.texts_per_second),
            format!("{:.0}", cell.tokens_per_second),
        ]);
    }
    anstream::print!("{table}");
    for cell in &report.tokenizer {
        anstream::println!(
            "tokenizing {} tokens on one thread: {:.3} ms, {:.0} texts/s",
            cell.length,
            cell.p50_ms,
            cell.texts_per_second
        );
    }
    anstream::println!(
        "one score in {}, {} threads, intent cached, action new: p50 {:.2} ms, p99 {:.2} ms, of it features {:.3} ms",
        report.precision,
        report.threads,
        score.p50_ms,
        score.p99_ms,
        score.drift_p50_ms
    );
}
