//! A request that comes twice at once, with an encoder that the test holds in its hand.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

#[path = "../../engine/tests/fakes/mod.rs"]
#[allow(dead_code, reason = "the engine's own tests use more of it")]
mod fakes;

use std::pin::pin;
use std::sync::{Arc, mpsc};

use rhumb_drift::{Calibration, Policy};
use rhumb_engine::{Call, Engine, EngineConfig};
use rhumb_gateway::caller::Caller;
use rhumb_gateway::intents::{self, outcome, registrar};
use rhumb_gateway::policy::{Base, PolicyHandle};
use rhumb_gateway::{Decider, Site};
use rhumb_ledger::intent::config::IntentConfig;
use rhumb_ledger::{Keys, Ledger, LedgerConfig};
use rhumb_models::encoder::{Encoder, EncoderError, EncoderInfo, Encoding};
use rhumb_proto::v1::{self, Verdict};

use fakes::{encodings, info, tokenizer};

/// Waits before each batch until the test lets it go on.
struct Held(EncoderInfo, mpsc::Receiver<()>);

impl Encoder for Held {
    fn info(&self) -> &EncoderInfo {
        &self.0
    }

    fn encode(&mut self, batch: &[&[u32]]) -> Result<Vec<Encoding>, EncoderError> {
        let _ = self.1.recv();
        Ok(encodings(batch))
    }
}

fn held() -> (Engine, mpsc::Sender<()>) {
    let (open, gate) = mpsc::channel();
    let encoder: Box<dyn Encoder> = Box::new(Held(info("cpu"), gate));
    let config = EngineConfig { warm_up: false, ..EngineConfig::default() };
    let calibration = Calibration::neutral("sha256:0");
    (Engine::start(tokenizer(), vec![encoder], calibration, Policy::default(), config).unwrap().0, open)
}

fn site(folder: &std::path::Path) -> Arc<Site> {
    let keys = Arc::new(Keys::ephemeral().unwrap());
    let ledger = Ledger::open(&LedgerConfig::at(folder), Arc::clone(&keys)).unwrap();
    Arc::new(Site::new(ledger, IntentConfig::default(), keys, PolicyHandle::of(Base::default()), 8).unwrap())
}

async fn register(site: &Arc<Site>) -> v1::RegisterIntentResponse {
    let intent = v1::Intent { text: "pay bob".into(), principal: "user:ana".into(), ..v1::Intent::default() };
    let request = v1::RegisterIntentRequest { intent: Some(intent), ..v1::RegisterIntentRequest::default() };
    let (wanted, who) = (intents::registration(request).unwrap(), registrar(&Caller::local()));
    let at = Arc::clone(site);
    let registered = site
        .ledger
        .change(move |tables, now| outcome(at.registry.decide_register(tables, &who, now, &wanted)));
    intents::issued(registered.await.unwrap())
}

async fn revoke(site: &Arc<Site>, intent: String) {
    let (at, who) = (Arc::clone(site), registrar(&Caller::local()));
    let revoked = site
        .ledger
        .change(move |tables, now| outcome(at.registry.decide_revoke(tables, &who, now, &intent, "lost")));
    revoked.await.unwrap();
}

#[tokio::test]
async fn a_retry_that_waited_does_not_get_what_an_ended_intent_had_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let ((engine, open), site) = (held(), site(folder.path()));
    let registered = register(&site).await;
    let decider = Decider::new(engine, Arc::clone(&site));
    let request = v1::ScoreRequest {
        request_id: "1".into(),
        intent: Some(v1::Intent { token: registered.token, ..v1::Intent::default() }),
        action: Some(v1::Action { tool: "pay".into(), ..v1::Action::default() }),
        ..v1::ScoreRequest::default()
    };
    let (caller, call) = (Caller::local(), Call::bulk());
    let mut first = pin!(decider.decide(request.clone(), &caller, &call));
    let mut retry = pin!(decider.decide(request, &caller, &call));
    assert!(futures::poll!(&mut first).is_pending(), "held in the encoder");
    assert!(futures::poll!(&mut retry).is_pending(), "waits for the first");
    revoke(&site, registered.intent_id).await;
    (0..4).for_each(|_| open.send(()).unwrap());
    let (first, retry) = futures::join!(first, retry);
    assert!(first.unwrap().drift.is_some(), "was under way");
    let retry = retry.unwrap();
    assert_eq!((retry.reason_code.as_str(), retry.verdict()), ("intent_revoked", Verdict::Deny));
}
