//! How much there may be: in one push, in one group, in all.

use axum::http::StatusCode;

use super::answer::Refused;
use super::change::Change;
use super::state::State;

/// Bounds of what is kept; those of one push are [`crate::encode::parse::Limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a group, as it is kept.
    pub group_bytes: usize,
    /// Series of a group.
    pub group_series: usize,
    /// Groups.
    pub groups: usize,
    /// Bytes in all groups together.
    pub bytes: usize,
    /// Series in all groups together.
    pub series: usize,
}

impl Limits {
    /// Whether there is room for what a change adds. What makes less is always taken.
    ///
    /// # Errors
    /// 413 for a group that would be too large, 429 for what others may make room for; both name the setting.
    pub fn check(&self, state: &State, change: &Change) -> Result<(), Refused> {
        let size = |pieces: &[super::change::Piece]| {
            pieces
                .iter()
                .fold((0, 0), |(bytes, series), piece| (bytes + piece.block.bytes(), series + piece.block.metrics()))
        };
        let (removed, added) = (size(&change.removed), size(&change.added));
        let (more_bytes, more_series) = (added.0 > removed.0, added.1 > removed.1);
        let kept = state.size_of(&change.key);
        let group = |is_more: bool, before: usize, removed: usize, added: usize, limit: usize, what, key| {
            let after = before.saturating_sub(removed) + added;
            if is_more && after > limit { Err(too_large(after, limit, what, key)) } else { Ok(()) }
        };
        group(more_bytes, kept.0, removed.0, added.0, self.group_bytes, "bytes", "max_group_bytes")?;
        group(more_series, kept.1, removed.1, added.1, self.group_series, "series", "max_group_series")?;
        if change.before.is_none() && state.groups() >= self.groups {
            return Err(full(self.groups, "groups", "max_groups"));
        }
        if more_bytes && state.bytes() - removed.0 + added.0 > self.bytes {
            return Err(full(self.bytes, "bytes", "max_total_bytes"));
        }
        if more_series && state.metrics() - removed.1 + added.1 > self.series {
            return Err(full(self.series, "series", "max_total_series"));
        }
        Ok(())
    }
}

fn too_large(after: usize, limit: usize, what: &str, key: &str) -> Refused {
    let message = format!("the group would have {after} {what}; [gateway] {key} is {limit}");
    Refused(StatusCode::PAYLOAD_TOO_LARGE, message)
}

fn full(limit: usize, what: &str, key: &str) -> Refused {
    let message = format!("there is no room for more than {limit} {what} in all groups: [gateway] {key}");
    Refused(StatusCode::TOO_MANY_REQUESTS, message)
}
