//! The command line, as it is typed; [`Args::plan`] checks it.

use std::path::PathBuf;

use clap::{ArgGroup, Parser, value_parser};
use serde::Serialize;

use super::call::{Lane, Rpc};
use super::schedule::Arrivals;
use super::workload::Kind;

/// Sends actions to a Rhumb server on this machine and says how long the answers took.
///
/// Latency counts from the time at which a request was due, not from when it was sent. The result says how late the
/// generator itself was; where that is not small against the latencies, the generator was the bottleneck.
#[derive(Debug, Clone, Parser, Serialize)]
#[serde(rename_all = "camelCase")]
#[command(version, max_term_width = 110)]
#[command(group = ArgGroup::new("mode").required(true), group = ArgGroup::new("where").required(true))]
#[command(after_help = "Examples:
  load --spawn target/release/rhumb --precision int8 --find-capacity
  load --server http://127.0.0.1:50051 --rate 200 --seconds 20 --arrivals poisson --deadline-ms 100
  load --server http://127.0.0.1:50051 --rate 50 --lane enforcement --background-concurrency 4 --phases")]
pub struct Args {
    /// Server that runs already, on a loopback address.
    #[arg(long, group = "where", value_name = "URL")]
    pub server: Option<String>,
    /// Program to start as `rhumb serve` on a free loopback port; stopped at the end.
    #[arg(long, group = "where", value_name = "RHUMB")]
    pub spawn: Option<PathBuf>,
    /// Configuration of the spawned server.
    #[arg(long, conflicts_with = "server", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Precision of the spawned server.
    #[arg(long, conflicts_with = "server", value_name = "P")]
    pub precision: Option<String>,
    /// Open loop: calls a second, whatever becomes of them.
    #[arg(long, group = "mode", value_name = "R")]
    pub rate: Option<f64>,
    /// Closed loop: calls in flight; measures capacity, not what callers see.
    #[arg(long, group = "mode", value_name = "N", value_parser = value_parser!(u32).range(1..=10_000))]
    pub concurrency: Option<u32>,
    /// Closed loop with 32 in flight.
    #[arg(long, group = "mode")]
    pub find_capacity: bool,
    /// So many new, tiny actions, 64 in flight: is the server's memory flat once its caches are full?
    #[arg(long, group = "mode", value_name = "N", conflicts_with_all = ["texts", "workload", "phases"])]
    pub soak: Option<u64>,
    /// How the arrivals of --rate are spread.
    #[arg(long, value_enum, default_value_t = Arrivals::Constant, value_name = "A")]
    pub arrivals: Arrivals,
    /// Of the Poisson arrivals.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Seconds that are measured, in each phase.
    #[arg(long, default_value_t = 10.0, value_name = "S")]
    pub seconds: f64,
    /// Seconds of the same load before that.
    #[arg(long, default_value_t = 2.0, value_name = "S")]
    pub warmup: f64,
    /// Calls in flight at most; what is due beyond is reported as overflow.
    #[arg(long, default_value_t = 20_000, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    pub max_in_flight: u32,
    /// Connections. A server takes some hundred calls at once on each (HTTP/2); what is beyond waits on this side.
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = value_parser!(u16).range(1..=1024))]
    pub connections: u16,
    /// Threads that send and receive; the pacer has its own.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = threads)]
    pub threads: usize,
    /// Requests to send: JSON lines of ScoreRequest, `.gz` is read as such. Without it, eight built-in ones.
    #[arg(long, value_name = "FILE")]
    pub texts: Option<PathBuf>,
    /// Takes only so many of the lines, evenly spread.
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    pub lines: Option<u32>,
    /// Drops the context of every request.
    #[arg(long)]
    pub no_context: bool,
    /// What the caches may know: cached-intent has few intents and new actions, repeated has the same requests again and
    /// again, distinct has new texts only.
    #[arg(long, value_enum, default_value_t = Kind::CachedIntent, value_name = "W")]
    pub workload: Kind,
    /// Intents of cached-intent.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    pub intents: u32,
    /// Method; stream needs a closed loop.
    #[arg(long, value_enum, default_value_t = Rpc::Score, value_name = "RPC")]
    pub rpc: Rpc,
    /// Requests of one batch.
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = value_parser!(u16).range(1..=1024))]
    pub batch: u16,
    /// Milliseconds that each call gets; an OK later than that after it was due counts as late.
    #[arg(long, value_name = "D", value_parser = value_parser!(u32).range(1..=3_600_000))]
    pub deadline_ms: Option<u32>,
    /// The header rhumb-lane.
    #[arg(long, value_enum, value_name = "LANE")]
    pub lane: Option<Lane>,
    /// The header rhumb-tenant.
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    /// Calls of the bulk lane in flight, on connections of their own, while the rest is measured.
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=10_000))]
    pub background_concurrency: Option<u32>,
    /// Method of the background: batch (of --batch requests) or stream.
    #[arg(long, value_enum, default_value_t = Rpc::Batch, value_name = "RPC")]
    pub background_rpc: Rpc,
    /// Measures twice, first without the background, then with it.
    #[arg(long, requires = "background_concurrency")]
    pub phases: bool,
    /// Process of the server, for its memory; that of a spawned one is known.
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// Prints JSON.
    #[arg(long)]
    pub json: bool,
}

fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 1..=64) => Ok(n),
        _ => Err("must be from 1 to 64".to_owned()),
    }
}
