//! Begins with the snapshot that a stream has in place of removed messages.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::jetstream::stream::Stream;
use tokio::time::timeout;

use super::connection::Description;
use super::reader::Reader;
use crate::gateway::groups::position::{Identity, Position};
use crate::gateway::persistence::replica::ReplicaStore;
use crate::gateway::replication::message::{self, Content};

/// How long the next message may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why there are no groups.
pub(super) enum LoadError {
    /// Messages did not arrive, or were removed meanwhile.
    Retry(String),
    /// The replica must stop.
    Stop(String),
}

/// Replaces the groups of `store` by those of the snapshot; returns their position. The stream has a complete snapshot of the
/// groups before its first message, since its writer removes messages only then.
pub(super) async fn load(
    stream: &Stream,
    found: &Description,
    identity: Identity,
    store: &ReplicaStore,
) -> Result<Position, LoadError> {
    let wanted = found.first - 1;
    let mut reader = Reader::new(stream.clone(), wanted);
    let mut snapshots: HashMap<u128, (u32, Vec<u8>)> = HashMap::new();
    for expected in found.first.. {
        if expected > found.last {
            let first = found.first;
            return Err(LoadError::Stop(format!(
                "the stream begins at message {first}, and has no snapshot before it"
            )));
        }
        let received = timeout(TIMEOUT, reader.next()).await.ok().flatten();
        let Some((_, bytes)) = received.filter(|(sequence, _)| *sequence == expected) else {
            return Err(LoadError::Retry(format!("message {expected} of the stream does not arrive")));
        };
        let Ok(message) = message::decode(&bytes) else { continue };
        let Content::Snapshot { base, part, is_last, payload } = message.content else { continue };
        let (next, snapshot) = snapshots.entry(message.id).or_default();
        if base != wanted || part != *next {
            continue;
        }
        *next += 1;
        snapshot.extend_from_slice(payload);
        if is_last {
            let position = store.load(snapshot).filter(|at| at.sequence == base && at.identity == identity);
            let unreadable = || LoadError::Stop("the snapshot in the stream cannot be read".to_owned());
            return position.ok_or_else(unreadable);
        }
    }
    Err(LoadError::Retry(String::new()))
}
