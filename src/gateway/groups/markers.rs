//! The gauges that every group has, derived from its times when they are read.
//!
//! A key has no empty labels, so no two groups have the same markers.

use super::times::Times;
use crate::encode::parse::model::Kind;

/// The gauge with the time of a group's last accepted push.
pub const PUSH_TIME: &str = "push_time_seconds";
/// The gauge with the time of a group's last refused push.
pub const PUSH_FAILURE_TIME: &str = "push_failure_time_seconds";

/// A gauge that every group has.
pub struct Marker {
    /// Its name.
    pub name: &'static str,
    /// Its help text.
    pub help: &'static str,
    /// Its value.
    pub of: fn(Times) -> f64,
}

/// All markers, sorted by name.
pub const MARKERS: [Marker; 2] = [
    Marker {
        name: PUSH_FAILURE_TIME,
        help: "Unix time of the last refused push to this group; 0 if none",
        of: |times| times.failed,
    },
    Marker { name: PUSH_TIME, help: "Unix time of the last accepted push to this group", of: |times| times.pushed },
];

/// Whether this is the name of a marker.
pub fn is_marker(name: &str) -> bool {
    MARKERS.iter().any(|marker| marker.name == name)
}

/// The type of the marker of this name.
pub fn kind_of(name: &str) -> Option<Kind> {
    is_marker(name).then_some(Kind::Gauge)
}
