//! What was read of all cgroups at one moment.

use std::collections::HashMap;
use std::sync::Arc;

use super::labels::Labels;
use super::sets::Sets;
use super::usage::{Device, Usage};
use crate::host::Timestamp;
use crate::host::links::Link;

/// All cgroups that are shown, each before those below it.
#[derive(Default)]
pub(in super::super) struct ContainerReading {
    pub(super) measured: Vec<Measured>,
    /// All that there are, shown or not.
    pub(super) cgroups: u64,
    /// Those that were left out because of the limit.
    pub(super) left_out: u64,
    pub(super) now: Timestamp,
    /// The names of block devices: `/dev/sda`.
    pub(super) device_names: HashMap<(u32, u32), String>,
    /// The sets of families that are on.
    pub(super) sets: Sets,
    /// The host's memory in bytes, if it was asked for.
    pub(super) memory_total: Option<u64>,
    /// CPU time of the whole host, idle time included, in nanoseconds; if it was asked for.
    pub(super) host_cpu_time: Option<u64>,
}

/// One cgroup.
pub(super) struct Measured {
    pub(super) labels: Arc<Labels>,
    /// When the cgroup was made.
    pub(super) made: Option<Timestamp>,
    /// When the container was started, or its first process, or else when the cgroup was made.
    pub(super) started: Option<Timestamp>,
    pub(super) usage: Usage,
    pub(super) interfaces: Vec<Link>,
    pub(super) open_files: Option<OpenFiles>,
    /// The limit of open files of its first process; nothing if there is none.
    pub(super) max_open_files: Option<i64>,
}

impl Measured {
    pub(super) fn new(labels: Arc<Labels>, started: Option<Timestamp>, usage: Usage) -> Self {
        let (made, interfaces, open_files, max_open_files) = (None, Vec::new(), None, None);
        Measured { labels, made, started, usage, interfaces, open_files, max_open_files }
    }

    /// The devices on which it did anything; on cgroup v1 all others are there too.
    pub(super) fn busy_devices(&self) -> impl Iterator<Item = &Device> {
        self.usage.devices.iter().filter(|device| !device.is_idle())
    }
}

/// What the processes of a cgroup have open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OpenFiles {
    pub(super) descriptors: u64,
    pub(super) sockets: u64,
}

impl ContainerReading {
    /// The name of a block device; empty where sysfs does not know it.
    pub(super) fn device_name(&self, number: (u32, u32)) -> &str {
        self.device_names.get(&number).map_or("", String::as_str)
    }
}
