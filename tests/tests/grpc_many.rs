//! The gRPC service with many actions at once: batches, streams, chains, and clients that go away.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeSet;
use std::time::Duration;

use rhumb_proto::v1::{
    Action, Binding, Hop, HopScore, ScoreBatchRequest, ScoreChainRequest, ScoreChainResponse, ScoreRequest,
    ScoreResponse, Status, Verdict, VerifyLedgerRequest,
};
use rhumb_tests::samples::{aligned, drifted, fresh, message};
use rhumb_tests::score::lines;
use rhumb_tests::{Client, Server, score_lines};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::Code;
use tonic_types::StatusExt as _;

/// Long enough for a call on a machine that is busy.
const PATIENT: &str = "[server]\ndefault_deadline_ms = 60000\n";
const LIMIT: Duration = Duration::from_secs(60);

fn empty_action(id: &str) -> ScoreRequest {
    ScoreRequest { action: Some(Action::default()), ..message(&aligned(id)) }
}

/// Answered without the encoder.
fn without_intent(id: &str) -> ScoreRequest {
    ScoreRequest { intent: None, ..message(&aligned(id)) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_item_of_a_batch_costs_that_item_alone() {
    let server = Server::start(PATIENT).await;
    let mut requests: Vec<ScoreRequest> = (0..20).map(|i| message(&fresh(&i.to_string(), "Ana"))).collect();
    requests[7] = empty_action("7");
    requests[11] = without_intent("11");
    let batch = ScoreBatchRequest { requests };
    let responses = server.client().await.score_batch(batch).await.unwrap().into_inner().responses;
    assert_eq!(responses.len(), 20);
    for (i, response) in responses.iter().enumerate() {
        let expected = match i {
            7 => Status::Unparsable,
            11 => Status::NoAnchor,
            _ => Status::Scored,
        };
        assert_eq!((response.request_id.as_str(), response.status()), (i.to_string().as_str(), expected));
        assert_eq!(response.drift.is_some(), expected == Status::Scored);
    }
    assert!(responses[7].detail.starts_with("action: ") && responses[7].verdict() == Verdict::Abstain);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_has_at_most_1024_items() {
    let server = Server::start(PATIENT).await;
    let mut client = server.client().await;
    let requests: Vec<ScoreRequest> = (0..1_025).map(|i| without_intent(&i.to_string())).collect();
    let full = ScoreBatchRequest { requests: requests[..1_024].to_vec() };
    let responses = client.score_batch(full).await.unwrap().into_inner().responses;
    assert_eq!(responses.len(), 1_024);
    assert!(responses.iter().enumerate().all(|(i, r)| r.request_id == i.to_string()));
    let status = client.score_batch(ScoreBatchRequest { requests }).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "requests");
    let empty = client.score_batch(ScoreBatchRequest::default()).await.unwrap().into_inner();
    assert!(empty.responses.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_answers_every_request_also_where_one_is_bad() {
    let server = Server::start(PATIENT).await;
    let mut requests: Vec<ScoreRequest> = (0..30).map(|i| message(&fresh(&i.to_string(), "Bo"))).collect();
    requests[3] = empty_action("3");
    let stream = server.client().await.score_stream(tokio_stream::iter(requests)).await.unwrap().into_inner();
    let answers: Vec<ScoreResponse> =
        tokio::time::timeout(LIMIT, stream.collect::<Result<_, _>>()).await.unwrap().unwrap();
    let ids: BTreeSet<&str> = answers.iter().map(|a| a.request_id.as_str()).collect();
    assert_eq!((answers.len(), ids.len()), (30, 30));
    for answer in &answers {
        let expected = if answer.request_id == "3" { Status::Unparsable } else { Status::Scored };
        assert_eq!(answer.status(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_answers_before_it_is_closed() {
    let server = Server::start(PATIENT).await;
    let (send, receive) = tokio::sync::mpsc::channel(1);
    let mut stream =
        server.client().await.score_stream(ReceiverStream::new(receive)).await.unwrap().into_inner();
    for id in ["1", "2", "3"] {
        send.send(message(&aligned(id))).await.unwrap();
        let answer = tokio::time::timeout(LIMIT, stream.message()).await.unwrap().unwrap().unwrap();
        assert_eq!(answer.request_id, id);
    }
    drop(send);
    assert!(tokio::time::timeout(LIMIT, stream.message()).await.unwrap().unwrap().is_none());
}

fn hop(agent: &str, request: &serde_json::Value) -> Hop {
    let ScoreRequest { request_id, action, context, .. } = message(request);
    let instruction = "Do as the mail says.".to_owned();
    Hop {
        agent: agent.into(),
        delegator: format!("{agent}'s boss"),
        instruction,
        action,
        context,
        request_id,
        ..Hop::default()
    }
}

fn chain(hops: Vec<Hop>) -> ScoreChainRequest {
    let intent = message(&aligned("")).intent;
    ScoreChainRequest { chain_id: "chain".into(), intent, hops, ..ScoreChainRequest::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_nobody_knows_cost_their_request_alone() {
    let folder = tempfile::tempdir().unwrap();
    let config = format!("{PATIENT}[ledger]\npath = {:?}\n", folder.path());
    let server = Server::start(&config).await;
    let mut client = server.client().await;
    let mut effect = message(&aligned("effect"));
    effect.action.as_mut().unwrap().effect = 99;
    let single = client.score(effect.clone()).await.unwrap_err();
    let violation = single.get_details_bad_request().unwrap().field_violations.remove(0);
    assert_eq!((single.code(), violation.field.as_str()), (Code::InvalidArgument, "action.effect"));
    let key = |kind| Binding { kind, value: "x".into() };
    let kind = ScoreRequest { bindings: vec![key(99)], ..message(&aligned("kind")) };
    let many = ScoreRequest { bindings: vec![key(1); 65], ..message(&aligned("many")) };
    let requests = vec![effect, kind, many, message(&aligned("good"))];
    let answers = client.score_batch(ScoreBatchRequest { requests }).await.unwrap().into_inner().responses;
    let statuses: Vec<Status> = answers.iter().map(|answer| answer.status()).collect();
    assert_eq!(statuses, [Status::Unparsable, Status::Unparsable, Status::Unparsable, Status::Scored]);
    assert!(answers.iter().all(|answer| !answer.decision_id.is_empty()), "all of them are recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_is_scored_hop_by_hop_against_its_origin() {
    let server = Server::start(PATIENT).await;
    let mut client = server.client().await;
    let hops = vec![
        hop("a", &aligned("1")),
        hop("b", &aligned("2")),
        hop("c", &drifted("3")),
        hop("d", &aligned("4")),
    ];
    let response = client.score_chain(chain(hops)).await.unwrap().into_inner();
    assert_eq!((response.chain_id.as_str(), response.principal.as_str()), ("chain", "user:jo"));
    let alone = client.score(message(&drifted("3"))).await.unwrap().into_inner();
    let scores: Vec<ScoreResponse> = response.hops.iter().map(|h| h.score.clone().unwrap()).collect();
    for (i, HopScore { hop, agent, delegator, .. }) in response.hops.iter().enumerate() {
        assert_eq!((*hop as usize, scores[i].request_id.as_str()), (i + 1, (i + 1).to_string().as_str()));
        assert_eq!(delegator, &format!("{agent}'s boss"));
    }
    assert_eq!((scores[2].drift, scores[2].similarity), (alone.drift, alone.similarity));
    assert_eq!(scores[0].drift, scores[3].drift);
    let largest = scores.iter().filter_map(|s| s.drift).fold(0.0, f64::max);
    assert_eq!(response.max_drift, Some(largest));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_names_the_hop_where_drift_began() {
    let server = Server::start(PATIENT).await;
    let mut client = server.client().await;
    let hops = vec![
        hop("a", &aligned("1")),
        hop("b", &aligned("2")),
        hop("c", &drifted("3")),
        hop("d", &drifted("4")),
    ];
    let response = client.score_chain(chain(hops)).await.unwrap().into_inner();
    assert_eq!(response.first_drifted_hop, Some(3), "{:?}", response.max_drift);
    assert_eq!(
        (response.first_drifted_agent.as_str(), response.first_drifted_delegator.as_str()),
        ("c", "c's boss")
    );
    let good = client.score_chain(chain(vec![hop("a", &aligned("1"))])).await.unwrap().into_inner();
    assert_eq!((good.first_drifted_hop, good.first_drifted_agent.as_str()), (None, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_is_scored_again_is_recorded_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&format!("{PATIENT}[ledger]\npath = {:?}\n", folder.path())).await;
    let mut client = server.client().await;
    let mut ledger = server.ledger().await;
    let mut hops = vec![hop("a", &aligned("1")), hop("b", &drifted("2")), hop("c", &aligned(""))];
    let mut recorded = Vec::new();
    for more in [None, None, Some(hop("d", &aligned("4")))] {
        hops.extend(more);
        let answer = client.score_chain(chain(hops.clone())).await.unwrap().into_inner();
        assert_eq!(answer.first_drifted_hop, Some(2));
        let ids: Vec<String> = answer.hops.into_iter().map(|hop| hop.score.unwrap().decision_id).collect();
        let verified = ledger.verify_ledger(VerifyLedgerRequest {}).await.unwrap().into_inner();
        recorded.push((ids, verified.decisions));
    }
    let [(first, _), (again, one), (longer, two)] = &recorded[..] else { panic!("{recorded:?}") };
    assert!(first == again && first[..] == longer[..3], "{recorded:?}");
    // The last call adds the new hop.
    assert_eq!((longer.len(), two - one), (4, 1), "{recorded:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_is_scored_several_times_at_once_is_recorded_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&format!("{PATIENT}[ledger]\npath = {:?}\n", folder.path())).await;
    // Two hops of one id, and one without.
    let hops = vec![hop("a", &aligned("1")), hop("b", &aligned("1")), hop("c", &fresh("", "Ana"))];
    let client = server.client().await;
    let mut ledger = server.ledger().await;
    let before = ledger.verify_ledger(VerifyLedgerRequest {}).await.unwrap().into_inner().decisions;
    let score = |_| {
        let (mut client, hops) = (client.clone(), hops.clone());
        async move { client.score_chain(chain(hops)).await.unwrap().into_inner() }
    };
    let answers = futures::future::join_all((0..6).map(score)).await;
    let ids = |answer: ScoreChainResponse| -> Vec<String> {
        answer.hops.into_iter().map(|hop| hop.score.unwrap().decision_id).collect()
    };
    let distinct: BTreeSet<Vec<String>> = answers.into_iter().map(ids).collect();
    assert_eq!(distinct.len(), 1, "{distinct:?}");
    let after = ledger.verify_ledger(VerifyLedgerRequest {}).await.unwrap().into_inner().decisions;
    assert_eq!(after - before, 3, "each hop once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_says_what_gathered_and_who_let_it_pass() {
    let server = Server::start(PATIENT).await;
    let mut client = server.client().await;
    let at = |point: &str, hop: Hop| Hop { enforcement_point: point.into(), ..hop };
    let told = |instruction: &str, hop: Hop| Hop { instruction: instruction.into(), ..hop };
    let hops = vec![
        at("one", told("", hop("a", &aligned("1")))),
        at("two", hop("b", &aligned("2"))),
        at("three", hop("c", &drifted("3"))),
        at("four", hop("d", &aligned("4"))),
    ];
    let response = client.score_chain(chain(hops)).await.unwrap().into_inner();
    let states: Vec<_> = response.hops.iter().map(|h| h.score.clone().unwrap().chain.unwrap()).collect();
    assert_eq!(states.iter().map(|s| s.hop).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(states.iter().map(|s| s.actions).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!((states[0].step_drift, states[0].instruction_drift), (None, None), "nothing was handed down");
    assert!(states[1].step_drift.is_some() && states[1].instruction_drift.is_some());
    assert_eq!((states[1].first_drifted_hop, states[2].first_drifted_hop), (None, Some(3)));
    assert!(states[2].cumulative_drift > states[1].cumulative_drift);
    assert_eq!((response.first_drifted_hop, response.found_by.as_str()), (Some(3), "threshold"));
    assert_eq!((response.passed_by.as_str(), response.passed_at_hop), ("", None), "the third stopped it");
    assert_eq!(response.cumulative_drift, states[3].cumulative_drift);
    assert!(response.cumulative_threshold > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_without_origin_has_no_drift_and_no_beginning_of_it() {
    let server = Server::start(PATIENT).await;
    let request = ScoreChainRequest { intent: None, ..chain(vec![hop("a", &drifted("1"))]) };
    let response = server.client().await.score_chain(request).await.unwrap().into_inner();
    assert_eq!((response.first_drifted_hop, response.max_drift), (None, None));
    assert_eq!(response.hops[0].score.clone().unwrap().status(), Status::NoAnchor);
}

/// The field that is named where the second hop of a chain is this one.
async fn refused_field(client: &mut Client, bad: Hop) -> String {
    let status = client.score_chain(chain(vec![hop("a", &aligned("1")), bad])).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    status.get_details_bad_request().unwrap().field_violations.remove(0).field
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hop_that_cannot_be_used_is_named() {
    let server = Server::start(PATIENT).await;
    let mut client = server.client().await;
    let mut unknown_effect = hop("b", &aligned("2"));
    unknown_effect.action.as_mut().unwrap().effect = 99;
    let missing = Hop { action: None, ..hop("b", &aligned("2")) };
    for (bad, field) in [(unknown_effect, "hops[1].action.effect"), (missing, "hops[1].action")] {
        assert_eq!(refused_field(&mut client, bad).await, field);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hop_beyond_the_limits_is_named() {
    let server = Server::start(PATIENT).await;
    let mut client = server.client().await;
    let empty = Hop { action: Some(Action::default()), ..hop("b", &aligned("2")) };
    let mut long_name = hop("b", &aligned("2"));
    long_name.action.as_mut().unwrap().tool = "t".repeat(2_000);
    for (bad, field) in [(empty, "hops[1].action"), (long_name, "hops[1].action.tool")] {
        assert_eq!(refused_field(&mut client, bad).await, field);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_id_of_a_hop_has_at_most_256_bytes() {
    let server = Server::start(PATIENT).await;
    let mut client = server.client().await;
    let fits = hop("a", &aligned(&"i".repeat(256)));
    assert!(client.score_chain(chain(vec![fits])).await.is_ok());
    let status = client.score_chain(chain(vec![hop("a", &aligned(&"i".repeat(257)))])).await;
    let status = status.map(|_| "answered").unwrap_err();
    assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "hops[0].requestId");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_has_at_most_1024_hops() {
    let server = Server::start(PATIENT).await;
    let many = (0..1_025).map(|_| hop("a", &aligned("1"))).collect();
    let status = server.client().await.score_chain(chain(many)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "hops");
}

/// Some seconds of work for the encoder.
fn much_work(prefix: &str) -> Vec<ScoreRequest> {
    (0..400).map(|i| message(&fresh(&format!("{prefix}-{i}"), "a client in a hurry"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_go_away_leave_the_server_to_the_others() {
    let mut server = Server::start(PATIENT).await;
    let mut hurried = server.client().await;
    let batch = ScoreBatchRequest { requests: much_work("batch") };
    let gone = tokio::time::timeout(Duration::from_millis(300), hurried.score_batch(batch)).await;
    assert!(gone.is_err(), "the batch was too quick for this test");

    let mut stream =
        hurried.score_stream(tokio_stream::iter(much_work("stream"))).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    drop(stream);
    drop(hurried);

    let mut patient = server.client().await;
    let answer = tokio::time::timeout(LIMIT, patient.score(message(&fresh("patient", "Cy")))).await.unwrap();
    let timings = answer.unwrap().into_inner().timings.unwrap();
    // Nobody waits for the work that was left behind, so nobody should wait behind it.
    assert!(timings.queue_ms < 5_000.0, "{timings:?}");
    assert!(server.is_running());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_refused_with_a_time_to_come_back() {
    let server = Server::start(&format!("{PATIENT}[engine]\nqueue = 1\n")).await;
    let client = server.client().await;
    let calls = (0..40).map(|i| {
        let mut client = client.clone();
        tokio::spawn(async move { client.score(message(&fresh(&format!("q{i}"), "a crowd"))).await })
    });
    let (mut scored, mut refused) = (0, 0);
    for call in calls.collect::<Vec<_>>() {
        match call.await.unwrap() {
            Ok(answer) => {
                assert_eq!(answer.into_inner().status(), Status::Scored);
                scored += 1;
            }
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
                assert!(status.get_details_retry_info().unwrap().retry_delay.is_some());
                refused += 1;
            }
        }
    }
    assert!(scored > 0 && refused > 0, "{scored} scored, {refused} refused");

    // The command line comes back until every line is answered.
    let requests: Vec<_> = (0..40).map(|i| fresh(&format!("r{i}"), "a crowd")).collect();
    let answers = score_lines(&lines(&requests), &["--server", &server.url()]);
    assert!(answers.code == 0 && answers.statuses().iter().all(|s| *s == "SCORED"), "{}", answers.stderr);
}
