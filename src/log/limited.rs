//! What many may cause.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often one kind may be told.
const EVERY: Duration = Duration::from_secs(60);

/// Lines that others cause, such as requests that are refused: of each kind one a minute at the most, with the number of
/// those that were left out. There are no more kinds than a bound; beyond it, all others are one kind.
///
/// ```
/// # use taffrail::log::Limited;
/// # let (client, reason) = ("192.0.2.1", "too large");
/// let refusals = Limited::new(100);
/// if let Some(left_out) = refusals.tell(&(client, reason)) {
///     tracing::warn!("a push of {client} was refused: {reason}{left_out}");
/// }
/// ```
#[derive(Debug)]
pub struct Limited<K> {
    most: usize,
    kinds: Mutex<Kinds<K>>,
}

#[derive(Debug)]
struct Kinds<K> {
    known: HashMap<K, Kind>,
    /// All for which there is no room.
    others: Option<Kind>,
}

#[derive(Clone, Copy, Debug)]
struct Kind {
    told: Instant,
    left_out: u64,
}

/// How many lines were left out before this one; shown, it is nothing if none were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut(pub u64);

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(f, " ({count} more like this since the last such line)"),
        }
    }
}

impl Kind {
    fn is_due(&self, now: Instant) -> bool {
        now.duration_since(self.told) >= EVERY
    }

    /// Counts one more, which is told or left out.
    fn tell(&mut self, now: Instant) -> Option<LeftOut> {
        if !self.is_due(now) {
            self.left_out += 1;
            return None;
        }
        self.told = now;
        Some(LeftOut(std::mem::take(&mut self.left_out)))
    }
}

impl<K: Hash + Eq + Clone> Limited<K> {
    /// Nothing was told yet; `most` kinds are told apart.
    pub fn new(most: usize) -> Self {
        Limited { most, kinds: Mutex::new(Kinds { known: HashMap::new(), others: None }) }
    }

    /// Counts one more of a kind, and says whether to tell the log of it, and with how many that were left out.
    #[must_use]
    pub fn tell(&self, kind: &K) -> Option<LeftOut> {
        self.tell_at(kind, Instant::now())
    }

    fn tell_at(&self, kind: &K, now: Instant) -> Option<LeftOut> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kinds.known.get_mut(kind) {
            return known.tell(now);
        }
        let first = Kind { told: now, left_out: 0 };
        if kinds.known.len() >= self.most {
            kinds.known.retain(|_, kind| !(kind.left_out == 0 && kind.is_due(now)));
        }
        if kinds.known.len() < self.most {
            kinds.known.insert(kind.clone(), first);
            return Some(LeftOut(0));
        }
        match &mut kinds.others {
            Some(others) => others.tell(now),
            None => {
                kinds.others = Some(first);
                Some(LeftOut(0))
            }
        }
    }

    /// The kinds of which some were left out more than a minute ago, with how many: they did not come again, and would
    /// not be told otherwise. None is the kind of all for which there was no room.
    pub fn overdue(&self) -> Vec<(Option<K>, u64)> {
        self.overdue_at(Instant::now())
    }

    fn overdue_at(&self, now: Instant) -> Vec<(Option<K>, u64)> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let Kinds { known, others } = &mut *kinds;
        let all = known.iter_mut().map(|(key, kind)| (Some(key), kind)).chain(others.as_mut().map(|kind| (None, kind)));
        let due = all.filter(|(_, kind)| kind.left_out > 0 && kind.is_due(now));
        due.filter_map(|(key, kind)| Some((key.cloned(), kind.tell(now)?.0))).collect()
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
        let told = |kind: &str, second| limited.tell_at(&kind.to_owned(), at(second)).map(|left_out| left_out.0);
        assert_eq!(
            [("a", 0), ("b", 0), ("a", 1), ("a", 59)].map(|(kind, at)| told(kind, at)),
            [Some(0), Some(0), None, None]
        );
        assert_eq!((told("a", 60), told("a", 61)), (Some(2), None));
        assert_eq!(LeftOut(2).to_string(), " (2 more like this since the last such line)");
        assert_eq!(LeftOut(0).to_string(), "");
        // The kind b is as good as forgotten; a and c leave no room for others, until c is as well.
        assert_eq!((told("c", 60), told("d", 61), told("e", 62)), (Some(0), Some(0), None));
        assert_eq!(
            (told("d", 120), limited.overdue_at(at(121))),
            (Some(0), vec![(Some("a".to_owned()), 1), (None, 1)])
        );
    }

    #[test]
    fn what_does_not_come_again_is_told_too() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let limited = Limited::new(1);
        for kind in ["a", "a", "a", "b", "c"] {
            let _ = limited.tell_at(&kind, begun);
        }
        assert_eq!(limited.overdue_at(at(59)), []);
        assert_eq!(limited.overdue_at(at(60)), [(Some("a"), 2), (None, 1)]);
        assert_eq!(limited.overdue_at(at(120)), []);
    }
}
