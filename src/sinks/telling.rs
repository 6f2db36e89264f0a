//! What the log is told of a sink's server: when a kind of failure begins, changes and ends.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::http;
use super::settings::{Settings, Target};
use crate::config::Secret;
use crate::log::Episode;

/// After so long without a point that was dropped, dropping is over.
const CALM: Duration = Duration::from_secs(600);

/// What the log was told.
pub(super) struct Telling {
    sink: String,
    /// What a server may say back, and nobody may read.
    secrets: Vec<String>,
    trouble: Episode<String>,
    drops: Episode<String>,
    dropped_at: Option<Instant>,
}

impl Telling {
    pub(super) fn new(settings: &Settings) -> Telling {
        Telling {
            sink: settings.delivery.name.clone(),
            secrets: secrets(&settings.target),
            trouble: Episode::default(),
            drops: Episode::default(),
            dropped_at: None,
        }
    }

    /// Whether the last write went well.
    pub(super) fn is_well(&self) -> bool {
        !self.trouble.is_failing()
    }

    /// A write failed, and is tried again.
    pub(super) fn failed(&mut self, message: &str) {
        if self.trouble.fails(kind("failed", message)) {
            let (sink, message) = (&self.sink, self.without_secrets(message));
            tracing::warn!(sink, "a write failed; the points are kept, and it is tried again: {message}");
        }
    }

    /// The server refuses, and is asked again after `pause`.
    pub(super) fn refused(&mut self, message: &str, pause: Duration) {
        if self.trouble.fails(kind("refused", message)) {
            let (sink, message) = (&self.sink, self.without_secrets(message));
            let pause = humantime::format_duration(pause);
            tracing::error!(
                sink,
                "the server refuses writes; the points are kept, and it is tried again every {pause}: {message}"
            );
        }
    }

    /// Points were dropped. How many is a metric.
    pub(super) fn dropped(&mut self, reason: &str) {
        self.dropped_at = Some(Instant::now());
        if self.drops.fails(kind("dropped", reason)) {
            tracing::warn!(sink = self.sink, "{}", self.without_secrets(reason));
        }
    }

    /// The server took a write.
    pub(super) fn went_well(&mut self) {
        if let Some(over) = self.trouble.is_well() {
            tracing::info!(sink = self.sink, "the server takes writes again {over}");
        }
        if self.dropped_at.is_some_and(|at| at.elapsed() > CALM) {
            self.dropped_at = None;
            if let Some(over) = self.drops.is_well() {
                tracing::info!(sink = self.sink, "the server has taken all points for a while {over}");
            }
        }
    }

    fn without_secrets(&self, message: &str) -> String {
        self.secrets.iter().fold(message.to_owned(), |message, secret| message.replace(secret, "[secret]"))
    }
}

/// What makes two messages the same kind: the status, or all but numbers and what is quoted of points.
fn kind(of: &str, message: &str) -> String {
    let status = message.find("status ").and_then(|at| message.get(..at + "status NNN".len()));
    match status {
        Some(status) => format!("{of} {status}"),
        None => format!("{of} {}", message.replace(|c: char| c.is_ascii_digit(), "")),
    }
}

fn secrets(target: &Target) -> Vec<String> {
    let (http, user, token) = match target {
        Target::InfluxDb(settings) => {
            let (user, token) = settings.target.credentials();
            (&settings.http, user, token)
        }
        Target::RemoteWrite(settings) => (&settings.http, settings.user.as_ref(), settings.token.as_ref()),
        Target::Elasticsearch(settings) => (&settings.http, settings.user.as_ref(), settings.api_key.as_ref()),
        _ => return Vec::new(),
    };
    let basic = user.map(|(name, password)| BASE64_STANDARD.encode(format!("{name}:{}", password.reveal())));
    let plain = user.map(|(_, password)| password).into_iter().chain(token).chain(headers(http));
    let mut secrets: Vec<String> = plain.map(|secret| secret.reveal().to_owned()).chain(basic).collect();
    // What is short would be found in every other word.
    secrets.retain(|secret| secret.len() > 3);
    // The longest first, for one may be a part of another.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets
}

fn headers(settings: &http::Settings) -> impl Iterator<Item = &Secret> {
    settings.headers.values()
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
