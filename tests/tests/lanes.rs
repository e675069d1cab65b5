//! Lanes, tenants, deadlines and counters through the gRPC service.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::time::Duration;

use rhumb_proto::v1::{
    EngineStats, GetStatsRequest, LaneStats, ScoreBatchRequest, ScoreChainRequest, ScoreRequest, Status,
};
use rhumb_tests::samples::{fresh, message};
use rhumb_tests::{Client, Server};
use tonic::metadata::{MetadataKey, MetadataValue};
use tonic::{Code, Request};
use tonic_types::StatusExt as _;

fn with<T>(message: T, metadata: &[(&str, &str)]) -> Request<T> {
    let mut request = Request::new(message);
    for (key, value) in metadata {
        let key: MetadataKey<_> = key.parse().unwrap();
        request.metadata_mut().insert(key, MetadataValue::try_from(*value).unwrap());
    }
    request
}

async fn stats(client: &mut Client) -> EngineStats {
    client.get_stats(GetStatsRequest {}).await.unwrap().into_inner()
}

fn completed(stats: &EngineStats) -> [u64; 3] {
    [&stats.enforcement, &stats.interactive, &stats.bulk].map(|lane| lane.unwrap().completed)
}

fn new(id: &str) -> ScoreRequest {
    message(&fresh(id, "a lane"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_to_the_lane_that_it_names_or_to_that_of_its_method() {
    let server = Server::start("").await;
    let mut client = server.client().await;
    let chain = |id: &str| {
        let ScoreRequest { intent, action, .. } = new(id);
        let hop = rhumb_proto::v1::Hop { action, ..Default::default() };
        ScoreChainRequest { intent, hops: vec![hop], ..Default::default() }
    };
    client.score(new("1")).await.unwrap();
    client.score_chain(chain("2")).await.unwrap();
    client.score_batch(ScoreBatchRequest { requests: vec![new("3")] }).await.unwrap();
    let stream = client.score_stream(tokio_stream::iter([new("4")])).await.unwrap();
    assert!(stream.into_inner().message().await.unwrap().is_some());
    assert_eq!(completed(&stats(&mut client).await), [1, 1, 2]);

    let lane = |lane: &'static str| [("rhumb-lane", lane), ("rhumb-tenant", "team-7")];
    client.score(with(new("5"), &lane("bulk"))).await.unwrap();
    client.score_chain(with(chain("6"), &lane("enforcement"))).await.unwrap();
    let batch = ScoreBatchRequest { requests: vec![new("7")] };
    client.score_batch(with(batch, &lane("interactive"))).await.unwrap();
    assert_eq!(completed(&stats(&mut client).await), [2, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_is_none_is_refused_by_its_name() {
    let server = Server::start("").await;
    let mut client = server.client().await;
    let long = "t".repeat(129);
    for (key, value) in [("rhumb-lane", "urgent"), ("rhumb-tenant", ""), ("rhumb-tenant", &long)] {
        let one = client.score(with(new("1"), &[(key, value)])).await.map(|_| ());
        let many = client.score_batch(with(ScoreBatchRequest::default(), &[(key, value)])).await.map(|_| ());
        let chain = client.score_chain(with(ScoreChainRequest::default(), &[(key, value)])).await.map(|_| ());
        let stream = client.score_stream(with(tokio_stream::empty(), &[(key, value)])).await.map(|_| ());
        for answer in [one, many, chain, stream] {
            let status = answer.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument, "{key} {value:?}");
            assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, key);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_from_memory_says_so_and_is_the_same() {
    let server = Server::start("").await;
    let mut client = server.client().await;
    let first = client.score(new("same")).await.unwrap().into_inner();
    let again = client.score(new("same")).await.unwrap().into_inner();
    let timings = again.timings.unwrap();
    assert!(timings.decision_cached && !first.timings.unwrap().decision_cached);
    assert_eq!((timings.queue_ms, timings.encode_ms), (0.0, 0.0));
    let json = serde_json::to_value(&again).unwrap();
    assert_eq!(json["timings"]["decisionCached"], true);
    let bare = |mut response: rhumb_proto::v1::ScoreResponse| {
        response.timings = None;
        response
    };
    assert_eq!(bare(first), bare(again));
    let stats = stats(&mut client).await;
    assert_eq!(stats.decisions.unwrap().hits, 1);
    assert!(stats.tokens_per_second > 0.0 && stats.tokens > 0 && stats.texts == 2, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_waits_and_enforcement_does_not() {
    let server = Server::start("[server]\ndefault_deadline_ms = 60000\n").await;
    let mut bulk = server.client().await;
    let requests = (0..600).map(|i| new(&format!("bulk-{i}"))).collect();
    let batch = tokio::spawn(async move { bulk.score_batch(ScoreBatchRequest { requests }).await });
    let mut client = server.client().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    for i in 0..10 {
        let answer = client.score(new(&format!("urgent-{i}"))).await.unwrap().into_inner();
        let timings = answer.timings.unwrap();
        // A micro-batch of 5 ms, on a machine that may be busy with other tests.
        assert!(timings.queue_ms < 250.0, "{timings:?}");
    }
    let LaneStats { waiting_texts, .. } = stats(&mut client).await.bulk.unwrap();
    assert!(waiting_texts > 0, "the bulk was too quick for this test");
    let responses = batch.await.unwrap().unwrap().into_inner().responses;
    assert!(responses.iter().all(|r| r.status() == Status::Scored));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_others_make_impossible_is_refused_with_a_hint() {
    let server = Server::start("[server]\ndefault_deadline_ms = 60000\n[engine]\nqueue = 100000\n").await;
    let client = server.client().await;
    let calls: Vec<_> = (0..300)
        .map(|i| {
            let mut client = client.clone();
            tokio::spawn(async move {
                let mut request = Request::new(new(&format!("crowd-{i}")));
                request.set_timeout(Duration::from_millis(150));
                client.score(request).await
            })
        })
        .collect();
    let (mut scored, mut refused, mut late) = (0, 0, 0);
    for call in calls {
        match call.await.unwrap() {
            Ok(_) => scored += 1,
            Err(status) if status.code() == Code::ResourceExhausted => {
                let wait = status.get_details_retry_info().unwrap().retry_delay.unwrap();
                assert!(wait >= Duration::from_millis(2) && wait <= Duration::from_secs(5));
                refused += 1;
            }
            Err(status) => {
                // The client's own timer may be the first to say so.
                assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
                late += 1;
            }
        }
    }
    assert!(refused > 0, "{scored} scored, {refused} refused, {late} late");
}
