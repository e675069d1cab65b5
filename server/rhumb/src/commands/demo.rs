//! `rhumb demo`: the main job in one go.

use std::process::ExitCode;

use anstyle::Style;
use rhumb_engine::Call;
use rhumb_gateway::Decider;
use rhumb_gateway::caller::Caller;
use rhumb_gateway::chain::score_chain;
use rhumb_gateway::policy::{Base, PolicyHandle};
use rhumb_models::bundle::BundleError;
use rhumb_models::{FetchOutcome, Store};
use rhumb_proto::v1::{HopScore, ScoreChainRequest, ScoreChainResponse};
use rhumb_proto::{json, v1};

use crate::cli::DemoArgs;
use crate::failure::Failure;
use crate::progress;
use crate::startup::{Wanted, start_off_thread};
use crate::table::Table;
use crate::trace::marks::{bar, colour, reason};

const CHAIN: &str = include_str!("../../assets/demo.json");

/// Fetches the model if it is absent, scores the chain, prints it.
pub async fn run(args: DemoArgs) -> Result<ExitCode, Failure> {
    let name = args.engine.model.clone();
    tokio::task::spawn_blocking(move || fetch(&name))
        .await
        .map_err(Failure::check)?
        .map_err(Failure::check)?;
    let request: ScoreChainRequest = json::parse(CHAIN).map_err(Failure::check)?;
    let started = start_off_thread(Wanted::from(&args.engine)).await?;
    let decider =
        Decider::alone(started.engine.clone(), PolicyHandle::of(Base::default())).map_err(Failure::check)?;
    let scored = score_chain(&decider, request.clone(), &Caller::local(), &Call::bulk()).await;
    drop(decider);
    started.stop();
    let response = scored.map_err(Failure::check)?;
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
}
