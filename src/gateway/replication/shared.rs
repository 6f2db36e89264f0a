//! A replica as the endpoints see it, with the other replicas and the servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use serde_json::{Value, json};

use super::durability::Durability;
use super::peers::{Peer, Peers};
use super::settings::Settings;
use super::status::Status;

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
            "reason": status.shown_reason(),
            "writer": status.writer,
            "writer_url": status.writer_url,
            "applied_sequence": status.applied,
            "last_sequence": status.last,
            "lag_messages": status.lag(),
            "persisted_sequence": status.persisted,
            "replicas": self.status.peers.all(Instant::now()).iter().map(Peer::to_json).collect::<Value>(),
            "durability": self.status.durability().to_json(),
            "warnings": *self.status.warnings(),
        })
    }
}

/// The status, as the endpoints read it and the replication writes it.
#[derive(Debug, Default)]
pub struct Shared {
    status: ArcSwap<Status>,
    durability: ArcSwap<Durability>,
    warnings: ArcSwap<Vec<String>>,
    may_announce: AtomicBool,
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

    /// The settings of the stream with which servers may lose, remove or refuse messages, as last checked.
    pub fn warnings(&self) -> Arc<Vec<String>> {
        self.warnings.load_full()
    }

    /// Replaces them.
    pub fn set_warnings(&self, warnings: Vec<String>) {
        self.warnings.store(Arc::new(warnings));
    }

    /// Whether the replica may announce itself: no stream would store that, as far as it is known.
    pub fn may_announce(&self) -> bool {
        self.may_announce.load(Ordering::Relaxed)
    }

    /// Sets whether it may.
    pub fn set_may_announce(&self, may_announce: bool) {
        self.may_announce.store(may_announce, Ordering::Relaxed);
    }
}
