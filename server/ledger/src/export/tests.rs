use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use ::parquet::file::reader::{FileReader as _, SerializedFileReader};
use ::parquet::record::{Field, RowAccessor as _};
use rhumb_drift::Verdict;
use serde_json::{Value, json};

use super::*;
use crate::config::{LedgerConfig, TextMode};
use crate::record::{BindingKey, BindingKind, BindingRefused, Decision, Event, Record};
use crate::testing::{decision, filled, filled_as, keys};
use crate::text::Texts;

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn exported(path: &std::path::Path, filter: &Filter, format: Format) -> (u64, Vec<u8>) {
    let out = Shared::default();
    let written = export(Source::open(path, None).unwrap(), filter, format, out.clone()).unwrap();
    let bytes = out.0.lock().unwrap().clone();
    (written, bytes)
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    std::str::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn json_lines_hold_every_record_with_its_digest() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), &keys(), 5);
    let (written, bytes) = exported(dir.path(), &Filter::default(), Format::JsonLines);
    let lines = lines(&bytes);
    assert_eq!(written, lines.len() as u64);
    assert_eq!(lines[0]["kind"], "segment");
    let first = lines.iter().find(|l| l["kind"] == "decision").unwrap();
    assert_eq!(first["data"]["id"], decision(0).id);
    assert!(first["digest"].as_str().unwrap().starts_with("sha256:"));
    assert!(first["time"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn a_filter_picks_decisions() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), &keys(), 10);
    let count = |filter: Filter| exported(dir.path(), &filter, Format::JsonLines).0;
    assert_eq!(count(Filter { decisions_only: true, ..Filter::default() }), 10);
    assert_eq!(count(Filter { chain: Some("chain-1".into()), ..Filter::default() }), 3);
    assert_eq!(count(Filter { verdicts: vec![Verdict::Deny], ..Filter::default() }), 2);
    assert_eq!(count(Filter { tenant: Some("other".into()), ..Filter::default() }), 0);
    assert_eq!(count(Filter { to_ms: Some(1), ..Filter::default() }), 0);
    assert_eq!(count(Filter { request: Some("request-3".into()), ..Filter::default() }), 1);
    assert_eq!(count(Filter { intent: Some("01J".into()), ..Filter::default() }), 10);
    assert_eq!(count(Filter { intent: Some("01K".into()), ..Filter::default() }), 0);
    assert_eq!(count(Filter { principal: Some("ann@acme".into()), ..Filter::default() }), 10);
    assert_eq!(count(Filter { principal: Some("bob@acme".into()), ..Filter::default() }), 0);
}

#[test]
fn a_filter_picks_kinds_of_records_by_their_own_names() {
    let refused = |intent: &str, holder: &str| {
        Event::BindingRefused(BindingRefused {
            intent: intent.into(),
            holder: holder.into(),
            tenant: "acme".into(),
            key: BindingKey { kind: BindingKind::Trace, value: "4bf9".into() },
            caller: String::new(),
        })
    };
    let passes = |filter: &Filter, event: Event| filter.passes(&Record { seq: 1, time_ms: 1, event });
    let filter = |kinds: &[RecordKind], intent: Option<&str>| Filter {
        kinds: kinds.to_vec(),
        intent: intent.map(Into::into),
        ..Filter::default()
    };
    let any = filter(&[RecordKind::BindingRefused], None);
    assert!(passes(&any, refused("x", "y")));
    assert!(!passes(&any, Event::Decision(Box::new(decision(1)))));
    let either = filter(&[RecordKind::BindingRefused, RecordKind::Decision], Some("x"));
    assert!(passes(&either, refused("x", "y")) && passes(&either, refused("y", "x")));
    assert!(!passes(&either, refused("y", "z")));
    assert!(!passes(&either, Event::Decision(Box::new(decision(1)))), "on another intent");
    let denied = Filter { verdicts: vec![Verdict::Deny], ..any };
    assert!(!passes(&denied, refused("x", "y")), "has no verdict");
    assert!(
        !passes(&filter(&[], Some("x")), refused("x", "y")),
        "decisions alone, as long as no kind is named"
    );
}

#[test]
fn an_ocsf_event_has_what_its_class_requires() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), &keys(), 6);
    let (written, bytes) = exported(dir.path(), &Filter::default(), Format::Ocsf);
    assert_eq!(written, 6);
    for (n, event) in lines(&bytes).iter().enumerate() {
        for field in [
            "activity_id",
            "category_uid",
            "class_uid",
            "type_uid",
            "time",
            "severity_id",
            "metadata",
            "actor",
            "api",
            "src_endpoint",
        ] {
            assert!(!event[field].is_null(), "{field}");
        }
        assert_eq!((event["class_uid"].as_u64(), event["type_uid"].as_u64()), (Some(6003), Some(600_303)));
        let blocked = n % 5 == 0;
        assert_eq!(event["disposition_id"], if blocked { 2 } else { 1 });
        assert_eq!((&event["risk_score"], &event["is_alert"]), (&Value::from(25), &Value::from(blocked)));
        assert!(!event.to_string().contains("Pay bill"), "no words of users");
    }
}

/// A decision as an OCSF event.
fn ocsf(decision: Decision) -> Value {
    let out = Shared::default();
    let record = Record { seq: 7, time_ms: 1_000, event: Event::Decision(Box::new(decision)) };
    let mut sink = Box::new(Ocsf::new(out.clone()));
    assert!(sink.write(&Entry { record, digest: [7; 32] }).unwrap());
    sink.finish().unwrap();
    let bytes = out.0.lock().unwrap().clone();
    lines(&bytes).remove(0)
}

#[test]
fn an_ocsf_event_says_what_became_of_the_action_and_not_only_what_was_told() {
    let cases = [
        (Verdict::Deny, json!({"mode": "SHADOW", "outcome": "PASS"}), (1, 19)),
        (Verdict::Deny, json!({"mode": "ENFORCE", "outcome": "STOP"}), (2, 2)),
        (Verdict::Escalate, json!({"outcome": "STOP"}), (2, 2)),
        (Verdict::Escalate, json!({"outcome": "PASS"}), (1, 19)),
        (Verdict::Abstain, json!({"outcome": "STOP"}), (2, 2)),
        (Verdict::Abstain, json!({"outcome": "PASS"}), (1, 1)),
        (Verdict::Warn, json!({"outcome": "PASS"}), (1, 19)),
        (Verdict::Allow, json!({"outcome": "PASS"}), (1, 1)),
        (Verdict::Deny, json!({}), (2, 2)),
        (Verdict::Deny, json!({"outcome": "OUTCOME_UNSPECIFIED"}), (2, 2)),
        (Verdict::Escalate, json!({}), (0, 99)),
        (Verdict::Abstain, json!({}), (0, 0)),
    ];
    for (verdict, response, (action, disposition)) in cases {
        let event = ocsf(Decision { verdict, response: response.clone(), ..decision(1) });
        assert_eq!(event["action_id"], action, "{verdict:?} {response}");
        assert_eq!(event["disposition_id"], disposition, "{verdict:?} {response}");
        assert_eq!(event["unmapped"]["rhumb"]["verdict"], json!(verdict));
    }
}

#[test]
fn what_ocsf_has_no_field_for_is_unmapped() {
    let response = json!({
        "mode": "SHADOW", "outcome": "PASS", "policy": "policy.toml@5f0c", "rules": ["payments", "writes"],
        "chain": {"cumulativeDrift": 2.5, "firstDriftedHop": 3, "foundBy": "cumulative"},
    });
    let event = ocsf(Decision { response, ..decision(5) });
    let expected = [
        ("mode", json!("SHADOW")),
        ("outcome", json!("PASS")),
        ("policy", json!({"name": "policy.toml@5f0c", "rules": ["payments", "writes"]})),
        ("verdict", json!("DENY")),
        ("cumulative_drift", json!(2.5)),
        ("first_drifted_hop", json!(3)),
        ("found_by", json!("cumulative")),
    ];
    for (name, value) in expected {
        assert_eq!(event["unmapped"]["rhumb"][name], value, "{name}");
    }
    assert_eq!((&event["risk_score"], &event["confidence_score"]), (&json!(25), &json!(25)));
}

fn assert_nothing_empty(value: &Value, place: &str) {
    let empty = [json!(null), json!(""), json!({}), json!([])];
    assert!(!empty.contains(value), "{place}");
    let members = value.as_object().into_iter().flatten();
    members.for_each(|(name, value)| assert_nothing_empty(value, &format!("{place}.{name}")));
}

#[test]
fn an_ocsf_event_has_no_empty_member_and_what_its_class_requires() {
    let blank = Decision {
        request_id: String::new(),
        tenant: String::new(),
        caller: String::new(),
        enforcement_point: String::new(),
        action_digest: String::new(),
        intent: None,
        principal: String::new(),
        chain: None,
        tool: String::new(),
        server: String::new(),
        status: None,
        reason: String::new(),
        drift: None,
        threshold: None,
        response: json!({}),
        ..decision(1)
    };
    for decision in [blank, decision(1)] {
        assert_nothing_empty(&ocsf(decision), "event");
    }
    let delegated = ocsf(decision(1));
    assert_eq!(delegated["actor"], json!({"user": {"name": "ann@acme"}, "app_name": "a"}));
}

#[test]
fn what_is_required_and_not_known_is_said_to_be_unknown() {
    let event = ocsf(Decision {
        caller: String::new(),
        enforcement_point: String::new(),
        principal: String::new(),
        chain: None,
        tool: String::new(),
        server: String::new(),
        request_id: String::new(),
        ..decision(1)
    });
    assert_eq!(event["actor"], json!({"user": {"name": "Unknown"}}));
    assert_eq!(event["api"], json!({"operation": "Unknown"}));
    assert_eq!(event["src_endpoint"], json!({"name": "Unknown"}));
}

/// A decision as a row of Parquet, by column.
fn row(decision: Decision) -> BTreeMap<String, Field> {
    let out = Shared::default();
    let record = Record { seq: 7, time_ms: 1_000, event: Event::Decision(Box::new(decision)) };
    let mut sink = Box::new(Parquet::new(out.clone()).unwrap());
    assert!(sink.write(&Entry { record, digest: [7; 32] }).unwrap());
    sink.finish().unwrap();
    let bytes = out.0.lock().unwrap().clone();
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
    let row = reader.get_row_iter(None).unwrap().next().unwrap().unwrap();
    row.get_column_iter().map(|(name, field)| (name.clone(), field.clone())).collect()
}

#[test]
fn parquet_says_what_became_of_the_action_and_by_which_policy_and_model() {
    let response = json!({
        "mode": "SHADOW", "outcome": "PASS", "policy": "policy.toml@5f0c", "model": {"name": "minilm"},
        "chain": {"chainId": "chain-1", "cumulativeDrift": 2.5},
    });
    let full = row(Decision { response, ..decision(1) });
    let expected = [
        ("outcome", Field::Str("PASS".into())),
        ("mode", Field::Str("SHADOW".into())),
        ("policy", Field::Str("policy.toml@5f0c".into())),
        ("model", Field::Str("minilm".into())),
        ("cumulative_drift", Field::Double(2.5)),
    ];
    for (name, value) in &expected {
        assert_eq!(&full[*name], value, "{name}");
    }
    let bare = row(Decision { response: json!({}), ..decision(1) });
    expected.iter().for_each(|(name, _)| assert_eq!(bare[*name], Field::Null, "{name}"));
    let calm = row(Decision { response: json!({"chain": {"chainId": "chain-1"}}), ..decision(1) });
    assert_eq!(calm["cumulative_drift"], Field::Double(0.0), "an answer leaves out a zero");
}

#[test]
fn a_parquet_file_reads_back_typed() {
    let dir = tempfile::tempdir().unwrap();
    let keys = keys();
    let config = LedgerConfig { text: TextMode::Encrypt, ..LedgerConfig::at(dir.path()) };
    filled_as(&config, &keys, 0..7);
    let texts = Texts::reader(dir.path(), &config.text_key_path()).unwrap();
    let out = Shared::default();
    let source = Source::open(dir.path(), Some(texts)).unwrap();
    assert_eq!(export(source, &Filter::default(), Format::Parquet, out.clone()).unwrap(), 7);
    let bytes = out.0.lock().unwrap().clone();
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
    let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 7);
    let column = |name: &str| super::rows::COLUMNS.iter().position(|c| c.name == name).unwrap();
    for (n, row) in (0..).zip(&rows) {
        assert_eq!(row.get_string(column("decision_id")).unwrap(), &decision(n).id);
        assert_eq!(row.get_double(column("drift")).unwrap(), 0.25);
        assert_eq!(row.get_long(column("hop")).unwrap(), n as i64);
        assert!(row.get_string(column("content")).unwrap().contains("Pay bill"));
        assert!(row.get_double(column("step_drift")).is_err(), "empty");
    }
}
