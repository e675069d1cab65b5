//! Devices that are lost while requests go on: what the test's encoders say when it tells them to.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

mod fakes;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rhumb_drift::{Calibration, Policy, Status};
use rhumb_engine::{Answer, Call, EncoderState, Encoders, Engine, EngineConfig, EngineError, Fallback};
use rhumb_models::encoder::{Encoder, EncoderError, EncoderInfo, Encoding};

use fakes::{encodings, info, pair, tokenizer};

/// Whose vectors depend on the token ids alone.
struct Fake {
    info: EncoderInfo,
    /// Its device, which others may share.
    lost: Arc<AtomicBool>,
    batches: Arc<AtomicUsize>,
    lasts: Duration,
}

impl Encoder for Fake {
    fn info(&self) -> &EncoderInfo {
        &self.info
    }

    fn encode(&mut self, batch: &[&[u32]]) -> Result<Vec<Encoding>, EncoderError> {
        if self.lost.load(Ordering::SeqCst) {
            let problem = "as the test asked".to_owned();
            return Err(EncoderError::Device { device: self.info.device.clone(), problem });
        }
        self.batches.fetch_add(1, Ordering::SeqCst);
        // Nothing is ever sent: an encoder's thread may wait.
        let (_open, gate) = mpsc::channel::<()>();
        let _ = gate.recv_timeout(self.lasts);
        Ok(encodings(batch))
    }
}

#[derive(Clone, Default)]
struct Device {
    lost: Arc<AtomicBool>,
    batches: Arc<AtomicUsize>,
}

impl Device {
    fn encoder(&self, name: &str, lasts: Duration) -> Fake {
        Fake { info: info(name), lost: Arc::clone(&self.lost), batches: Arc::clone(&self.batches), lasts }
    }

    fn lose(&self) {
        self.lost.store(true, Ordering::SeqCst);
    }

    fn batches(&self) -> usize {
        self.batches.load(Ordering::SeqCst)
    }
}

/// A CPU that counts how often it is made.
fn cpu(made: &Arc<AtomicUsize>) -> (Device, Fallback) {
    let (device, made) = (Device::default(), Arc::clone(made));
    let encoder = device.encoder("cpu", Duration::from_millis(10));
    let make = move || {
        made.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(encoder) as Box<dyn Encoder>)
    };
    (device, Box::new(make))
}

/// An engine on one encoder for each of `devices`.
fn start(
    devices: &[&Device],
    fallback: Option<Fallback>,
    config: EngineConfig,
) -> (Engine, Vec<JoinHandle<()>>) {
    let encoders: Vec<Box<dyn Encoder>> =
        devices.iter().map(|d| Box::new(d.encoder("cuda:0", Duration::ZERO)) as Box<dyn Encoder>).collect();
    let neutral = Calibration::neutral("sha256:0");
    Engine::start(tokenizer(), Encoders::from(encoders).or(fallback), neutral, Policy::default(), config)
        .unwrap()
}

fn cold() -> EngineConfig {
    EngineConfig { warm_up: false, ..EngineConfig::default() }
}

async fn score(engine: &Engine, intent: &str, tool: &str) -> Result<Answer, EngineError> {
    engine.score(pair(intent, tool), &Call::bulk()).await
}

async fn status(engine: &Engine, intent: &str, tool: &str) -> Status {
    let answer = score(engine, intent, tool).await.unwrap();
    let told = answer.evidence.findings.contains(&"cheaper_path".to_owned());
    assert_eq!(told, answer.status == Status::Degraded);
    answer.status
}

async fn wait_until(mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < end, "waited in vain");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Texts that were not asked for before.
fn fresh(n: usize) -> String {
    // Four digits to the base of three: short enough for one window.
    let digits = [n / 27, n / 9, n / 3, n].map(|digit| ["pay", "bob", "eve"][digit % 3]);
    format!("bob {}", digits.join(" "))
}

#[tokio::test]
async fn without_a_fallback_the_last_device_takes_the_engine_along() {
    let gpu = Device::default();
    let (engine, threads) = start(&[&gpu], None, cold());
    assert_eq!(status(&engine, "pay bob", "pay").await, Status::Scored);
    gpu.lose();
    assert_eq!(score(&engine, "pay eve", "pay").await.unwrap_err(), EngineError::NoEncoder);
    engine.gone().await;
    assert_eq!(engine.encoders(), EncoderState { left: 0, lost: 1, degraded: false });
    assert_eq!(score(&engine, "eve eve", "pay").await.unwrap_err(), EngineError::NoEncoder);
    wait_until(|| threads.iter().all(JoinHandle::is_finished)).await;
    assert_eq!(status(&engine, "pay bob", "pay").await, Status::Scored, "what is remembered is still true");
}

#[tokio::test]
async fn without_a_fallback_other_devices_go_on() {
    let (first, second) = (Device::default(), Device::default());
    let (engine, threads) = start(&[&first, &second], None, cold());
    first.lose();
    let mut failed = 0;
    for n in 0..6 {
        match score(&engine, &fresh(n), "pay").await {
            Ok(answer) => assert_eq!(answer.status, Status::Scored),
            Err(error) => {
                assert!(matches!(error, EngineError::Encoder(_)), "{error:?}");
                failed += 1;
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(failed <= 1, "a device is lost once");
    second.lose();
    wait_until(|| failed == 1 || engine.encoders().left == 1).await;
    while score(&engine, &fresh(9), "pay").await.is_err_and(|e| e != EngineError::NoEncoder) {}
    engine.gone().await;
    assert_eq!(engine.encoders(), EncoderState { left: 0, lost: 2, degraded: false });
    wait_until(|| threads.iter().all(JoinHandle::is_finished)).await;
}

#[tokio::test]
async fn the_cpu_computes_what_the_last_device_lost_and_says_so() {
    let (gpu, made) = (Device::default(), Arc::default());
    let (cpu, fallback) = cpu(&made);
    let (engine, threads) = start(&[&gpu], Some(fallback), EngineConfig::default());
    engine.ready().await;
    assert_eq!(status(&engine, "pay bob", "pay").await, Status::Scored);
    assert_eq!((engine.info().device.as_str(), made.load(Ordering::SeqCst)), ("cuda:0", 0));
    let fast = engine.stats().queue.tokens_per_s;
    gpu.lose();
    assert_eq!(status(&engine, "pay eve", "pay").await, Status::Degraded, "no request is lost");
    assert_eq!(engine.encoders(), EncoderState { left: 1, lost: 1, degraded: true });
    assert_eq!(engine.info().device, "cpu");
    assert_eq!(status(&engine, "bob bob", "eve").await, Status::Degraded);
    let slow = engine.stats().queue.tokens_per_s;
    assert!(slow < fast / 2.0, "the speed is measured anew: {fast} {slow}");
    // What the caches hold stays what it was, on both sides.
    assert_eq!(status(&engine, "pay bob", "pay").await, Status::Scored);
    let again = score(&engine, "pay eve", "pay").await.unwrap();
    assert!(again.status == Status::Degraded && again.timings.decision_cached);
    assert_eq!(status(&engine, "pay bob", "eve").await, Status::Degraded, "one vector is the CPU's");
    assert_eq!(made.load(Ordering::SeqCst), 1);
    cpu.lose();
    assert_eq!(score(&engine, &fresh(3), "pay").await.unwrap_err(), EngineError::NoEncoder);
    assert_eq!(engine.encoders().left, 0);
    wait_until(|| threads.iter().all(JoinHandle::is_finished)).await;
}

#[tokio::test]
async fn while_a_device_is_left_the_cpu_computes_one_batch_only() {
    let (first, second, made) = (Device::default(), Device::default(), Arc::default());
    let (cpu, fallback) = cpu(&made);
    let (engine, _) = start(&[&first, &second], Some(fallback), cold());
    first.lose();
    let mut degraded = 0;
    for n in 0..20 {
        degraded += usize::from(status(&engine, &fresh(n % 5), &fresh(n)).await == Status::Degraded);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(cpu.batches() <= 1 && degraded < 20, "{} {degraded}", cpu.batches());
    assert!(second.batches() > 0 && !engine.encoders().degraded);
    second.lose();
    for n in 20..25 {
        assert_eq!(status(&engine, "pay", &fresh(n)).await, Status::Degraded);
    }
    assert_eq!(made.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn threads_of_one_device_lose_it_together_and_no_request() {
    for encoders in 1..=4 {
        let (gpu, made) = (Device::default(), Arc::default());
        let (_, fallback) = cpu(&made);
        let devices: Vec<&Device> = (0..encoders).map(|_| &gpu).collect();
        let config = EngineConfig { batch_tokens: 8, ..EngineConfig::default() };
        let (engine, threads) = start(&devices, Some(fallback), config);
        engine.ready().await;
        let ask = |n: usize| {
            let engine = engine.clone();
            tokio::spawn(async move { score(&engine, &fresh(n), "pay").await })
        };
        let mut tasks: Vec<_> = (0..20).map(&ask).collect();
        gpu.lose();
        tasks.extend((20..60).map(&ask));
        for task in tasks {
            let status = task.await.unwrap().unwrap().status;
            assert!([Status::Scored, Status::Degraded, Status::Truncated].contains(&status), "{status:?}");
        }
        wait_until(|| engine.encoders() == EncoderState { left: 1, lost: encoders, degraded: true }).await;
        assert_eq!(made.load(Ordering::SeqCst), 1);
        drop(engine);
        wait_until(|| threads.iter().all(JoinHandle::is_finished)).await;
    }
}

#[tokio::test]
async fn a_device_that_is_lost_in_the_warm_up_is_lost_all_the_same() {
    let (gpu, made) = (Device::default(), Arc::default());
    gpu.lose();
    let (engine, _) = start(&[&gpu, &gpu], Some(cpu(&made).1), EngineConfig::default());
    engine.ready().await;
    wait_until(|| engine.encoders() == EncoderState { left: 1, lost: 2, degraded: true }).await;
    assert_eq!(status(&engine, "pay bob", "pay").await, Status::Degraded);
    let (engine, _) = start(&[&gpu], None, EngineConfig::default());
    engine.ready().await;
    assert_eq!(engine.encoders().left, 0);
    assert_eq!(score(&engine, "pay bob", "pay").await.unwrap_err(), EngineError::NoEncoder);
}

#[tokio::test]
async fn a_fallback_that_is_none_is_an_error_and_never_a_score() {
    let other = || {
        let mut encoder = Device::default().encoder("cpu", Duration::ZERO);
        encoder.info.digest = "sha256:1".into();
        Ok(Box::new(encoder) as Box<dyn Encoder>)
    };
    let panics = || -> Result<Box<dyn Encoder>, EncoderError> { std::panic::resume_unwind(Box::new(())) };
    let fails = || Err(EncoderError::Unavailable("as the test asked".into()));
    let fallbacks: [Fallback; 3] = [Box::new(other), Box::new(panics), Box::new(fails)];
    for fallback in fallbacks {
        let gpu = Device::default();
        let (engine, _) = start(&[&gpu], Some(fallback), cold());
        gpu.lose();
        assert_eq!(score(&engine, "pay bob", "pay").await.unwrap_err(), EngineError::NoEncoder);
        engine.gone().await;
    }
}
