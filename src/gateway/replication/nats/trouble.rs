//! What keeps a replica from following the stream, or from writing to it when it is its turn.

use std::time::Instant;

use crate::gateway::replication::replica::Outcome;
use crate::gateway::replication::status::UNSEEN;
use crate::log::Episode;
use crate::nats::lease::View;

/// What has failed lately. It is reported after [`UNSEEN`]: elections of the servers are shorter.
#[derive(Debug)]
pub(super) struct Trouble {
    /// When the servers have last described the stream.
    seen: Instant,
    /// Why they have not since.
    unseen: Option<String>,
    /// Since when messages have no outcome, and why.
    unsent: Option<(Instant, String)>,
    log: Episode<&'static str>,
}

impl Trouble {
    /// The servers have just described the stream.
    pub(super) fn new(now: Instant) -> Trouble {
        Trouble { seen: now, unseen: None, unsent: None, log: Episode::default() }
    }

    /// The servers have described the stream.
    pub(super) fn seen(&mut self, now: Instant) {
        (self.seen, self.unseen) = (now, None);
    }

    /// They have not.
    pub(super) fn unseen(&mut self, reason: String) {
        self.unseen = Some(reason);
    }

    /// Whether the last request was answered.
    pub(super) fn is_seen(&self) -> bool {
        self.unseen.is_none()
    }

    /// When the servers have last described the stream.
    pub(super) fn seen_at(&self) -> Instant {
        self.seen
    }

    /// The outcome of a message. Why there was none is kept.
    pub(super) fn counted(&mut self, outcome: Result<Outcome, String>) -> Outcome {
        match outcome {
            Ok(outcome) => {
                self.unsent = None;
                outcome
            }
            Err(reason) => {
                let since = self.unsent.as_ref().map_or_else(Instant::now, |(since, _)| *since);
                self.unsent = Some((since, reason));
                Outcome::Unknown
            }
        }
    }

    /// What lasts, in words; logs when it begins and when it ends. `explain` adds what is known of the connection.
    pub(super) fn current(&mut self, view: &View, explain: impl Fn(String) -> String) -> Option<String> {
        let Some((what, reason)) = self.lasting(view, Instant::now()) else {
            if let Some(outage) = self.log.recovered() {
                tracing::info!("this replica reaches the stream again, {outage}");
            }
            return None;
        };
        let text = format!("{what}: {}", explain(reason.to_owned()));
        if self.log.fails(what) {
            tracing::warn!("this replica cannot follow the stream, or write to it: {text}");
        }
        Some(text)
    }

    fn lasting<'t>(&'t self, view: &'t View, now: Instant) -> Option<(&'static str, &'t str)> {
        let lasts = |since: Instant| now.saturating_duration_since(since) >= UNSEEN;
        if let Some(reason) = self.unseen.as_ref().filter(|_| lasts(self.seen)) {
            return Some(("the servers do not describe the stream", reason));
        }
        if let Some((_, reason)) = view.failure.as_ref().filter(|(since, _)| lasts(*since)) {
            return Some(("the lease can be neither read nor taken", reason));
        }
        let (_, reason) = self.unsent.as_ref().filter(|(since, _)| lasts(*since) && view.is_held())?;
        Some(("the stream stores no messages", reason))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_lasts_longer_than_an_election_is_trouble() {
        let start = Instant::now();
        let (soon, later) = (start + Duration::from_secs(9), start + UNSEEN + Duration::from_secs(1));
        let view = View::default();
        let mut trouble = Trouble::new(start);
        assert_eq!(trouble.lasting(&view, later), None);
        trouble.unseen("no answer".to_owned());
        assert_eq!(trouble.lasting(&view, soon), None);
        assert_eq!(trouble.lasting(&view, later), Some(("the servers do not describe the stream", "no answer")));
        trouble.seen(later);
        assert_eq!(trouble.lasting(&view, later), None);
        let failing = View { failure: Some((start, "no bucket".to_owned())), ..View::default() };
        assert_eq!(trouble.lasting(&failing, soon), None);
        assert_eq!(trouble.lasting(&failing, later), Some(("the lease can be neither read nor taken", "no bucket")));
        assert_eq!(trouble.counted(Err("sealed".to_owned())), Outcome::Unknown);
        // Only of the replica whose turn it is.
        assert_eq!(trouble.lasting(&view, later), None);
        let held = View { valid_until: Some(later), ..View::default() };
        let (_, reason) = trouble.lasting(&held, Instant::now() + UNSEEN).unwrap();
        assert_eq!(reason, "sealed");
        assert_eq!(trouble.counted(Ok(Outcome::Stored(1))), Outcome::Stored(1));
        assert_eq!(trouble.lasting(&held, Instant::now() + UNSEEN), None);
    }
}
