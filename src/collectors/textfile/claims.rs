//! Families that files call as Taffrail calls its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The families that were ours when they were to be shown, by name, each with its file. They stay ours, also while a
/// collector does not tell them, as long as a file has them: a series must not come now from here and now from there.
#[derive(Debug, Default)]
pub(super) struct Claims(Mutex<BTreeMap<String, Arc<str>>>);

impl Claims {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Arc<str>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a family is ours.
    pub(super) fn has(&self, family: &str) -> bool {
        self.all().contains_key(family)
    }

    /// Whether none is.
    pub(super) fn is_empty(&self) -> bool {
        self.all().is_empty()
    }

    /// Notes that a family of a file is ours, and tells the log when that is news.
    pub(super) fn note(&self, family: &str, file: &Arc<str>) {
        if self.all().insert(family.to_owned(), file.clone()).as_ref() != Some(file) {
            tracing::warn!("textfile: {file}: {family} is a family of Taffrail's own, and left out");
        }
    }

    /// Forgets those that no file has any more.
    pub(super) fn keep(&self, is_there: impl Fn(&str) -> bool) {
        self.all().retain(|family, file| {
            let stays = is_there(family);
            if !stays {
                tracing::info!("textfile: {file}: {family} is no longer there");
            }
            stays
        });
    }
}
