//! The life of the server: it starts, says what it can do, and stops without dropping what it has begun.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::error::Error as _;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use rhumb_proto::v1::{ScoreBatchRequest, ScoreRequest, Status};
use rhumb_tests::program::{home, run_in};
use rhumb_tests::samples::{aligned, fresh, message};
use rhumb_tests::{Client, Run, Server, run};
use tempfile::TempDir;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

const PATIENT: &str = "[server]\ndefault_deadline_ms = 60000\ndrain_ms = 60000\n";

/// Runs `rhumb serve` with a configuration that is not expected to work.
fn serve(home: &Path, config: &str) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rhumb.toml");
    std::fs::write(&file, config).unwrap();
    run_in(home, ["serve".as_ref(), "--config".as_ref(), file.as_os_str()], b"")
}

#[tokio::test(flavor = "multi_thread")]
async fn health_says_serving_only_when_scores_can_be_had() {
    let mut server = Server::spawn("");
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut refused = 0;
    loop {
        assert!(Instant::now() < deadline && server.is_running(), "{}", server.stderr());
        match server.health().await {
            Ok(ServingStatus::Serving) => break,
            Ok(status) => {
                assert_eq!(status, ServingStatus::NotServing);
                // Loading may end between the two calls.
                match server.client().await.score(message(&aligned("early"))).await {
                    Ok(answer) => assert_eq!(answer.into_inner().status(), Status::Scored),
                    Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status:?}"),
                }
                refused += 1;
            }
            // The port is not open yet.
            Err(status) => assert!(refused == 0 && status.code() == Code::Unavailable, "{status:?}"),
        }
    }
    let answer = server.client().await.score(message(&aligned("first"))).await.unwrap().into_inner();
    assert_eq!(answer.status(), Status::Scored);
    assert!(refused > 0, "the port opens before the model is there");
}

/// Whether the server said that it is not available, or the connection itself was closed.
fn is_refused(status: &tonic::Status) -> bool {
    let source = status.source().is_some_and(|source| source.is::<tonic::transport::Error>());
    status.code() == Code::Unavailable || source
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_what_has_begun_finish_and_refuses_the_rest() {
    let mut server = Server::start(PATIENT).await;
    let mut client = server.client().await;
    // Long texts without a repeated word, which cleaning would drop: the batch outlasts both waits on any machine.
    let topic = |i: usize| (0..100).map(|word| format!("guest{i}of{word} ")).collect::<String>();
    let requests: Vec<ScoreRequest> =
        (0..120).map(|i| message(&fresh(&format!("d{i}"), &topic(i)))).collect();
    let mut other = client.clone();
    let batch = tokio::spawn(async move { client.score_batch(ScoreBatchRequest { requests }).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!batch.is_finished(), "the batch was too quick for this test");
    server.terminate();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let late = other.score(message(&aligned("late"))).await.unwrap_err();
    assert!(is_refused(&late), "{late:?}");
    if let Ok(channel) = server.connect().await {
        let late = Client::new(channel).score(message(&aligned("late"))).await.unwrap_err();
        assert!(is_refused(&late), "{late:?}");
    }
    let responses = batch.await.unwrap().unwrap().into_inner().responses;
    assert_eq!(responses.len(), 120);
    assert!(responses.iter().all(|r| r.status() == Status::Scored));
    assert_eq!(server.wait().code(), Some(0), "{}", server.stderr());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_stays_open_does_not_hold_the_server_for_ever() {
    let mut server = Server::start("[server]\ndrain_ms = 500\n").await;
    let (send, receive) = tokio::sync::mpsc::channel(1);
    let mut stream =
        server.client().await.score_stream(ReceiverStream::new(receive)).await.unwrap().into_inner();
    send.send(message(&aligned("1"))).await.unwrap();
    assert_eq!(stream.message().await.unwrap().unwrap().request_id, "1");
    let asked = Instant::now();
    server.terminate();
    assert_eq!(server.wait().code(), Some(0), "{}", server.stderr());
    assert!(asked.elapsed() < Duration::from_secs(10));
    drop(send);
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_while_the_model_loads_ends_the_server_quickly() {
    let mut server = Server::spawn("");
    while server.health().await.is_err() {
        assert!(server.is_running(), "{}", server.stderr());
    }
    server.terminate();
    assert_eq!(server.wait().code(), Some(0), "{}", server.stderr());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_one_clear_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut server = Server::spawn_at(address, "");
    assert_eq!(server.wait().code(), Some(1));
    let stderr = server.stderr();
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains(&address.to_string()) && stderr.contains("in use"), "{stderr}");
}

#[test]
fn a_configuration_that_cannot_be_used_is_named_with_key_and_line() {
    let cases = [
        ("[server]\nlisten = \"127.0.0.1:0\"\nlissten = 1\n", "lissten", "line 3"),
        ("[serverr]\n", "serverr", "line 1"),
        ("[server]\nlisten = 7\n", "listen", "line 2"),
        ("[server\n", "rhumb.toml", "line 1"),
        ("[engine]\nqueue = 0\n", "engine.queue", ""),
        ("[policy]\nfar = 2.0\n", "policy.far", ""),
    ];
    for (config, key, line) in cases {
        let run = serve(home(), config);
        assert_eq!(run.code, 2, "{config}: {}", run.stderr);
        assert!(run.stderr.contains(key) && run.stderr.contains(line), "{config}: {}", run.stderr);
        assert!(run.stderr.contains("rhumb.toml"), "{config} the file is named: {}", run.stderr);
    }
    let missing = run_in(home(), ["serve", "--config", "/nowhere/rhumb.toml"], b"");
    assert!(missing.code == 2 && missing.stderr.contains("/nowhere/rhumb.toml"), "{}", missing.stderr);
}

#[test]
fn a_device_or_precision_that_is_none_is_named_with_its_key_and_file() {
    for key in ["device", "precision"] {
        let run = serve(home(), &format!("[model]\n{key} = \"tpu\"\n"));
        assert!(run.code == 2 && run.stderr.contains(&format!("model.{key}")), "{}", run.stderr);
        assert!(run.stderr.contains("rhumb.toml"), "{}", run.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_to_listen_on_is_configuration_enough() {
    let server = Server::start("").await;
    let answer = server.client().await.score(message(&aligned("1"))).await.unwrap().into_inner();
    assert_eq!((answer.status(), answer.model.unwrap().name.as_str()), (Status::Scored, "minilm"));
    assert_eq!(server.health().await.unwrap(), ServingStatus::Serving);
}

#[test]
fn a_model_device_or_precision_that_is_not_to_be_had_is_wrong_use() {
    let cases = [
        (&["--model", "nosuch"][..], "bundle nosuch is not installed"),
        (&["--model", "No Such"], "is not a bundle name"),
        (&["--precision", "f16", "--device", "cpu"], "the CPU computes in f32 or int8"),
        (&["--reference", "--precision", "int8"], "--precision int8: the reference encoder computes in f32"),
    ];
    for (args, told) in cases {
        let score = run([&["score"], args].concat(), b"");
        assert_eq!(score.code, 2, "{args:?}: {}", score.stderr);
        assert!(score.stderr.contains(told) && score.stderr.lines().count() == 1, "{}", score.stderr);
    }
    let reference = run(["model", "test", "--reference", "--precision", "f32", "--json"], b"");
    assert_eq!(reference.code, 0, "{}", reference.stderr);
}

#[test]
fn without_the_bundle_every_command_says_how_to_get_it() {
    let empty = tempfile::tempdir().unwrap();
    let runs = [
        serve(empty.path(), "[server]\nlisten = \"127.0.0.1:0\"\n"),
        run_in(empty.path(), ["score"], b"{}\n"),
        run_in(empty.path(), ["embed", "--input", "-", "--output", "-"], b""),
        run_in(empty.path(), ["model", "verify", "minilm"], b""),
    ];
    for run in runs {
        assert_eq!(run.code, 1, "{}", run.stderr);
        assert!(run.stderr.contains("rhumb model fetch"), "{}", run.stderr);
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    }
}

/// A store with a copy of the bundle.
fn copy_of_the_bundle() -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    let folder = copy.path().join("bundles").join("minilm");
    std::fs::create_dir_all(&folder).unwrap();
    for entry in std::fs::read_dir(home().join("bundles").join("minilm")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    copy
}

/// Every command that uses the bundle ends with 1 and names the file.
fn refused_by_every_command(store: &TempDir, file: &str) {
    let runs = [
        serve(store.path(), "[server]\nlisten = \"127.0.0.1:0\"\n"),
        run_in(store.path(), ["score"], format!("{}\n", aligned("1")).as_bytes()),
        run_in(store.path(), ["embed", "--input", "-", "--output", "-"], b"{\"id\":1,\"text\":\"x\"}\n"),
    ];
    for run in runs {
        assert!(run.code == 1 && run.stdout.is_empty(), "{} {}", run.code, run.stderr);
        assert!(run.stderr.contains(file), "{}", run.stderr);
    }
    let verify = run_in(store.path(), ["model", "verify", "minilm"], b"");
    let bad: Vec<String> = String::from_utf8(verify.stdout).unwrap().lines().map(str::to_owned).collect();
    let bad: Vec<&String> = bad.iter().filter(|line| line.contains("BAD")).collect();
    assert!(
        verify.code == 1 && matches!(bad[..], [line] if line.contains(file)),
        "{bad:?} {}",
        verify.stderr
    );
}

#[test]
fn one_flipped_bit_in_the_weights_is_found() {
    let store = copy_of_the_bundle();
    let file = store.path().join("bundles/minilm/model.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    refused_by_every_command(&store, "model.safetensors");
}

#[test]
fn a_tokenizer_that_ends_too_early_is_found() {
    let store = copy_of_the_bundle();
    let file = store.path().join("bundles/minilm/tokenizer.json");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    refused_by_every_command(&store, "tokenizer.json");
}

#[test]
fn a_file_that_is_missing_is_named() {
    let store = copy_of_the_bundle();
    std::fs::remove_file(store.path().join("bundles/minilm/config.json")).unwrap();
    refused_by_every_command(&store, "config.json");
}
