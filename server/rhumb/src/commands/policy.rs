//! `rhumb policy`: what the operator says about actions, checked and explained.

use std::process::ExitCode;

use rhumb_drift::{Effect, Status, Verdict};
use rhumb_engine::{Lane, Tenant};
use rhumb_gateway::caller::Caller;
use rhumb_gateway::policy::explain::Layer;
use rhumb_gateway::policy::{Base, Outcome, Policies, Ruling, Subject};
use rhumb_gateway::{convert, decide};
use rhumb_ledger::intent::config::Provenance;
use rhumb_proto::{json, v1};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cli::{ExplainArgs, PolicyArgs, PolicyCommand, PolicyFile};
use crate::config::Config;
use crate::failure::Failure;
use crate::table::Table;

/// Runs the subcommand.
pub fn run(args: PolicyArgs) -> Result<ExitCode, Failure> {
    match args.command {
        PolicyCommand::Check(file) => check(&file),
        PolicyCommand::Explain(args) => explain(&args),
    }
}

fn load(file: &PolicyFile) -> Result<Policies, Failure> {
    let config = Config::load(file.config.as_deref())?;
    let base = Base { verdicts: config.policy, min_provenance: config.intents.min_provenance };
    Policies::load(&file.file, base).map_err(Failure::input)
}

fn check(file: &PolicyFile) -> Result<ExitCode, Failure> {
    let policies = load(file)?;
    if file.json {
        let found = serde_json::json!({
            "policy": policies.id(), "rules": policies.rules(), "warnings": policies.warnings(),
        });
        anstream::println!("{found}");
        return Ok(ExitCode::SUCCESS);
    }
    policies.warnings().iter().for_each(|warning| anstream::eprintln!("warning: {warning}"));
    anstream::println!("{}: {} rules, in order", policies.id(), policies.rules());
    Ok(ExitCode::SUCCESS)
}

/// What is asked about.
struct Asked {
    request: v1::ScoreRequest,
    caller: Caller,
    provenance: Provenance,
}

impl Asked {
    fn of(args: &ExplainArgs) -> Result<Self, Failure> {
        let tenant = Tenant::new(&args.tenant).map_err(|e| Failure::input(format!("--tenant: {e}")))?;
        let surface = word("--surface", &args.surface)?;
        let caller = Caller { surface, ..Caller::plain(Lane::Enforcement, tenant) };
        let provenance = word("--provenance", &args.provenance)?;
        Ok(Self { request: request(args)?, caller, provenance })
    }

    fn action(&self) -> v1::Action {
        self.request.action.clone().unwrap_or_default()
    }
}

/// The action that is asked about: from the file, or from the flags.
fn request(args: &ExplainArgs) -> Result<v1::ScoreRequest, Failure> {
    let Some(path) = &args.request else {
        let effect: Effect = word("--effect", &args.effect)?;
        let action = v1::Action {
            tool: args.tool.clone(),
            server: args.server.clone(),
            effect: convert::effect_message(effect).into(),
            ..v1::Action::default()
        };
        let policy_id = args.policy_id.clone();
        return Ok(v1::ScoreRequest { action: Some(action), policy_id, ..v1::ScoreRequest::default() });
    };
    let at = |problem: String| Failure::input(format!("{}: {problem}", path.display()));
    let text = std::fs::read_to_string(path).map_err(Failure::file(path))?;
    let request: v1::ScoreRequest = json::parse(&text).map_err(|e| at(e.to_string()))?;
    let action = request.action.as_ref().ok_or_else(|| at("action: is missing".to_owned()))?;
    convert::effect(action.effect).map_err(|e| at(e.to_string()))?;
    Ok(request)
}

/// A word of a list, as configuration files write it.
pub fn word<T: DeserializeOwned>(flag: &str, text: &str) -> Result<T, Failure> {
    let read = serde_json::from_value(serde_json::Value::String(text.to_owned()));
    read.map_err(|e| Failure::input(format!("{flag}: {e}")))
}

/// What comes of an action with a certain drift.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    drift: f64,
    threshold: f64,
    verdict: Verdict,
    reason_code: &'static str,
    outcome: Outcome,
}

impl Told {
    fn of(ruling: &Ruling, drift: f64, args: &ExplainArgs, effect: Effect, provenance: Provenance) -> Self {
        let threshold = ruling.threshold.unwrap_or(args.threshold);
        let decision = ruling.judge(Status::Scored, Some(drift), threshold, effect, provenance);
        let outcome = ruling.outcome(convert::verdict(decision.verdict), effect);
        Self { drift, threshold, verdict: decision.verdict, reason_code: decision.reason, outcome }
    }
}

fn explain(args: &ExplainArgs) -> Result<ExitCode, Failure> {
    let policies = load(&args.policy)?;
    let asked = Asked::of(args)?;
    let (action, tenant) = (asked.action(), asked.caller.tenant.as_str());
    let said = convert::effect(action.effect).unwrap_or_default();
    let effect = policies.effect(tenant, &action.server, &action.tool).unwrap_or(said);
    let ruling = decide::ruling(&policies, &asked.request, &asked.caller, effect, asked.provenance);
    let layers = policies.explain(&Subject {
        surface: asked.caller.surface,
        tenant,
        policy: &asked.request.policy_id,
        server: &action.server,
        tool: &action.tool,
        effect,
        provenance: asked.provenance,
    });
    let told = args.drift.map(|drift| Told::of(&ruling, drift, args, effect, asked.provenance));
    if args.policy.json {
        let found = serde_json::json!({
            "policy": policies.id(), "effect": effect, "rules": ruling.rules, "ruling": ruling, "told": told,
        });
        anstream::println!("{found}");
        return Ok(ExitCode::SUCCESS);
    }
    let by = if effect == said { "as the caller says" } else { "by [[effects]]" };
    anstream::println!("policy {}, effect {} {by}\n", policies.id(), plain(&effect));
    anstream::println!("{}", table(&layers));
    print(&ruling, effect, asked.provenance);
    if let Some(told) = told {
        let Told { drift, threshold, reason_code, .. } = told;
        let (verdict, outcome) = (plain(&told.verdict), plain(&told.outcome));
        anstream::println!("\ndrift {drift} at threshold {threshold}: {verdict} ({reason_code}), {outcome}");
    }
    Ok(ExitCode::SUCCESS)
}

fn table(layers: &[Layer]) -> Table {
    let mut table = Table::text(&["line", "rule", "applies", "sets"]);
    for layer in layers {
        let applies = layer.misses.map_or_else(|| "yes".to_owned(), |key| format!("no: {key}"));
        table.row(vec![layer.line.to_string(), layer.name.clone(), applies, layer.sets.join(", ")]);
    }
    table
}

fn print(ruling: &Ruling, effect: Effect, provenance: Provenance) {
    let threshold = ruling.threshold.map_or_else(|| "that of the calibration".to_owned(), |t| t.to_string());
    let verdicts = &ruling.verdicts;
    let (over, far) = match effect {
        Effect::Read => (verdicts.read, verdicts.read),
        Effect::Write | Effect::Unknown => (verdicts.write, verdicts.write_far),
    };
    let missing = ruling
        .missing(effect, provenance)
        .map_or_else(|| "the enforcement point decides".to_owned(), |o| plain(&o));
    let lines = [
        ("mode", plain(&ruling.mode)),
        ("threshold", threshold),
        ("from the threshold on", plain(&over)),
        ("far off", format!("{} from {}", plain(&far), verdicts.far)),
        ("ABSTAIN means", plain(&ruling.on_abstain.get(effect))),
        ("without a score", missing),
        ("needs provenance", plain(&ruling.min_provenance.get(effect))),
    ];
    lines.iter().for_each(|(name, value)| anstream::println!("{name:<22} {value}"));
}

/// A word as files write it.
fn plain<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        _ => String::new(),
    }
}
