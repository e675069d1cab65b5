//! One request has one score: alone, among others, through a server, with any number of threads. To the last bit.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::path::Path;
use std::time::Duration;

use rhumb_proto::v1::{ScoreBatchRequest, ScoreRequest, ScoreResponse};
use rhumb_tests::samples::{fresh, message, shapes};
use rhumb_tests::score::{figures, lines};
use rhumb_tests::{Server, calibration, score_lines};
use serde_json::Value;
use tempfile::TempDir;
use tokio_stream::StreamExt as _;

/// A calibration in which no feature is without weight.
fn calibration_file() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("every-feature.json");
    std::fs::write(&path, calibration::every_feature_counts()).unwrap();
    let path = path.display().to_string();
    (folder, path)
}

/// Drift and similarity of each request, as written.
type Scores = Vec<(String, String)>;

fn owned((drift, similarity): (&str, &str)) -> (String, String) {
    (drift.to_owned(), similarity.to_owned())
}

fn by_file(requests: &[Value], args: &[&str]) -> Scores {
    let answers = score_lines(&lines(requests), args);
    assert_eq!((answers.code, answers.lines.len()), (0, requests.len()), "{}", answers.stderr);
    answers.lines.iter().map(|line| owned(figures(line))).collect()
}

fn of_message(response: &ScoreResponse) -> (String, String) {
    owned(figures(&serde_json::to_string(response).unwrap()))
}

#[test]
fn alone_or_among_others_and_with_any_number_of_threads() {
    let (_folder, calibration) = calibration_file();
    let args = |threads: &'static str| ["--calibration", calibration.as_str(), "--threads", threads];
    let requests = shapes();
    let expected = by_file(&requests, &args("1"));
    let distinct: std::collections::BTreeSet<_> = expected.iter().collect();
    assert_eq!(distinct.len(), requests.len(), "the samples should differ: {expected:?}");
    assert_eq!(by_file(&requests, &args("2")), expected);
    let reversed: Vec<Value> = requests.iter().rev().cloned().collect();
    let found: Scores = by_file(&reversed, &args("0")).into_iter().rev().collect();
    assert_eq!(found, expected);
    for i in [0, 5, 7] {
        assert_eq!(by_file(&requests[i..=i], &args("2")), expected[i..=i], "request {i} alone");
    }
}

/// Kernels differ from machine to machine and add up in another order. The reference encoder shares none with ours, so that it
/// stands for any other machine.
#[test]
fn other_kernels_of_the_same_precision_give_the_same_drift() {
    let (_folder, calibration) = calibration_file();
    let args = |more: &'static str| ["--calibration", calibration.as_str(), "--precision", "f32", more];
    let requests = shapes();
    let own = by_file(&requests, &args("--threads=1"));
    let reference = by_file(&requests, &args("--reference"));
    let drift =
        |scores: &Scores| scores.iter().map(|(drift, _)| drift.parse().unwrap()).collect::<Vec<f64>>();
    for (i, (own, reference)) in drift(&own).iter().zip(drift(&reference)).enumerate() {
        assert!((own - reference).abs() < 1e-4, "request {i}: {own}, {reference}");
    }
}

#[test]
fn what_a_cache_remembers_is_what_was_computed() {
    let (_folder, calibration) = calibration_file();
    let twice = [shapes(), shapes()].concat();
    let scores = by_file(&twice, &["--calibration", &calibration]);
    let (computed, remembered) = scores.split_at(twice.len() / 2);
    assert_eq!(computed, remembered);
}

/// A server that computes every score anew.
async fn server_without_caches(calibration: &str) -> Server {
    assert!(Path::new(calibration).is_absolute());
    Server::start(&format!(
        "[server]\ndefault_deadline_ms = 60000\n[model]\ncalibration = {calibration:?}\n\
         [engine]\nintent_cache_mb = 0\naction_cache_mb = 0\ndecision_cache_mb = 0\n"
    ))
    .await
}

/// The requests with others before, between and after them, and their places.
fn among_others(requests: &[Value]) -> (Vec<ScoreRequest>, Vec<usize>) {
    let (mut all, mut places) = (Vec::new(), Vec::new());
    for i in 0..64 {
        match i % 5 {
            3 if places.len() < requests.len() => {
                places.push(i);
                all.push(message(&requests[places.len() - 1]));
            }
            _ => all.push(message(&fresh(&format!("other-{i}"), "somebody else"))),
        }
    }
    (all, places)
}

#[tokio::test(flavor = "multi_thread")]
async fn through_every_door_of_a_server() {
    let (_folder, calibration) = calibration_file();
    let requests = shapes();
    let expected = by_file(&requests, &["--calibration", &calibration]);
    let server = server_without_caches(&calibration).await;
    assert_eq!(by_file(&requests, &["--server", &server.url()]), expected);

    let mut client = server.client().await;
    let (batch, places) = among_others(&requests);
    assert_eq!((batch.len(), places.len()), (64, 12));
    let batch = ScoreBatchRequest { requests: batch };
    let responses = client.score_batch(batch).await.unwrap().into_inner().responses;
    let found: Scores = places.iter().map(|i| of_message(&responses[*i])).collect();
    assert_eq!(found, expected, "in a batch");

    for (request, expected) in requests.iter().zip(&expected) {
        let response = client.score(message(request)).await.unwrap().into_inner();
        assert_eq!(&of_message(&response), expected, "one by one");
        assert!(!response.timings.unwrap().action_cached);
    }

    let stream = tokio_stream::iter(requests.iter().map(message).collect::<Vec<_>>());
    let answers = client.score_stream(stream).await.unwrap().into_inner();
    let answers: Vec<ScoreResponse> =
        tokio::time::timeout(Duration::from_secs(60), answers.collect::<Result<_, _>>())
            .await
            .unwrap()
            .unwrap();
    for (request, expected) in requests.iter().zip(&expected) {
        let answer = answers.iter().find(|a| a.request_id == request["requestId"]).unwrap();
        assert_eq!(&of_message(answer), expected, "in a stream");
    }
}
