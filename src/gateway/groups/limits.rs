//! The limits of one group and of all groups.

use super::change::{Change, GroupFamily};
use super::state::{State, bytes_of, bytes_of_group};
use crate::encode::parse::model::Exposition;
use crate::gateway::key::Key;

/// Limits of the state; those of one push are [`crate::encode::parse::Limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory of a group, as if it were the only one.
    pub group_bytes: usize,
    /// Series of a group.
    pub group_series: usize,
    /// Number of groups.
    pub groups: usize,
    /// Bytes of memory of all groups and points.
    pub bytes: usize,
    /// Series of all groups.
    pub series: usize,
}

/// A limit that a push would exceed. Each message names the setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// A family is larger than a block can be.
    #[error("a family would take more than 4 GiB")]
    Family,
    /// A limit of one group.
    #[error("the group would have {size} {unit}; [gateway] {setting} is {limit}")]
    Group {
        /// The size of the group after the push.
        size: usize,
        /// Its limit.
        limit: usize,
        /// The unit of both.
        unit: &'static str,
        /// The setting.
        setting: &'static str,
    },
    /// A limit of all groups together.
    #[error("there is no room for more than {limit} {unit} in all groups: [gateway] {setting}")]
    Total {
        /// The limit.
        limit: usize,
        /// Its unit.
        unit: &'static str,
        /// The setting.
        setting: &'static str,
    },
}

impl Limits {
    /// Checks what a change adds; `others` is the memory in use besides the groups. A change that makes a group smaller is
    /// always accepted.
    ///
    /// # Errors
    /// The limit that the change would exceed.
    pub fn check(&self, state: &State, change: &Change, others: usize) -> Result<(), LimitError> {
        // The length fields of a block have 32 bits.
        if change.added.iter().any(|family| u32::try_from(family.block.bytes()).is_err()) {
            return Err(LimitError::Family);
        }
        self.check_group(state, change)?;
        self.check_all(state, change, others)
    }

    fn check_group(&self, state: &State, change: &Change) -> Result<(), LimitError> {
        let alone = |family: &GroupFamily| bytes_of(&family.name, &family.help, &family.block);
        let (removed, added) = (size(&change.removed, alone), size(&change.added, alone));
        let (present, key) = (state.size_of(&change.key), bytes_of_group(&change.key));
        let (key_before, key_added) = if change.before.is_none() { (0, key) } else { (key, 0) };
        let check = |before: usize, removed: usize, added: usize, limit: usize, unit, setting| {
            let size = before.saturating_sub(removed) + added;
            let is_over = size > before && size > limit;
            if is_over { Err(LimitError::Group { size, limit, unit, setting }) } else { Ok(()) }
        };
        check(present.0 + key_before, removed.0, added.0 + key_added, self.group_bytes, "bytes", "max_group_bytes")?;
        check(present.1, removed.1, added.1, self.group_series, "series", "max_group_series")
    }

    fn check_all(&self, state: &State, change: &Change, others: usize) -> Result<(), LimitError> {
        let is_new = change.before.is_none();
        if is_new && state.groups() >= self.groups {
            return Err(LimitError::Total { limit: self.groups, unit: "groups", setting: "max_groups" });
        }
        let shared = |family: &GroupFamily| state.added_bytes(family);
        let (removed, added) = (size(&change.removed, shared), size(&change.added, shared));
        let more = state.added_history_bytes(change) + if is_new { bytes_of_group(&change.key) } else { 0 };
        let check = |before: usize, removed: usize, added: usize, limit: usize, unit, setting| {
            let is_over = added > removed && (before + added).saturating_sub(removed) > limit;
            if is_over { Err(LimitError::Total { limit, unit, setting }) } else { Ok(()) }
        };
        check(state.bytes() + others, removed.0, added.0 + more, self.bytes, "bytes", "max_total_bytes")?;
        check(state.metrics(), removed.1, added.1, self.series, "series", "max_total_series")
    }

    /// Checks a lower bound of a push's size before it is encoded: its series, each with the group's labels.
    ///
    /// # Errors
    /// The group's limit of bytes.
    pub fn check_size(&self, key: &Key, pushed: &Exposition<'_>) -> Result<(), LimitError> {
        let series: usize = pushed.families.iter().map(|family| family.metrics.len()).sum();
        let (size, limit) = (series.saturating_mul(key.length()), self.group_bytes);
        let is_over = size > limit;
        if is_over { Err(LimitError::Group { size, limit, unit: "bytes", setting: "max_group_bytes" }) } else { Ok(()) }
    }
}

/// Bytes, as counted by `bytes`, and series.
fn size(families: &[GroupFamily], bytes: impl Fn(&GroupFamily) -> usize) -> (usize, usize) {
    families.iter().fold((0, 0), |(sum, series), family| (sum + bytes(family), series + family.block.metrics()))
}
