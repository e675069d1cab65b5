//! Who may call: bearer tokens, client certificates, roles and tenants.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use rhumb_proto::v1::drift_service_client::DriftServiceClient;
use rhumb_proto::v1::intent_service_client::IntentServiceClient;
use rhumb_proto::v1::{
    GetKeysRequest, Intent, Provenance, RegisterIntentRequest, RevokeIntentRequest, ScoreRequest,
};
use rhumb_tests::Server;
use rhumb_tests::authority::{Authority, digest};
use rhumb_tests::samples::{BILL, aligned, message};
use tonic::transport::Channel;
use tonic::{Code, Request};
use tonic_health::pb::health_check_response::ServingStatus;

fn with<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

fn two_callers() -> String {
    format!(
        "[[callers]]\nname = \"edge\"\ntoken_sha256 = {:?}\ntenants = [\"blue\", \"green\"]\nmay = [\"score\"]\n\
         [[callers]]\nname = \"desk\"\ntoken_sha256 = {:?}\ntenants = [\"blue\"]\nmay = [\"intents\"]\n",
        digest("edge-token"),
        digest("desk-token")
    )
}

fn registration() -> RegisterIntentRequest {
    let intent = Intent { text: BILL.into(), principal: "user:alice".into(), ..Intent::default() };
    RegisterIntentRequest { intent: Some(intent), ..RegisterIntentRequest::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_known_callers_are_let_in_and_each_to_its_own() {
    let server = Server::start(&two_callers()).await;
    assert_eq!(server.health().await.unwrap(), ServingStatus::Serving, "health is for everybody");
    let mut drift = server.client().await;
    let mut intents = server.intents().await;
    let none = drift.score(message(&aligned("1"))).await.unwrap_err();
    assert_eq!(none.code(), Code::Unauthenticated, "{none:?}");
    let wrong = drift.score(with(message(&aligned("1")), "guess")).await.unwrap_err();
    assert_eq!(wrong.code(), Code::Unauthenticated);
    drift.score(with(message(&aligned("1")), "edge-token")).await.unwrap();
    let other = intents.register_intent(with(registration(), "edge-token")).await.unwrap_err();
    assert_eq!(other.code(), Code::PermissionDenied);
    let registered = intents.register_intent(with(registration(), "desk-token")).await.unwrap().into_inner();
    let revoke = RevokeIntentRequest { intent_id: registered.intent_id.clone(), ..Default::default() };
    let revoked = intents.revoke_intent(with(revoke, "desk-token")).await.unwrap_err();
    assert_eq!(revoked.code(), Code::PermissionDenied, "registering is not revoking");
    intents.get_keys(with(GetKeysRequest {}, "edge-token")).await.unwrap();

    // An authenticated caller's bare id is worth more than anybody's.
    let by_id = Intent { intent_id: registered.intent_id.clone(), ..Intent::default() };
    let by_id = ScoreRequest { intent: Some(by_id), ..message(&aligned("2")) };
    let answer = drift.score(with(by_id.clone(), "edge-token")).await.unwrap().into_inner();
    assert_eq!(answer.provenance(), Provenance::ServerBound);

    // Another tenant knows nothing of it, and a tenant that is not the caller's is refused.
    let mut green = with(by_id.clone(), "edge-token");
    green.metadata_mut().insert("rhumb-tenant", "green".parse().unwrap());
    let answer = drift.score(green).await.unwrap().into_inner();
    assert_eq!(
        (answer.provenance(), answer.reason_code.as_str()),
        (Provenance::None, "intent_text_unavailable")
    );
    let mut red = with(by_id, "edge-token");
    red.metadata_mut().insert("rhumb-tenant", "red".parse().unwrap());
    assert_eq!(drift.score(red).await.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_says_who_calls() {
    let (authority, stranger, folder) = (Authority::new(), Authority::new(), tempfile::tempdir().unwrap());
    let (certificate, key, fingerprint) = authority.issue("edge");
    let (other_certificate, other_key, _) = authority.issue("other");
    let config = format!(
        "{}[[callers]]\nname = \"edge\"\ncertificate_sha256 = {fingerprint:?}\nmay = [\"score\", \"intents\"]\n",
        authority.write(folder.path())
    );
    let server = Server::spawn(&config);
    let channel = patient(&authority, &server, (&certificate, &key)).await;
    DriftServiceClient::new(channel.clone()).score(message(&aligned("1"))).await.unwrap();
    IntentServiceClient::new(channel).register_intent(registration()).await.unwrap();

    let known_authority = authority.connect(&server, (&other_certificate, &other_key)).await.unwrap();
    let status = DriftServiceClient::new(known_authority).score(message(&aligned("2"))).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");

    let (certificate, key, _) = stranger.issue("edge");
    let refused = match authority.connect(&server, (&certificate, &key)).await {
        // With TLS 1.3 the client learns of it with its first call.
        Ok(channel) => DriftServiceClient::new(channel).score(message(&aligned("3"))).await.is_err(),
        Err(_) => true,
    };
    assert!(refused);
    assert!(server.health().await.is_err(), "plain text is refused");
}

/// Waits until the model is loaded.
async fn patient(authority: &Authority, server: &Server, own: (&str, &str)) -> Channel {
    for _ in 0..600 {
        if let Ok(channel) = authority.connect(server, own).await {
            let answer = DriftServiceClient::new(channel.clone()).score(message(&aligned("0"))).await;
            match answer {
                Ok(_) => return channel,
                Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status:?}"),
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("not serving: {}", server.stderr());
}
