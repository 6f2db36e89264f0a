//! Families of a source that have the name of one of Taffrail's own, or of one of another collector that they cannot join.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::problems::shown;
use crate::log::{Episode, Outage};

/// Families that collided with others. Those that collided with Taffrail's own when they were first exposed stay rejected
/// as long as a file has them, even if the collector has no data: the source of a series must not alternate.
#[derive(Debug, Default)]
pub(in crate::collectors) struct Claims {
    claimed: Mutex<Claimed>,
    /// The name of the collector, and what its sources are called.
    collector: &'static str,
    kind: &'static str,
}

/// A family, its file, and the other collector that has its name, if it is known.
pub(in crate::collectors) type Collision = (String, Arc<str>, Option<&'static str>);

#[derive(Debug, Default)]
struct Claimed {
    /// With Taffrail's own.
    own: Collisions,
    /// With another collector's, on the last page.
    others: Collisions,
}

#[derive(Debug, Default)]
struct Collisions {
    /// The file of each family, and the other collector that has it.
    families: BTreeMap<String, (Arc<str>, Option<&'static str>)>,
    /// Those that were logged.
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
        self.all().own.families.contains_key(family)
    }

    /// Whether there are no collisions with Taffrail's own.
    pub(in crate::collectors) fn is_empty(&self) -> bool {
        self.all().own.families.is_empty()
    }

    /// Whether there were collisions with another collector's on the last page.
    pub(in crate::collectors) fn has_others(&self) -> bool {
        !self.all().others.families.is_empty()
    }

    /// Adds collisions with Taffrail's own, and logs all of them in one line if they have changed.
    pub(in crate::collectors) fn note<'f>(&self, found: impl Iterator<Item = (&'f str, Arc<str>)>) {
        let own = &mut self.all().own;
        for (family, file) in found {
            match own.families.get_mut(family) {
                Some((known, _)) => *known = file,
                None => drop(own.families.insert(family.to_owned(), (file, None))),
            }
        }
        self.tell_own(own);
    }

    /// Replaces the collisions with other collectors': families, their files, and the collector that has each. Logs all of
    /// them in one line if they have changed.
    pub(in crate::collectors) fn set_others(&self, found: Vec<Collision>) {
        let others = &mut self.all().others;
        if found.is_empty() && others.families.is_empty() {
            return;
        }
        others.families = found.into_iter().map(|(family, file, keeper)| (family, (file, keeper))).collect();
        let (collector, kind) = (self.collector, self.kind);
        match others.change() {
            Some(Change::Some) => tracing::warn!(
                "{collector}: families that collide with another collector's are left out of {kind}: {}",
                others.by_file()
            ),
            Some(Change::None(over)) => {
                tracing::info!("{collector}: no family of {kind} collides with another collector's any more {over}");
            }
            None => {}
        }
    }

    /// Removes those that no file has any more.
    pub(in crate::collectors) fn keep(&self, is_there: impl Fn(&str) -> bool) {
        let own = &mut self.all().own;
        own.families.retain(|family, _| is_there(family));
        self.tell_own(own);
    }

    fn tell_own(&self, own: &mut Collisions) {
        let (collector, kind) = (self.collector, self.kind);
        match own.change() {
            Some(Change::Some) => {
                tracing::warn!("{collector}: families of Taffrail's own are left out of {kind}: {}", own.by_file());
            }
            Some(Change::None(over)) => {
                let one = kind.trim_end_matches('s');
                tracing::info!("{collector}: no {one} repeats a family of Taffrail's own any more {over}");
            }
            None => {}
        }
    }
}

/// A change that is logged.
enum Change {
    /// There are other collisions.
    Some,
    /// There are none any more.
    None(Outage),
}

impl Collisions {
    fn change(&mut self) -> Option<Change> {
        if self.families.is_empty() {
            return self.reported.recovered().map(Change::None);
        }
        self.reported.fails(self.families.keys().cloned().collect()).then_some(Change::Some)
    }

    /// Each file with its first family and the number of the others; only the first of many files.
    fn by_file(&self) -> String {
        const NAMED: usize = 4;
        let mut files: BTreeMap<&str, (String, usize)> = BTreeMap::new();
        for (family, (file, keeper)) in &self.families {
            let first = || match keeper {
                Some(keeper) => format!("{} ({keeper} has it)", shown(family)),
                None => shown(family),
            };
            files.entry(file).or_insert_with(|| (first(), 0)).1 += 1;
        }
        let mut parts: Vec<String> = Vec::new();
        for (file, (first, count)) in files.iter().take(NAMED) {
            let more = if *count > 1 { format!(" and {} more", count - 1) } else { String::new() };
            parts.push(format!("{file}: {first}{more}"));
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
        claims.all().own.reported.reported().map_or(0, Vec::len)
    }

    #[test]
    fn all_families_of_a_file_are_one_line() {
        let claims = Claims::default();
        let file: Arc<str> = Arc::from("/copy.prom");
        let families: Vec<String> = (0..318).map(|number| format!("node_{number}")).collect();
        claims.note(families.iter().map(|family| (family.as_str(), file.clone())));
        assert_eq!(claims.all().own.by_file(), "/copy.prom: \"node_0\" and 317 more");
        assert_eq!(reported(&claims), 318);
        let files: Vec<Arc<str>> = (0..318).map(|number| Arc::from(format!("/{number:03}.prom"))).collect();
        claims.note(families.iter().map(String::as_str).zip(files));
        let shown = claims.all().own.by_file();
        assert!(shown.ends_with("/003.prom: \"node_3\"; and of 314 more files"), "{shown}");
    }

    #[test]
    fn what_comes_and_goes_does_not_fill_the_log() {
        let (claims, mut lines) = (Claims::default(), 0);
        for number in 0..200 {
            let file: Arc<str> = Arc::from(format!("/{number}.prom"));
            claims.note([("node_load1", file)].into_iter());
            lines += reported(&claims);
            claims.keep(|_| false);
        }
        assert!((1..10).contains(&lines), "{lines}");
    }
}
