//! Where in the spool the points of each sink wait.

use std::path::PathBuf;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::form::Form;
use super::settings::{KINDS, Settings};
use crate::spool::owners::{Folders, Held, Orphan, Owner, plain_folder};
use crate::spool::{self, Bounds};

/// How long the spool may take to be looked through, and to be opened: a disk under load takes a second or two for a full
/// one.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Where a sink's points wait.
#[derive(Clone, Debug)]
pub struct Place {
    /// Whose they are.
    pub owner: Owner,
    /// The folder; without one, they wait in memory alone.
    pub folder: Option<PathBuf>,
}

/// The sinks, as the spool knows them.
pub fn owners<'a>(sinks: impl Iterator<Item = &'a Settings>) -> Vec<Owner> {
    let mut owners: Vec<Owner> = Vec::new();
    for sink in sinks {
        let kind = sink.kind();
        let held = if matches!(sink.form(), Form::Series(_)) { Held::Series } else { Held::Points };
        let position = owners.iter().filter(|owner| owner.kind == kind).count();
        owners.push(Owner { name: sink.delivery.name.clone(), kind: kind.to_owned(), held, position });
    }
    owners
}

/// Where the points of each of the `owners` wait, and the folders that belong to nobody. What waits for a sink that is not
/// there any more becomes its successor's, if there is no doubt which that is; those that are `running` have their own.
pub async fn places(owners: Vec<Owner>, running: Vec<bool>, spool: &spool::Settings) -> (Vec<Place>, Vec<Orphan>) {
    let Some(root) = spool.folder.clone() else {
        return (owners.into_iter().map(|owner| Place { owner, folder: None }).collect(), Vec::new());
    };
    let bounds = Bounds { memory: 0, bytes: spool.size, age: spool.age };
    let (looked_for, named) = (owners.clone(), root.clone());
    let looking = spawn_blocking(move || {
        let kinds: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
        Folders::new(&root, &kinds, bounds).settle(&looked_for, &running)
    });
    let (folders, orphans) = match timeout(PATIENCE, looking).await {
        Ok(Ok(found)) => found,
        _ => {
            tracing::error!("the spool {} does not answer, and was not looked through", named.display());
            (owners.iter().map(|owner| plain_folder(&named, &owner.name)).collect(), Vec::new())
        }
    };
    for Orphan { folder, points, .. } in &orphans {
        tracing::warn!(
            "{points} points wait in {}, which belongs to no sink: give one the name that the folder has, or delete it",
            folder.display()
        );
    }
    let places = owners.into_iter().zip(folders).map(|(owner, folder)| Place { owner, folder: Some(folder) });
    (places.collect(), orphans)
}
