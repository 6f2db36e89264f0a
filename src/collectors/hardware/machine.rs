//! CPUs, memory and memory modules of the machine, under cAdvisor's metric names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::collectors::framework::{About, Collector, ReadContext, Reading, Vocabularies};
use crate::config::Section;
use crate::encode::{Family, FamilyWriter};
use crate::host::{Host, HostFile, ReadError, file};

pub(super) struct Machine {
    meminfo: HostFile,
    online: HostFile,
    /// Read again only when the online CPUs change.
    hardware: Hardware,
    read_for_online: Option<Vec<u8>>,
}

/// `/proc/meminfo`, the topology below `/sys/devices/system/cpu`, and the machine's IDs.
#[derive(Default)]
pub(super) struct MachineReading {
    memory_bytes: Option<u64>,
    swap_bytes: Option<u64>,
    hardware: Hardware,
}

#[derive(Clone, Default)]
struct Hardware {
    /// Online logical CPUs.
    cpus: u64,
    physical_cores: u64,
    sockets: u64,
    /// Memory modules by type: count and total size in bytes.
    modules: BTreeMap<String, (u64, u64)>,
    /// `machine_id`, `system_uuid` and `boot_id`. Empty if unreadable.
    ids: [String; 3],
}

impl Collector for Machine {
    const ABOUT: About = About {
        name: "machine",
        summary: "CPUs, memory and memory modules of the machine, under cAdvisor's metric names",
        reads: &[
            "/proc/meminfo",
            "/sys/devices/system/cpu",
            "/sys/devices/system/edac/mc",
            "/etc/machine-id",
            "/proc/sys/kernel/random/boot_id",
            "/sys/class/dmi/id/product_uuid",
        ],
        needs: "root for the label system_uuid, otherwise empty",
        on_by_default: Vocabularies::FAMILIES,
        families: &[
            CPU_CORES.info(),
            PHYSICAL_CORES.info(),
            SOCKETS.info(),
            MEMORY.info(),
            SWAP.info(),
            MODULES.info(),
            MODULE_CAPACITY.info(),
        ],
        ..About::PLAIN
    };
    type Reading = MachineReading;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Machine {
            meminfo: host.proc("meminfo").one_record(),
            online: host.sys("devices/system/cpu/online"),
            hardware: Hardware::default(),
            read_for_online: None,
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut MachineReading) -> Result<(), ReadError> {
        *reading = MachineReading::default();
        let online = self.online.read(cx.buffer).map(|text| text.bytes().to_vec()).unwrap_or_default();
        if self.read_for_online.as_ref() != Some(&online) {
            self.hardware = Hardware::read(cx);
            self.read_for_online = Some(online);
        }
        reading.hardware = self.hardware.clone();
        for line in self.meminfo.read(cx.buffer)?.lines() {
            let Some((key, rest)) = line.key_and_rest() else { continue };
            let wanted = match key {
                b"MemTotal" => &mut reading.memory_bytes,
                b"SwapTotal" => &mut reading.swap_bytes,
                _ => continue,
            };
            *wanted = Some(rest.fields().number::<u64>("kilobytes")?.saturating_mul(1024));
        }
        Ok(())
    }
}

impl Hardware {
    fn read(cx: &mut ReadContext<'_>) -> Hardware {
        let host = cx.host;
        let ids = [
            host.root_path("/etc/machine-id"),
            host.sys_path("class/dmi/id/product_uuid"),
            host.proc_path("sys/kernel/random/boot_id"),
        ];
        let ids = ids.map(|path| first_word(&path, cx.buffer).unwrap_or_default());
        let mut hardware = Hardware { ids, ..Hardware::default() };
        hardware.read_cpus(cx);
        hardware.read_modules(cx);
        hardware
    }

    fn read_cpus(&mut self, cx: &mut ReadContext<'_>) {
        let folder = cx.host.sys_path("devices/system/cpu");
        let is_cpu = |name: &&String| name.strip_prefix("cpu").is_some_and(|number| number.parse::<u32>().is_ok());
        let (mut cores, mut sockets) = (BTreeSet::new(), BTreeSet::new());
        for cpu in file::list(&folder).unwrap_or_default().iter().filter(is_cpu) {
            let topology = folder.join(cpu).join("topology");
            // An offline CPU has no topology.
            let Some(core) = first_word(&topology.join("core_id"), cx.buffer) else { continue };
            let socket = first_word(&topology.join("physical_package_id"), cx.buffer).unwrap_or_default();
            self.cpus += 1;
            cores.insert((socket.clone(), core));
            sockets.insert(socket);
        }
        (self.physical_cores, self.sockets) = (cores.len() as u64, sockets.len() as u64);
    }

    fn read_modules(&mut self, cx: &mut ReadContext<'_>) {
        let controllers = cx.host.sys_path("devices/system/edac/mc");
        for controller in file::list(&controllers).unwrap_or_default() {
            let folder = controllers.join(controller);
            for module in file::list(&folder).unwrap_or_default() {
                let path = folder.join(&module).join("size");
                let size = file::read_once(&path, cx.buffer).ok();
                let size = size.map(|text| text.number::<u64>("megabytes")).transpose();
                let Some(megabytes) = cx.part(size).flatten() else { continue };
                let kind = first_word(&folder.join(&module).join("dimm_mem_type"), cx.buffer).unwrap_or_default();
                let (count, bytes) = self.modules.entry(kind).or_default();
                *count += 1;
                *bytes = bytes.saturating_add(megabytes.saturating_mul(1 << 20));
            }
        }
    }
}

/// First word of the file. `None` if it cannot be read.
fn first_word(path: &Path, buffer: &mut Vec<u8>) -> Option<String> {
    file::read_once(path, buffer).ok().map(|text| text.trimmed().into_owned())
}

const IDS: [&str; 3] = ["machine_id", "system_uuid", "boot_id"];
const IDS_AND_TYPE: [&str; 4] = ["machine_id", "system_uuid", "boot_id", "type"];
const CPU_CORES: Family<3> = Family::gauge("machine_cpu_cores", "Online logical CPUs", IDS);
const PHYSICAL_CORES: Family<3> = Family::gauge("machine_cpu_physical_cores", "Physical CPU cores", IDS);
const SOCKETS: Family<3> = Family::gauge("machine_cpu_sockets", "CPU sockets", IDS);
const MEMORY: Family<3> = Family::gauge("machine_memory_bytes", "Memory of the machine in bytes", IDS);
const SWAP: Family<3> = Family::gauge("machine_swap_bytes", "Swap space of the machine in bytes", IDS);
const MODULES: Family<4> = Family::gauge("machine_dimm_count", "Memory modules (DIMMs) by type", IDS_AND_TYPE);
const MODULE_CAPACITY: Family<4> = Family::gauge(
    "machine_dimm_capacity_bytes",
    "Total capacity of the memory modules by type, in bytes",
    IDS_AND_TYPE,
);

impl Reading for MachineReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        let hardware = &self.hardware;
        let [machine, system, boot] = hardware.ids.each_ref().map(String::as_str);
        let counted = |count: u64| Some(count).filter(|count| *count > 0);
        for (family, value) in [
            (&CPU_CORES, counted(hardware.cpus)),
            (&PHYSICAL_CORES, counted(hardware.physical_cores)),
            (&SOCKETS, counted(hardware.sockets)),
            (&MEMORY, self.memory_bytes),
            (&SWAP, self.swap_bytes),
        ] {
            if let Some(value) = value {
                out.family(family).sample([machine, system, boot], value);
            }
        }
        let mut counts = out.family(&MODULES);
        for (kind, (count, _)) in &hardware.modules {
            counts.sample([machine, system, boot, kind], *count);
        }
        drop(counts);
        let mut capacities = out.family(&MODULE_CAPACITY);
        for (kind, (_, bytes)) in &hardware.modules {
            capacities.sample([machine, system, boot, kind], *bytes);
        }
    }
}
