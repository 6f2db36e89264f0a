//! sysfs: which CPUs there are, and how often they were throttled.

use std::collections::HashMap;
use std::sync::Arc;

use crate::collectors::framework::ReadContext;
use crate::collectors::processor::cpu_list::read_cpu_list;
use crate::host::{Host, HostFile, file};

/// Online, present and isolated CPUs. Read again after a hot-plug event.
pub(super) struct CpuSets {
    files: [HostFile; 3],
    read_at: Option<u64>,
    pub(super) online: Option<Vec<u32>>,
    pub(super) present: Option<Vec<u32>>,
    pub(super) isolated: Option<Vec<u32>>,
}

impl CpuSets {
    pub(super) fn new(host: &Host) -> CpuSets {
        let files = ["online", "present", "isolated"].map(|name| host.sys(format!("devices/system/cpu/{name}")));
        CpuSets { files, read_at: None, online: None, present: None, isolated: None }
    }

    pub(super) fn read(&mut self, cx: &mut ReadContext<'_>) {
        let generation = Some(cx.host.changes().generation());
        if self.read_at != generation {
            let mut list = |file: &mut HostFile| {
                let list = file.read(cx.buffer).and_then(read_cpu_list);
                cx.part(list)
            };
            [self.online, self.present, self.isolated] = self.files.each_mut().map(&mut list);
            self.read_at = generation;
        }
    }
}

/// The core of each CPU. Read again when the CPUs change.
#[derive(Default)]
pub(super) struct Topology {
    of: Vec<u32>,
    cores: Arc<HashMap<u32, Core>>,
}

/// A core, as sysfs numbers it.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) package: String,
    pub(super) number: String,
}

impl Topology {
    /// The cores of these CPUs. A CPU without a topology has none.
    pub(super) fn read(
        &mut self,
        cx: &mut ReadContext<'_>,
        cpus: impl Iterator<Item = u32> + Clone,
    ) -> Arc<HashMap<u32, Core>> {
        if !cpus.clone().eq(self.of.iter().copied()) {
            self.of = cpus.collect();
            self.cores = Arc::new(self.of.iter().filter_map(|cpu| Some((*cpu, core_of(cx, *cpu)?))).collect());
        }
        self.cores.clone()
    }
}

fn core_of(cx: &mut ReadContext<'_>, cpu: u32) -> Option<Core> {
    let topology = cx.host.sys_path(format!("devices/system/cpu/cpu{cpu}/topology"));
    let mut read = |name: &str| {
        let path = topology.join(name);
        let text = file::read_once(&path, cx.buffer).ok()?;
        Some(text.trimmed().into_owned())
    };
    Some(Core { package: read("physical_package_id")?, number: read("core_id")? })
}

/// Thermal throttle events of a core or a package.
pub(super) struct Throttled {
    pub(super) package: String,
    pub(super) core: String,
    pub(super) count: u64,
}

/// Throttle counter files, one per core and one per package. Listed again when the online CPUs change.
#[derive(Default)]
pub(super) struct Throttles {
    of: Vec<u32>,
    cores: Vec<ThrottleFile>,
    packages: Vec<ThrottleFile>,
}

struct ThrottleFile {
    package: String,
    core: String,
    count: HostFile,
}

impl Throttles {
    /// Appends the counts of the online CPUs' cores and packages.
    pub(super) fn read(
        &mut self,
        cx: &mut ReadContext<'_>,
        online: &[u32],
        cores: &mut Vec<Throttled>,
        packages: &mut Vec<Throttled>,
    ) {
        if self.of != online {
            self.find(cx, online);
        }
        for (files, throttled) in [(&mut self.cores, cores), (&mut self.packages, packages)] {
            for ThrottleFile { package, core, count } in files {
                let count = count.read(cx.buffer).and_then(|text| text.number("a count"));
                if let Some(count) = cx.part(count) {
                    throttled.push(Throttled { package: package.clone(), core: core.clone(), count });
                }
            }
        }
    }

    fn find(&mut self, cx: &mut ReadContext<'_>, online: &[u32]) {
        *self = Throttles { of: online.to_vec(), ..Throttles::default() };
        for number in online {
            let cpu = cx.host.sys_path(format!("devices/system/cpu/cpu{number}"));
            let Some(Core { package, number: core }) = core_of(cx, *number) else { continue };
            let throttle = cpu.join("thermal_throttle");
            if !throttle.exists() {
                continue;
            }
            let is_same_package = |file: &ThrottleFile| file.package == package;
            if !self.cores.iter().any(|file| is_same_package(file) && file.core == core) {
                let count = HostFile::new(throttle.join("core_throttle_count"));
                self.cores.push(ThrottleFile { package: package.clone(), core, count });
            }
            if !self.packages.iter().any(is_same_package) {
                let count = HostFile::new(throttle.join("package_throttle_count"));
                self.packages.push(ThrottleFile { package, core: String::new(), count });
            }
        }
    }
}
