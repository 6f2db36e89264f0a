//! Rate limits for log lines that clients can cause.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Minimum interval between lines of one kind.
const INTERVAL: Duration = Duration::from_secs(60);

/// Rate-limited lines that may repeat, such as those of panics: at most one a minute of each kind, with the number of
/// suppressed lines. The number of kinds is limited; all further ones count as one kind.
///
/// ```
/// # use taffrail::log::Limited;
/// # let location = "src/main.rs:1:1";
/// let locations = Limited::new(100);
/// if let Some(suppressed) = locations.allow(&location) {
///     tracing::error!("a thread panicked at {location}{suppressed}");
/// }
/// ```
#[derive(Debug)]
pub struct Limited<K> {
    max_kinds: usize,
    kinds: Mutex<Kinds<K>>,
}

#[derive(Debug)]
struct Kinds<K> {
    known: HashMap<K, Kind>,
    /// All kinds over the limit.
    others: Option<Kind>,
}

#[derive(Clone, Copy, Debug)]
struct Kind {
    logged_at: Instant,
    suppressed: u64,
}

/// Number of lines suppressed before this one; displays as nothing if zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Suppressed(pub u64);

impl fmt::Display for Suppressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(f, " ({count} more like this since the last such line)"),
        }
    }
}

impl Kind {
    fn is_due(&self, now: Instant) -> bool {
        now.duration_since(self.logged_at) >= INTERVAL
    }

    /// Counts one more line: logged or suppressed.
    fn allow(&mut self, now: Instant) -> Option<Suppressed> {
        if !self.is_due(now) {
            self.suppressed += 1;
            return None;
        }
        self.logged_at = now;
        Some(Suppressed(std::mem::take(&mut self.suppressed)))
    }
}

impl<K: Hash + Eq + Clone> Limited<K> {
    /// A limiter that distinguishes up to `max_kinds` kinds.
    pub fn new(max_kinds: usize) -> Self {
        Limited { max_kinds, kinds: Mutex::new(Kinds { known: HashMap::new(), others: None }) }
    }

    /// Counts one more line of a kind. Returns `Some` if it is to be logged, with the number of suppressed lines.
    #[must_use]
    pub fn allow(&self, kind: &K) -> Option<Suppressed> {
        self.allow_at(kind, Instant::now())
    }

    fn allow_at(&self, kind: &K, now: Instant) -> Option<Suppressed> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kinds.known.get_mut(kind) {
            return known.allow(now);
        }
        let first = Kind { logged_at: now, suppressed: 0 };
        if kinds.known.len() >= self.max_kinds {
            kinds.known.retain(|_, kind| !(kind.suppressed == 0 && kind.is_due(now)));
        }
        if kinds.known.len() < self.max_kinds {
            kinds.known.insert(kind.clone(), first);
            return Some(Suppressed(0));
        }
        match &mut kinds.others {
            Some(others) => others.allow(now),
            None => {
                kinds.others = Some(first);
                Some(Suppressed(0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_once_a_minute_with_how_many_were_left_out() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let limited = Limited::new(2);
        let allowed =
            |kind: &str, second| limited.allow_at(&kind.to_owned(), at(second)).map(|suppressed| suppressed.0);
        assert_eq!(
            [("a", 0), ("b", 0), ("a", 1), ("a", 59)].map(|(kind, at)| allowed(kind, at)),
            [Some(0), Some(0), None, None]
        );
        assert_eq!((allowed("a", 60), allowed("a", 61)), (Some(2), None));
        assert_eq!(Suppressed(2).to_string(), " (2 more like this since the last such line)");
        assert_eq!(Suppressed(0).to_string(), "");
        // The kind b is expired; a and c leave no space for others, until c expires too.
        assert_eq!((allowed("c", 60), allowed("d", 61), allowed("e", 62)), (Some(0), Some(0), None));
        assert_eq!(allowed("d", 120), Some(0));
    }
}
