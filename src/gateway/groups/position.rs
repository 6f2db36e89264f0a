//! Positions in a stream that several replicas share.

/// Identifies a stream: another of the same name has another identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Chosen at random when the stream was created.
    pub id: u128,
    /// The server's creation time, in nanoseconds of Unix time.
    pub created: i64,
}

/// A position in a stream: everything up to it is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The stream.
    pub identity: Identity,
    /// The sequence of the last message; 0 before the first.
    pub sequence: u64,
    /// The sequence of the last claim; 0 before the first.
    pub claim: u64,
    /// Whether the replica of this claim may still write.
    pub is_open: bool,
    /// A digest of the last message.
    pub last: u32,
    /// A digest of all messages.
    pub chain: u64,
}

impl Position {
    /// Before the first message.
    pub fn start(identity: Identity) -> Position {
        Position { identity, sequence: 0, claim: 0, is_open: false, last: 0, chain: 0 }
    }
}
