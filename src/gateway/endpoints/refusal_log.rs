//! The log of refused requests that would have changed something.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::Method;

use crate::gateway::request::refusal::{Reason, one_line};
use crate::http::{Denial, Peer};

/// After this time, the requests that were not logged are summarized.
const INTERVAL: Duration = Duration::from_secs(60);
/// Paths of one reason that are logged within [`INTERVAL`].
const MAX_LINES: usize = 10;
/// Paths that a summary names.
const MAX_NAMES: usize = 20;
/// Characters of a path or message.
const MAX_LENGTH: usize = 300;

/// Logs each reason once a minute for each path, for at most ten paths. The other requests are counted, and summarized
/// with their paths after the minute. The reasons are few, so that none can crowd out another.
#[derive(Default)]
pub struct RefusalLog(Mutex<HashMap<Reason, Minute>>);

/// The requests that were refused for one reason since its first line.
struct Minute {
    began: Instant,
    logged: HashSet<String>,
    /// Requests that were not logged, by path.
    unlogged: BTreeMap<String, u64>,
    /// Requests with paths for which the summary has no space.
    others: u64,
}

impl Minute {
    fn new(began: Instant) -> Minute {
        Minute { began, logged: HashSet::new(), unlogged: BTreeMap::new(), others: 0 }
    }

    fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.began) >= INTERVAL
    }

    /// Whether a request is logged. Counts it otherwise.
    fn is_logged(&mut self, path: &str) -> bool {
        if self.logged.len() < MAX_LINES && self.logged.insert(path.to_owned()) {
            return true;
        }
        let has_space = self.unlogged.len() < MAX_NAMES;
        let count = match self.unlogged.get_mut(path) {
            Some(count) => count,
            None if has_space => self.unlogged.entry(path.to_owned()).or_default(),
            None => &mut self.others,
        };
        *count += 1;
        false
    }

    /// The line about the requests that were not logged; none if all were.
    fn summary(&self, reason: Reason) -> Option<String> {
        let count = self.unlogged.values().sum::<u64>() + self.others;
        if count == 0 {
            return None;
        }
        let requests = if count == 1 { "request was" } else { "requests were" };
        let mut line = format!("{count} more {requests} refused with {}, {reason}: ", reason.status().as_u16());
        for (index, (path, count)) in self.unlogged.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            let _ = write!(line, "{comma}{path} ({count})");
        }
        if self.others > 0 {
            let _ = write!(line, ", others ({})", self.others);
        }
        Some(line)
    }
}

impl RefusalLog {
    /// Logs a refused request.
    pub fn log(&self, reason: Reason, client: Peer, method: &Method, path: &str, message: &str) {
        let path = one_line(path, MAX_LENGTH);
        let (summary, is_logged) = self.count(reason, &path, Instant::now());
        summary.into_iter().for_each(|summary| tracing::warn!("{summary}"));
        if is_logged {
            let (message, status) = (one_line(message, MAX_LENGTH), reason.status().as_u16());
            tracing::warn!("{method} {path} of {client} was refused with {status}: {message}");
        }
    }

    /// Logs a request that the HTTP server denied.
    pub fn log_denied(&self, denial: &Denial, client: Peer, method: &Method, path: &str) {
        let reason = match denial {
            Denial::Unknown { .. } => Reason::Unauthenticated,
            Denial::Busy => Reason::Passwords,
            Denial::Rate => Reason::Rate,
        };
        self.log(reason, client, method, path, &denial.to_string());
    }

    /// Logs the summaries that are due.
    pub fn log_overdue(&self) {
        for summary in self.overdue(Instant::now()) {
            tracing::warn!("{summary}");
        }
    }

    /// Counts a request. Returns the summary of an earlier minute, and whether the request is logged.
    fn count(&self, reason: Reason, path: &str, now: Instant) -> (Option<String>, bool) {
        let mut reasons = self.lock();
        let minute = reasons.entry(reason).or_insert_with(|| Minute::new(now));
        let over = minute.is_over(now).then(|| std::mem::replace(minute, Minute::new(now)));
        (over.and_then(|over| over.summary(reason)), minute.is_logged(path))
    }

    fn overdue(&self, now: Instant) -> Vec<String> {
        let mut reasons = self.lock();
        let over = reasons.extract_if(|_, minute| minute.is_over(now));
        over.filter_map(|(reason, minute)| minute.summary(reason)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Reason, Minute>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_has_a_line_for_each_reason() {
        let (log, now) = (RefusalLog::default(), Instant::now());
        let count = |reason, path| log.count(reason, path, now);
        for path in ["/metrics/job/a", "/metrics/job/b"] {
            assert_eq!(count(Reason::Conflict, path), (None, true));
            assert_eq!(count(Reason::Conflict, path), (None, false));
            assert_eq!(count(Reason::Body, path), (None, true));
        }
        assert_eq!(count(Reason::Conflict, "/metrics/job/b"), (None, false));
        assert!(log.overdue(now + INTERVAL - Duration::from_secs(1)).is_empty());
        let line = "3 more requests were refused with 400, for what contradicts what is there: \
                    /metrics/job/a (1), /metrics/job/b (2)";
        assert_eq!(log.overdue(now + INTERVAL), [line]);
        assert!(log.overdue(now + 2 * INTERVAL).is_empty());
        assert_eq!(log.count(Reason::Conflict, "/metrics/job/a", now + 2 * INTERVAL), (None, true));
    }

    #[test]
    fn a_thousand_paths_have_ten_lines_and_a_summary_with_twenty_names() {
        let (log, now) = (RefusalLog::default(), Instant::now());
        let logged = (0..1000).filter(|job| log.count(Reason::Full, &format!("/metrics/job/j{job:03}"), now).1).count();
        assert_eq!(logged, MAX_LINES);
        // The next one ends the minute, and has a line again.
        let (summary, is_logged) = log.count(Reason::Full, "/metrics/job/j999", now + INTERVAL);
        let summary = summary.unwrap();
        assert!(is_logged);
        assert!(
            summary.starts_with("990 more requests were refused with 429, for want of room: /metrics/job/j010 (1), ")
        );
        assert!(summary.ends_with("/metrics/job/j029 (1), others (970)"), "{summary}");
        assert_eq!(log.overdue(now + 2 * INTERVAL), Vec::<String>::new());
    }
}
