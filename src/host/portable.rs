//! The host by the crate sysinfo, on every system that it supports. It has less than Linux's files; missing values are
//! omitted.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sysinfo::{
    Components, CpuRefreshKind, DiskRefreshKind, Disks, MINIMUM_CPU_UPDATE_INTERVAL, MemoryRefreshKind, Networks, Pid,
    ProcessRefreshKind, ProcessesToUpdate, RefreshKind, System, get_current_pid,
};

use super::kernel::{FsStat, Uname};
use super::{Host, ReadError};
use crate::blocking::{CallFn, CallOutcome};

/// The host by sysinfo.
pub struct Portable {
    state: Mutex<State>,
    /// Separate, as file systems may hang.
    disks: Arc<Mutex<Disks>>,
}

struct State {
    system: System,
    networks: Networks,
    components: Components,
    cpus: Vec<CpuTime>,
    cpus_at: Instant,
}

/// Time of a CPU since Taffrail's start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CpuTime {
    /// Busy seconds.
    pub busy_seconds: f64,
    /// Idle seconds.
    pub idle_seconds: f64,
}

/// Memory and swap, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Total memory.
    pub total: u64,
    /// Free memory.
    pub free: u64,
    /// Available memory.
    pub available: u64,
    /// Total swap.
    pub swap_total: u64,
    /// Free swap.
    pub swap_free: u64,
}

/// A mounted file system and its disk.
#[derive(Clone, Debug)]
pub struct Disk {
    /// The device.
    pub name: String,
    /// Its mount point.
    pub mount_point: PathBuf,
    /// Its type.
    pub file_system: String,
    /// Its size; inodes are unknown.
    pub size: FsStat,
    /// Bytes read from the disk since boot.
    pub read_bytes: u64,
    /// Bytes written to the disk since boot.
    pub written_bytes: u64,
}

/// A network interface, with counters since boot.
#[derive(Clone, Debug)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// Received bytes, packets and errors.
    pub received: [u64; 3],
    /// Transmitted bytes, packets and errors.
    pub transmitted: [u64; 3],
}

/// A temperature sensor, in degrees Celsius.
#[derive(Clone, Debug)]
pub struct Sensor {
    /// Its label.
    pub label: String,
    /// Current temperature.
    pub celsius: Option<f64>,
    /// Critical temperature, at which the device shuts down.
    pub critical: Option<f64>,
}

/// Resource usage of Taffrail.
#[derive(Clone, Copy, Debug, Default)]
pub struct Own {
    /// CPU milliseconds.
    pub cpu_milliseconds: u64,
    /// Resident bytes.
    pub resident_bytes: u64,
    /// Virtual bytes.
    pub virtual_bytes: u64,
    /// Start time, in Unix seconds.
    pub started: u64,
}

/// Names of the system.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// As by uname(2).
    pub uname: Uname,
    /// Such as `debian` or `macos`.
    pub id: String,
    /// The distribution or system.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Both, as text.
    pub pretty_name: String,
}

impl From<&sysinfo::Disk> for Disk {
    fn from(disk: &sysinfo::Disk) -> Self {
        let usage = disk.usage();
        let size = FsStat {
            block_size: 1,
            blocks: disk.total_space(),
            blocks_free: disk.available_space(),
            blocks_available: disk.available_space(),
            read_only: disk.is_read_only(),
            ..FsStat::default()
        };
        Disk {
            name: disk.name().to_string_lossy().into_owned(),
            mount_point: disk.mount_point().to_owned(),
            file_system: disk.file_system().to_string_lossy().into_owned(),
            size,
            read_bytes: usage.total_read_bytes,
            written_bytes: usage.total_written_bytes,
        }
    }
}

impl Default for Portable {
    fn default() -> Self {
        let cpus = CpuRefreshKind::nothing().with_cpu_usage();
        let system = System::new_with_specifics(RefreshKind::nothing().with_cpu(cpus));
        let state = State {
            system,
            networks: Networks::new(),
            components: Components::new(),
            cpus: Vec::new(),
            cpus_at: Instant::now(),
        };
        Portable { state: Mutex::new(state), disks: Arc::new(Mutex::new(Disks::new())) }
    }
}

impl Portable {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time of each CPU, accumulated from its usage between readings.
    pub fn cpus(&self) -> Vec<CpuTime> {
        let state = &mut *self.state();
        let elapsed = state.cpus_at.elapsed();
        // sysinfo has no new data before.
        if elapsed >= MINIMUM_CPU_UPDATE_INTERVAL {
            state.system.refresh_cpu_usage();
            state.cpus_at = Instant::now();
            let usages: Vec<f64> = state.system.cpus().iter().map(|cpu| f64::from(cpu.cpu_usage()) / 100.0).collect();
            state.cpus.resize(usages.len(), CpuTime::default());
            for (cpu, usage) in state.cpus.iter_mut().zip(usages) {
                let busy = usage.clamp(0.0, 1.0) * elapsed.as_secs_f64();
                cpu.busy_seconds += busy;
                cpu.idle_seconds += elapsed.as_secs_f64() - busy;
            }
        } else if state.cpus.is_empty() {
            state.cpus.resize(state.system.cpus().len(), CpuTime::default());
        }
        state.cpus.clone()
    }

    /// The number of CPUs and of cores.
    pub fn cpu_counts(&self) -> (usize, Option<usize>) {
        (self.state().system.cpus().len(), System::physical_core_count())
    }

    /// Memory and swap.
    pub fn memory(&self) -> Memory {
        let system = &mut self.state().system;
        system.refresh_memory_specifics(MemoryRefreshKind::everything());
        Memory {
            total: system.total_memory(),
            free: system.free_memory(),
            available: system.available_memory(),
            swap_total: system.total_swap(),
            swap_free: system.free_swap(),
        }
    }

    /// Load averages over 1, 5 and 15 minutes; `None` where the system has none.
    pub fn load(&self) -> Option<[f64; 3]> {
        let load = System::load_average();
        (!cfg!(windows)).then_some([load.one, load.five, load.fifteen])
    }

    /// Uptime in seconds, and boot time in Unix seconds.
    pub fn uptime(&self) -> (u64, u64) {
        (System::uptime(), System::boot_time())
    }

    /// Names of the system.
    pub fn names(&self) -> Names {
        let version = System::os_version().unwrap_or_default();
        let uname = Uname {
            domainname: "(none)".to_owned(),
            machine: System::cpu_arch(),
            nodename: System::host_name().unwrap_or_default(),
            release: System::kernel_version().unwrap_or_default(),
            sysname: if cfg!(target_os = "linux") { "Linux".to_owned() } else { System::name().unwrap_or_default() },
            version: System::kernel_long_version(),
        };
        Names {
            uname,
            id: System::distribution_id(),
            name: System::name().unwrap_or_default(),
            pretty_name: System::long_os_version().unwrap_or_default(),
            version,
        }
    }

    /// The mounted file systems of `host`.
    ///
    /// # Errors
    /// [`ReadError::Silent`] if one of them hangs: sysinfo reads all at once.
    pub fn disks(&self, host: &Host) -> Result<Vec<Disk>, ReadError> {
        const TIMEOUT: Duration = Duration::from_millis(400);
        let disks = self.disks.clone();
        let answerer: CallFn<(), Vec<Disk>> = Arc::new(move |(), _: &_| {
            let mut disks = disks.lock().unwrap_or_else(PoisonError::into_inner);
            disks.refresh_specifics(true, DiskRefreshKind::everything());
            disks.list().iter().map(Disk::from).collect()
        });
        match host.questions_to_mounts(1).run_all(vec![()], &answerer, TIMEOUT.into()).pop() {
            Some(CallOutcome::Completed(disks) | CallOutcome::Late(disks)) => Ok(disks),
            _ => Err(ReadError::Silent { what: "the mounted file systems".to_owned() }),
        }
    }

    /// The network interfaces, in name order.
    pub fn networks(&self) -> Vec<Network> {
        let networks = &mut self.state().networks;
        networks.refresh(true);
        let network = |(name, data): (&String, &sysinfo::NetworkData)| Network {
            name: name.clone(),
            received: [data.total_received(), data.total_packets_received(), data.total_errors_on_received()],
            transmitted: [
                data.total_transmitted(),
                data.total_packets_transmitted(),
                data.total_errors_on_transmitted(),
            ],
        };
        let mut found: Vec<Network> = networks.list().iter().map(network).collect();
        found.sort_by(|one, other| one.name.cmp(&other.name));
        found
    }

    /// The temperature sensors.
    pub fn sensors(&self) -> Vec<Sensor> {
        let components = &mut self.state().components;
        components.refresh(true);
        let sensor = |component: &sysinfo::Component| Sensor {
            label: component.label().to_owned(),
            celsius: component.temperature().map(f64::from).filter(|celsius| celsius.is_finite()),
            critical: component.critical().map(f64::from).filter(|celsius| celsius.is_finite()),
        };
        components.list().iter().map(sensor).collect()
    }

    /// Resource usage of Taffrail.
    pub fn own(&self) -> Option<Own> {
        let pid: Pid = get_current_pid().ok()?;
        let system = &mut self.state().system;
        let kind = ProcessRefreshKind::nothing().with_cpu().with_memory();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, kind);
        let process = system.process(pid)?;
        Some(Own {
            cpu_milliseconds: process.accumulated_cpu_time(),
            resident_bytes: process.memory(),
            virtual_bytes: process.virtual_memory(),
            started: process.start_time(),
        })
    }
}
