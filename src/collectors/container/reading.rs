//! The reading of all cgroups.

use std::collections::HashMap;
use std::sync::Arc;

use super::labels::Labels;
use super::lifecycle::Counted;
use super::names::EngineState;
use super::point_settings::PointSettings;
use super::sets::Sets;
use super::usage::{Device, Usage};
use crate::encode::Timestamp;
use crate::host::links::Link;

/// All exported cgroups, parents first.
#[derive(Default)]
pub(in super::super) struct ContainerReading {
    pub(super) measured: Vec<Measured>,
    /// Restarts and OOM kills of containers, running or not.
    pub(super) counted: Vec<Counted>,
    /// Cgroups on the host, exported or not.
    pub(super) cgroups: u64,
    /// Cgroups left out because of the limit.
    pub(super) left_out: u64,
    pub(super) now: Timestamp,
    /// Names of block devices: `/dev/sda`.
    pub(super) device_names: HashMap<(u32, u32), String>,
    /// Enabled sets of families.
    pub(super) sets: Sets,
    /// States of the container engines.
    pub(super) engines: Vec<Arc<EngineState>>,
    /// Settings of the points.
    pub(super) points: PointSettings,
    /// Memory of the host in bytes, if wanted.
    pub(super) memory_total: Option<u64>,
    /// CPU time of the host including idle, in nanoseconds, if wanted.
    pub(super) host_cpu_time: Option<u64>,
}

/// A measured cgroup.
pub(super) struct Measured {
    pub(super) labels: Arc<Labels>,
    /// Start of the container, otherwise of its init process, otherwise the creation time of the cgroup.
    pub(super) started: Option<Timestamp>,
    pub(super) usage: Usage,
    /// File systems: of all devices for the host, of its own files for a container or pod.
    pub(super) file_systems: Vec<FileSystem>,
    pub(super) interfaces: Vec<Link>,
    pub(super) open_files: Option<OpenFiles>,
    /// Open files limit of the init process. -1 if unlimited.
    pub(super) max_open_files: Option<i64>,
}

impl Measured {
    pub(super) fn new(labels: Arc<Labels>, usage: Usage) -> Self {
        let (started, open_files, max_open_files) = (None, None, None);
        let (file_systems, interfaces) = (Vec::new(), Vec::new());
        Measured { labels, started, usage, file_systems, interfaces, open_files, max_open_files }
    }

    /// Devices with any I/O. On cgroup v1 the others are listed too.
    pub(super) fn busy_devices(&self) -> impl Iterator<Item = &Device> {
        self.usage.devices.iter().filter(|device| !device.is_idle())
    }
}

/// Usage and size of a file system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FileSystem {
    /// The device. Empty if unknown.
    pub(super) device: Arc<str>,
    /// Used bytes.
    pub(super) usage: Option<u64>,
    /// Size in bytes.
    pub(super) limit: Option<u64>,
    /// Inodes.
    pub(super) inodes: Option<u64>,
    pub(super) inodes_free: Option<u64>,
}

/// Open descriptors of the processes of a cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OpenFiles {
    pub(super) descriptors: u64,
    pub(super) sockets: u64,
}

impl ContainerReading {
    /// Name of a block device. Empty if sysfs does not have it.
    pub(super) fn device_name(&self, number: (u32, u32)) -> &str {
        self.device_names.get(&number).map_or("", String::as_str)
    }
}
