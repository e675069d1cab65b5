//! What was acknowledged is there after any kill.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rhumb_proto::v1::GetDecisionRequest;
use rhumb_tests::samples::{message, with_arguments};
use rhumb_tests::{Server, run};
use serde_json::json;

const KILLS: u64 = 50;
const CALLERS: usize = 8;

/// A decision that a caller was told of.
#[derive(Clone)]
struct Told {
    request: String,
    decision: String,
    verdict: i32,
    drift: Option<f64>,
}

type Answers = Arc<Mutex<Vec<Told>>>;

fn verify(folder: &Path) {
    let verified = run(["ledger".as_ref(), "verify".as_ref(), "--path".as_ref(), folder.as_os_str()], b"");
    assert_eq!(verified.code, 0, "{}{}", String::from_utf8_lossy(&verified.stdout), verified.stderr);
}

/// Asks until the server is gone; keeps what was answered.
async fn ask(server: Arc<Server>, next: Arc<AtomicU64>, told: Answers) {
    let mut client = server.client().await;
    loop {
        let id = format!("r{}", next.fetch_add(1, Ordering::Relaxed));
        // Few texts, so that the encoder is not what takes the time.
        let request =
            message(&with_arguments(&id, json!({"account": "UK12345678901234567890", "amount": 98.7})));
        let Ok(answer) = client.score(request).await else { return };
        let answer = answer.into_inner();
        let decision = answer.decision_id.clone();
        assert!(!decision.is_empty(), "an answer without a record");
        told.lock().unwrap().push(Told {
            request: id,
            decision,
            verdict: answer.verdict,
            drift: answer.drift,
        });
    }
}

async fn all_there(server: &Server, told: &[Told]) {
    let mut ledger = server.ledger().await;
    for one in told {
        let asked = GetDecisionRequest { decision_id: one.decision.clone(), ..Default::default() };
        let found =
            ledger.get_decision(asked).await.unwrap_or_else(|e| panic!("{} is lost: {e}", one.request));
        let found = found.into_inner();
        let response = found.response.unwrap();
        assert_eq!(
            (found.request_id.as_str(), response.verdict, response.drift),
            (one.request.as_str(), one.verdict, one.drift)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_kills_lose_no_acknowledged_decision() {
    let folder = tempfile::tempdir().unwrap();
    let config = format!("[model]\nthreads = 1\n[ledger]\npath = {:?}\n", folder.path());
    let next = Arc::new(AtomicU64::new(0));
    let mut total = 0;
    for round in 0..KILLS {
        let server = Arc::new(Server::start(&config).await);
        let told = Answers::default();
        let tasks: Vec<_> = (0..CALLERS)
            .map(|_| tokio::spawn(ask(Arc::clone(&server), Arc::clone(&next), Arc::clone(&told))))
            .collect();
        // Any moment, also one at which files are made and the first commits run.
        let pause = (round * 7919) % 400;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        server.kill_now();
        for task in tasks {
            task.await.unwrap();
        }
        drop(server);
        verify(folder.path());
        let told = told.lock().unwrap().clone();
        total += told.len();
        let server = Server::start(&config).await;
        all_there(&server, &told).await;
        // The next round begins with this one's clean or unclean end in turn.
        if round % 2 == 0 {
            let mut server = server;
            server.terminate();
            assert!(server.wait().success());
            verify(folder.path());
        }
    }
    assert!(total > 1000, "only {total} decisions were made: the test shows little");
}
