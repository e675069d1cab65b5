//! The text exposition format of Prometheus, as far as counters, gauges and one histogram need it.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use rhumb_engine::schedule::LaneStats;
use rhumb_engine::{CacheStats, EncoderState, EngineStats};

use super::metrics::{BOUNDS_MS, Counted, Metrics, OUTCOMES, STATUSES, VERDICTS};

/// Its media type.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page under way. Writing to a string cannot fail.
#[derive(Debug, Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// Labels are our own words: nothing in them is to be escaped.
    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (i, (key, text)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{key}=\"{text}\"", if i == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }
}

/// All of it. `engine` is absent while the model loads and when the server drains.
pub fn page(metrics: &Metrics, engine: Option<&EngineStats>) -> String {
    let mut page = Page::default();
    let ready = engine.is_some_and(|stats| stats.encoders.left > 0);
    page.single("rhumb_ready", "gauge", "Whether scores can be had.", u8::from(ready));
    requests(&mut page, metrics);
    times(&mut page, metrics);
    if let Some(stats) = engine {
        encoders(&mut page, &stats.encoders);
        encoder(&mut page, stats);
        lanes(&mut page, stats);
        caches(&mut page, stats);
    }
    page.0
}

fn requests(page: &mut Page, metrics: &Metrics) {
    page.family("rhumb_http_requests_total", "counter", "Answers over HTTP by door and status.");
    for (door, counted) in metrics.doors() {
        for (status, n) in STATUSES.iter().zip(&counted.statuses) {
            let n = n.load(Ordering::Relaxed);
            // Most pairs never happen.
            if n > 0 || *status == 200 {
                let labels = [("door", door.name()), ("status", &status.to_string())];
                page.sample("rhumb_http_requests_total", &labels, n);
            }
        }
    }
    page.family("rhumb_http_decisions_total", "counter", "Decisions by door, verdict and outcome.");
    for (door, counted) in metrics.doors() {
        decisions(page, door.name(), counted);
    }
}

fn decisions(page: &mut Page, door: &str, counted: &Counted) {
    for (verdict, by_outcome) in VERDICTS.iter().zip(&counted.decisions) {
        for (outcome, n) in OUTCOMES.iter().zip(by_outcome) {
            let n = n.load(Ordering::Relaxed);
            let labels =
                [("door", door), ("verdict", verdict.as_str_name()), ("outcome", outcome.as_str_name())];
            if n > 0 {
                page.sample("rhumb_http_decisions_total", &labels, n);
            }
        }
    }
}

fn times(page: &mut Page, metrics: &Metrics) {
    const NAME: &str = "rhumb_http_request_seconds";
    page.family(NAME, "histogram", "Time from the head of a request to its answer.");
    for (door, counted) in metrics.doors() {
        let (mut sum, mut times) = (0, counted.times.iter());
        let load = |n: &AtomicU64| n.load(Ordering::Relaxed);
        for (bound, n) in BOUNDS_MS.iter().zip(times.by_ref()) {
            sum += load(n);
            let seconds = (*bound as f64 / 1e3).to_string();
            page.sample(&format!("{NAME}_bucket"), &[("door", door.name()), ("le", &seconds)], sum);
        }
        sum += times.map(load).sum::<u64>();
        let label = ("door", door.name());
        page.sample(&format!("{NAME}_bucket"), &[label, ("le", "+Inf")], sum);
        page.sample(&format!("{NAME}_sum"), &[label], counted.micros.load(Ordering::Relaxed) as f64 / 1e6);
        page.sample(&format!("{NAME}_count"), &[label], sum);
    }
}

fn encoders(page: &mut Page, state: &EncoderState) {
    let gauges = [
        ("rhumb_encoders", "Encoders that compute.", state.left),
        ("rhumb_encoders_lost", "Encoders that are gone: their device is lost.", state.lost),
        ("rhumb_degraded", "Whether no device is left and the CPU computes.", usize::from(state.degraded)),
    ];
    for (name, help, n) in gauges {
        page.single(name, "gauge", help, n);
    }
}

fn encoder(page: &mut Page, stats: &EngineStats) {
    let queue = &stats.queue;
    let counters = [
        ("rhumb_encoder_batches_total", "Batches that the encoders computed.", queue.batches),
        ("rhumb_encoder_texts_total", "Texts that they computed.", queue.texts),
        ("rhumb_encoder_windows_total", "Windows of those texts.", queue.windows),
        ("rhumb_encoder_tokens_total", "Tokens of those texts.", queue.tokens),
        ("rhumb_encoder_joined_total", "Texts that were being computed for somebody else.", queue.joined),
    ];
    for (name, help, n) in counters {
        page.single(name, "counter", help, n);
    }
    page.single(
        "rhumb_encoder_tokens_per_second",
        "gauge",
        "Measured speed of all encoders.",
        queue.tokens_per_s,
    );
}

type Read = fn(&LaneStats) -> u64;

fn lanes(page: &mut Page, stats: &EngineStats) {
    let lanes = &stats.queue.lanes;
    let lanes =
        [("enforcement", &lanes.enforcement), ("interactive", &lanes.interactive), ("bulk", &lanes.bulk)];
    let ends: [(&str, Read); 6] = [
        ("accepted", |l| l.accepted),
        ("refused", |l| l.refused),
        ("expired", |l| l.expired),
        ("cancelled", |l| l.cancelled),
        ("failed", |l| l.failed),
        ("completed", |l| l.completed),
    ];
    page.family(
        "rhumb_lane_requests_total",
        "counter",
        "Requests that went to the encoder, by what became of them.",
    );
    for (lane, stats) in lanes {
        for (end, read) in ends {
            page.sample("rhumb_lane_requests_total", &[("lane", lane), ("result", end)], read(stats));
        }
    }
    let waiting: [(&str, &str, Read); 3] = [
        ("rhumb_lane_waiting_texts", "Texts that wait for the encoder.", |l| l.waiting_texts),
        ("rhumb_lane_waiting_tokens", "Tokens that wait for the encoder.", |l| l.waiting_tokens),
        ("rhumb_lane_waiting_for_room", "Requests that wait for room.", |l| l.waiting_for_room),
    ];
    for (name, help, read) in waiting {
        page.family(name, "gauge", help);
        lanes.iter().for_each(|(lane, stats)| page.sample(name, &[("lane", lane)], read(stats)));
    }
}

type ReadCache = fn(&CacheStats) -> u64;

fn caches(page: &mut Page, stats: &EngineStats) {
    let caches = [
        ("intents", &stats.intents),
        ("actions", &stats.actions),
        ("contexts", &stats.contexts),
        ("decisions", &stats.decisions),
    ];
    let families: [(&str, &str, &str, ReadCache); 3] = [
        ("rhumb_cache_hits_total", "counter", "Found in a cache.", |c| c.hits),
        ("rhumb_cache_misses_total", "counter", "Not found in a cache.", |c| c.misses),
        ("rhumb_cache_bytes", "gauge", "Bytes in a cache, roughly.", |c| c.bytes),
    ];
    for (name, kind, help, read) in families {
        page.family(name, kind, help);
        caches.iter().for_each(|(cache, stats)| page.sample(name, &[("cache", cache)], read(stats)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::door::Door;
    use super::*;
    use std::time::Duration;

    #[test]
    fn lost_devices_are_told() {
        let state = EncoderState { left: 1, lost: 2, degraded: true };
        let stats = EngineStats {
            queue: Default::default(),
            encoders: state,
            intents: Default::default(),
            actions: Default::default(),
            contexts: Default::default(),
            decisions: Default::default(),
        };
        let text = page(&Metrics::default(), Some(&stats));
        for line in ["rhumb_ready 1", "rhumb_encoders 1", "rhumb_encoders_lost 2", "rhumb_degraded 1"] {
            assert!(text.contains(&format!("{line}\n")), "{line} in {text}");
        }
        let stats = EngineStats { encoders: EncoderState { left: 0, ..state }, ..stats };
        assert!(page(&Metrics::default(), Some(&stats)).contains("rhumb_ready 0\n"));
    }

    #[test]
    fn buckets_are_cumulative_and_every_line_is_a_sample_or_a_comment() {
        let metrics = Metrics::default();
        for ms in [0, 3, 3, 7000] {
            metrics.answered(Door::Score, 200, Duration::from_millis(ms));
        }
        let text = page(&metrics, None);
        assert!(text.contains("rhumb_ready 0\n"), "{text}");
        assert!(text.contains("rhumb_http_requests_total{door=\"score\",status=\"200\"} 4\n"), "{text}");
        assert!(
            text.contains("rhumb_http_request_seconds_bucket{door=\"score\",le=\"0.005\"} 3\n"),
            "{text}"
        );
        assert!(text.contains("rhumb_http_request_seconds_bucket{door=\"score\",le=\"+Inf\"} 4\n"), "{text}");
        for line in text.lines().filter(|line| !line.starts_with("# ")) {
            let value = line.rsplit(' ').next().unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
}
