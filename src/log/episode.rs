//! Failures that last.

use std::fmt;
use std::time::{Duration, Instant};

/// Lines that an episode may log at once, and the time after which it may log one more.
const BURST: u32 = 6;
const REFILL: Duration = Duration::from_secs(60);

/// Lasting failures of one subject, such as a server or a file. A failure is logged when it begins, when its kind
/// changes, and when it ends, however often the operation is retried in between.
///
/// A subject that alternates is logged six times, and then once a minute. Every logged beginning gets a logged end.
///
/// ```
/// # use taffrail::log::Episode;
/// # let tried: Result<(), std::io::ErrorKind> = Ok(());
/// # let mut episode = Episode::default();
/// match tried {
///     Ok(()) => {
///         if let Some(over) = episode.recovered() {
///             tracing::info!("it can be read again {over}");
///         }
///     }
///     Err(kind) => {
///         if episode.fails(kind) {
///             tracing::warn!("it cannot be read: {kind}");
///         }
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Episode<K> {
    /// The kind that was logged last.
    reported: Option<K>,
    /// Start of the failure, and the number of failures since; `None` while all is well.
    failing: Option<(Instant, u64)>,
    budget: Budget,
}

/// A failure that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Its duration.
    pub lasted: Duration,
    /// The number of failures.
    pub failures: u64,
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lasted = humantime::format_duration(Duration::from_secs(self.lasted.as_secs()));
        let failures = if self.failures == 1 { "failure" } else { "failures" };
        write!(f, "after {} {failures} in {lasted}", self.failures)
    }
}

impl<K> Default for Episode<K> {
    fn default() -> Self {
        Episode { reported: None, failing: None, budget: Budget::default() }
    }
}

impl<K: PartialEq> Episode<K> {
    /// Records a failure, and returns whether to log it.
    #[must_use]
    pub fn fails(&mut self, kind: K) -> bool {
        self.fails_at(kind, Instant::now())
    }

    /// The same at `now`.
    pub(crate) fn fails_at(&mut self, kind: K, now: Instant) -> bool {
        self.failing.get_or_insert((now, 0)).1 += 1;
        if self.reported.as_ref() == Some(&kind) || !self.budget.take(now) {
            return false;
        }
        self.reported = Some(kind);
        true
    }

    /// Records a success. Returns the failure that is over, if its beginning was logged.
    pub fn recovered(&mut self) -> Option<Outage> {
        // Usually nothing has failed: skip reading the clock.
        self.failing?;
        self.recovered_at(Instant::now())
    }

    /// The same at `now`.
    pub(crate) fn recovered_at(&mut self, now: Instant) -> Option<Outage> {
        let (since, failures) = self.failing.take()?;
        self.reported.take()?;
        Some(Outage { lasted: now.duration_since(since), failures })
    }

    /// The logged kind of the ongoing failure.
    pub fn reported(&self) -> Option<&K> {
        self.reported.as_ref()
    }

    /// Whether it is failing.
    pub fn is_failing(&self) -> bool {
        self.failing.is_some()
    }
}

/// Budget of log lines.
#[derive(Clone, Copy, Debug, Default)]
struct Budget {
    /// When the budget is full again; `None` before the first line.
    full_at: Option<Instant>,
}

impl Budget {
    fn take(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + REFILL;
        let is_there = full_at <= now + REFILL * BURST;
        if is_there {
            self.full_at = Some(full_at);
        }
        is_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_failure_is_told_when_it_begins_changes_and_ends() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut episode = Episode::default();
        assert_eq!(episode.recovered(), None);
        let is_reported: Vec<bool> = (1..=6).map(|n| episode.fails_at(if n < 4 { "a" } else { "b" }, at(n))).collect();
        assert_eq!(is_reported, [true, false, false, true, false, false]);
        assert_eq!((episode.reported(), episode.is_failing()), (Some(&"b"), true));
        let over = episode.recovered_at(at(61)).unwrap();
        assert_eq!(over.to_string(), "after 6 failures in 1m");
        assert_eq!((episode.recovered(), episode.is_failing()), (None, false));
        assert!(episode.fails_at("b", at(62)), "it begins again");
    }

    #[test]
    fn what_goes_to_and_fro_does_not_fill_the_log() {
        let begun = Instant::now();
        let mut episode = Episode::default();
        let (mut begins, mut ends) = (0, 0);
        for second in 0..600 {
            let now = begun + Duration::from_secs(second);
            match second % 3 {
                0 => begins += u32::from(episode.fails_at("a", now)),
                1 => begins += u32::from(episode.fails_at("b", now)),
                _ => ends += u32::from(episode.recovered_at(now).is_some()),
            }
        }
        assert!((BURST + 8..=BURST + 10).contains(&begins), "{begins}");
        assert!(ends <= begins);
    }

    #[test]
    fn a_failure_that_could_not_be_told_is_told_if_it_lasts() {
        let begun = Instant::now();
        let mut episode = Episode::default();
        for _ in 0..BURST {
            assert!(episode.fails_at("a", begun));
            assert!(episode.recovered_at(begun).is_some());
        }
        let at = |seconds| begun + Duration::from_secs(seconds);
        let is_reported: Vec<bool> = [1, 2, 61, 62].map(|second| episode.fails_at("a", at(second))).to_vec();
        assert_eq!(is_reported, [false, false, true, false]);
    }
}
