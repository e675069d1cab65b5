//! Feeds parsers with what nobody would send, and with what an attacker would.
//!
//! `cargo run --release --example fuzz -- --target message --executions 1000000 --seed 1`
//!
//! Each execution is a request made from parts, a seed with bytes changed, or an input that once led to an answer of a kind
//! not seen before. A target panics where something does not hold that must; the input is then written out, and the run
//! fails. A run with the same seed does the same.

mod generate;
#[allow(clippy::expect_used, reason = "a finding is a panic")]
mod message;
mod mutate;
mod words;

use std::collections::HashSet;
use std::io::Write;
use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use fastrand::Rng;

/// That of the program: what a request costs is mostly memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is fed.
struct Target {
    name: &'static str,
    /// Panics where something does not hold. The answer tells kinds of outcomes apart.
    run: fn(&[u8]) -> u64,
    /// Only reads, for the time that it takes.
    read: fn(&[u8]),
    generate: fn(&mut Rng) -> Vec<u8>,
    /// Hard to read, and long: for the time it takes.
    large: fn(&mut Rng) -> Vec<u8>,
    /// The longest that a MiB may take. Less than a MiB may take as long.
    mib_time: Duration,
}

const TARGETS: &[Target] = &[
    Target {
        name: "message",
        run: message::run,
        read: message::read_only,
        generate: generate::request,
        large: generate::large,
        mib_time: Duration::from_millis(50),
    },
    // It becomes a protobuf message and then an action.
    Target {
        name: "score-request",
        run: message::score_request,
        read: |bytes| {
            message::score_request(bytes);
        },
        generate: generate::json,
        large: generate::large_json,
        mib_time: Duration::from_millis(200),
    },
];
/// Inputs that are kept to be changed further.
const CORPUS: usize = 4096;
/// One execution in this many is large.
const LARGE: u64 = 20_000;

struct Arguments {
    target: &'static Target,
    executions: u64,
    seed: u64,
}

fn arguments() -> Result<Arguments, String> {
    let all: Vec<String> = std::env::args().skip(1).collect();
    let mut arguments =
        Arguments { target: TARGETS.first().ok_or("no targets")?, executions: 100_000, seed: 1 };
    for pair in all.chunks(2) {
        let [name, value] = pair else { return Err(format!("{pair:?} is no option with its value")) };
        let number = || value.parse::<u64>().map_err(|e| format!("{name}: {e}"));
        match name.as_str() {
            "--target" => {
                let known = TARGETS.iter().find(|target| target.name == value);
                arguments.target = known.ok_or_else(|| format!("no target {value}"))?;
            }
            "--executions" => arguments.executions = number()?,
            "--seed" => arguments.seed = number()?,
            _ => return Err(format!("{name} is not known")),
        }
    }
    Ok(arguments)
}

fn main() -> Result<(), String> {
    let arguments = arguments()?;
    std::panic::set_hook(Box::new(|_| {}));
    let started = Instant::now();
    let mut fuzzer = Fuzzer::new(arguments.target, arguments.seed);
    for _ in 0..arguments.executions {
        fuzzer.step()?;
    }
    let seconds = started.elapsed().as_secs_f64();
    let (all, kinds) = (arguments.executions, fuzzer.seen.len());
    say(&format!(
        "target {} seed {}: {all} executions in {seconds:.1} s, {kinds} kinds of outcomes, {} MiB read, \
         slowest MiB {:.1} ms, no findings",
        arguments.target.name,
        arguments.seed,
        fuzzer.bytes >> 20,
        fuzzer.slowest.as_secs_f64() * 1000.0,
    ))
}

fn say(line: &str) -> Result<(), String> {
    writeln!(std::io::stdout(), "{line}").map_err(|e| e.to_string())
}

/// Time on a processor: others may have had it meanwhile. Asked for only where the clock on the wall says much.
struct Clock {
    wall: Instant,
    busy: Option<Duration>,
}

impl Clock {
    fn start() -> Self {
        Self { wall: Instant::now(), busy: None }
    }

    /// As [`Self::start`], for an input that is known to take long.
    fn exact() -> Self {
        Self { wall: Instant::now(), busy: busy() }
    }

    fn elapsed(&self) -> Duration {
        let wall = self.wall.elapsed();
        let busy = self.busy.zip(busy()).map(|(before, after)| after.saturating_sub(before));
        busy.map_or(wall, |busy| busy.min(wall))
    }
}

/// What this thread has had so far, where the system says it.
fn busy() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

struct Fuzzer {
    target: &'static Target,
    rng: Rng,
    corpus: Vec<Vec<u8>>,
    seen: HashSet<u64>,
    count: u64,
    bytes: u64,
    /// Of large inputs, for each MiB.
    slowest: Duration,
}

impl Fuzzer {
    fn new(target: &'static Target, seed: u64) -> Self {
        let rng = Rng::with_seed(seed);
        let (corpus, seen, slowest) = (Vec::new(), HashSet::new(), Duration::ZERO);
        Self { target, rng, corpus, seen, count: 0, bytes: 0, slowest }
    }

    fn step(&mut self) -> Result<(), String> {
        self.count += 1;
        let is_large = self.count.is_multiple_of(LARGE);
        let input = if is_large { (self.target.large)(&mut self.rng) } else { self.input() };
        self.bytes += input.len() as u64;
        let clock = Clock::start();
        let outcome = self.run(&input)?;
        let mut took = clock.elapsed();
        let allowed = self.target.mib_time.mul_f64((input.len() as f64 / 1_048_576.0).max(1.0));
        // Without the checks, and without a cold cache or a neighbour on the same core: the best of some counts.
        for again in 0..20 {
            if took < allowed && (again > 0 || !is_large) {
                break;
            }
            let clock = Clock::exact();
            (self.target.read)(&input);
            took = took.min(clock.elapsed());
        }
        if took >= allowed {
            return Err(finding(&input, &format!("took {took:?} of {allowed:?}")));
        }
        if is_large {
            self.slowest = self.slowest.max(took.div_f64((input.len() as f64 / 1_048_576.0).max(1.0)));
        } else if self.seen.insert(outcome) {
            self.keep(input);
        }
        Ok(())
    }

    fn input(&mut self) -> Vec<u8> {
        let rng = &mut self.rng;
        match (rng.u8(0..4), rng.choice(&self.corpus)) {
            (0, _) | (_, None) => (self.target.generate)(rng),
            (1, _) => {
                let mut input = (self.target.generate)(rng);
                mutate::bytes(&mut input, rng);
                input
            }
            (_, Some(seed)) => {
                let mut input = seed.clone();
                mutate::bytes(&mut input, rng);
                input
            }
        }
    }

    fn keep(&mut self, input: Vec<u8>) {
        if self.corpus.len() < CORPUS {
            self.corpus.push(input);
        } else if let Some(old) = self.rng.choice(self.corpus.iter_mut()) {
            *old = input;
        }
    }

    fn run(&self, input: &[u8]) -> Result<u64, String> {
        catch_unwind(|| (self.target.run)(input)).map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            finding(input, &text.unwrap_or_default())
        })
    }
}

fn finding(input: &[u8], problem: &str) -> String {
    let shown: String =
        input.iter().take(1024).flat_map(|b| std::ascii::escape_default(*b)).map(char::from).collect();
    format!("{problem}\ninput of {} bytes: {shown}", input.len())
}
