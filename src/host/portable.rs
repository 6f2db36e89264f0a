//! The host as the crate sysinfo tells of it, on every system that it knows: less than Linux's own files say, under the
//! same names. What it does not tell is left out.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sysinfo::{
    Components, CpuRefreshKind, DiskRefreshKind, Disks, MINIMUM_CPU_UPDATE_INTERVAL, MemoryRefreshKind, Networks, Pid,
    ProcessRefreshKind, ProcessesToUpdate, RefreshKind, System, get_current_pid,
};

use super::kernel::{FsStat, Uname};
use super::{Host, ReadError};
use crate::ask::{Answerer, Asked};

/// The host by sysinfo.
pub struct Portable {
    state: Mutex<State>,
    /// Apart, as file systems may hang while they are asked.
    disks: Arc<Mutex<Disks>>,
}

struct State {
    system: System,
    networks: Networks,
    components: Components,
    cpus: Vec<CpuTime>,
    cpus_at: Instant,
}

/// What a CPU has done since Taffrail was started.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CpuTime {
    /// Seconds in which it did something.
    pub busy_seconds: f64,
    /// Seconds in which it did nothing.
    pub idle_seconds: f64,
}

/// Memory and swap, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// All memory.
    pub total: u64,
    /// Memory that nothing uses.
    pub free: u64,
    /// Memory that programs can have.
    pub available: u64,
    /// All swap.
    pub swap_total: u64,
    /// Swap that nothing uses.
    pub swap_free: u64,
}

/// A mounted file system, and the disk that it is on.
#[derive(Clone, Debug)]
pub struct Disk {
    /// The device.
    pub name: String,
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// Its type.
    pub file_system: String,
    /// Its size; inodes are not told.
    pub size: FsStat,
    /// Bytes read from the disk since boot.
    pub read_bytes: u64,
    /// Bytes written to the disk since boot.
    pub written_bytes: u64,
}

/// A network interface; what it did is since boot.
#[derive(Clone, Debug)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// Bytes, packets and errors in receiving.
    pub received: [u64; 3],
    /// Bytes, packets and errors in transmitting.
    pub transmitted: [u64; 3],
}

/// A sensor of temperature, in degrees Celsius.
#[derive(Clone, Debug)]
pub struct Sensor {
    /// What it is called.
    pub label: String,
    /// The temperature now.
    pub celsius: Option<f64>,
    /// The temperature at which the device stops itself.
    pub critical: Option<f64>,
}

/// What Taffrail itself uses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Own {
    /// Milliseconds that CPUs spent on it.
    pub cpu_milliseconds: u64,
    /// Bytes of memory.
    pub resident_bytes: u64,
    /// Bytes of address space.
    pub virtual_bytes: u64,
    /// When it was started, in Unix time.
    pub started: u64,
}

/// What the system calls itself.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// As uname(2) would say it.
    pub uname: Uname,
    /// Such as `debian` or `macos`.
    pub id: String,
    /// The distribution or system.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Both, for people.
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

    /// What each CPU has done, counted up from what it was doing between two readings.
    pub fn cpus(&self) -> Vec<CpuTime> {
        let state = &mut *self.state();
        let elapsed = state.cpus_at.elapsed();
        // Sooner, nothing new is to be had.
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

    /// How many CPUs there are, and how many cores.
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

    /// Load averages over 1, 5 and 15 minutes; nothing where the system has none.
    pub fn load(&self) -> Option<[f64; 3]> {
        let load = System::load_average();
        (!cfg!(windows)).then_some([load.one, load.five, load.fifteen])
    }

    /// Seconds since boot, and when that was, in Unix time.
    pub fn uptime(&self) -> (u64, u64) {
        (System::uptime(), System::boot_time())
    }

    /// What the system calls itself.
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
    /// [`ReadError::Silent`] if one of them does not answer: they can only be asked all together.
    pub fn disks(&self, host: &Host) -> Result<Vec<Disk>, ReadError> {
        const PATIENCE: Duration = Duration::from_millis(400);
        let disks = self.disks.clone();
        let answerer: Answerer<(), Vec<Disk>> = Arc::new(move |(), _: &_| {
            let mut disks = disks.lock().unwrap_or_else(PoisonError::into_inner);
            disks.refresh_specifics(true, DiskRefreshKind::everything());
            disks.list().iter().map(Disk::from).collect()
        });
        match host.questions(1).ask(vec![()], &answerer, PATIENCE.into()).pop() {
            Some(Asked::Now(disks) | Asked::Late(disks)) => Ok(disks),
            _ => Err(ReadError::Silent { what: "the mounted file systems".to_owned() }),
        }
    }

    /// The network interfaces, in the order of their names.
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

    /// The sensors of temperature.
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

    /// What Taffrail itself uses.
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
