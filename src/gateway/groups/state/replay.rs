//! Replaying the log's records, and those of a stream.

use std::collections::HashSet;

use super::State;
use crate::gateway::groups::block;
use crate::gateway::groups::change::{Change, GroupFamily};
use crate::gateway::groups::markers::is_marker;
use crate::gateway::groups::record::{self, GroupRecord, Record};

impl State {
    /// Applies a record, which was checked when it was written; returns whether all of it was readable.
    pub fn replay(&mut self, record: &Record<'_>) -> bool {
        let removed = match record {
            Record::Group(group) => return self.replay_group(group),
            Record::Removed(keys) => self.select_keys(keys),
            Record::AllRemoved => self.select(|_, _| true),
            Record::Expired(jobs, next) => {
                self.record_expired(jobs.iter().cloned());
                return next.iter().all(|record| self.replay(record));
            }
            Record::Decided(decided) => return self.replay_batch(decided.batch),
        };
        drop(self.sweep(&removed));
        true
    }

    /// Applies the records of a batch; returns whether all of it was readable.
    pub fn replay_batch(&mut self, batch: &[u8]) -> bool {
        let mut is_whole = true;
        for record in record::records_of_batch(batch) {
            is_whole &= record.is_some_and(|record| self.replay(&record));
        }
        is_whole
    }

    fn replay_group(&mut self, group: &GroupRecord<'_>) -> bool {
        if group.times.is_none() {
            drop(self.sweep(&self.select_keys(std::slice::from_ref(&group.key))));
            return true;
        }
        let families = self.families_of(&group.key).unwrap_or_default();
        let names: HashSet<&str> = group.removed.iter().copied().chain(group.added.iter().map(|f| f.name)).collect();
        let is_removed = |family: &GroupFamily| !is_marker(&family.name) && names.contains(family.name.as_ref());
        let removed = families.into_iter().filter(is_removed).collect();
        let (mut added, mut is_whole) = (Vec::with_capacity(group.added.len()), true);
        for family in &group.added {
            let before = added.len();
            block::decode(family.name, family.kind, family.help, family.is_protobuf, family.body, &mut |read| {
                added.push(self.encode(read, &group.key));
            });
            // An unreadable family does not affect the others.
            is_whole &= added.len() > before || family.body.is_empty();
        }
        let before = self.times(&group.key);
        self.apply(&Change { key: group.key.clone(), removed, added, before, after: group.times, seen: None });
        group.seen.iter().for_each(|push| self.remember(&group.key, *push));
        is_whole
    }
}
