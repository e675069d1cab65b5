//! What `/proc` says of a process.

use std::time::{Duration, Instant};

use serde::Serialize;

/// Resident bytes; `None` where the process is gone, or where there is no `/proc`.
pub fn rss(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// CPU time used so far, by all threads.
fn cpu(pid: u32) -> Option<Duration> {
    ticks(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?).map(|n| Duration::from_millis(10 * n))
}

/// User and system time in ticks, of which Linux shows 100 a second on every machine: fields 14 and 15. The second
/// field is the program's name in brackets and may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11).map(str::parse::<u64>);
    Some(fields.next()?.ok()? + fields.next()?.ok()?)
}

/// Cores that were busy on average, warm-up included: the load is only light if the generator's are few.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cores {
    /// Of this process.
    pub generator_cores: f64,
    /// Of the server; `None` where its process is not known.
    pub server_cores: Option<f64>,
}

/// CPU times at a moment.
#[derive(Debug)]
pub struct CpuMeter {
    at: Instant,
    server: Option<u32>,
    generator_used: Duration,
    server_used: Option<Duration>,
}

impl CpuMeter {
    /// From now on.
    pub fn start(server: Option<u32>) -> Self {
        let (generator_used, server_used) =
            (cpu(std::process::id()).unwrap_or_default(), server.and_then(cpu));
        Self { at: Instant::now(), server, generator_used, server_used }
    }

    /// Until now.
    pub fn cores(&self) -> Cores {
        let now = Self::start(self.server);
        let cores = |from: Duration, to: Duration| {
            to.saturating_sub(from).as_secs_f64() / self.at.elapsed().as_secs_f64().max(1e-9)
        };
        Cores {
            generator_cores: cores(self.generator_used, now.generator_used),
            server_cores: self.server_used.zip(now.server_used).map(|(from, to)| cores(from, to)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 25 17 0 0 20 0 1 0";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("7 (a) S 1"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_memory_and_uses_cpu() {
        assert!(rss(std::process::id()).unwrap() > 100_000);
        assert!(cpu(std::process::id()).is_some());
        assert_eq!(rss(u32::MAX), None);
    }
}
