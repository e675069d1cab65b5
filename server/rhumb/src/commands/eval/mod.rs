//! `rhumb eval`: figures on labelled actions, with plain cosine beside them as the control.

mod metrics;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use rhumb_drift::{Effect, FEATURES};
use rhumb_engine::Answer;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use self::metrics::{Metrics, measure};
use super::labelled::{Labelled, read, score};
use crate::cli::EvalArgs;
use crate::failure::Failure;
use crate::lines;
use crate::startup::{Wanted, start_off_thread};
use crate::table::Table;

/// Drift and plain cosine on the same actions.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    drift: Metrics,
    /// Alarms at the threshold in use.
    at_threshold: Alarms,
    /// Plain cosine as a drift score: one minus similarity.
    cosine: Metrics,
}

/// Shares of the actions whose drift is at or above the threshold of their effect.
#[derive(Debug, Clone, Copy, Serialize)]
struct Alarms {
    /// Of the aligned ones.
    fpr: f64,
    /// Of the drifted ones.
    tpr: f64,
}

type Rows = BTreeMap<String, Row>;

/// All figures. Groups in which a label is missing are left out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    model: String,
    digest: String,
    calibration_id: String,
    /// Actions without a score (no anchor), left out of all figures.
    unscored: usize,
    overall: Option<Row>,
    writes: Option<Row>,
    by_family: Rows,
    /// Drifted lines of one kind against all aligned lines.
    by_kind: Rows,
    by_effect: Rows,
    writes_by_family: Rows,
    writes_by_kind: Rows,
}

type Scored = (Labelled, Answer);

/// Measures.
pub async fn run(args: EvalArgs) -> Result<ExitCode, Failure> {
    let lines = read(&args.input, &args.family)?;
    let started = start_off_thread(Wanted::from(&args.engine)).await?;
    let scored = score(&started.engine, lines).await?;
    if let Some(path) = &args.features {
        write_features(path, &scored)?;
    }
    let info = started.engine.info().clone();
    let report = report(&scored, info.model, info.digest, started.engine.calibration_id().to_owned());
    if args.json {
        anstream::println!("{}", serde_json::to_string(&report).map_err(Failure::check)?);
    } else {
        print(&report);
    }
    started.stop();
    Ok(ExitCode::SUCCESS)
}

/// One line for each action, for analysis elsewhere. No text of the action is in it.
fn write_features(path: &Path, scored: &[Scored]) -> Result<(), Failure> {
    let mut output = lines::create(path)?;
    for (line, answer) in scored {
        let Some(features) = &answer.features else { continue };
        let named: BTreeMap<_, _> = FEATURES.iter().map(|f| f.name).zip(features.values).collect();
        let intent = Sha256::digest(line.input.intent.text.as_bytes());
        let row = serde_json::json!({
            "label": if line.drifted { "drifted" } else { "aligned" },
            "family": line.family, "kind": line.kind, "effect": line.effect(), "features": named,
            "intent": format!("{intent:x}"), "drift": answer.drift, "similarity": answer.similarity,
        });
        writeln!(output, "{row}").map_err(Failure::file(path))?;
    }
    output.flush().map_err(Failure::file(path))
}

fn report(scored: &[Scored], model: String, digest: String, calibration_id: String) -> Report {
    let all: Vec<&Scored> = scored.iter().filter(|(_, a)| a.drift.is_some()).collect();
    let writes: Vec<&Scored> = all.iter().copied().filter(|(l, _)| l.effect() == Effect::Write).collect();
    let family = |l: &Labelled| l.family.clone();
    Report {
        model,
        digest,
        calibration_id,
        unscored: scored.len() - all.len(),
        overall: row(&all),
        writes: row(&writes),
        by_family: grouped(&all, family),
        by_kind: by_kind(&all),
        by_effect: grouped(&all, |l| format!("{:?}", l.effect()).to_uppercase()),
        writes_by_family: grouped(&writes, family),
        writes_by_kind: by_kind(&writes),
    }
}

fn row(scored: &[&Scored]) -> Option<Row> {
    let drift: Vec<_> = scored.iter().filter_map(|(l, a)| Some((a.drift?, l.drifted))).collect();
    let cosine: Vec<_> =
        scored.iter().filter_map(|(l, a)| Some((1.0 - f64::from(a.similarity?), l.drifted))).collect();
    let at_threshold = Alarms { fpr: alarms(scored, false), tpr: alarms(scored, true) };
    Some(Row { drift: measure(&drift, true)?, at_threshold, cosine: measure(&cosine, false)? })
}

fn alarms(scored: &[&Scored], drifted: bool) -> f64 {
    let of_label = scored.iter().filter(|(l, _)| l.drifted == drifted);
    let alarms: Vec<bool> = of_label.filter_map(|(_, a)| Some(a.drift? >= a.threshold)).collect();
    alarms.iter().filter(|alarm| **alarm).count() as f64 / alarms.len().max(1) as f64
}

fn grouped(scored: &[&Scored], key: impl Fn(&Labelled) -> String) -> Rows {
    let mut groups: BTreeMap<String, Vec<&Scored>> = BTreeMap::new();
    for one in scored {
        groups.entry(key(&one.0)).or_default().push(one);
    }
    groups.into_iter().filter_map(|(name, group)| Some((name, row(&group)?))).collect()
}

fn by_kind(scored: &[&Scored]) -> Rows {
    let kinds: std::collections::BTreeSet<&str> =
        scored.iter().filter(|(l, _)| l.drifted).map(|(l, _)| l.kind.as_str()).collect();
    let of = |kind: &str| -> Vec<&Scored> {
        scored.iter().copied().filter(|(l, _)| !l.drifted || l.kind == kind).collect()
    };
    kinds.into_iter().filter_map(|kind| Some((kind.to_owned(), row(&of(kind))?))).collect()
}

fn print(report: &Report) {
    let columns = [
        "",
        "aligned",
        "drifted",
        "AUROC",
        "AP",
        "TPR@1%",
        "TPR@5%",
        "ECE",
        "FPR used",
        "TPR used",
        "cosine AUROC",
        "cosine TPR@5%",
    ];
    let mut table = Table::new(&columns);
    let single =
        |name: &str, row: &Option<Row>| row.map(|r| (name.to_owned(), r)).into_iter().collect::<Vec<_>>();
    section(&mut table, "", single("all actions", &report.overall));
    section(&mut table, "", single("all writes", &report.writes));
    section(&mut table, "family ", report.by_family.clone().into_iter().collect());
    section(&mut table, "writes of ", report.writes_by_family.clone().into_iter().collect());
    section(&mut table, "kind ", report.by_kind.clone().into_iter().collect());
    section(&mut table, "writes, kind ", report.writes_by_kind.clone().into_iter().collect());
    anstream::println!("{} {}, calibration {}", report.model, report.digest, report.calibration_id);
    anstream::print!("{table}");
    if report.unscored > 0 {
        anstream::println!("{} actions have no score (no anchor) and are left out", report.unscored);
    }
}

fn section(table: &mut Table, prefix: &str, rows: Vec<(String, Row)>) {
    for (name, Row { drift, at_threshold, cosine }) in rows {
        let figures = [drift.auroc, drift.average_precision, drift.tpr_at_fpr01, drift.tpr_at_fpr05];
        let mut cells = vec![format!("{prefix}{name}"), drift.aligned.to_string(), drift.drifted.to_string()];
        cells.extend(figures.iter().map(|f| format!("{f:.3}")));
        cells.push(drift.ece.map(|e| format!("{e:.3}")).unwrap_or_default());
        cells.push(format!("{:.3}", at_threshold.fpr));
        cells.push(format!("{:.3}", at_threshold.tpr));
        cells.push(format!("{:.3}", cosine.auroc));
        cells.push(format!("{:.3}", cosine.tpr_at_fpr05));
        table.row(cells);
    }
}
