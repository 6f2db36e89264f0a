//! Failures that last.

use std::fmt;
use std::time::{Duration, Instant};

/// How many lines an episode may cost at a time, and how long it takes until it may cost one more.
const BURST: u32 = 6;
const REFILL: Duration = Duration::from_secs(60);

/// One subject that fails and is well again, such as a server or a file: a failure is told to the log when it begins, when
/// another kind takes its place, and when it is over, however often it is tried in between.
///
/// What goes to and fro is told six times, and from then on once a minute; what is told begun is always told ended.
///
/// ```
/// # use taffrail::log::Episode;
/// # let tried: Result<(), std::io::ErrorKind> = Ok(());
/// # let mut episode = Episode::default();
/// match tried {
///     Ok(()) => {
///         if let Some(over) = episode.is_well() {
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
    /// The kind that the log was told of last.
    told: Option<K>,
    /// When it began to fail, and how often it did since then; none where it is well.
    failing: Option<(Instant, u64)>,
    budget: Budget,
}

/// An episode that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over {
    /// How long it lasted.
    pub lasted: Duration,
    /// How often it failed.
    pub failures: u64,
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lasted = humantime::format_duration(Duration::from_secs(self.lasted.as_secs()));
        let failures = if self.failures == 1 { "failure" } else { "failures" };
        write!(f, "after {} {failures} in {lasted}", self.failures)
    }
}

impl<K> Default for Episode<K> {
    fn default() -> Self {
        Episode { told: None, failing: None, budget: Budget::default() }
    }
}

impl<K: PartialEq> Episode<K> {
    /// Takes a failure, and says whether to tell the log of it.
    #[must_use]
    pub fn fails(&mut self, kind: K) -> bool {
        self.fails_at(kind, Instant::now())
    }

    fn fails_at(&mut self, kind: K, now: Instant) -> bool {
        self.failing.get_or_insert((now, 0)).1 += 1;
        if self.told.as_ref() == Some(&kind) || !self.budget.take(now) {
            return false;
        }
        self.told = Some(kind);
        true
    }

    /// Takes that all is well, and says what is over, if the log was told that it had begun.
    pub fn is_well(&mut self) -> Option<Over> {
        // Most often nothing has failed, and no clock need be asked.
        self.failing?;
        self.is_well_at(Instant::now())
    }

    fn is_well_at(&mut self, now: Instant) -> Option<Over> {
        let (since, failures) = self.failing.take()?;
        self.told.take()?;
        Some(Over { lasted: now.duration_since(since), failures })
    }

    /// The kind of failure that the log was told of, and of no end since.
    pub fn told(&self) -> Option<&K> {
        self.told.as_ref()
    }

    /// Whether it fails.
    pub fn is_failing(&self) -> bool {
        self.failing.is_some()
    }
}

/// Lines that may still be told.
#[derive(Clone, Copy, Debug, Default)]
struct Budget {
    /// When all that were told will be made up for; none before the first.
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
        assert_eq!(episode.is_well(), None);
        let told: Vec<bool> = (1..=6).map(|n| episode.fails_at(if n < 4 { "a" } else { "b" }, at(n))).collect();
        assert_eq!(told, [true, false, false, true, false, false]);
        assert_eq!((episode.told(), episode.is_failing()), (Some(&"b"), true));
        let over = episode.is_well_at(at(61)).unwrap();
        assert_eq!(over.to_string(), "after 6 failures in 1m");
        assert_eq!((episode.is_well(), episode.is_failing()), (None, false));
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
                _ => ends += u32::from(episode.is_well_at(now).is_some()),
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
            assert!(episode.is_well_at(begun).is_some());
        }
        let at = |seconds| begun + Duration::from_secs(seconds);
        let told: Vec<bool> = [1, 2, 61, 62].map(|second| episode.fails_at("a", at(second))).to_vec();
        assert_eq!(told, [false, false, true, false]);
    }
}
