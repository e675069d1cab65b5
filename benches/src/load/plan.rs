//! What was typed, checked: everything that can be wrong is found before anything is started.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::address::loopback;
use super::args::Args;
use super::call::{Call, Lane, Rpc};
use super::error::LoadError;
use super::process::rss;
use super::schedule::Schedule;
use super::workload::{self, Workload};

/// In flight while capacity is looked for; as many as the comparison with other servers uses.
const CAPACITY_CONCURRENCY: usize = 32;
/// In flight while soaking.
const SOAK_CONCURRENCY: usize = 64;
/// How often a soaked server's memory is looked at: many samples even of a short soak.
const SOAK_SAMPLES: Duration = Duration::from_millis(200);

/// The server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Runs already; the URL names a loopback address.
    Running(String),
    /// To be started.
    Spawn {
        /// `rhumb`
        program: PathBuf,
        /// `--config`
        config: Option<PathBuf>,
        /// `--precision`
        precision: Option<String>,
    },
}

/// What drives the calls.
#[derive(Debug, Clone)]
pub enum Mode {
    /// Arrivals, warm-up included, and calls in flight at most.
    Open(Schedule, usize),
    /// Calls in flight.
    Closed(usize),
    /// So many calls, and how many in flight.
    Soak(u64, usize),
}

/// The background.
#[derive(Debug, Clone)]
pub struct Background {
    /// Calls in flight; of a stream, requests.
    pub concurrency: usize,
    /// What they are.
    pub call: Call,
}

/// A run.
#[derive(Debug)]
pub struct Plan {
    /// What was typed.
    pub args: Args,
    /// The server.
    pub place: Place,
    /// What drives the calls.
    pub mode: Mode,
    /// What the calls are.
    pub call: Call,
    /// What they carry.
    pub workload: Arc<Workload>,
    /// Before the measurement.
    pub warmup: Duration,
    /// Measured; 0 for a soak.
    pub seconds: Duration,
    /// How often the memory is looked at.
    pub sample_every: Duration,
    /// Bulk beside it.
    pub background: Option<Background>,
    /// Whether each phase has the background.
    pub phases: Vec<bool>,
}

impl Args {
    /// Checks and resolves.
    ///
    /// # Errors
    /// Names the argument.
    pub fn plan(&self) -> Result<Plan, LoadError> {
        let usage = |e: String| LoadError::Usage(e);
        let seconds = length("--seconds", self.seconds, 0.1).map_err(usage)?;
        let warmup = length("--warmup", self.warmup, 0.0).map_err(usage)?;
        let mode = self.mode(warmup + seconds).map_err(usage)?;
        let soak = matches!(mode, Mode::Soak(..));
        self.check().map_err(usage)?;
        Ok(Plan {
            place: self.place().map_err(usage)?,
            call: self.call().map_err(usage)?,
            workload: Arc::new(self.workload()?),
            warmup: if soak { Duration::ZERO } else { warmup },
            seconds: if soak { Duration::ZERO } else { seconds },
            sample_every: if soak { SOAK_SAMPLES } else { Duration::from_secs(1) },
            background: self.background(),
            phases: if self.phases { vec![false, true] } else { vec![self.background_concurrency.is_some()] },
            args: self.clone(),
            mode,
        })
    }

    fn check(&self) -> Result<(), String> {
        if self.rate.is_some() && self.rpc == Rpc::Stream {
            return Err("--rpc stream: needs a closed loop (--concurrency)".to_owned());
        }
        if self.background_rpc == Rpc::Score {
            return Err("--background-rpc: must be batch or stream".to_owned());
        }
        match self.pid {
            Some(pid) if rss(pid).is_none() => Err(format!("--pid {pid}: no such process, or no /proc here")),
            _ => Ok(()),
        }
    }

    fn place(&self) -> Result<Place, String> {
        match (&self.server, &self.spawn) {
            (Some(url), _) => Ok(Place::Running(format!("http://{}", loopback(url)?))),
            (None, Some(program)) => Ok(Place::Spawn {
                program: program.clone(),
                config: self.config.clone(),
                precision: self.precision.clone(),
            }),
            (None, None) => Err("--server or --spawn is needed".to_owned()),
        }
    }

    fn mode(&self, length: Duration) -> Result<Mode, String> {
        match (self.rate, self.concurrency, self.soak) {
            (Some(rate), _, _) if (0.01..=1e6).contains(&rate) => {
                let schedule = Schedule::new(self.arrivals, rate, length, self.seed);
                Ok(Mode::Open(schedule, self.max_in_flight as usize))
            }
            (Some(rate), _, _) => Err(format!("--rate {rate}: must be from 0.01 to 1000000")),
            (_, Some(concurrency), _) => Ok(Mode::Closed(concurrency as usize)),
            (_, _, Some(n)) => Ok(Mode::Soak(n, SOAK_CONCURRENCY)),
            _ => Ok(Mode::Closed(CAPACITY_CONCURRENCY)),
        }
    }

    fn call(&self) -> Result<Call, String> {
        let tenant = self.tenant.as_ref().map(|t| t.parse()).transpose();
        Ok(Call {
            rpc: self.rpc,
            batch: self.batch.into(),
            deadline: self.deadline_ms.map(|ms| Duration::from_millis(ms.into())),
            lane: self.lane,
            tenant: tenant.map_err(|_| "--tenant: must be visible ASCII")?,
        })
    }

    fn workload(&self) -> Result<Workload, LoadError> {
        if self.soak.is_some() {
            return Ok(Workload::tiny());
        }
        let lines = self.lines.map(|n| n as usize);
        let requests = workload::read(self.texts.as_deref(), lines, !self.no_context)?;
        Ok(Workload::new(self.workload, requests, self.intents as usize))
    }

    /// Of a tenant of its own: fairness between tenants must not blur what the lanes do.
    fn background(&self) -> Option<Background> {
        let call = Call {
            rpc: self.background_rpc,
            batch: self.batch.into(),
            deadline: None,
            lane: Some(Lane::Bulk),
            tenant: "background".parse().ok(),
        };
        self.background_concurrency.map(|n| Background { concurrency: n as usize, call })
    }
}

fn length(name: &str, seconds: f64, least: f64) -> Result<Duration, String> {
    match (least..=1e6).contains(&seconds) {
        true => Ok(Duration::from_secs_f64(seconds)),
        false => Err(format!("{name} {seconds}: must be from {least} to 1000000")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    const SERVER: &str = "load --server http://127.0.0.1:50051";

    fn plan(rest: &str) -> Result<Plan, String> {
        let args = Args::try_parse_from(format!("{SERVER} {rest}").split_whitespace());
        args.map_err(|e| e.to_string())?.plan().map_err(|e| e.to_string())
    }

    #[test]
    fn only_this_machine_is_loaded() {
        let args = ["load", "--server", "http://192.0.2.1:50051", "--rate", "1"];
        let error = Args::try_parse_from(args).unwrap().plan().unwrap_err();
        assert!(error.to_string().contains("only loopback"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn one_mode_is_needed_and_one_only() {
        assert!(plan("").is_err());
        assert!(plan("--rate 5 --concurrency 2").is_err());
        assert!(matches!(plan("--concurrency 2").unwrap().mode, Mode::Closed(2)));
        assert!(matches!(plan("--find-capacity").unwrap().mode, Mode::Closed(32)));
        assert!(matches!(plan("--soak 1000").unwrap().mode, Mode::Soak(1000, 64)));
    }

    #[test]
    fn the_schedule_holds_the_warm_up_too() {
        let plan = plan("--rate 10 --seconds 3 --warmup 2").unwrap();
        let Mode::Open(schedule, most) = plan.mode else { panic!("{:?}", plan.mode) };
        assert_eq!((schedule.count(), most), (50, 20_000));
    }

    #[test]
    fn what_cannot_be_is_named() {
        let cases = [
            ("--rate 0", "--rate"),
            ("--rate NaN", "--rate"),
            ("--rate 5 --seconds 0", "--seconds"),
            ("--rate 5 --warmup inf", "--warmup"),
            ("--rate 5 --rpc stream", "--rpc stream"),
            ("--rate 5 --tenant \u{1}", "--tenant"),
            ("--rate 5 --background-concurrency 1 --background-rpc score", "--background-rpc"),
            ("--rate 5 --phases", "--background-concurrency"),
            ("--rate 5 --texts /no/such/file", "--texts /no/such/file"),
            ("--rate 5 --precision int8", "--precision"),
        ];
        for (rest, name) in cases {
            let error = plan(rest).unwrap_err();
            assert!(error.contains(name), "{rest}: {error}");
        }
    }

    #[test]
    fn phases_come_without_and_with_the_background() {
        let plan = plan("--rate 5 --lane enforcement --background-concurrency 2 --phases").unwrap();
        assert_eq!(plan.phases, [false, true]);
        assert_eq!(plan.background.unwrap().call.lane, Some(Lane::Bulk));
        assert_eq!(plan.call.lane, Some(Lane::Enforcement));
    }
}
