//! `rhumb demo`: the main job in one go.

use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use rhumb_engine::Call;
use rhumb_models::bundle::BundleError;
use rhumb_models::{FetchOutcome, Store};
use rhumb_proto::v1::{HopScore, Origin, ScoreChainRequest, ScoreChainResponse, ScoreResponse, Verdict};
use rhumb_proto::{json, v1};

use crate::cli::DemoArgs;
use crate::failure::Failure;
use crate::progress;
use crate::service::chain::score_chain;
use crate::startup::{Wanted, start_off_thread};
use crate::table::Table;

const CHAIN: &str = include_str!("../../assets/demo.json");
/// Characters of the drift bar.
const BAR: usize = 10;
/// Characters of a value that are shown.
const SHOWN: usize = 44;

/// Fetches the model if it is absent, scores the chain, prints it.
pub async fn run(args: DemoArgs) -> Result<ExitCode, Failure> {
    let name = args.engine.model.clone();
    tokio::task::spawn_blocking(move || fetch(&name))
        .await
        .map_err(Failure::check)?
        .map_err(Failure::check)?;
    let request: ScoreChainRequest = json::parse(CHAIN).map_err(Failure::check)?;
    let started = start_off_thread(Wanted::from(&args.engine)).await?;
    let response =
        score_chain(&started.engine, request.clone(), &Call::bulk()).await.map_err(Failure::check)?;
    started.stop();
    if args.json {
        anstream::println!("{}", serde_json::to_string(&response).map_err(Failure::check)?);
    } else {
        print(&request, &response);
    }
    Ok(ExitCode::SUCCESS)
}

fn fetch(name: &str) -> Result<(), BundleError> {
    let store = Store::open(None)?;
    if progress::fetch(&store, name)? != FetchOutcome::Already {
        anstream::eprintln!("model {name} fetched and verified");
    }
    Ok(())
}

fn print(request: &ScoreChainRequest, response: &ScoreChainResponse) {
    let intent = request.intent.clone().unwrap_or_default();
    let bold = Style::new().bold();
    anstream::println!("{bold}{}{bold:#} asked:", intent.principal);
    anstream::println!("  \"{}\"\n", intent.text);
    let mut table = Table::text(&[
        "hop",
        "agent",
        "asked by",
        "action",
        "effect",
        "drift",
        "verdict",
        "what gave it away",
    ]);
    for (hop, asked) in response.hops.iter().zip(&request.hops) {
        let action = asked.action.clone().unwrap_or_default();
        let first = response.first_drifted_hop == Some(hop.hop);
        table.styled_row(row(hop, &action, first));
    }
    anstream::println!("{table}");
    conclusion(response);
}

fn row(hop: &HopScore, action: &v1::Action, first: bool) -> Vec<(String, Style)> {
    let plain = Style::new();
    let score = hop.score.clone().unwrap_or_default();
    let verdict = colour(score.verdict());
    let mark = if first { "►" } else { " " };
    vec![
        (format!("{mark}{}", hop.hop), if first { verdict.bold() } else { plain }),
        (hop.agent.clone(), plain),
        (hop.delegator.clone(), plain.dimmed()),
        (action.tool.clone(), plain.bold()),
        (action.effect().as_str_name().to_owned(), plain.dimmed()),
        (bar(score.drift), verdict),
        (score.verdict().as_str_name().to_owned(), verdict.bold()),
        (reason(&score), plain),
    ]
}

fn colour(verdict: Verdict) -> Style {
    let colour = match verdict {
        Verdict::Allow => AnsiColor::Green,
        Verdict::Warn => AnsiColor::Yellow,
        Verdict::Escalate => AnsiColor::Magenta,
        Verdict::Deny => AnsiColor::Red,
        Verdict::Abstain | Verdict::Unspecified => AnsiColor::Blue,
    };
    colour.on_default()
}

fn bar(drift: Option<f64>) -> String {
    let Some(drift) = drift else { return "no score".to_owned() };
    let full = (drift * BAR as f64).round() as usize;
    format!("{}{} {drift:.2}", "█".repeat(full.min(BAR)), "·".repeat(BAR.saturating_sub(full)))
}

/// The value that came from nowhere, else the part of the action with the least counterpart in the request.
fn reason(score: &ScoreResponse) -> String {
    if score.verdict() == Verdict::Allow {
        return String::new();
    }
    let evidence = score.evidence.clone().unwrap_or_default();
    let unseen = |v: &&v1::ValueEvidence| matches!(v.origin(), Origin::New | Origin::UntrustedContext);
    if let Some(value) = evidence.values.iter().find(unseen) {
        let origin = match value.origin() {
            Origin::UntrustedContext => "only in untrusted text",
            _ => "seen nowhere",
        };
        let name = value.path.trim_start_matches("arguments.");
        return format!("{name} = {} ({origin})", shorten(&value.value));
    }
    format!("{} has little counterpart in the request", evidence.weakest_segment)
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or(text)),
        None => text.to_owned(),
    }
}

fn conclusion(response: &ScoreChainResponse) {
    let bold = Style::new().bold();
    match response.first_drifted_hop {
        Some(hop) => anstream::println!(
            "Drift began at {bold}hop {hop}{bold:#}: {} acted, {} had delegated. Accountable: {}.",
            response.first_drifted_agent,
            response.first_drifted_delegator,
            response.principal
        ),
        None => anstream::println!("No hop drifted. Accountable: {}.", response.principal),
    }
    if let Some(hop) = response.passed_at_hop.filter(|_| !response.passed_by.is_empty()) {
        anstream::println!("First let pass by {bold}{}{bold:#} at hop {hop}.", response.passed_by);
    }
    anstream::println!(
        "Every call here is one that the agent's role permits; drift says whether it serves what was asked."
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_as_long_as_the_story_needs() {
        let chain: ScoreChainRequest = json::parse(CHAIN).unwrap();
        let mut agents: Vec<_> = chain.hops.iter().map(|h| h.agent.as_str()).collect();
        agents.sort_unstable();
        agents.dedup();
        assert!(chain.hops.len() >= 6 && agents.len() >= 3);
    }

    #[test]
    fn bars_have_one_width() {
        for drift in [0.0, 0.04, 0.5, 1.0] {
            assert_eq!(bar(Some(drift)).chars().count(), BAR + 5);
        }
    }
}
