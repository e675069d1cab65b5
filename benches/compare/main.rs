//! Rhumb's and candle's side of `scripts/compare-encoders`, and the texts that all sides encode.
//!
//! `compare texts` renders actions as Rhumb does. `compare encode` is a worker: it loads one encoder, then answers one
//! line of JSON on standard output for each on standard input. `onnx_worker.py` speaks the same language.

#[cfg(feature = "candle-transformers")]
mod padded;
mod texts;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

/// Whatever goes wrong ends the program; nothing here is recovered from.
type Failure = Box<dyn std::error::Error>;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Prints the distinct renderings of the actions of a file of score requests, as JSON lines.
    Texts {
        /// JSON lines with `intent` and `action`; `.gz` is read as such.
        #[arg(long)]
        input: PathBuf,
    },
    /// Prints where a bundle lies and what it is, after checking its files.
    Bundle {
        /// An installed bundle.
        #[arg(default_value = "minilm")]
        name: String,
    },
    /// Encodes on demand.
    Encode {
        /// What encodes.
        #[arg(long)]
        contender: Contender,
        /// Threads of the encoder.
        #[arg(long)]
        threads: usize,
        /// JSON lines with `text`.
        #[arg(long)]
        texts: PathBuf,
        /// An installed bundle.
        #[arg(long, default_value = "minilm")]
        bundle: String,
    },
}

/// An encoder of this program.
#[derive(Clone, Copy, ValueEnum)]
enum Contender {
    /// The default.
    RhumbF32,
    /// Packed 8-bit weights.
    RhumbInt8,
    /// Rhumb's reference on candle: text by text, without padding.
    Candle,
    /// candle-transformers' own BERT on padded batches.
    CandleTransformers,
}

fn main() -> Result<ExitCode, Failure> {
    match Cli::parse().command {
        Command::Texts { input } => texts::print(&input)?,
        Command::Bundle { name } => worker::describe(&name)?,
        Command::Encode { contender, threads, texts, bundle } => {
            worker::run(contender, threads, &texts::read(&texts)?, &bundle)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
