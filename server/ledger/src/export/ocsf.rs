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
//! | `action_id`, `disposition_id` | ALLOW 1/1 Allowed; WARN 1/19 Alert; DENY 2/2 Blocked; ESCALATE 0/99 Escalated; ABSTAIN 0/0 |
//! | `severity_id` | ALLOW 1 Informational; ABSTAIN 2 Low; WARN 3 Medium; ESCALATE, DENY 4 High |
//! | `risk_score` | drift in percent, rounded |
//! | `is_alert` | every verdict but ALLOW and ABSTAIN |
//! | `unmapped` | drift, threshold, digests, intent and its provenance: what OCSF has no field for |
//!
//! Words of users are not in it.

use std::io::{BufWriter, Write};

use rhumb_drift::{Effect, Status, Verdict};
use serde_json::{Value, json};

use super::{Entry, Sink, write_failed};
use crate::error::LedgerError;
use crate::log::hex;
use crate::record::{Decision, Event};

const CLASS: u64 = 6003;

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
    let outcome = Outcome::of(decision.verdict);
    let (status, status_name) = status(decision.status);
    let mut event = json!({
        "category_uid": 6, "category_name": "Application Activity",
        "class_uid": CLASS, "class_name": "API Activity",
        "activity_id": activity, "activity_name": activity_name,
        "type_uid": CLASS * 100 + activity, "type_name": format!("API Activity: {activity_name}"),
        "time": entry.record.time_ms,
        "severity_id": outcome.severity, "severity": outcome.severity_name,
        "status_id": status, "status": status_name,
        "status_code": decision.status, "status_detail": decision.reason,
        "message": format!("{} {}", name(decision.verdict), decision.tool),
        "metadata": metadata(entry, decision),
        "actor": actor(decision),
        "api": {
            "operation": decision.tool,
            "service": {"name": decision.server},
            "request": {"uid": decision.request_id},
        },
        "src_endpoint": {"name": decision.enforcement_point, "uid": decision.caller},
        "action_id": outcome.action, "action": outcome.action_name,
        "disposition_id": outcome.disposition, "disposition": outcome.disposition_name,
        "is_alert": outcome.alert,
        "unmapped": unmapped(entry, decision),
    });
    if let (Some(drift), Some(event)) = (decision.drift, event.as_object_mut()) {
        event.insert("risk_score".to_owned(), json!((drift * 100.0).round() as i64));
    }
    event
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
    let chain = decision.chain.as_ref();
    json!({
        "user": {"name": decision.principal},
        "app_name": chain.map(|chain| &chain.agent),
        "invoked_by": chain.map(|chain| &chain.delegator).filter(|delegator| !delegator.is_empty()),
    })
}

fn unmapped(entry: &Entry, decision: &Decision) -> Value {
    json!({"rhumb": {
        "verdict": decision.verdict,
        "drift": decision.drift,
        "threshold": decision.threshold,
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

struct Outcome {
    action: u64,
    action_name: &'static str,
    disposition: u64,
    disposition_name: &'static str,
    severity: u64,
    severity_name: &'static str,
    alert: bool,
}

impl Outcome {
    fn of(verdict: Verdict) -> Self {
        let (action, action_name) = match verdict {
            Verdict::Allow | Verdict::Warn => (1, "Allowed"),
            Verdict::Deny => (2, "Denied"),
            Verdict::Escalate | Verdict::Abstain => (0, "Unknown"),
        };
        let (disposition, disposition_name) = match verdict {
            Verdict::Allow => (1, "Allowed"),
            Verdict::Warn => (19, "Alert"),
            Verdict::Deny => (2, "Blocked"),
            Verdict::Escalate => (99, "Escalated"),
            Verdict::Abstain => (0, "Unknown"),
        };
        let (severity, severity_name) = match verdict {
            Verdict::Allow => (1, "Informational"),
            Verdict::Abstain => (2, "Low"),
            Verdict::Warn => (3, "Medium"),
            Verdict::Escalate | Verdict::Deny => (4, "High"),
        };
        let alert = !matches!(verdict, Verdict::Allow | Verdict::Abstain);
        Self { action, action_name, disposition, disposition_name, severity, severity_name, alert }
    }
}
