//! Begins with the snapshot that a stream has in place of removed messages.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::Stream;
use tokio::time::timeout;

use super::connection::Description;
use super::reader::Reader;
use crate::gateway::groups::position::{Identity, Position};
use crate::gateway::persistence::replica::ReplicaStore;
use crate::gateway::replication::message::{self, Content};

/// How long the next message may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What is known of the messages before the first one of a stream, which someone may have removed by hand.
#[derive(Default)]
pub(super) struct Removed {
    /// The first message when that was last checked, and whether a snapshot replaces those before it.
    checked: Option<(u64, bool)>,
}

impl Removed {
    /// A warning if messages are missing that no snapshot replaces: replicas that have applied them go on, and others cannot
    /// begin.
    pub(super) async fn warning(&mut self, context: &Context, name: &str, found: &Description) -> Option<String> {
        // The messages of another program mean nothing.
        found.identity?;
        let first = found.first;
        if self.checked.is_none_or(|(checked, _)| checked != first) {
            let stream = context.get_stream(name).await.ok()?;
            // Without an answer, it is checked again.
            self.checked = has_snapshot(stream, found).await.map(|has_snapshot| (first, has_snapshot));
        }
        let is_replaced = self.checked.is_none_or(|(_, is_replaced)| is_replaced);
        (!is_replaced).then(|| {
            format!(
                "messages: expected a snapshot in place of those before message {first}, found none; someone has removed \
                 them, and a new or an empty replica cannot begin; start it with a copy of the directory of another replica, \
                 which is stopped for that"
            )
        })
    }
}

/// Whether the stream has the beginning of a snapshot in place of the messages before its first one; none if that cannot be
/// read. Its writer removes messages only when all of the snapshot is there.
async fn has_snapshot(stream: Stream, found: &Description) -> Option<bool> {
    if found.first == 1 {
        return Some(true);
    }
    let wanted = found.first - 1;
    let mut reader = Reader::new(stream, wanted);
    for expected in found.first..=found.last {
        let received = timeout(TIMEOUT, reader.next()).await.ok().flatten();
        let (_, bytes) = received.filter(|(sequence, _)| *sequence == expected)?;
        let content = message::decode(&bytes).ok().map(|message| message.content);
        if matches!(content, Some(Content::Snapshot { base, .. }) if base == wanted) {
            return Some(true);
        }
    }
    Some(false)
}

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
