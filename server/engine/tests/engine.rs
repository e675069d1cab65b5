//! The engine with an encoder that the test holds in its hand: it can be stopped, made to fail and counted.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

mod fakes;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rhumb_drift::{Calibration, Policy, Status, Verdict};
use rhumb_engine::{Admission, Answer, Call, Engine, EngineConfig, EngineError, Lane, ScoreInput, Tenant};
use rhumb_models::encoder::{Encoder, EncoderError, EncoderInfo, Encoding};

use fakes::{encodings, info, pair, tokenizer};

/// An encoder whose vectors depend on the token ids alone.
struct Fake {
    info: EncoderInfo,
    batches: Arc<Mutex<Vec<usize>>>,
    gate: Option<mpsc::Receiver<()>>,
    failures: Arc<AtomicUsize>,
    panics: bool,
}

/// What a test keeps of it.
struct Control {
    batches: Arc<Mutex<Vec<usize>>>,
    open: Option<mpsc::Sender<()>>,
    failures: Arc<AtomicUsize>,
}

fn fake(gated: bool, panics: bool) -> (Fake, Control) {
    let (open, gate) = mpsc::channel();
    let info = info("cpu");
    let (batches, failures) = (Arc::default(), Arc::default());
    let control = Control {
        batches: Arc::clone(&batches),
        open: gated.then_some(open),
        failures: Arc::clone(&failures),
    };
    (Fake { info, batches, gate: gated.then_some(gate), failures, panics }, control)
}

impl Encoder for Fake {
    fn info(&self) -> &EncoderInfo {
        &self.info
    }

    fn encode(&mut self, batch: &[&[u32]]) -> Result<Vec<Encoding>, EncoderError> {
        self.batches.lock().unwrap().push(batch.len());
        if let Some(gate) = &self.gate {
            let _ = gate.recv();
        }
        if self.failures.load(Ordering::SeqCst) > 0 {
            self.failures.fetch_sub(1, Ordering::SeqCst);
            assert!(!self.panics, "as the test asked");
            return Err(EncoderError::Compute("as the test asked".into()));
        }
        Ok(encodings(batch))
    }
}

/// Without a warm-up: the tests count what is encoded.
fn start(fake: Fake, config: EngineConfig) -> Engine {
    start_all(vec![fake], EngineConfig { warm_up: false, ..config }).0
}

fn start_all(fakes: Vec<Fake>, config: EngineConfig) -> (Engine, Vec<JoinHandle<()>>) {
    try_start(fakes, config).unwrap()
}

fn try_start(fakes: Vec<Fake>, config: EngineConfig) -> std::io::Result<(Engine, Vec<JoinHandle<()>>)> {
    let calibration = Calibration::neutral("sha256:0");
    let encoders: Vec<_> = fakes.into_iter().map(|fake| Box::new(fake) as Box<dyn Encoder>).collect();
    Engine::start(tokenizer(), encoders, calibration, Policy::default(), config)
}

async fn score(engine: &Engine, input: ScoreInput) -> Result<Answer, EngineError> {
    engine.score(input, &Call::bulk()).await
}

/// Somebody who waits for no room.
fn urgent(deadline: Option<Instant>) -> Call {
    Call { lane: Lane::Enforcement, tenant: Tenant::default(), deadline, admission: Admission::Refuse }
}

#[tokio::test]
async fn a_request_is_encoded_once_and_then_cached() {
    let (encoder, control) = fake(false, false);
    let engine = start(encoder, EngineConfig::default());
    let first = score(&engine, pair("pay bob", "pay")).await.unwrap();
    let again = score(&engine, pair("pay bob", "pay")).await.unwrap();
    assert!(!first.timings.intent_cached && again.timings.intent_cached && again.timings.action_cached);
    assert_eq!((first.drift, first.similarity), (again.drift, again.similarity));
    assert_eq!(control.batches.lock().unwrap().iter().sum::<usize>(), 2, "request and action, each once");
}

#[tokio::test]
async fn without_an_anchor_nothing_is_encoded_and_nothing_is_judged() {
    let (encoder, control) = fake(false, false);
    let engine = start(encoder, EngineConfig::default());
    for text in ["", "  ", "...", "\u{200b}\u{2060}"] {
        let answer = score(&engine, pair(text, "pay")).await.unwrap();
        assert_eq!((answer.status, answer.drift), (Status::NoAnchor, None), "{text:?}");
        assert_eq!(answer.decision.verdict, Verdict::Abstain);
    }
    assert!(control.batches.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_word_too_long_for_the_model_is_not_silently_left_out() {
    let engine = start(fake(false, false).0, EngineConfig::default());
    for (letters, status) in [(100, Status::Scored), (101, Status::Truncated)] {
        let mut input = pair("pay bob", "pay");
        input.action.arguments = serde_json::json!({"to": "x".repeat(letters)}).as_object().cloned().unwrap();
        assert_eq!(score(&engine, input).await.unwrap().status, status, "{letters} letters");
    }
}

#[tokio::test]
async fn what_the_model_cannot_read_is_no_action() {
    let engine = start(fake(false, false).0, EngineConfig::default());
    let error = score(&engine, pair("pay bob", "\u{3000}_-")).await.unwrap_err();
    assert!(matches!(error, EngineError::Input(e) if e.field == "action"));
}

#[tokio::test]
async fn arguments_outside_the_schema_may_raise_the_drift() {
    let engine = start(fake(false, false).0, EngineConfig::default());
    let mut input = pair("pay bob", "pay");
    input.action.arguments =
        serde_json::json!({"to": "bob", "note": "eve eve"}).as_object().cloned().unwrap();
    input.action.input_schema = serde_json::json!({"properties": {"to": {}}}).as_object().cloned();
    let answer = score(&engine, input).await.unwrap();
    assert!(answer.evidence.findings.contains(&"undeclared_argument:note".to_owned()));
}

#[tokio::test]
async fn a_tool_that_folds_to_nothing_is_no_action() {
    let engine = start(fake(false, false).0, EngineConfig::default());
    let error = score(&engine, pair("pay bob", "\u{200b}")).await.unwrap_err();
    assert!(matches!(error, EngineError::Input(e) if e.field == "action"));
}

#[tokio::test]
async fn long_text_is_seen_in_windows_and_a_cut_is_told_and_never_allowed() {
    let engine =
        start(fake(false, false).0, EngineConfig { max_windows: 3, window_overlap: 1, ..Default::default() });
    let with = |words: usize| {
        let mut input = pair("pay bob", "pay");
        input.action.arguments =
            serde_json::json!({"to": "eve ".repeat(words)}).as_object().cloned().unwrap();
        input
    };
    let whole = score(&engine, with(6)).await.unwrap();
    assert_eq!((whole.status, whole.windows), (Status::Scored, 2));
    let cut = score(&engine, with(60)).await.unwrap();
    assert_eq!((cut.status, cut.windows), (Status::Truncated, 3));
    assert!(cut.drift.is_some() && cut.decision.verdict >= Verdict::Escalate);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_at_once_and_what_was_taken_is_answered() {
    let (encoder, mut control) = fake(true, false);
    let engine = start(encoder, EngineConfig { queue: 2, ..EngineConfig::default() });
    let mut taken = Vec::new();
    // One in the encoder, two in the queue.
    for i in 0..3 {
        let (engine, input) = (engine.clone(), pair(&format!("pay bob {i}"), "pay"));
        taken.push(tokio::spawn(async move { engine.score(input, &urgent(None)).await }));
        wait_until(|| !control.batches.lock().unwrap().is_empty()).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let asked = Instant::now();
    let refused = engine.score(pair("pay eve", "pay"), &urgent(None)).await.unwrap_err();
    assert!(matches!(refused, EngineError::Overloaded { .. }), "{refused:?}");
    assert!(asked.elapsed() < Duration::from_millis(50));
    control.open.take();
    for task in taken {
        // The action that follows an intent may find the queue full in its turn; an answer or a refusal, never silence.
        assert!(matches!(task.await.unwrap(), Ok(_) | Err(EngineError::Overloaded { .. })));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_wait_leave_room_for_those_who_may_not() {
    let (encoder, mut control) = fake(true, false);
    let engine = start(encoder, EngineConfig { queue: 4, ..EngineConfig::default() });
    let bulk: Vec<_> = (0..20)
        .map(|i| {
            let (engine, text) = (engine.clone(), format!("{}pay", "bob ".repeat(i)));
            tokio::spawn(async move { score(&engine, pair(&text, "pay")).await })
        })
        .collect();
    wait_until(|| !control.batches.lock().unwrap().is_empty()).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let soon = Some(Instant::now() + Duration::from_millis(50));
    let urgent = engine.score(pair("pay eve", "pay"), &urgent(soon)).await;
    assert_eq!(urgent.unwrap_err(), EngineError::Deadline, "it was queued, and not refused");
    control.open.take();
    for task in bulk {
        assert!(task.await.unwrap().is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_waits_for_is_not_computed() {
    let (encoder, mut control) = fake(true, false);
    let engine = start(encoder, EngineConfig::default());
    let busy = tokio::spawn({
        let engine = engine.clone();
        async move { score(&engine, pair("pay bob", "pay")).await }
    });
    wait_until(|| !control.batches.lock().unwrap().is_empty()).await;
    let soon = Some(Instant::now() + Duration::from_millis(30));
    let late = engine.score(pair("pay eve", "pay"), &Call { deadline: soon, ..Call::bulk() }).await;
    assert_eq!(late.unwrap_err(), EngineError::Deadline);
    let call = Call::bulk();
    let gone = engine.score(pair("bob bob", "pay"), &call);
    assert!(tokio::time::timeout(Duration::from_millis(30), gone).await.is_err(), "the caller goes away");
    control.open.take();
    assert!(busy.await.unwrap().is_ok());
    let stats = engine.stats().queue;
    assert_eq!((stats.lanes.bulk.expired, stats.lanes.bulk.cancelled, stats.lanes.bulk.completed), (1, 1, 1));
    assert_eq!(control.batches.lock().unwrap().iter().sum::<usize>(), 2, "the request that was waited for");
}

#[tokio::test]
async fn a_failing_encoder_costs_its_batch_and_nothing_else() {
    for panics in [false, true] {
        let (encoder, control) = fake(false, panics);
        let engine = start(encoder, EngineConfig::default());
        control.failures.store(1, Ordering::SeqCst);
        let error = score(&engine, pair("pay bob", "pay")).await.unwrap_err();
        assert!(matches!(error, EngineError::Encoder(_)), "{error:?}");
        assert!(score(&engine, pair("pay bob", "pay")).await.is_ok(), "the next request is answered");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_texts_share_a_batch_within_the_token_budget() {
    let (encoder, mut control) = fake(true, false);
    // A batch that the test holds back looks slow: its length in time is not to count here.
    let config = EngineConfig { batch_tokens: 16, bulk_batch_ms: 10_000.0, ..EngineConfig::default() };
    let engine = start(encoder, config);
    let tasks: Vec<_> = (0..5)
        .map(|i| {
            let (engine, text) = (engine.clone(), format!("{}pay", "bob ".repeat(i)));
            tokio::spawn(async move { score(&engine, pair(&text, "pay")).await })
        })
        .collect();
    wait_until(|| !control.batches.lock().unwrap().is_empty()).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    control.open.take();
    for task in tasks {
        assert!(task.await.unwrap().is_ok());
    }
    let batches = control.batches.lock().unwrap().clone();
    // Texts of 3 to 7 tokens; the action is the same text every time, and computed once.
    assert!(batches.len() < 5 && batches.iter().all(|n| *n <= 4), "{batches:?}");
}

#[tokio::test]
async fn the_encoder_threads_end_with_the_last_engine() {
    for encoders in 1..=4 {
        let fakes = (0..encoders).map(|_| fake(false, false).0).collect();
        let (engine, threads) = start_all(fakes, EngineConfig::default());
        let clone = engine.clone();
        drop(engine);
        assert!(threads.len() == encoders && !threads.iter().any(JoinHandle::is_finished));
        drop(clone);
        wait_until(|| threads.iter().all(JoinHandle::is_finished)).await;
    }
}

#[test]
fn encoders_of_different_models_are_no_engine() {
    assert!(try_start(Vec::new(), EngineConfig::default()).is_err());
    let (one, mut other) = (fake(false, false).0, fake(false, false).0);
    other.info.digest = "sha256:1".into();
    let error = try_start(vec![one, other], EngineConfig::default()).err().unwrap();
    assert_eq!(error.to_string(), "the encoders are of different models");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_encoders_compute_at_once_and_no_text_twice() {
    for encoders in 2..=4 {
        let (fakes, mut controls): (Vec<_>, Vec<_>) = (0..encoders).map(|_| fake(true, false)).unzip();
        let config = EngineConfig { warm_up: false, batch_tokens: 6, ..EngineConfig::default() };
        let engine = start_all(fakes, config).0;
        let tasks: Vec<_> = (0..40)
            .map(|i| {
                let (engine, text) = (engine.clone(), format!("{}pay", "bob ".repeat(i % 4)));
                tokio::spawn(async move { score(&engine, pair(&text, "pay")).await })
            })
            .collect();
        wait_until(|| controls.iter().all(|control| !control.batches.lock().unwrap().is_empty())).await;
        wait_until(|| engine.stats().queue.lanes.bulk.accepted == 40).await;
        controls.iter_mut().for_each(|control| drop(control.open.take()));
        for task in tasks {
            assert!(task.await.unwrap().is_ok());
        }
        let texts: usize = controls.iter().map(|c| c.batches.lock().unwrap().iter().sum::<usize>()).sum();
        // Four intents, and the action is the same text as one of them.
        assert_eq!((texts, engine.stats().queue.texts), (4, 4));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_encoder_of_several_costs_its_batch_and_nothing_else() {
    for panics in [false, true] {
        let (first, mut slow) = fake(true, panics);
        let (second, mut other) = fake(true, panics);
        let engine = start_all(vec![first, second], EngineConfig { warm_up: false, ..Default::default() }).0;
        let busy = |engine: &Engine, text: &'static str| {
            let engine = engine.clone();
            tokio::spawn(async move { score(&engine, pair(text, "pay")).await })
        };
        // The intent and the action are one text: one of the encoders has it.
        let one = busy(&engine, "pay");
        wait_until(|| slow.batches.lock().unwrap().len() + other.batches.lock().unwrap().len() == 1).await;
        let has_first = !slow.batches.lock().unwrap().is_empty();
        let two = busy(&engine, "bob bob eve");
        wait_until(|| slow.batches.lock().unwrap().len() + other.batches.lock().unwrap().len() == 2).await;
        let failing = if has_first { &mut slow } else { &mut other };
        failing.failures.store(1, Ordering::SeqCst);
        drop((slow.open.take(), other.open.take()));
        assert!(matches!(one.await.unwrap(), Err(EngineError::Encoder(_))));
        // It had joined the action of the first, and its own intent is in the other batch.
        assert!(matches!(two.await.unwrap(), Err(EngineError::Encoder(_))));
        assert!(score(&engine, pair("bob bob eve", "pay")).await.is_ok());
    }
}

#[tokio::test]
async fn the_engine_is_ready_when_every_encoder_is_warm() {
    let (first, _) = fake(false, false);
    let (second, mut held) = fake(true, false);
    let (engine, _) = start_all(vec![first, second], EngineConfig::default());
    let soon = Duration::from_millis(50);
    assert!(tokio::time::timeout(soon, engine.ready()).await.is_err(), "one is still cold");
    assert!(score(&engine, pair("pay bob", "pay")).await.is_ok(), "the other works already");
    held.open.take();
    engine.ready().await;
}

async fn wait_until(mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < end, "waited in vain");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// An answer without its times, as text: nothing else may differ, to the last bit.
fn without_times(answer: &Answer) -> String {
    format!("{:?}", Answer { timings: Default::default(), ..answer.clone() })
}

#[tokio::test]
async fn the_same_request_is_answered_from_memory_to_the_last_bit() {
    let engine = start(fake(false, false).0, EngineConfig::default());
    let other = start(fake(false, false).0, EngineConfig { decision_cache_mb: 0, ..EngineConfig::default() });
    let first = score(&engine, pair("pay bob", "pay eve")).await.unwrap();
    let again = score(&engine, pair("pay bob", "pay eve")).await.unwrap();
    assert!(!first.timings.decision_cached && again.timings.decision_cached);
    assert_eq!(again.timings.queue, Duration::ZERO);
    for computed in [&first, &score(&other, pair("pay bob", "pay eve")).await.unwrap()] {
        assert_eq!(without_times(&again), without_times(computed));
    }
    let again = score(&other, pair("pay bob", "pay eve")).await.unwrap();
    assert!(!again.timings.decision_cached && again.timings.action_cached);
    assert!(!score(&engine, pair("pay bob", "pay")).await.unwrap().timings.decision_cached);
    let stats = engine.stats().decisions;
    assert_eq!((stats.hits, stats.misses), (1, 2));
}

#[tokio::test]
async fn what_is_no_score_is_not_remembered() {
    let (encoder, control) = fake(false, false);
    let engine = start(encoder, EngineConfig::default());
    for _ in 0..2 {
        let answer = score(&engine, pair("\u{200b}x\u{200b}", "pay")).await.unwrap();
        assert!(answer.drift.is_some());
        let answer = score(&engine, pair("...", "pay")).await.unwrap();
        assert!(answer.drift.is_none() && !answer.timings.decision_cached);
    }
    control.failures.store(1, Ordering::SeqCst);
    assert!(score(&engine, pair("bob", "eve")).await.is_err());
    assert!(!score(&engine, pair("bob", "eve")).await.unwrap().timings.decision_cached);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_is_in_the_encoder_is_not_computed_again() {
    let (encoder, mut control) = fake(true, false);
    let engine = start(encoder, EngineConfig::default());
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move { score(&engine, pair("pay bob", "pay")).await })
        })
        .collect();
    wait_until(|| engine.stats().queue.joined == 18).await;
    control.open.take();
    for task in tasks {
        assert!(task.await.unwrap().is_ok());
    }
    assert_eq!(control.batches.lock().unwrap().iter().sum::<usize>(), 2);
    assert_eq!(engine.stats().queue.texts, 2);
}

#[tokio::test]
async fn the_warm_up_measures_the_encoder_and_fails_for_nobody() {
    for failures in [0, 1] {
        let (encoder, control) = fake(false, true);
        control.failures.store(failures, Ordering::SeqCst);
        let config = EngineConfig { assumed_tokens_per_s: 7.0, ..EngineConfig::default() };
        let (engine, _) = start_all(vec![encoder], config);
        engine.ready().await;
        let measured = engine.stats().queue.tokens_per_s;
        assert_eq!(measured > 7.0, failures == 0, "{measured}");
        assert!(score(&engine, pair("pay bob", "pay")).await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_cannot_be_kept_is_refused_at_once_with_a_hint() {
    let (encoder, mut control) = fake(true, false);
    let engine = start(encoder, EngineConfig { assumed_tokens_per_s: 100.0, ..EngineConfig::default() });
    let busy: Vec<_> = (0..4)
        .map(|i| {
            let (engine, text) = (engine.clone(), format!("bob {}", "pay ".repeat(i)));
            tokio::spawn(async move { engine.score(pair(&text, "pay"), &urgent(None)).await })
        })
        .collect();
    wait_until(|| engine.stats().queue.lanes.enforcement.accepted == 4).await;
    let asked = Instant::now();
    let in_time = Some(asked + Duration::from_millis(200));
    let refused = engine.score(pair("pay eve", "pay"), &urgent(in_time)).await.unwrap_err();
    assert!(
        matches!(refused, EngineError::Overloaded { retry_after } if retry_after > Duration::from_millis(20))
    );
    let hopeless =
        engine.score(pair("pay eve", "pay"), &urgent(Some(asked + Duration::from_millis(60)))).await;
    assert_eq!(hopeless.unwrap_err(), EngineError::Deadline, "100 tokens a second are not enough");
    assert!(asked.elapsed() < Duration::from_millis(60));
    control.open.take();
    for task in busy {
        assert!(task.await.unwrap().is_ok());
    }
}

/// `cargo test --release -p rhumb-engine --test engine -- --ignored --nocapture`
#[tokio::test]
#[ignore = "a measurement"]
async fn cost_of_a_refusal_and_of_a_remembered_answer() {
    let (encoder, _control) = fake(true, false);
    let engine = start(encoder, EngineConfig::default());
    let busy = tokio::spawn({
        let engine = engine.clone();
        async move { engine.score(pair(&"bob ".repeat(200), "pay"), &urgent(None)).await }
    });
    wait_until(|| engine.stats().queue.lanes.enforcement.accepted == 1).await;
    let n = 20_000;
    let begun = Instant::now();
    for i in 0..n {
        let soon = Some(Instant::now() + Duration::from_millis(40));
        let mut input = pair("pay eve", &format!("pay {i}"));
        input.action.arguments =
            serde_json::json!({"to": "eve ".repeat(40), "sum": i}).as_object().cloned().unwrap();
        assert!(engine.score(input, &urgent(soon)).await.is_err());
    }
    println!("refused: {} ns each", begun.elapsed().as_nanos() / n);
    busy.abort();
    let engine = start(fake(false, false).0, EngineConfig::default());
    score(&engine, pair("pay bob", "pay")).await.unwrap();
    let begun = Instant::now();
    for _ in 0..n {
        score(&engine, pair("pay bob", "pay")).await.unwrap();
    }
    println!("remembered: {} ns each", begun.elapsed().as_nanos() / n);
}
