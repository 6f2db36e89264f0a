//! The content of a snapshot on disk.

use std::collections::HashMap;
use std::io;

use crate::gateway::groups::change::GroupFamily;
use crate::gateway::groups::position::Position;
use crate::gateway::groups::record::{self, TooLong};
use crate::gateway::groups::selection::ExpiryTimes;
use crate::gateway::groups::state::{Snapshot, State};
use crate::store::{self, Finished, Records};

use super::pending::Inner;

/// All groups at one moment, with everything that a snapshot on disk contains.
pub(super) struct SnapshotContent {
    all: Snapshot,
    /// The idempotency digests of each group that has any, by its number.
    seen: HashMap<u32, Vec<u128>>,
    expired: ExpiryTimes,
    bytes: u64,
    /// The position in the stream; none if the gateway is alone.
    position: Option<Position>,
}

impl SnapshotContent {
    /// Everything that the log is to hold: a replica's pending changes are not in it.
    pub(super) fn of_log(inner: &mut Inner) -> SnapshotContent {
        match inner.replica.as_ref().map(|replica| replica.decided) {
            None => SnapshotContent::of(&inner.state, None),
            Some(position) => inner.decided(|state| SnapshotContent::of(state, position)),
        }
    }

    /// All groups of the state.
    pub(super) fn of(state: &State, position: Option<Position>) -> SnapshotContent {
        let seen = state.numbered_groups().filter(|(_, group)| group.history.seen().len() > 0);
        let seen = seen.map(|(number, group)| (number, group.history.seen().collect()));
        SnapshotContent {
            all: state.snapshot(),
            seen: seen.collect(),
            expired: state.expired().clone(),
            bytes: state.snapshot_bytes(),
            position,
        }
    }

    /// Bytes on disk, approximately.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes the expiry times, one record for each group, and the position.
    ///
    /// # Errors
    /// A write failed, or a family belongs to no group: the snapshot is invalid.
    pub(super) fn write(self, mut snapshot: store::Snapshot) -> io::Result<Finished> {
        let mut records = Records::default();
        self.each(&mut |record| {
            records.clear();
            records.push_any(record);
            snapshot.write(&records)
        })?;
        snapshot.finish()
    }

    /// Passes all records to `write`.
    ///
    /// # Errors
    /// As [`SnapshotContent::write`].
    pub(super) fn each(mut self, write: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut families: HashMap<u32, Vec<GroupFamily>> = HashMap::new();
        for (name, entry) in &self.all.families {
            for (number, block) in entry.blocks.iter() {
                let family = GroupFamily {
                    name: name.clone(),
                    kind: entry.kind,
                    help: entry.help.clone(),
                    block: block.clone(),
                };
                families.entry(number).or_default().push(family);
            }
        }
        let mut put = |record: Result<Vec<u8>, TooLong>| write(&record.map_err(io::Error::other)?);
        put(record::encode_expired(&self.expired))?;
        for (number, key, times) in &self.all.groups {
            let seen = self.seen.remove(number).unwrap_or_default();
            put(record::encode_group(key, *times, &families.remove(number).unwrap_or_default(), &seen))?;
        }
        if let Some(position) = self.position {
            put(Ok(record::encode_decided(position.sequence, position, &[])))?;
        }
        match families.len() {
            0 => Ok(()),
            left => Err(io::Error::other(format!("families of {left} groups would be left out"))),
        }
    }
}
