//! OCSF 1.4: each decision is an event of class API Activity (6003) with the profile `security_control`.
//!
//! API Activity and not Detection Finding (2004): most decisions let a call pass and find nothing; a call, who made
//! it, and what a control did about it is what the class says. What a person should look at has `is_alert`.
//!
//! | OCSF | from |
//! |---|---|
//! | `activity_id` | effect: READ 2 Read, WRITE 3 Update, UNKNOWN 0 Unknown |
//! | `time`, `metadata.logged_time` | the record's time |
//! | `metadata.uid`, `.sequence`, `.correlation_uid` | decision id, record number, chain |
//! | `actor.user` | the principal; `actor.app_name` the agent, `actor.invoked_by` who delegated to it |
//! | `api.operation`, `api.service.name`, `api.request.uid` | tool, its server, request id |
//! | `src_endpoint` | the enforcement point (`name`) and its authenticated identity (`uid`) |
//! | `status_id`, `status_code`, `status_detail` | 1 Success where there is a score, 2 Failure where Rhumb failed, else 99 |
//! | `action_id`, `disposition_id` | what became of the action, as below |
//! | `severity_id` | ALLOW 1 Informational; ABSTAIN 2 Low; WARN 3 Medium; ESCALATE, DENY 4 High |
//! | `risk_score`, `confidence_score` | drift in percent, rounded: an integer from 0 to 100, both the same |
//! | `is_alert` | every verdict but ALLOW and ABSTAIN |
//! | `unmapped` | verdict, mode, outcome, policy and rules, drift and threshold, drift of the chain, digests, intent and its provenance: what OCSF has no field for |
//!
//! | outcome | verdict | `action_id` | `disposition_id` |
//! |---|---|---|---|
//! | PASS | ALLOW, ABSTAIN | 1 Allowed | 1 Allowed |
//! | PASS | WARN, ESCALATE, DENY | 1 Allowed | 19 Alert |
//! | STOP | any | 2 Denied | 2 Blocked |
//! | not recorded | ALLOW | 1 Allowed | 1 Allowed |
//! | | WARN | 1 Allowed | 19 Alert |
//! | | DENY | 2 Denied | 2 Blocked |
//! | | ESCALATE | 0 Unknown | 99 Escalated |
//! | | ABSTAIN | 0 Unknown | 0 Unknown |
//!
//! The outcome is what a point does that can only let pass or stop: in shadow mode a DENY passes. What nobody knows is
//! left out; where the class requires it all the same (an actor, an operation, an endpoint) it is `Unknown`.
//!
//! Words of users are not in it.

use std::io::{BufWriter, Write};

use rhumb_drift::{Effect, Status, Verdict};
use serde_json::{Map, Value, json};

use super::{Entry, Sink, answer, write_failed};
use crate::error::LedgerError;
use crate::log::hex;
use crate::record::{Decision, Event};

const CLASS: u64 = 6003;
/// Stands where the class requires what nobody knows.
const UNKNOWN: &str = "Unknown";

/// OCSF events, one a line.
pub struct Ocsf<W: Write> {
    out: BufWriter<W>,
}

impl<W: Write> Ocsf<W> {
    /// Into `out`.
    pub fn new(out: W) -> Self {
        Self { out: BufWriter::new(out) }
    }
}

impl<W: Write> Sink for Ocsf<W> {
    fn write(&mut self, entry: &Entry) -> Result<bool, LedgerError> {
        let Event::Decision(decision) = &entry.record.event else { return Ok(false) };
        serde_json::to_writer(&mut self.out, &event(entry, decision)).map_err(|e| write_failed(e.into()))?;
        self.out.write_all(b"\n").map_err(write_failed)?;
        Ok(true)
    }

    fn finish(mut self: Box<Self>) -> Result<(), LedgerError> {
        self.out.flush().map_err(write_failed)
    }
}

fn event(entry: &Entry, decision: &Decision) -> Value {
    let (activity, activity_name) = activity(decision.effect);
    let (status, status_name) = status(decision.status);
    let (severity, severity_name) = severity(decision.verdict);
    let (action, action_name, disposition, disposition_name) = fate(decision);
    let percent = decision.drift.map(percent);
    let event = json!({
        "category_uid": 6, "category_name": "Application Activity",
        "class_uid": CLASS, "class_name": "API Activity",
        "activity_id": activity, "activity_name": activity_name,
        "type_uid": CLASS * 100 + activity, "type_name": format!("API Activity: {activity_name}"),
        "time": entry.record.time_ms,
        "severity_id": severity, "severity": severity_name,
        "status_id": status, "status": status_name,
        "status_code": decision.status, "status_detail": decision.reason,
        "message": format!("{} {}", name(decision.verdict), decision.tool).trim_end(),
        "metadata": metadata(entry, decision),
        "actor": actor(decision),
        "api": {
            "operation": or_unknown(&decision.tool),
            "service": {"name": decision.server},
            "request": {"uid": decision.request_id},
        },
        "src_endpoint": endpoint(decision),
        "action_id": action, "action": action_name,
        "disposition_id": disposition, "disposition": disposition_name,
        "is_alert": !matches!(decision.verdict, Verdict::Allow | Verdict::Abstain),
        "risk_score": percent, "confidence_score": percent,
        "unmapped": unmapped(entry, decision),
    });
    known(event).unwrap_or_default()
}

/// Without members that say nothing: null, an empty text, and what is empty without them.
fn known(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::String(text) => (!text.is_empty()).then_some(Value::String(text)),
        Value::Array(items) => {
            let items: Vec<Value> = items.into_iter().filter_map(known).collect();
            (!items.is_empty()).then_some(Value::Array(items))
        }
        Value::Object(members) => {
            let members = members.into_iter().filter_map(|(name, value)| Some((name, known(value)?)));
            let members: Map<String, Value> = members.collect();
            (!members.is_empty()).then_some(Value::Object(members))
        }
        value => Some(value),
    }
}

fn or_unknown(text: &str) -> &str {
    if text.is_empty() { UNKNOWN } else { text }
}

fn percent(drift: f64) -> i64 {
    (drift * 100.0).round() as i64
}

fn metadata(entry: &Entry, decision: &Decision) -> Value {
    json!({
        "version": "1.4.0",
        "product": {"name": "Rhumb", "vendor_name": "Rhumb", "version": env!("CARGO_PKG_VERSION")},
        "profiles": ["security_control"],
        "uid": decision.id,
        "sequence": entry.record.seq,
        "correlation_uid": decision.chain.as_ref().map(|chain| &chain.id),
        "tenant_uid": decision.tenant,
        "logged_time": entry.record.time_ms,
    })
}

fn actor(decision: &Decision) -> Value {
    let (agent, delegator) =
        decision.chain.as_ref().map_or(("", ""), |chain| (chain.agent.as_str(), chain.delegator.as_str()));
    let nobody = [agent, delegator].iter().all(|name| name.is_empty());
    let principal = if nobody { or_unknown(&decision.principal) } else { &decision.principal };
    json!({"user": {"name": principal}, "app_name": agent, "invoked_by": delegator})
}

fn endpoint(decision: &Decision) -> Value {
    let point = &decision.enforcement_point;
    let point = if decision.caller.is_empty() { or_unknown(point) } else { point };
    json!({"name": point, "uid": decision.caller})
}

fn unmapped(entry: &Entry, decision: &Decision) -> Value {
    json!({"rhumb": {
        "verdict": decision.verdict,
        "mode": answer::mode(decision),
        "outcome": answer::outcome(decision),
        "policy": {"name": answer::policy(decision), "rules": answer::rules(decision)},
        "drift": decision.drift,
        "threshold": decision.threshold,
        "cumulative_drift": answer::cumulative_drift(decision),
        "first_drifted_hop": answer::first_drifted_hop(decision),
        "found_by": answer::found_by(decision),
        "provenance": decision.provenance,
        "intent": decision.intent,
        "chain": decision.chain,
        "request_digest": decision.request_digest,
        "action_digest": decision.action_digest,
        "record_digest": format!("sha256:{}", hex(&entry.digest)),
    }})
}

fn activity(effect: Effect) -> (u64, &'static str) {
    match effect {
        Effect::Read => (2, "Read"),
        Effect::Write => (3, "Update"),
        Effect::Unknown => (0, "Unknown"),
    }
}

fn status(status: Option<Status>) -> (u64, &'static str) {
    match status {
        Some(Status::Scored | Status::Truncated | Status::Delegated | Status::Degraded) => (1, "Success"),
        Some(_) => (99, "Other"),
        None => (2, "Failure"),
    }
}

/// As the wire writes it.
pub fn name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "ALLOW",
        Verdict::Warn => "WARN",
        Verdict::Escalate => "ESCALATE",
        Verdict::Deny => "DENY",
        Verdict::Abstain => "ABSTAIN",
    }
}

/// Action and disposition: by what became of the action, and by the verdict where that is not recorded.
fn fate(decision: &Decision) -> (u64, &'static str, u64, &'static str) {
    match (answer::outcome(decision), decision.verdict) {
        (Some("STOP"), _) | (None, Verdict::Deny) => (2, "Denied", 2, "Blocked"),
        (Some(_), Verdict::Allow | Verdict::Abstain) | (None, Verdict::Allow) => (1, "Allowed", 1, "Allowed"),
        (Some(_), _) | (None, Verdict::Warn) => (1, "Allowed", 19, "Alert"),
        (None, Verdict::Escalate) => (0, UNKNOWN, 99, "Escalated"),
        (None, Verdict::Abstain) => (0, UNKNOWN, 0, UNKNOWN),
    }
}

fn severity(verdict: Verdict) -> (u64, &'static str) {
    match verdict {
        Verdict::Allow => (1, "Informational"),
        Verdict::Abstain => (2, "Low"),
        Verdict::Warn => (3, "Medium"),
        Verdict::Escalate | Verdict::Deny => (4, "High"),
    }
}
