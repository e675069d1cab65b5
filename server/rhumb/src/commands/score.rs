//! `rhumb score`: JSON lines in, JSON lines out, in order; a bad line costs that line alone.

use std::io::{BufRead, Write};
use std::process::ExitCode;

use futures::stream::StreamExt as _;
use rhumb_engine::{Call, EngineError, Tenant};
use rhumb_gateway::caller::Caller;
use rhumb_gateway::policy::{Base, PolicyHandle};
use rhumb_gateway::{Decider, GatewayError};
use rhumb_proto::{json, v1};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::cli::ScoreArgs;
use crate::client::Client;
use crate::commands::policy::word;
use crate::config::Config;
use crate::convert;
use crate::explain::explain;
use crate::failure::Failure;
use crate::lines::{self, Line, Lines};
use crate::service::errors;
use crate::startup::{Started, Wanted, start_off_thread};

/// Lines that are worked on at once.
const CONCURRENCY: usize = 64;

/// What lines of labelled data have beside the request: no part of it, whatever it holds.
const OF_DATA_SETS: [&str; 3] = ["label", "family", "kind"];

/// Where scores come from.
#[derive(Clone)]
enum Scorer {
    Local(Box<Decider>, Caller),
    Remote(Client),
}

/// A line's answer, and what was wrong with the line.
struct Answered {
    response: v1::ScoreResponse,
    complaint: Option<String>,
}

/// Scores a file.
pub async fn run(args: ScoreArgs) -> Result<ExitCode, Failure> {
    lines::check_not_same(&args.input, &args.output)?;
    let input = Lines::new(lines::open(&args.input)?);
    let (scorer, started) = scorer(&args).await?;
    let (bad, failed) = pump(scorer, input, &args).await?;
    started.into_iter().for_each(Started::stop);
    Ok(match (bad, failed) {
        (0, 0) => ExitCode::SUCCESS,
        (0, _) => ExitCode::from(1),
        _ => ExitCode::from(2),
    })
}

/// Lines in, answers out, in order; says how many lines could not be read, and how many Rhumb could not score.
async fn pump(
    scorer: Scorer,
    input: Lines<impl BufRead + Send + 'static>,
    args: &ScoreArgs,
) -> Result<(usize, usize), Failure> {
    let mut output = lines::create(&args.output)?;
    let by_hand = lines::is_stream(&args.input);
    let name = lines::name(&args.input);
    let (mut bad, mut failed) = (0, 0);
    let answers = off_thread(input).map(|line| {
        let (scorer, name) = (scorer.clone(), name.clone());
        async move { answer(&scorer, line.map_err(|e| Failure::input(format!("{name}: {e}")))?).await }
    });
    let mut answers = std::pin::pin!(answers.buffered(CONCURRENCY));
    while let Some(answered) = answers.next().await {
        let Answered { response, complaint } = answered?;
        if let Some(complaint) = complaint {
            bad += 1;
            anstream::eprintln!("rhumb: {name}: {complaint}");
        }
        failed += usize::from(response.status() == v1::Status::Failed);
        let text = if args.explain { explain(&response) } else { json_line(&response)? };
        write_text(&mut output, &text, by_hand)?;
    }
    output.flush().map_err(Failure::io("output"))?;
    Ok((bad, failed))
}

/// Reads on a thread of its own: a caller that writes one line and waits for its answer gets it, although the next line
/// is not there yet.
fn off_thread(input: Lines<impl BufRead + Send + 'static>) -> ReceiverStream<std::io::Result<Line>> {
    let (lines, receiver) = mpsc::channel(CONCURRENCY);
    std::thread::spawn(move || {
        for line in input {
            // A closed channel means that scoring has ended.
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    ReceiverStream::new(receiver)
}

async fn scorer(args: &ScoreArgs) -> Result<(Scorer, Option<Started>), Failure> {
    if let Some(url) = &args.server {
        return Ok((Scorer::Remote(Client::connect(url).await?), None));
    }
    // Before the model is loaded: a policy that cannot be used is told at once.
    let config = Config::load(args.config.as_deref())?;
    let base = Base { verdicts: config.policy, min_provenance: config.intents.min_provenance };
    let policy = PolicyHandle::open(args.policy.clone(), base).map_err(Failure::input)?;
    let tenant = Tenant::new(&args.tenant).map_err(|e| Failure::input(format!("--tenant: {e}")))?;
    let caller = Caller { surface: word("--surface", &args.surface)?, tenant, ..Caller::local() };
    let started = start_off_thread(Wanted::from(&args.engine)).await?;
    let decider = Decider::alone(started.engine.clone(), policy).map_err(Failure::check)?;
    Ok((Scorer::Local(Box::new(decider), caller), Some(started)))
}

fn json_line(response: &v1::ScoreResponse) -> Result<String, Failure> {
    Ok(serde_json::to_string(response).map_err(Failure::check)? + "\n")
}

/// Answers to a terminal or a pipe that is fed by hand leave at once.
fn write_text(output: &mut dyn Write, text: &str, flush: bool) -> Result<(), Failure> {
    output.write_all(text.as_bytes()).map_err(Failure::io("output"))?;
    if flush { output.flush().map_err(Failure::io("output")) } else { Ok(()) }
}

async fn answer(scorer: &Scorer, line: Line) -> Result<Answered, Failure> {
    let number = line.number;
    let request = match line.text.map_err(|problem| (String::new(), problem)).and_then(|text| parse(&text)) {
        Ok(request) => request,
        Err((id, problem)) => return Ok(unread(scorer, id, number, problem)),
    };
    let id = request.request_id.clone();
    let response = match scorer {
        Scorer::Remote(client) => client.score(request).await?,
        Scorer::Local(decider, caller) => match decider.decide(request, caller, &Call::bulk()).await {
            Ok(response) => response,
            Err(GatewayError::Engine(EngineError::Input(e))) => {
                return Ok(unread(scorer, id, number, e.to_string()));
            }
            Err(GatewayError::Engine(e @ (EngineError::Stopped | EngineError::NoEncoder))) => {
                return Err(Failure::check(format!("line {number}: {e}")));
            }
            // One line that Rhumb could not score costs that line alone.
            Err(e) => convert::failed(id.clone(), errors::reason(&e), &decider.engine),
        },
    };
    if response.status() == v1::Status::Unparsable {
        let problem = response.detail;
        return Ok(unread(scorer, id, number, problem));
    }
    Ok(Answered { response, complaint: None })
}

/// The request, or its id as far as it can be told, and what is wrong.
fn parse(text: &str) -> Result<v1::ScoreRequest, (String, String)> {
    let mut value = json::parse_value(text).map_err(|e| (String::new(), e.to_string()))?;
    if let Some(members) = value.as_object_mut() {
        OF_DATA_SETS.iter().for_each(|name| drop(members.remove(*name)));
    }
    let id = ["requestId", "request_id"].iter().find_map(|key| value.get(*key)?.as_str()).unwrap_or_default();
    let id = id.to_owned();
    json::from_value(value).map_err(|e| (id, e.to_string()))
}

fn unread(scorer: &Scorer, id: String, number: usize, problem: String) -> Answered {
    let engine = match scorer {
        Scorer::Local(decider, _) => Some(&decider.engine),
        Scorer::Remote(_) => None,
    };
    let complaint = format!("line {number}: {problem}");
    let response = convert::unparsable(id, complaint.clone(), engine);
    Answered { response, complaint: Some(complaint) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_data_sets_add_is_ignored_whatever_it_holds() {
        for extra in ["5", "null", "[\"drifted\"]", "{\"a\":1}", "\"drifted\"", "true"] {
            let line = format!(
                "{{\"requestId\":\"r\",\"label\":{extra},\"family\":{extra},\"kind\":{extra},\
                 \"action\":{{\"tool\":\"t\"}}}}"
            );
            let request = parse(&line).unwrap();
            assert_eq!((request.request_id.as_str(), request.label.as_str()), ("r", ""), "{extra}");
        }
        assert!(parse("{\"requestId\":\"r\",\"lable\":5}").is_err(), "another name is a mistake");
    }
}
