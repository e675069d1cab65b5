//! The figures as tables for people.

use super::attacks::Attacked;
use super::report::{Report, Row, Rows};
use crate::table::Table;

/// Prints everything.
pub fn print(report: &Report) {
    anstream::println!("{} {}, calibration {}", report.model, report.digest, report.calibration_id);
    anstream::print!("{}", groups(report));
    if report.unscored > 0 {
        anstream::println!("{} actions have no score (no anchor) and are left out", report.unscored);
    }
    if report.bootstrap > 0 {
        anstream::println!("95 %: over {} resamples of the requests", report.bootstrap);
    }
    anstream::println!("used: share of the actions whose drift reaches the threshold of their effect");
    anstream::println!(
        "tool: a prior over tool names made of these very labels; on new tools it knows nothing"
    );
    if !report.attacks.is_empty() {
        anstream::println!("\nDrifted writes under attack, against the same aligned writes:");
        anstream::print!("{}", attacks(&report.attacks));
    }
}

fn groups(report: &Report) -> Table {
    let mut table = Table::new(&[
        "",
        "aligned",
        "drifted",
        "AUROC",
        "95 %",
        "AP",
        "TPR@1%",
        "TPR@5%",
        "95 %",
        "ECE",
        "FPR used",
        "TPR used",
        "cosine AUROC",
        "TPR@5%",
        "tool AUROC",
        "TPR@5%",
    ]);
    let single = |name: &str, row: &Option<Row>| row.iter().map(|r| (name.to_owned(), *r)).collect::<Rows>();
    section(&mut table, "", &single("all actions", &report.overall));
    section(&mut table, "", &single("all writes", &report.writes));
    section(&mut table, "", &single("chains of writes", &report.chains));
    section(&mut table, "family ", &report.by_family);
    section(&mut table, "writes of ", &report.writes_by_family);
    section(&mut table, "chains of ", &report.chains_by_family);
    section(&mut table, "effect ", &report.by_effect);
    section(&mut table, "kind ", &report.by_kind);
    section(&mut table, "writes, kind ", &report.writes_by_kind);
    table
}

fn section(table: &mut Table, prefix: &str, rows: &Rows) {
    for (name, row) in rows {
        let Row { drift, at_threshold, cosine, tool_prior, intervals } = row;
        table.row(vec![
            format!("{prefix}{name}"),
            drift.aligned.to_string(),
            drift.drifted.to_string(),
            figure(drift.auroc),
            interval(intervals.map(|i| i.auroc)),
            figure(drift.average_precision),
            figure(drift.tpr_at_fpr01),
            figure(drift.tpr_at_fpr05),
            interval(intervals.map(|i| i.tpr_at_fpr05)),
            drift.ece.map(figure).unwrap_or_default(),
            figure(at_threshold.fpr),
            figure(at_threshold.tpr),
            figure(cosine.auroc),
            figure(cosine.tpr_at_fpr05),
            figure(tool_prior.auroc),
            figure(tool_prior.tpr_at_fpr05),
        ]);
    }
}

fn attacks(attacked: &[Attacked]) -> Table {
    let mut table = Table::new(&[
        "attack",
        "by",
        "applied",
        "AUROC",
        "95 %",
        "TPR@1%",
        "TPR@5%",
        "95 %",
        "allowed",
        "cosine AUROC",
        "TPR@5%",
    ]);
    for one in attacked {
        let Row { drift, cosine, intervals, .. } = &one.writes;
        table.row(vec![
            one.attack.to_owned(),
            one.actor.map(|a| format!("{a:?}").to_lowercase()).unwrap_or_default(),
            one.applied.to_string(),
            figure(drift.auroc),
            interval(intervals.map(|i| i.auroc)),
            figure(drift.tpr_at_fpr01),
            figure(drift.tpr_at_fpr05),
            interval(intervals.map(|i| i.tpr_at_fpr05)),
            figure(one.allowed),
            figure(cosine.auroc),
            figure(cosine.tpr_at_fpr05),
        ]);
    }
    table
}

fn figure(value: f64) -> String {
    format!("{value:.3}")
}

/// `.838-.876`, `.838-1.00`
fn interval(bounds: Option<[f64; 2]>) -> String {
    let short = |bound: f64| match format!("{bound:.3}") {
        text if text.starts_with('0') => text.trim_start_matches('0').to_owned(),
        text => text.trim_end_matches('0').to_owned() + "00",
    };
    bounds.map(|[low, high]| format!("{}-{}", short(low), short(high))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_short() {
        assert_eq!(interval(Some([0.8381, 1.0])), ".838-1.00");
        assert_eq!(interval(Some([0.0, 0.0996])), ".000-.100");
        assert_eq!(interval(None), "");
    }
}
