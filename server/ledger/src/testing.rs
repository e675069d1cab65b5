//! What the tests of this crate share.

use std::path::Path;
use std::sync::Arc;

use rhumb_drift::{Effect, Status, Verdict};
use serde_json::json;

use crate::config::LedgerConfig;
use crate::keys::Keys;
use crate::ledger::Ledger;
use crate::record::{Content, Decision, IntentRef, Position};

pub fn decision(n: u64) -> Decision {
    Decision {
        id: format!("01J{n:023}"),
        request_id: format!("request-{n}"),
        tenant: "acme".into(),
        caller: "spiffe://acme/gateway".into(),
        enforcement_point: "envoy".into(),
        request_digest: format!("sha256:{n:064x}"),
        action_digest: format!("sha256:{n:064x}"),
        intent: Some(IntentRef { id: "01J".into(), version: 1, digest: format!("sha256:{n:064x}") }),
        provenance: "SIGNED".into(),
        principal: "ann@acme".into(),
        chain: Some(Position {
            id: format!("chain-{}", n % 3),
            hop: n as u32,
            agent: "a".into(),
            ..Position::default()
        }),
        tool: "send_money".into(),
        server: "bank".into(),
        effect: Effect::Write,
        status: Some(Status::Scored),
        verdict: if n.is_multiple_of(5) { Verdict::Deny } else { Verdict::Allow },
        reason: "threshold".into(),
        drift: Some(0.25),
        threshold: Some(0.5),
        response: json!({"drift": 0.25, "verdict": "ALLOW"}),
        content: Content::Plain(json!({"request": {"intent": {"text": format!("Pay bill {n}")}}})),
    }
}

/// About 2.5 KB as a record.
pub fn large_decision(n: u64) -> Decision {
    let mut large = decision(n);
    large.content = Content::Plain(json!({"request": {"text": "Pay the bill in bill.txt. ".repeat(60)}}));
    large
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

pub fn keys() -> Arc<Keys> {
    Arc::new(Keys::ephemeral().unwrap())
}

/// A closed ledger of so many decisions.
pub fn filled(path: &Path, keys: &Arc<Keys>, decisions: u64) {
    filled_as(&LedgerConfig::at(path), keys, 0..decisions);
}

pub fn filled_as(config: &LedgerConfig, keys: &Arc<Keys>, decisions: std::ops::Range<u64>) {
    let ledger = Ledger::open(config, Arc::clone(keys)).unwrap();
    runtime().block_on(async {
        for n in decisions {
            ledger.record(decision(n)).await.unwrap();
        }
    });
    ledger.close().unwrap();
}

/// A copy of a folder and what is in it.
pub fn copied(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copied(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
