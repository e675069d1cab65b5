use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use ::parquet::file::reader::{FileReader as _, SerializedFileReader};
use ::parquet::record::RowAccessor as _;
use rhumb_drift::Verdict;
use serde_json::Value;

use super::*;
use crate::config::{LedgerConfig, TextMode};
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
