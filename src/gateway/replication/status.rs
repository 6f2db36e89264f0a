//! What a replica reports about itself.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::durability::Durability;
use super::peers::{Peer, Peers};
use super::settings::Settings;
use crate::gateway::groups::position::Identity;

/// The role of a replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It applies what the writer appends to the stream.
    #[default]
    Follower,
    /// It appends to the stream.
    Writer,
    /// It has stopped, until a person acts.
    Stopped,
}

impl Role {
    /// All roles.
    pub const ALL: [Role; 3] = [Role::Follower, Role::Stopped, Role::Writer];
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Follower => "follower",
            Role::Writer => "writer",
            Role::Stopped => "stopped",
        })
    }
}

/// The status of a replica at one moment.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Its role.
    pub role: Role,
    /// Until when it exposes the groups: it is the writer, and no other replica can be before.
    pub exposes_until: Option<Instant>,
    /// Why it has stopped, or does not reach the stream.
    pub reason: Option<String>,
    /// The name of the writer.
    pub writer: Option<String>,
    /// The URL of the writer, for other replicas.
    pub writer_url: Option<String>,
    /// The stream.
    pub identity: Option<Identity>,
    /// The sequence of the last message that is applied.
    pub applied: u64,
    /// The last sequence of the stream, as last reported.
    pub last: u64,
    /// The sequence up to which the directory holds a copy.
    pub persisted: u64,
}

impl Status {
    /// Whether it exposes the groups at this moment.
    pub fn exposes(&self) -> bool {
        self.exposes_until.is_some_and(|until| Instant::now() < until)
    }

    /// Messages of the stream that are not applied.
    pub fn lag(&self) -> u64 {
        self.last.saturating_sub(self.applied)
    }
}

/// A replica, as the endpoints see it.
#[derive(Debug)]
pub struct Replication {
    /// Its settings, which a reload does not change.
    pub settings: Settings,
    /// Its status.
    pub status: Arc<Shared>,
    /// Sends requests to the writer.
    pub client: reqwest::Client,
}

impl Replication {
    /// The settings that identify the replica, and its status.
    pub fn to_json(&self) -> Value {
        let status = self.status.get();
        json!({
            "name": self.settings.name,
            "stream": self.settings.stream,
            "stream_id": status.identity.map(|identity| format!("{:032x}", identity.id)),
            "role": status.role.to_string(),
            "exposes_groups": status.exposes(),
            "reason": status.reason,
            "writer": status.writer,
            "writer_url": status.writer_url,
            "applied_sequence": status.applied,
            "last_sequence": status.last,
            "lag_messages": status.lag(),
            "persisted_sequence": status.persisted,
            "replicas": self.status.peers.all(Instant::now()).iter().map(Peer::to_json).collect::<Value>(),
            "durability": self.status.durability().to_json(),
        })
    }
}

/// The status, as the endpoints read it and the replication writes it.
#[derive(Debug, Default)]
pub struct Shared {
    status: ArcSwap<Status>,
    durability: ArcSwap<Durability>,
    /// All replicas, this one included, as they announce themselves.
    pub peers: Peers,
}

impl Shared {
    /// The status at this moment.
    pub fn get(&self) -> Arc<Status> {
        self.status.load_full()
    }

    /// Replaces it.
    pub fn set(&self, status: Status) {
        self.status.store(Arc::new(status));
    }

    /// Which servers of the stream sync each message, as last checked.
    pub fn durability(&self) -> Arc<Durability> {
        self.durability.load_full()
    }

    /// Replaces it.
    pub fn set_durability(&self, durability: Durability) {
        self.durability.store(Arc::new(durability));
    }
}
