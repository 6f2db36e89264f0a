//! A queue that leaves its folder: for another one, or because it is not there any more.

use std::path::PathBuf;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;

use super::super::disk::{Disk, Look};
use super::super::owners::Owner;
use super::{Closed, Keeping, Queue, tell_damage};
use crate::encode::point::Lines;
use crate::log::Episode;
use crate::system::OwnFolder;

impl Queue {
    /// Says whose it is, and lets it be in `folder` from here on, with all that waits; without one, it stays where it is. May
    /// take as long as the disk does.
    pub fn belongs_to(&self, owner: Owner, folder: Option<PathBuf>) {
        *self.owner.lock().unwrap_or_else(PoisonError::into_inner) = Some(owner);
        let mut keeping = self.disk();
        if let Some(folder) = folder {
            self.told.has_folder.store(true, Relaxed);
            self.move_to(&mut keeping, folder);
        }
        self.mark(&keeping);
        self.tell(&mut keeping);
    }

    pub(super) fn mark(&self, keeping: &Keeping) {
        let owner = self.owner.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Keeping::Open(disk, _), Some(owner)) = (keeping, &*owner) {
            owner.mark(disk.own_folder());
        }
    }

    fn move_to(&self, keeping: &mut Keeping, folder: PathBuf) {
        let place = OwnFolder::place(&folder).unwrap_or_else(|_| folder.clone());
        match keeping {
            Keeping::Open(disk, _) => {
                if disk.folder() != place && disk.rename(&place).is_err() {
                    self.leave_for(keeping, place);
                }
            }
            Keeping::Closed(closed) if closed.folder == folder => {}
            Keeping::Closed(_) | Keeping::None => {
                *keeping = Keeping::Closed(Closed { folder, place: None, told: None });
                self.keep_up(keeping, false);
            }
        }
    }

    /// Goes on in another folder, which has something in it, or is on another disk.
    fn leave_for(&self, keeping: &mut Keeping, place: PathBuf) {
        let Keeping::Open(old, _) = keeping else { return };
        match Disk::open(&place, self.bounds()) {
            Err(error) => {
                tracing::error!("points go on waiting in {}: the spool {error}", old.folder().display());
            }
            Ok((mut new, damage)) => {
                tell_damage(&damage);
                let (_, left) = old.pour_into(Some(&mut new), self.bounds().memory);
                self.add_dropped(old);
                if !left.is_empty() {
                    tracing::error!(
                        "points go on waiting in {}: {} takes none",
                        old.folder().display(),
                        place.display()
                    );
                    return new.be_done();
                }
                let old = std::mem::replace(keeping, Keeping::Open(Box::new(new), Episode::default()));
                if let Keeping::Open(old, _) = old {
                    old.be_done();
                }
            }
        }
    }

    /// Looks whether the folder is still there. What waited in it is kept elsewhere, as far as it can be read.
    pub(super) fn look(&self, keeping: &mut Keeping, closely: bool) {
        let Keeping::Open(disk, _) = keeping else { return };
        match disk.look(closely) {
            Look::Sound => {}
            Look::Mended { lost, rescued, trouble } => {
                let folder = disk.folder().display();
                for trouble in trouble {
                    tracing::error!("the spool {folder} is damaged: {trouble}");
                }
                let kept: usize = rescued.iter().map(Lines::count).sum();
                if lost > 0 || kept > 0 {
                    tracing::error!(
                        "files of the spool {folder} were taken away: {lost} points that waited in them are lost, {kept} are kept"
                    );
                }
                self.put_back(rescued);
            }
            Look::Away(what) => self.leave(keeping, &what),
        }
    }

    /// Leaves a folder that is not at its path any more.
    fn leave(&self, keeping: &mut Keeping, what: &str) {
        let Keeping::Open(mut old, _) = std::mem::replace(keeping, Keeping::None) else { return };
        let (waited, place) = (old.waiting().0, old.folder().to_owned());
        let mut closed = Closed { folder: place.clone(), place: Some(place.clone()), told: None };
        let mut new = match Disk::open(&place, self.bounds()) {
            Ok((disk, damage)) => {
                tell_damage(&damage);
                Some(disk)
            }
            Err(error) => {
                closed.told = Some(error.to_string());
                None
            }
        };
        let (count, left) = old.pour_into(new.as_mut(), self.bounds().memory);
        let lost = waited.saturating_sub(count);
        old.dropped.damaged += lost;
        self.add_dropped(&mut old);
        let fate = match (waited, &closed.told) {
            (0, None) => "nothing waited in it, and it is there again".to_owned(),
            (0, Some(error)) => format!("points are kept in memory, as it cannot be made again: {error}"),
            (_, None) => {
                format!("of {waited} points that waited in it {count} are in the new one, and {lost} are lost")
            }
            (_, Some(error)) => format!(
                "of {waited} points that waited in it {count} are kept in memory, and {lost} are lost; it cannot be made again: {error}"
            ),
        };
        tracing::error!("the spool {} {what}: {fate}", place.display());
        self.put_back(left);
        *keeping = match new {
            Some(new) => {
                old.be_done();
                Keeping::Open(Box::new(new), Episode::default())
            }
            // What is in memory alone stays where it was too: sent twice is better than not at all.
            None => Keeping::Closed(closed),
        };
        self.mark(keeping);
        self.tell(keeping);
    }

    /// Into memory, before what came later.
    fn put_back(&self, rescued: Vec<Lines>) {
        let is_in_flight = self.told.memory_in_flight.load(Relaxed);
        let mut memory = self.memory();
        for lines in rescued.into_iter().rev() {
            match is_in_flight {
                true => memory.push(lines),
                false => memory.put_before(lines),
            }
        }
    }
}
