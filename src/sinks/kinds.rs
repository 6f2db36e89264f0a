//! Every kind of push sink, in the order of the documentation.

use super::kind::Entry;

/// All kinds of push sinks. Settings, documentation and the spool are derived from this list.
pub static KINDS: &[Entry] = &[
    Entry::of::<super::influxdb::Settings>(),
    Entry::of::<super::remote_write::Settings>(),
    Entry::of::<super::elasticsearch::Settings>(),
    Entry::of::<super::file::Settings>(),
    #[cfg(feature = "cloudwatch")]
    Entry::of::<super::cloudwatch::Settings>(),
];
