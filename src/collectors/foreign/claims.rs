//! Families of a source that have the name of one of Taffrail's own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::problems::shown;
use crate::log::Episode;

/// Families that collided with Taffrail's own when they were first exposed, by name, with their files. They stay
/// rejected as long as a file has them, even if the collector has no data: the source of a series must not alternate.
#[derive(Debug, Default)]
pub(in crate::collectors) struct Claims {
    claimed: Mutex<Claimed>,
    /// The name of the collector, and what its sources are called.
    collector: &'static str,
    kind: &'static str,
}

#[derive(Debug, Default)]
struct Claimed {
    families: BTreeMap<String, Arc<str>>,
    /// The collisions that were logged.
    reported: Episode<Vec<String>>,
}

impl Claims {
    /// No collisions yet, of a collector whose sources are called `kind`, such as "files".
    pub(in crate::collectors) fn new(collector: &'static str, kind: &'static str) -> Self {
        Claims { claimed: Mutex::default(), collector, kind }
    }

    fn all(&self) -> MutexGuard<'_, Claimed> {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a family is rejected.
    pub(in crate::collectors) fn has(&self, family: &str) -> bool {
        self.all().families.contains_key(family)
    }

    /// Whether there are no collisions.
    pub(in crate::collectors) fn is_empty(&self) -> bool {
        self.all().families.is_empty()
    }

    /// Adds collisions, and logs all of them in one line if they have changed.
    pub(in crate::collectors) fn note<'f>(&self, found: impl Iterator<Item = (&'f str, &'f Arc<str>)>) {
        let mut claimed = self.all();
        for (family, file) in found {
            match claimed.families.get_mut(family) {
                Some(known) => known.clone_from(file),
                None => drop(claimed.families.insert(family.to_owned(), file.clone())),
            }
        }
        claimed.tell(self.collector, self.kind);
    }

    /// Removes those that no file has any more.
    pub(in crate::collectors) fn keep(&self, is_there: impl Fn(&str) -> bool) {
        let mut claimed = self.all();
        claimed.families.retain(|family, _| is_there(family));
        claimed.tell(self.collector, self.kind);
    }
}

impl Claimed {
    fn tell(&mut self, collector: &str, kind: &str) {
        if self.families.is_empty() {
            if let Some(over) = self.reported.recovered() {
                let one = kind.trim_end_matches('s');
                tracing::info!("{collector}: no {one} repeats a family of Taffrail's own any more {over}");
            }
            return;
        }
        if self.reported.fails(self.families.keys().cloned().collect()) {
            tracing::warn!("{collector}: families of Taffrail's own are left out of {kind}: {}", self.by_file());
        }
    }

    /// Each file with its first family and the number of the others; only the first of many files.
    fn by_file(&self) -> String {
        const NAMED: usize = 4;
        let mut files: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
        for (family, file) in &self.families {
            files.entry(file).or_insert((family, 0)).1 += 1;
        }
        let mut parts: Vec<String> = Vec::new();
        for (file, (first, count)) in files.iter().take(NAMED) {
            let more = if *count > 1 { format!(" and {} more", count - 1) } else { String::new() };
            parts.push(format!("{file}: {}{more}", shown(first)));
        }
        if files.len() > NAMED {
            parts.push(format!("and of {} more files", files.len() - NAMED));
        }
        parts.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(claims: &Claims) -> usize {
        claims.all().reported.reported().map_or(0, Vec::len)
    }

    #[test]
    fn all_families_of_a_file_are_one_line() {
        let claims = Claims::default();
        let file: Arc<str> = Arc::from("/copy.prom");
        let families: Vec<String> = (0..318).map(|number| format!("node_{number}")).collect();
        claims.note(families.iter().map(|family| (family.as_str(), &file)));
        assert_eq!(claims.all().by_file(), "/copy.prom: \"node_0\" and 317 more");
        assert_eq!(reported(&claims), 318);
        let files: Vec<Arc<str>> = (0..318).map(|number| Arc::from(format!("/{number:03}.prom"))).collect();
        claims.note(families.iter().map(String::as_str).zip(&files));
        let shown = claims.all().by_file();
        assert!(shown.ends_with("/003.prom: \"node_3\"; and of 314 more files"), "{shown}");
    }

    #[test]
    fn what_comes_and_goes_does_not_fill_the_log() {
        let (claims, mut lines) = (Claims::default(), 0);
        for number in 0..200 {
            let file: Arc<str> = Arc::from(format!("/{number}.prom"));
            claims.note([("node_load1", &file)].into_iter());
            lines += reported(&claims);
            claims.keep(|_| false);
        }
        assert!((1..10).contains(&lines), "{lines}");
    }
}
