//! The whole run: server, phases, health.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::call::Client;
use super::closed::{self, Stop, Target};
use super::error::LoadError;
use super::memory::Sampler;
use super::open;
use super::plan::{Background, Mode, Plan};
use super::process::CpuMeter;
use super::record::Recorder;
use super::report::{BackgroundReport, Phase, Report};
use super::server::Server;

/// From the plan to the first call: time for the pacer's thread to start.
const LEAD: Duration = Duration::from_millis(50);
/// For the last answers of an open loop, on top of the deadline.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections of the background: none of them may stand in the way of the foreground.
const BACKGROUND_CONNECTIONS: usize = 2;

/// Runs a plan.
///
/// # Errors
/// A server that cannot be started, reached or stopped.
pub async fn run(plan: Plan) -> Result<Report, LoadError> {
    let server = Server::open(&plan.place).await?;
    let mut phases = Vec::new();
    for with_background in &plan.phases {
        phases.push(phase(&plan, &server, *with_background).await?);
    }
    let health = server.health().await;
    let exit = server.stop().await?;
    Ok(Report { settings: plan.args, phases, health, exit: exit.map(|status| status.to_string()) })
}

async fn phase(plan: &Plan, server: &Server, with_background: bool) -> Result<Phase, LoadError> {
    let clients = server.connect(plan.args.connections.into()).await?;
    let for_background = server.connect(BACKGROUND_CONNECTIONS).await?;
    let start = Instant::now() + LEAD;
    let begin = start + plan.warmup;
    let recorder = Arc::new(Recorder::new(begin, plan.call.deadline));
    let background = plan.background.as_ref().filter(|_| with_background);
    let background = background.map(|b| Running::start(plan, b, for_background, begin));
    let pid = plan.args.pid.or(server.pid());
    let sampler = pid.map(|pid| Sampler::start(pid, plan.sample_every, begin, Arc::clone(&recorder)));
    let (call, workload) = (plan.call.clone(), Arc::clone(&plan.workload));
    let target = Arc::new(Target { clients, call, workload, recorder: Arc::clone(&recorder) });
    let meter = CpuMeter::start(pid);
    drive(plan, target, start).await?;
    let cpu = meter.cores();
    let background = match background {
        Some(running) => Some(running.finish().await),
        None => None,
    };
    let name = if with_background { "with bulk" } else { "alone" };
    let record = recorder.record();
    let elapsed = record.last.map_or(plan.seconds, |l| l.saturating_duration_since(begin)).max(plan.seconds);
    let phase = Phase::of(name, &record, elapsed);
    Ok(Phase { cpu, background, memory: sampler.and_then(Sampler::finish), ..phase })
}

async fn drive(plan: &Plan, target: Arc<Target>, start: Instant) -> Result<(), LoadError> {
    let patience = PATIENCE + plan.call.deadline.unwrap_or_default();
    match &plan.mode {
        Mode::Open(schedule, most) => {
            open::run(target, schedule.clone(), start, *most, patience).await?;
        }
        Mode::Closed(concurrency) => {
            let end = start + plan.warmup + plan.seconds;
            closed::run(target, *concurrency, Arc::new(Stop::At(end))).await;
        }
        Mode::Soak(calls, concurrency) => {
            tokio::time::sleep_until(start.into()).await;
            closed::run(target, *concurrency, Arc::new(Stop::Count(AtomicU64::new(*calls)))).await;
        }
    }
    Ok(())
}

/// A background that runs.
struct Running {
    task: JoinHandle<()>,
    stop: Arc<Stop>,
    recorder: Arc<Recorder>,
}

impl Running {
    fn start(plan: &Plan, background: &Background, clients: Vec<Client>, begin: Instant) -> Self {
        let recorder = Arc::new(Recorder::new(begin, None));
        let stop = Arc::new(Stop::Flag(AtomicBool::new(false)));
        let (call, workload) = (background.call.clone(), Arc::clone(&plan.workload));
        let target = Target { clients, call, workload, recorder: Arc::clone(&recorder) };
        let task = tokio::spawn(closed::run(Arc::new(target), background.concurrency, Arc::clone(&stop)));
        Self { task, stop, recorder }
    }

    /// Counts what was done while the foreground ran; the calls in flight are given up.
    async fn finish(self) -> BackgroundReport {
        self.stop.stop();
        let (record, elapsed) = (self.recorder.record(), self.recorder.begin().elapsed());
        self.task.abort();
        // What is aborted ends with an error by design.
        let _ = self.task.await;
        BackgroundReport::of(&record, elapsed)
    }
}
