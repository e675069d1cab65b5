//! `rhumb keys`: the keys that sign intent tokens and the ledger.

use std::path::PathBuf;
use std::process::ExitCode;

use rhumb_ledger::{Keys, PublicKeys};

use crate::cli::{KeysArgs, KeysCommand, LedgerPlace};
use crate::config::Config;
use crate::failure::Failure;

/// Runs the subcommand.
pub fn run(args: KeysArgs) -> Result<ExitCode, Failure> {
    match args.command {
        KeysCommand::List(place) => {
            let keys = PublicKeys::read(&folder(&place)?.join("jwks.json")).map_err(Failure::check)?;
            anstream::println!("{}", keys.jwks());
        }
        KeysCommand::Rotate(place) => {
            let keys = Keys::rotate(&folder(&place)?).map_err(Failure::check)?;
            anstream::println!("{}", keys.kid());
        }
        KeysCommand::Revoke { kid, place } => {
            Keys::revoke(&folder(&place)?, &kid).map_err(Failure::check)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The folder of the keys, which the server has made at its first start.
///
/// # Errors
/// If there is none.
pub fn folder(place: &LedgerPlace) -> Result<PathBuf, Failure> {
    let folder = match &place.path {
        Some(ledger) => ledger.join("keys"),
        None => Config::load(place.config.as_deref())?
            .keys_folder()
            .ok_or_else(|| Failure::input("--config: the file has neither [ledger] nor intents.keys"))?,
    };
    match folder.is_dir() {
        true => Ok(folder),
        false => Err(Failure::input(format!("{}: is no folder of keys", folder.display()))),
    }
}
