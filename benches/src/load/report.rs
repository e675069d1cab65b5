//! What a run found, as JSON and as a table.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::args::Args;
use super::error::LoadError;
use super::histogram::Quantiles;
use super::memory::Memory;
use super::process::Cores;
use super::record::{Counts, Record};

/// A whole run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What was typed.
    pub settings: Args,
    /// One, or two with `--phases`.
    pub phases: Vec<Phase>,
    /// The server's own word after the load; SERVING if all is well.
    pub health: String,
    /// How a spawned server ended.
    pub exit: Option<String>,
}

/// One measurement. Durations are in milliseconds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Phase {
    /// `alone` or `with bulk`.
    pub name: &'static str,
    /// Seconds from the end of the warm-up to the last answer.
    pub seconds: f64,
    /// Calls by what became of them.
    #[serde(flatten)]
    pub counts: Counts,
    /// Calls that were sent, by the second.
    pub sent_per_second: f64,
    /// OK answers in time, by the second.
    pub ok_per_second: f64,
    /// Actions that got a drift, by the second.
    pub scored_per_second: f64,
    /// Of the accepted calls (ok, late, expired) the part that was not answered in time, in percent.
    pub accepted_late_percent: f64,
    /// OK answers, late ones included, from the time they were due.
    pub latency_ms: Quantiles,
    /// The same from the sending.
    pub from_send_ms: Quantiles,
    /// The server's own word on OK answers: all of it, reading and writing messages aside.
    pub server_ms: Quantiles,
    /// Of that, waiting for an encoder.
    pub server_queue_ms: Quantiles,
    /// And in it.
    pub server_encode_ms: Quantiles,
    /// Refusals, from the sending.
    pub refusal_ms: Quantiles,
    /// Expired calls, from the time they were due.
    pub expired_ms: Quantiles,
    /// How late the generator sent.
    pub lateness_ms: Quantiles,
    /// What the load cost.
    pub cpu: Cores,
    /// The load beside it.
    pub background: Option<BackgroundReport>,
    /// The server's memory.
    pub memory: Option<Memory>,
}

/// The load in the bulk lane.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackgroundReport {
    /// Actions that got a drift, by the second.
    pub scored_per_second: f64,
    /// Calls by what became of them.
    pub counts: Counts,
    /// OK calls.
    pub latency_ms: Quantiles,
}

impl BackgroundReport {
    /// What was done in `elapsed`.
    pub fn of(record: &Record, elapsed: Duration) -> Self {
        Self {
            scored_per_second: rate(record.counts.answers.scored, elapsed),
            counts: record.counts.clone(),
            latency_ms: record.latency.quantiles(),
        }
    }
}

impl Phase {
    /// What was done in `elapsed`; what is not about calls is still to be filled in.
    pub fn of(name: &'static str, record: &Record, elapsed: Duration) -> Self {
        let counts = record.counts.clone();
        let [total, queue, encode] = &record.server;
        Self {
            name,
            seconds: elapsed.as_secs_f64(),
            sent_per_second: rate(counts.sent, elapsed),
            ok_per_second: rate(counts.ok, elapsed),
            scored_per_second: rate(counts.answers.scored, elapsed),
            accepted_late_percent: accepted_late_percent(&counts),
            latency_ms: record.latency.quantiles(),
            from_send_ms: record.from_send.quantiles(),
            server_ms: total.quantiles(),
            server_queue_ms: queue.quantiles(),
            server_encode_ms: encode.quantiles(),
            refusal_ms: record.refusal.quantiles(),
            expired_ms: record.expired.quantiles(),
            lateness_ms: record.lateness.quantiles(),
            counts,
            cpu: Cores::default(),
            background: None,
            memory: None,
        }
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let c = &self.counts;
        let codes: Vec<_> = c.codes.iter().map(|(code, n)| format!("{code} {n}")).collect();
        let answers = &c.answers;
        let mut rows = vec![
            ("scheduled = sent + overflow", format!("{} = {} + {}", c.scheduled, c.sent, c.overflow)),
            ("ok, late", format!("{}, {}", c.ok, c.late)),
            ("refused, expired", format!("{}, {}", c.refused, c.expired)),
            ("failed, unanswered", format!("{}, {}", c.failed, c.unanswered)),
            ("codes", codes.join(" ")),
            ("sent/s, ok/s, scored/s", self.rates()),
            ("accepted but not in time", format!("{:.2} %", self.accepted_late_percent)),
            ("unscored", answers.unscored.to_string()),
            ("intent, action cached", format!("{}, {}", answers.intent_cached, answers.action_cached)),
            ("latency", quantiles(&self.latency_ms)),
            ("latency from sending", quantiles(&self.from_send_ms)),
            ("in the server", quantiles(&self.server_ms)),
            ("waiting for an encoder", quantiles(&self.server_queue_ms)),
            ("in the encoder", quantiles(&self.server_encode_ms)),
            ("refusals", quantiles(&self.refusal_ms)),
            ("expired calls", quantiles(&self.expired_ms)),
            ("lateness of this generator", quantiles(&self.lateness_ms)),
        ];
        rows.push(("cores used", self.cpu.line()));
        rows.extend(self.background.as_ref().map(|b| ("background", b.line())));
        rows.extend(self.memory.as_ref().map(|m| ("server memory", m.line())));
        rows.retain(|(_, text)| !text.is_empty());
        rows
    }

    fn rates(&self) -> String {
        format!("{:.1}, {:.1}, {:.1}", self.sent_per_second, self.ok_per_second, self.scored_per_second)
    }
}

impl BackgroundReport {
    fn line(&self) -> String {
        let c = &self.counts;
        format!(
            "{:.1} scored/s in the bulk lane; {} calls ok, {} refused",
            self.scored_per_second, c.ok, c.refused
        )
    }
}

impl Cores {
    fn line(&self) -> String {
        let server = self.server_cores.map_or_else(String::new, |n| format!(", server {n:.2}"));
        format!("generator {:.2}{server}", self.generator_cores)
    }
}

impl Memory {
    fn line(&self) -> String {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let (first, last, max) = (mib(self.first_bytes), mib(self.last_bytes), mib(self.max_bytes));
        let flat = match (self.flat, self.late_growth_percent) {
            (Some(flat), Some(percent)) => {
                format!("; {} ({percent:+.1} % after the first fifth)", if flat { "flat" } else { "GROWING" })
            }
            _ => String::new(),
        };
        let slope = self.bytes_per_thousand_calls;
        format!("{first:.1} to {last:.1} MiB, at most {max:.1}; {slope:+.0} bytes per 1,000 calls{flat}")
    }
}

fn rate(n: u64, elapsed: Duration) -> f64 {
    n as f64 / elapsed.as_secs_f64().max(1e-9)
}

fn accepted_late_percent(counts: &Counts) -> f64 {
    let not_in_time = counts.late + counts.expired;
    100.0 * not_in_time as f64 / ((counts.ok + not_in_time).max(1)) as f64
}

fn quantiles(q: &Quantiles) -> String {
    if q.count == 0 {
        return String::new();
    }
    format!(
        "p50 {:.2}  p90 {:.2}  p99 {:.2}  p99.9 {:.2}  max {:.2} ms  ({})",
        q.p50, q.p90, q.p99, q.p999, q.max, q.count
    )
}

/// For programs.
///
/// # Errors
/// None in practice.
pub fn json(report: &Report) -> Result<String, LoadError> {
    Ok(serde_json::to_string_pretty(report)?)
}

/// For people.
pub fn table(report: &Report) -> String {
    let mut text = String::new();
    for phase in &report.phases {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{}, {:.1} s", phase.name, phase.seconds);
        for (name, value) in phase.rows() {
            let _ = writeln!(text, "  {name:<28}{value}");
        }
    }
    let _ = write!(text, "health afterwards: {}", report.health);
    if let Some(exit) = &report.exit {
        let _ = write!(text, "\nserver ended: {exit}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expired_call_was_accepted_and_a_refused_one_was_not() {
        let counts = Counts { ok: 90, late: 4, expired: 6, refused: 1000, ..Counts::default() };
        assert_eq!(accepted_late_percent(&counts), 10.0);
        assert_eq!(accepted_late_percent(&Counts::default()), 0.0);
    }

    #[test]
    fn rates_are_by_the_second_that_was_measured() {
        let counts = Counts { sent: 300, ok: 200, ..Counts::default() };
        let record = Record { counts, ..Record::default() };
        let phase = Phase::of("alone", &record, Duration::from_secs(2));
        assert_eq!((phase.sent_per_second, phase.ok_per_second), (150.0, 100.0));
    }
}
