//! `GET /status.json`: what `/metrics` does not have, such as the texts of errors. It has no secrets.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::Live;
use crate::collectors::readers::CollectorStatus;
use crate::sinks::state::Results;

/// Longer messages are truncated.
const MAX_MESSAGE: usize = 1000;

/// The state of the agent.
pub(super) struct Status {
    pub(super) started: SystemTime,
    pub(super) now: SystemTime,
    pub(super) files: Vec<String>,
    pub(super) metrics: String,
    pub(super) gateway: Option<String>,
    pub(super) collectors: Vec<CollectorStatus>,
    pub(super) sinks: Vec<SinkStatus>,
}

/// The state of a sink.
pub(super) struct SinkStatus {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) address: String,
    /// Waiting points.
    pub(super) points: usize,
    /// Bytes of the waiting points.
    pub(super) bytes: usize,
    /// Age of the oldest waiting points on disk.
    pub(super) oldest: Duration,
    pub(super) dropped: u64,
    pub(super) results: Results,
}

impl SinkStatus {
    /// Its state in a word.
    pub(super) fn state(&self) -> &'static str {
        match &self.results.last {
            None => "unwritten",
            Some(last) if last.is_success => "ok",
            Some(_) => "failing",
        }
    }
}

impl Status {
    /// The state for a client that reached the agent at `host`.
    pub(super) fn new(live: &Live, host: &str) -> Status {
        let configuration = live.configuration.load();
        let shown = |text: &str| {
            let mut text = configuration.secrets.hide(text);
            if text.len() > MAX_MESSAGE {
                text.truncate(text.floor_char_boundary(MAX_MESSAGE));
                text.push('…');
            }
            text
        };
        let mut collectors = live.exporter.readers.load().status();
        for collector in &mut collectors {
            collector.error = collector.error.as_deref().map(shown);
        }
        let sinks = live.exporter.sinks.load();
        let sinks = sinks.iter().map(|sink| {
            let counts = sink.state.queue.counts();
            let mut results = sink.state.results();
            if let Some(last) = &mut results.last {
                last.message = last.message.as_deref().map(shown);
            }
            SinkStatus {
                name: shown(&sink.name),
                kind: sink.kind,
                address: shown(&sink.address),
                points: counts.points,
                bytes: counts.bytes,
                oldest: counts.oldest,
                dropped: sink.state.dropped(),
                results,
            }
        });
        Status {
            started: live.started,
            now: SystemTime::now(),
            files: configuration.files.iter().map(|file| shown(file)).collect(),
            metrics: relative(&live.exporter.telemetry_path()),
            gateway: live.gateway.load().as_ref().map(|page| page.url(host)),
            collectors,
            sinks: sinks.collect(),
        }
    }

    /// The document.
    pub(super) fn to_json(&self) -> Value {
        let collector = |collector: &CollectorStatus| {
            json!({
                "name": collector.about.name,
                "state": collector.state.name(),
                "scraped": collector.on.families,
                "pushed": collector.on.points,
                "duration_seconds": collector.took.map(|took| took.as_secs_f64()),
                "last_read": collector.age.map(|age| self.time_before(age)),
                "last_success": collector.success_age.map(|age| self.time_before(age)),
                "error": collector.error,
            })
        };
        let sink = |sink: &SinkStatus| {
            let last = sink.results.last.as_ref();
            json!({
                "name": sink.name,
                "type": sink.kind,
                "url": sink.address,
                "state": sink.state(),
                "waiting": {
                    "points": sink.points, "bytes": sink.bytes, "oldest_seconds": sink.oldest.as_secs(),
                },
                "dropped_points": sink.dropped,
                "last_write": last.map(|last| time(last.at)),
                "last_answer": last.map(|last| last.message.as_deref().unwrap_or("accepted")),
                "last_success": sink.results.last_success.map(time),
            })
        };
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "start_time": time(self.started),
            "time": time(self.now),
            "configuration": self.files,
            "metrics": self.metrics,
            "gateway": self.gateway,
            "collectors": self.collectors.iter().map(collector).collect::<Vec<_>>(),
            "sinks": self.sinks.iter().map(sink).collect::<Vec<_>>(),
        })
    }

    fn time_before(&self, age: Duration) -> String {
        time(self.now.checked_sub(age).unwrap_or(UNIX_EPOCH))
    }
}

/// A time in RFC 3339, to the second.
fn time(at: SystemTime) -> String {
    humantime::format_rfc3339_seconds(at.max(UNIX_EPOCH)).to_string()
}

/// An absolute path as a URL relative to `/`, so that a proxy may add a prefix.
fn relative(path: &str) -> String {
    let path = path.strip_prefix('/').unwrap_or(path);
    if path.starts_with('/') { format!("./{path}") } else { path.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_relative() {
        assert_eq!(["/metrics", "/a/b", "//a", "/"].map(relative), ["metrics", "a/b", ".//a", ""]);
    }
}
