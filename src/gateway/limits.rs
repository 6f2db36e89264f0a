//! How much there may be: in one push, in one group, in all.

use axum::http::StatusCode;

use super::answer::Refused;
use super::change::{Change, Piece};
use super::key::Key;
use super::state::{State, bytes_of, bytes_of_group};
use crate::encode::parse::model::Exposition;

/// Bounds of what is kept; those of one push are [`crate::encode::parse::Limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory that a group takes, as if it were the only one.
    pub group_bytes: usize,
    /// Series of a group.
    pub group_series: usize,
    /// Groups.
    pub groups: usize,
    /// Bytes of memory that all groups and points take together.
    pub bytes: usize,
    /// Series in all groups together.
    pub series: usize,
}

impl Limits {
    /// Whether there is room for what a change adds; `others` are bytes that are taken beside the groups. What makes less
    /// is always taken.
    ///
    /// # Errors
    /// 413 for a group that would be too large, 429 for what others may make room for; both name the setting.
    pub fn check(&self, state: &State, change: &Change, others: usize) -> Result<(), Refused> {
        // A block has no numbers for more.
        if change.added.iter().any(|piece| u32::try_from(piece.block.bytes()).is_err()) {
            return Err(Refused(StatusCode::PAYLOAD_TOO_LARGE, "a family would take more than 4 GiB".to_owned()));
        }
        self.check_group(state, change)?;
        self.check_all(state, change, others)
    }

    fn check_group(&self, state: &State, change: &Change) -> Result<(), Refused> {
        let alone = |piece: &Piece| bytes_of(&piece.name, &piece.help, &piece.block);
        let (removed, added) = (size(&change.removed, alone), size(&change.added, alone));
        let (kept, key) = (state.size_of(&change.key), bytes_of_group(&change.key));
        let (key_before, key_added) = if change.before.is_none() { (0, key) } else { (key, 0) };
        let check = |before: usize, removed: usize, added: usize, limit: usize, what, setting| {
            let after = before.saturating_sub(removed) + added;
            if after > before && after > limit { Err(too_large(after, limit, what, setting)) } else { Ok(()) }
        };
        check(kept.0 + key_before, removed.0, added.0 + key_added, self.group_bytes, "bytes", "max_group_bytes")?;
        check(kept.1, removed.1, added.1, self.group_series, "series", "max_group_series")
    }

    fn check_all(&self, state: &State, change: &Change, others: usize) -> Result<(), Refused> {
        let is_new = change.before.is_none();
        if is_new && state.groups() >= self.groups {
            return Err(full(self.groups, "groups", "max_groups"));
        }
        let beside = |piece: &Piece| state.more_of(piece);
        let (removed, added) = (size(&change.removed, beside), size(&change.added, beside));
        let more = state.more_seen(change) + if is_new { bytes_of_group(&change.key) } else { 0 };
        let check = |before: usize, removed: usize, added: usize, limit: usize, what, setting| {
            let is_more = added > removed && (before + added).saturating_sub(removed) > limit;
            if is_more { Err(full(limit, what, setting)) } else { Ok(()) }
        };
        check(state.bytes() + others, removed.0, added.0 + more, self.bytes, "bytes", "max_total_bytes")?;
        check(state.metrics(), removed.1, added.1, self.series, "series", "max_total_series")
    }

    /// Whether a push may be encoded at all: its series with the labels of the group, about.
    ///
    /// # Errors
    /// 413, with the setting.
    pub fn check_size(&self, key: &Key, pushed: &Exposition<'_>) -> Result<(), Refused> {
        let series: usize = pushed.families.iter().map(|family| family.metrics.len()).sum();
        let least = series.saturating_mul(key.length());
        if least > self.group_bytes {
            return Err(too_large(least, self.group_bytes, "bytes", "max_group_bytes"));
        }
        Ok(())
    }
}

/// Bytes, as `bytes` counts them, and series.
fn size(pieces: &[Piece], bytes: impl Fn(&Piece) -> usize) -> (usize, usize) {
    pieces.iter().fold((0, 0), |(sum, series), piece| (sum + bytes(piece), series + piece.block.metrics()))
}

fn too_large(after: usize, limit: usize, what: &str, key: &str) -> Refused {
    let message = format!("the group would have {after} {what}; [gateway] {key} is {limit}");
    Refused(StatusCode::PAYLOAD_TOO_LARGE, message)
}

fn full(limit: usize, what: &str, key: &str) -> Refused {
    let message = format!("there is no room for more than {limit} {what} in all groups: [gateway] {key}");
    Refused(StatusCode::TOO_MANY_REQUESTS, message)
}
