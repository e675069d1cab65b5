//! `rhumb policy`: what the operator says about actions, checked and explained.

use std::process::ExitCode;

use rhumb_drift::{Effect, Status, Verdict};
use rhumb_gateway::convert;
use rhumb_gateway::policy::explain::Layer;
use rhumb_gateway::policy::{Base, Outcome, Policies, Ruling, Subject};
use rhumb_gateway::surface::Surface;
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

/// What is asked about, with names of its own.
struct Named {
    surface: Surface,
    tenant: String,
    policy: String,
    server: String,
    tool: String,
    /// As the caller says.
    said: Effect,
    provenance: Provenance,
}

impl Named {
    fn of(args: &ExplainArgs) -> Result<Self, Failure> {
        let mut named = Self {
            surface: word("--surface", &args.surface)?,
            tenant: args.tenant.clone(),
            policy: args.policy_id.clone(),
            server: args.server.clone(),
            tool: args.tool.clone(),
            said: word("--effect", &args.effect)?,
            provenance: word("--provenance", &args.provenance)?,
        };
        if let Some(path) = &args.request {
            let at = |problem: String| Failure::input(format!("{}: {problem}", path.display()));
            let text = std::fs::read_to_string(path).map_err(Failure::file(path))?;
            let request: v1::ScoreRequest = json::parse(&text).map_err(|e| at(e.to_string()))?;
            named.policy = request.policy_id;
            let action = request.action.ok_or_else(|| at("action: is missing".to_owned()))?;
            named.said = convert::effect(action.effect).map_err(|e| at(e.to_string()))?;
            (named.server, named.tool) = (action.server, action.tool);
        }
        Ok(named)
    }

    fn subject(&self, effect: Effect) -> Subject<'_> {
        Subject {
            surface: self.surface,
            tenant: &self.tenant,
            policy: &self.policy,
            server: &self.server,
            tool: &self.tool,
            effect,
            provenance: self.provenance,
        }
    }
}

/// A word of a list, as configuration files write it.
fn word<T: DeserializeOwned>(flag: &str, text: &str) -> Result<T, Failure> {
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
    fn of(ruling: &Ruling, drift: f64, args: &ExplainArgs, subject: &Subject<'_>) -> Self {
        let threshold = ruling.threshold.unwrap_or(args.threshold);
        let decision =
            ruling.judge(Status::Scored, Some(drift), threshold, subject.effect, subject.provenance);
        let outcome = ruling.outcome(convert::verdict(decision.verdict), subject.effect);
        Self { drift, threshold, verdict: decision.verdict, reason_code: decision.reason, outcome }
    }
}

fn explain(args: &ExplainArgs) -> Result<ExitCode, Failure> {
    let policies = load(&args.policy)?;
    let named = Named::of(args)?;
    let effect = policies.effect(&named.tenant, &named.server, &named.tool).unwrap_or(named.said);
    let subject = named.subject(effect);
    let (ruling, layers) = policies.explain(&subject);
    let told = args.drift.map(|drift| Told::of(&ruling, drift, args, &subject));
    if args.policy.json {
        let found = serde_json::json!({
            "policy": policies.id(), "effect": effect, "rules": ruling.rules, "ruling": ruling, "told": told,
        });
        anstream::println!("{found}");
        return Ok(ExitCode::SUCCESS);
    }
    let by = if effect == named.said { "as the caller says" } else { "by [[effects]]" };
    anstream::println!("policy {}, effect {} {by}\n", policies.id(), plain(&effect));
    anstream::println!("{}", table(&layers));
    print(&ruling, &subject);
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

fn print(ruling: &Ruling, subject: &Subject<'_>) {
    let threshold = ruling.threshold.map_or_else(|| "that of the calibration".to_owned(), |t| t.to_string());
    let verdicts = &ruling.verdicts;
    let (over, far) = match subject.effect {
        Effect::Read => (verdicts.read, verdicts.read),
        Effect::Write | Effect::Unknown => (verdicts.write, verdicts.write_far),
    };
    let missing = ruling.missing().map_or_else(|| "the enforcement point decides".to_owned(), |o| plain(&o));
    let lines = [
        ("mode", plain(&ruling.mode)),
        ("threshold", threshold),
        ("from the threshold on", plain(&over)),
        ("far off", format!("{} from {}", plain(&far), verdicts.far)),
        ("ABSTAIN means", plain(&ruling.on_abstain.get(subject.effect))),
        ("without a score", missing),
        ("needs provenance", plain(&ruling.min_provenance.get(subject.effect))),
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
