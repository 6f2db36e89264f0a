//! What a replica reports about itself.

use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::gateway::groups::position::Identity;

/// After this time without a description, a replica does not see the stream.
pub const UNSEEN: Duration = Duration::from_secs(15);

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
    /// Why its directory holds no newer copy, and what to do.
    pub copy_failure: Option<String>,
    /// The name of the writer.
    pub writer: Option<String>,
    /// The URL of the writer, for other replicas.
    pub writer_url: Option<String>,
    /// The stream.
    pub identity: Option<Identity>,
    /// When the servers have last described the stream.
    pub seen: Option<Instant>,
    /// The sequence of the last message that is applied.
    pub applied: u64,
    /// The last sequence of the stream, as last reported.
    pub last: u64,
    /// The sequence up to which the directory holds a copy.
    pub persisted: u64,
}

impl Status {
    /// What keeps it from its work, or from a copy on disk.
    pub fn shown_reason(&self) -> Option<&String> {
        self.reason.as_ref().or(self.copy_failure.as_ref())
    }

    /// Whether it exposes the groups at this moment.
    pub fn exposes(&self) -> bool {
        self.exposes_until.is_some_and(|until| Instant::now() < until)
    }

    /// The status of a replica that follows no stream for this reason, at the position of this one.
    pub fn without_stream(&self, role: Role, reason: String) -> Status {
        let Status { applied, last, persisted, seen, .. } = *self;
        Status { role, reason: Some(reason), applied, last, persisted, seen, ..Status::default() }
    }

    /// Whether it sees the stream: without, its lag is not known. Longer than an election of the servers, which takes 4 to 9 s.
    pub fn sees_stream(&self) -> bool {
        self.seen.is_some_and(|at| at.elapsed() < UNSEEN)
    }

    /// Messages of the stream that are not applied, as far as it is known.
    pub fn lag(&self) -> u64 {
        self.last.saturating_sub(self.applied)
    }
}
