//! The log of a sink's failures: when a kind of failure begins, changes and ends.

use std::time::{Duration, Instant};

use super::settings::Settings;
use crate::config::Secrets;
use crate::log::Episode;

/// Without a dropped point for this long, dropping has ended.
const QUIET: Duration = Duration::from_secs(600);

/// The log state of a sink.
pub(super) struct FailureLog {
    sink: String,
    /// Secrets that a server may repeat and the log must not show.
    secrets: Secrets,
    failures: Episode<String>,
    drops: Episode<String>,
    dropped_at: Option<Instant>,
}

impl FailureLog {
    pub(super) fn new(settings: &Settings) -> FailureLog {
        FailureLog {
            sink: settings.delivery.name.clone(),
            secrets: settings.target.secrets(),
            failures: Episode::default(),
            drops: Episode::default(),
            dropped_at: None,
        }
    }

    /// A server's message without secrets.
    pub(super) fn hide(&self, message: &str) -> String {
        self.secrets.hide(message)
    }

    /// Whether the last write succeeded.
    pub(super) fn is_well(&self) -> bool {
        !self.failures.is_failing()
    }

    /// A write failed, and is retried after `pause`, which the server may have asked for.
    pub(super) fn failed(&mut self, message: &str, pause: Duration, is_asked_for: bool) {
        let of = if is_asked_for { "failed, with a pause" } else { "failed" };
        if self.failures.fails(kind(of, message)) {
            let (sink, message) = (&self.sink, self.secrets.hide(message));
            let pause = humantime::format_duration(Duration::from_millis(pause.as_millis() as u64));
            let asked = if is_asked_for { ", as the server asks" } else { "" };
            tracing::warn!(
                sink,
                "a write failed; the points are kept, and it is tried again in {pause}{asked}: {message}"
            );
        }
    }

    /// The server refuses writes, and the write is retried after `pause`.
    pub(super) fn refused(&mut self, message: &str, pause: Duration) {
        if self.failures.fails(kind("refused", message)) {
            let (sink, message) = (&self.sink, self.secrets.hide(message));
            let pause = humantime::format_duration(pause);
            tracing::error!(
                sink,
                "the server refuses writes; the points are kept, and it is tried again every {pause}: {message}"
            );
        }
    }

    /// Points were dropped. A metric counts them.
    pub(super) fn dropped(&mut self, reason: &str) {
        self.dropped_at = Some(Instant::now());
        if self.drops.fails(kind("dropped", reason)) {
            tracing::warn!(sink = self.sink, "{}", self.secrets.hide(reason));
        }
    }

    /// A write succeeded.
    pub(super) fn succeeded(&mut self) {
        if let Some(over) = self.failures.recovered() {
            tracing::info!(sink = self.sink, "the server takes writes again {over}");
        }
        if self.dropped_at.is_some_and(|at| at.elapsed() > QUIET) {
            self.dropped_at = None;
            if let Some(over) = self.drops.recovered() {
                tracing::info!(sink = self.sink, "the server has taken all points for a while {over}");
            }
        }
    }
}

/// The kind of a message: its status, or the message without digits.
fn kind(of: &str, message: &str) -> String {
    let status = message.find("status ").and_then(|at| message.get(..at + "status NNN".len()));
    match status {
        Some(status) => format!("{of} {status}"),
        None => format!("{of} {}", message.replace(|c: char| c.is_ascii_digit(), "")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_apart_by_their_status_and_not_by_what_is_quoted() {
        let same = [
            ("status 503: request 17 failed", "status 503: request 18 failed"),
            (
                "a point was dropped: status 400: unable to parse 'a'",
                "a point was dropped: status 400: unable to parse 'b'",
            ),
            ("certificate expired 17 seconds ago", "certificate expired 18 seconds ago"),
        ];
        for (one, other) in same {
            assert_eq!(kind("failed", one), kind("failed", other));
        }
        assert_ne!(kind("failed", "status 503: x"), kind("failed", "status 502: x"));
        assert_ne!(kind("failed", "status 503: x"), kind("refused", "status 503: x"));
        assert_ne!(kind("failed", "connection refused"), kind("failed", "no answer in time"));
    }
}
