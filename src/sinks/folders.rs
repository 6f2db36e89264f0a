//! The spool folder of each sink.

use std::path::PathBuf;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::form::Form;
use super::kinds::KINDS;
use super::settings::Settings;
use crate::spool::folders::{Content, Folders, Orphan, SinkId, plain_folder};
use crate::spool::{self, Limits};

/// For scanning the spool, and for opening a queue. Scanning a full spool on a busy disk takes a second or two.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// The location of a sink's queue.
#[derive(Clone, Debug)]
pub struct Location {
    /// The sink.
    pub owner: SinkId,
    /// The folder; none if the queue is in memory only.
    pub folder: Option<PathBuf>,
}

/// The spool's identifiers of the sinks.
pub fn owners<'a>(sinks: impl Iterator<Item = &'a Settings>) -> Vec<SinkId> {
    let mut owners: Vec<SinkId> = Vec::new();
    for sink in sinks {
        let kind = sink.kind();
        let held = if matches!(sink.form(), Form::Series(_)) { Content::Series } else { Content::Points };
        let position = owners.iter().filter(|owner| owner.kind == kind).count();
        owners.push(SinkId { name: sink.delivery.name.clone(), kind: kind.to_owned(), held, position });
    }
    owners
}

/// The locations of the queues of the `owners`, and the folders that belong to no sink. A successor inherits the queue
/// of a removed sink, if the match is unambiguous. Sinks that are `running` have their queues already.
pub async fn locations(
    owners: Vec<SinkId>,
    running: Vec<bool>,
    spool: &spool::Settings,
) -> (Vec<Location>, Vec<Orphan>) {
    let Some(root) = spool.folder.clone() else {
        return (owners.into_iter().map(|owner| Location { owner, folder: None }).collect(), Vec::new());
    };
    let limits = Limits { memory: 0, bytes: spool.size, age: spool.age };
    let (wanted, named) = (owners.clone(), root.clone());
    let scanning = spawn_blocking(move || {
        let kinds: Vec<&str> = KINDS.iter().map(|kind| kind.info.name).collect();
        Folders::new(&root, &kinds, limits).assign(&wanted, &running)
    });
    let (folders, orphans) = match timeout(TIMEOUT, scanning).await {
        Ok(Ok(found)) => found,
        _ => {
            tracing::error!("the spool {} does not answer, and was not looked through", named.display());
            (owners.iter().map(|owner| plain_folder(&named, &owner.name)).collect(), Vec::new())
        }
    };
    for Orphan { folder, name, kind, points, .. } in &orphans {
        let to = kind.as_ref().map_or_else(|| "a sink".to_owned(), |kind| format!("one of [[sinks.{kind}]]"));
        tracing::warn!(
            "{points} points wait in {}, which belongs to no sink: give the name {name:?} to {to}, or delete it",
            folder.display()
        );
    }
    let locations = owners.into_iter().zip(folders).map(|(owner, folder)| Location { owner, folder: Some(folder) });
    (locations.collect(), orphans)
}
