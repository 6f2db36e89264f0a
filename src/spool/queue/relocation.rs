//! Moves a queue to another folder, or out of a folder that is no longer there.

use std::path::PathBuf;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;

use super::super::disk::{Disk, Inspection};
use super::super::folders::SinkId;
use super::{Queue, Storage, Unavailable};
use crate::encode::lines::Lines;
use crate::log::Episode;
use crate::system::PrivateFolder;

impl Queue {
    /// Sets the queue's sink, and moves the queue with its points to `folder`; `None` leaves it where it is. Blocks
    /// on the disk.
    pub fn assign(&self, owner: SinkId, folder: Option<PathBuf>) {
        *self.owner.lock().unwrap_or_else(PoisonError::into_inner) = Some(owner);
        let mut storage = self.disk();
        if let Some(folder) = folder {
            self.stats.has_folder.store(true, Relaxed);
            self.move_to(&mut storage, folder);
        }
        self.mark(&storage);
        self.publish(&mut storage);
    }

    pub(super) fn mark(&self, storage: &Storage) {
        let owner = self.owner.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Storage::Open(disk, _), Some(owner)) = (storage, &*owner) {
            owner.mark(disk.folder_handle());
        }
    }

    fn move_to(&self, storage: &mut Storage, folder: PathBuf) {
        let resolved = PrivateFolder::resolve(&folder).unwrap_or_else(|_| folder.clone());
        match storage {
            Storage::Open(disk, _) => {
                if disk.folder() != resolved && disk.rename(&resolved).is_err() {
                    self.relocate(storage, resolved);
                }
            }
            Storage::Unavailable(unavailable) if unavailable.folder == folder => {}
            Storage::Unavailable(_) | Storage::None => {
                *storage = Storage::Unavailable(Unavailable { folder, resolved: None, failure: Episode::default() });
                self.maintain(storage, false);
            }
        }
    }

    /// Moves to a folder that is not empty, or on another disk.
    fn relocate(&self, storage: &mut Storage, resolved: PathBuf) {
        let Storage::Open(old, _) = storage else { return };
        match Disk::open(&resolved, self.limits()) {
            Err(error) => {
                tracing::error!("points go on waiting in {}: the spool {error}", old.folder().display());
            }
            Ok(mut new) => {
                let (_, remaining) = old.copy_into(Some(&mut new), self.limits().memory);
                self.count_dropped(old);
                if !remaining.is_empty() {
                    tracing::error!(
                        "points go on waiting in {}: {} takes none",
                        old.folder().display(),
                        resolved.display()
                    );
                    return new.mark_drained();
                }
                let old = std::mem::replace(storage, Storage::Open(Box::new(new), Episode::default()));
                if let Storage::Open(old, _) = old {
                    old.mark_drained();
                }
            }
        }
    }

    /// Checks that the folder is still there, and rescues readable points if it is not.
    pub(super) fn inspect(&self, storage: &mut Storage, closely: bool) {
        let Storage::Open(disk, _) = storage else { return };
        match disk.inspect(closely) {
            Inspection::Sound => disk.log_repair_failures(&[]),
            Inspection::Repaired { lost, remaining, rescued, failures } => {
                disk.log_repair_failures(&failures);
                if lost > 0 || !rescued.is_empty() {
                    tracing::error!(
                        "files of the spool {} were damaged or taken away: {lost} points that waited in them are lost, {remaining} are kept",
                        disk.folder().display()
                    );
                }
                self.return_to_memory(rescued);
            }
            Inspection::Away(what) => self.leave_missing_folder(storage, &what),
        }
    }

    /// Replaces a folder that is no longer at its path.
    fn leave_missing_folder(&self, storage: &mut Storage, what: &str) {
        let Storage::Open(mut old, _) = std::mem::replace(storage, Storage::None) else { return };
        self.count_dropped(&mut old);
        let (waited, resolved) = (old.waiting().0, old.folder().to_owned());
        let mut unavailable =
            Unavailable { folder: resolved.clone(), resolved: Some(resolved.clone()), failure: Episode::default() };
        let mut new = match Disk::open(&resolved, self.limits()) {
            Ok(disk) => Some(disk),
            Err(error) => {
                let _ = unavailable.failure.fails(error.to_string());
                None
            }
        };
        let (count, remaining) = old.copy_into(new.as_mut(), self.limits().memory);
        let lost = waited.saturating_sub(count);
        // This includes records that were found missing while copying; the log reports them once.
        old.dropped.damaged = lost;
        old.damage.clear();
        self.count_dropped(&mut old);
        let fate = match (waited, unavailable.failure.reported()) {
            (0, None) => "nothing waited in it, and it is there again".to_owned(),
            (0, Some(error)) => format!("points are kept in memory, as it cannot be made again: {error}"),
            (_, None) => {
                format!("of {waited} points that waited in it {count} are in the new one, and {lost} are lost")
            }
            (_, Some(error)) => format!(
                "of {waited} points that waited in it {count} are kept in memory, and {lost} are lost; it cannot be made again: {error}"
            ),
        };
        tracing::error!("the spool {} {what}: {fate}", resolved.display());
        self.return_to_memory(remaining);
        *storage = match new {
            Some(new) => {
                old.mark_drained();
                Storage::Open(Box::new(new), Episode::default())
            }
            // Points in memory are still in the old folder too: sent twice is better than lost.
            None => Storage::Unavailable(unavailable),
        };
        self.mark(storage);
        self.publish(storage);
    }

    /// Returns points to memory, before all later ones.
    fn return_to_memory(&self, rescued: Vec<Lines>) {
        let is_in_flight = self.stats.memory_in_flight.load(Relaxed);
        let mut memory = self.memory();
        for lines in rescued.into_iter().rev() {
            if is_in_flight {
                memory.push(lines);
            } else {
                memory.put_before(lines);
            }
        }
    }
}
