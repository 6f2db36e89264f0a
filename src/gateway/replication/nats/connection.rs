//! The description of the stream.

use async_nats::Client;
use async_nats::jetstream::stream::Info;
use async_nats::jetstream::{self, Context};

use crate::gateway::groups::position::{Identity, Position};
use crate::gateway::replication::message::MAX_MESSAGE;

/// Bytes of the headers of a message, at most.
const HEADERS: usize = 1024;

/// The oldest version of the servers that was tested under faults.
const TESTED: (i64, i64, i64) = (2, 14, 0);

/// The key of the stream's metadata that holds its identity.
pub(super) const ID: &str = "taffrail_id";

/// The subject of the messages.
pub(super) fn subject(stream: &str) -> String {
    format!("{stream}.records")
}

/// The bucket of the lease.
pub(super) fn bucket(stream: &str) -> String {
    format!("{stream}_lease")
}

/// What matters of a stream.
#[derive(Clone, Debug)]
pub struct Description {
    /// None if Taffrail did not create it.
    pub identity: Option<Identity>,
    /// The first sequence that it still has; the next one if it is empty.
    pub first: u64,
    /// The last sequence.
    pub last: u64,
    /// How many servers store it.
    pub replicas: usize,
    /// The server that leads it.
    pub leader: Option<String>,
    /// The other servers that store it.
    pub followers: Vec<String>,
    /// Bytes that it takes on each server.
    pub bytes: u64,
}

impl Description {
    pub(super) fn new(info: &Info) -> Description {
        let id = info.config.metadata.get(ID).and_then(|id| u128::from_str_radix(id, 16).ok());
        let created = i64::try_from(info.created.unix_timestamp_nanos()).unwrap_or_default();
        Description {
            identity: id.map(|id| Identity { id, created }),
            first: info.state.first_sequence.max(1),
            last: info.state.last_sequence,
            replicas: info.config.num_replicas,
            leader: info.cluster.as_ref().and_then(|cluster| cluster.leader.clone()),
            followers: info
                .cluster
                .iter()
                .flat_map(|cluster| &cluster.replicas)
                .map(|peer| peer.name.clone())
                .collect(),
            bytes: info.state.bytes,
        }
    }

    /// The servers that store it. A server without a cluster names no leader.
    pub(super) fn servers(&self, client: &Client) -> Vec<String> {
        let leader =
            self.leader.clone().or_else(|| self.followers.is_empty().then(|| client.server_info().server_name));
        leader.into_iter().chain(self.followers.iter().cloned()).collect()
    }

    /// Whether messages were removed that a replica at this position has not applied.
    pub fn lacks_next(&self, at: Position) -> bool {
        self.first > at.sequence + 1
    }

    /// Whether a replica at this position may continue.
    ///
    /// # Errors
    /// Why it must stop.
    pub fn check(&self, stream: &str, at: Position) -> Result<(), String> {
        let Position { identity, sequence, .. } = at;
        if self.identity != Some(identity) {
            return Err(format!("the stream {stream} is not the one that this replica has followed"));
        }
        if self.last < sequence {
            let last = self.last;
            return Err(format!("the stream {stream} ends at message {last}, and this replica has applied {sequence}"));
        }
        Ok(())
    }
}

/// The key of the lease in its bucket.
pub(super) const LEASE_KEY: &str = "writer";

/// Asks for the description of a stream.
///
/// # Errors
/// The stream does not exist, or the servers do not answer.
pub(super) async fn describe(
    context: &Context,
    stream: &str,
) -> Result<(jetstream::stream::Stream, Description), String> {
    let found = context.get_stream(stream).await.map_err(|error| format!("the stream {stream}: {error}"))?;
    let description = Description::new(found.cached_info());
    Ok((found, description))
}

/// Logs what makes the stream less safe, as far as a client sees it.
pub(super) fn warn(client: &Client, stream: &str, description: &Description) {
    let version = client.server_info().version;
    let (major, minor, patch) = TESTED;
    if !client.is_server_compatible(major, minor, patch) {
        tracing::warn!("the NATS server has version {version}; {major}.{minor} and newer are tested");
    }
    if description.replicas < 3 {
        let count = description.replicas;
        tracing::warn!("the stream {stream} is stored on {count} servers; three survive the loss of one");
    }
}

/// Whether the servers accept messages of the size that is needed.
pub(super) fn check_size(client: &Client) -> Result<(), String> {
    let max = client.server_info().max_payload;
    match max >= MAX_MESSAGE + HEADERS {
        true => Ok(()),
        false => Err(format!("the NATS servers have max_payload {max}; set it to 1MB")),
    }
}
