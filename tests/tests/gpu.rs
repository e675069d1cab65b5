//! The real program with CUDA drivers of every kind: none, broken, old, and one that runs our kernels without a GPU.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use rhumb_proto::v1::{ScoreRequest, Status};
use rhumb_tests::drivers::{emulated, fake};
use rhumb_tests::program::{command, finish, home};
use rhumb_tests::samples::fresh;
use rhumb_tests::{Run, Server};
use serde_json::{Value, json};
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

/// A model on an emulated GPU takes its time, more so beside other tests.
const LIMIT: Duration = Duration::from_secs(600);
/// As many multiprocessors as a large card has: one text takes small tiles.
const MANY: (&str, &str) = ("RHUMB_EMULATED_MULTIPROCESSORS", "132");

fn rhumb(driver: &Path, environment: &[(&str, &str)], args: &[&str]) -> Run {
    let mut command = command(home(), args);
    command.env("LD_LIBRARY_PATH", driver).envs(environment.iter().copied());
    finish(command, b"", LIMIT)
}

/// What `rhumb bench --json` says of the device.
fn device(driver: &Path, environment: &[(&str, &str)], wanted: &str) -> Value {
    let report = bench(driver, environment, wanted);
    json!([report["device"], report["deviceReason"]])
}

fn bench(driver: &Path, environment: &[(&str, &str)], wanted: &str) -> Value {
    let args = ["bench", "--json", "--seconds", "0.01", "--batch", "1", "--length", "16", "--device", wanted];
    let run = rhumb(driver, environment, &args);
    assert_eq!(run.code, 0, "{}", run.stderr);
    serde_json::from_slice(&run.stdout).unwrap()
}

fn embed(
    driver: &Path,
    environment: &[(&str, &str)],
    texts: &[&str],
    batch: &str,
    device: &str,
) -> Vec<Vec<f64>> {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.jsonl"), folder.path().join("out.jsonl"));
    let lines: Vec<String> =
        texts.iter().enumerate().map(|(i, t)| json!({"id": i, "text": t}).to_string()).collect();
    std::fs::write(&input, lines.join("\n")).unwrap();
    let files = ["--input", input.to_str().unwrap(), "--output", output.to_str().unwrap()];
    let run = rhumb(
        driver,
        environment,
        &[&["embed", "--batch-size", batch, "--device", device][..], &files].concat(),
    );
    assert_eq!(run.code, 0, "{}", run.stderr);
    let text = std::fs::read_to_string(&output).unwrap();
    let line = |l: &str| serde_json::from_str::<Value>(l).unwrap()["embedding"].as_array().unwrap().clone();
    text.lines().map(|l| line(l).iter().map(|x| x.as_f64().unwrap()).collect()).collect()
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn without_a_gpu_the_cpu_is_taken_and_the_reason_told() {
    for (driver, reason) in [("no_device", "CUDA_ERROR_NO_DEVICE"), ("old", "lacks cuCtxSetCurrent")] {
        let folder = fake(driver);
        let found = device(folder.path(), &[], "auto");
        assert_eq!(found[0], "cpu");
        let told = found[1].as_str().unwrap();
        assert!(told.contains("no GPU") && told.contains(reason), "{told}");
        let run = rhumb(folder.path(), &[], &["model", "test", "--device", "cuda"]);
        assert_eq!((run.code, run.stderr.contains(reason)), (2, true), "{}", run.stderr);
        assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    }
}

#[test]
fn without_a_driver_an_error_says_where_it_was_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let run = rhumb(folder.path(), &[], &["model", "test", "--device", "cuda:0", "--json"]);
    if run.code == 0 {
        // A machine with a GPU: then the device must be told.
        return assert!(String::from_utf8(run.stdout).unwrap().contains("cuda:0"));
    }
    let told = run.stderr;
    assert_eq!(run.code, 2, "{told}");
    assert!(told.contains("device cuda:0: no NVIDIA driver") && told.contains("libcuda.so.1"), "{told}");
    assert!(told.contains(folder.path().to_str().unwrap()) && !told.contains("panicked"), "{told}");
}

#[test]
fn what_a_gpu_does_not_compute_is_refused_or_left_to_the_cpu() {
    let run = rhumb(emulated(), &[], &["model", "test", "--device", "cuda", "--precision", "int8"]);
    assert!(run.code == 2 && run.stderr.contains("--precision f16"), "{}", run.stderr);
    let run = rhumb(emulated(), &[], &["model", "test", "--device", "cuda:7"]);
    assert!(run.code == 2 && run.stderr.contains("reports 1 GPUs"), "{}", run.stderr);
    let run = rhumb(emulated(), &[], &["model", "test", "--precision", "f32", "--json"]);
    let report: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(
        (report["device"].as_str(), report["deviceReason"].as_str().unwrap().contains("f32")),
        (Some("cpu"), true)
    );
}

#[test]
fn too_little_memory_is_a_refusal_with_figures() {
    let small = [("RHUMB_EMULATED_MEMORY_MIB", "40")];
    let run = rhumb(emulated(), &small, &["model", "test", "--device", "cuda"]);
    assert!(
        run.code == 2 && run.stderr.contains("needs at least") && run.stderr.contains("of 40 MiB"),
        "{}",
        run.stderr
    );
    let found = device(emulated(), &small, "auto");
    assert!(found[0] == "cpu" && found[1].as_str().unwrap().contains("needs at least"), "{found}");
    let run = rhumb(emulated(), &[], &["model", "test", "--device", "cuda", "--gpu-memory-mb", "30"]);
    assert!(run.code == 2 && run.stderr.contains("30 are allowed"), "{}", run.stderr);
    let old = [("RHUMB_EMULATED_CAPABILITY", "7.5")];
    let run = rhumb(emulated(), &old, &["model", "test", "--device", "cuda"]);
    assert!(run.code == 2 && run.stderr.contains("compute capability 7.5"), "{}", run.stderr);
}

#[test]
fn a_gpu_that_fails_its_test_leaves_the_others_at_work() {
    let environment = [
        MANY,
        ("RHUMB_EMULATED_DEVICES", "2"),
        ("RHUMB_EMULATED_FAIL_DEVICE", "0"),
        ("RHUMB_EMULATED_FAIL_AFTER", "30"),
        // And what is refused as machine code is translated.
        ("RHUMB_EMULATED_PTX_ONLY", "1"),
    ];
    let report = bench(emulated(), &environment, "auto");
    assert_eq!((&report["device"], &report["backend"]), (&json!("cuda:1"), &json!("cuda ptx")));
    let why = report["deviceReason"].as_str().unwrap();
    assert!(why.starts_with("cuda:1 (Emulated GPU") && why.contains("not used: device cuda:0"), "{why}");
}

#[test]
fn every_golden_text_agrees_on_the_emulated_gpu() {
    // Work that is put off until it is waited for: what is read or written too early shows.
    let run = rhumb(
        emulated(),
        &[MANY, ("RHUMB_EMULATED_LATE", "1")],
        &["model", "test", "--device", "cuda", "--json"],
    );
    assert_eq!(run.code, 0, "{}", run.stderr);
    let report: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert!(
        report["lowestCosine"].as_f64().unwrap() > 0.999 && report["texts"].as_u64().unwrap() > 100,
        "{report}"
    );
    assert_eq!((&report["device"], &report["precision"]), (&json!("cuda:0"), &json!("f16")));
}

#[test]
fn a_texts_vector_is_the_same_bits_in_every_batch_and_tile() {
    let texts = [
        "pay the bill",
        "delete every file of the project and tell nobody",
        "a",
        "send 5 to bob",
        "move the meeting with the board to monday at nine",
    ];
    let alone = embed(emulated(), &[MANY], &texts, "1", "cuda");
    // One multiprocessor: the largest tiles.
    let together = embed(emulated(), &[("RHUMB_EMULATED_MULTIPROCESSORS", "1")], &texts, "5", "cuda");
    assert_eq!(alone, together);
    let cpu = embed(emulated(), &[], &texts, "5", "cpu");
    assert!(alone.iter().zip(&cpu).all(|(gpu, cpu)| cosine(gpu, cpu) > 0.99));
}

/// An emulated GPU foresees minutes for a batch.
fn patient(on_device_error: &str) -> String {
    format!(
        "[server]\ndefault_deadline_ms = 600000\n[model]\ndevice = \"cuda\"\non_device_error = \"{on_device_error}\"\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_gpu_a_server_that_is_to_stop_is_not_serving() {
    let environment = [
        ("LD_LIBRARY_PATH", emulated().as_os_str()),
        (MANY.0, OsStr::new(MANY.1)),
        ("RHUMB_EMULATED_FAIL_AFTER", OsStr::new("320")),
    ];
    let config = patient("stop");
    let server = Server::start_with(&config, &environment, LIMIT).await;
    let mut client = server.client().await;
    let mut refused = None;
    for n in 0..20 {
        let request: ScoreRequest = serde_json::from_value(fresh(&n.to_string(), "Jo")).unwrap();
        match client.score(request).await {
            Ok(answer) => assert_eq!(answer.into_inner().status(), Status::Scored),
            Err(status) => refused = Some(status),
        }
    }
    let refused = refused.unwrap();
    assert!(refused.code() == Code::Unavailable && refused.message().contains("no encoder"), "{refused:?}");
    // The health follows in a moment.
    let mut health = server.health().await.unwrap();
    for _ in 0..100 {
        if health == ServingStatus::NotServing {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        health = server.health().await.unwrap();
    }
    assert_eq!(health, ServingStatus::NotServing);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_computes_on_two_gpus_and_goes_on_without_them() {
    let driver = emulated().as_os_str();
    let environment = [
        ("LD_LIBRARY_PATH", driver),
        (MANY.0, OsStr::new(MANY.1)),
        ("RHUMB_EMULATED_DEVICES", OsStr::new("2")),
        // The self-test and the warm-up pass; what follows does not.
        ("RHUMB_EMULATED_FAIL_AFTER", OsStr::new("420")),
    ];
    let config = patient("cpu");
    let server = Server::start_with(&config, &environment, LIMIT).await;
    let log = server.stderr();
    assert!(log.contains("cuda:0 (Emulated GPU") && log.contains("cuda:1 (Emulated GPU"), "{log}");
    let mut client = server.client().await;
    let mut degraded = 0;
    for n in 0..20 {
        let request: ScoreRequest = serde_json::from_value(fresh(&n.to_string(), "Jo")).unwrap();
        let answer = client.score(request).await.unwrap().into_inner();
        assert!(answer.drift.is_some(), "{answer:?}");
        degraded += usize::from(answer.status() == Status::Degraded);
    }
    assert!(degraded > 0, "{}", server.stderr());
    assert_eq!(server.health().await.unwrap(), ServingStatus::Serving);
}
